"""Multi-frame DICOM as scanners write it: geometry and rescaling in functional groups."""

from __future__ import annotations

import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian


def item(**values):
    made = Dataset()
    for key, value in values.items():
        setattr(made, key, value)
    return made


def write_enhanced(path, image, *, order=None, slopes=None, positions=None, kind="CT", shared=True, frames=None):
    """An enhanced image of an ITK volume of int16, whose frames come in any order.

    Parameters
    ----------
    order : sequence of int, optional
        Which slice each frame is.
    slopes : sequence of float, optional
        Rescale slope per slice; stored values are the samples over it.
    positions : callable, optional
        Other positions: of a slice's number and place.
    shared : bool
        Whether the orientation is said once for all frames.
    frames : mapping of str to sequence, optional
        More that each frame says, under FrameContent: temporal index.
    """
    samples = SimpleITK.GetArrayFromImage(image)
    order = range(len(samples)) if order is None else order
    slopes = np.ones(len(samples)) if slopes is None else slopes
    axes = np.reshape(image.GetDirection(), (3, 3))
    file = Dataset()
    file.file_meta = FileMetaDataset()
    uid = EnhancedCTImageStorage if kind == "CT" else EnhancedMRImageStorage
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = uid
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = "1.2.3.4"
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.Modality, file.StudyInstanceUID, file.SeriesInstanceUID = kind, "1.2.9", "1.2.3"
    file.FrameOfReferenceUID, file.PatientID, file.PatientName = "1.2.8", "x", ""
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
    file.Rows, file.Columns, file.NumberOfFrames = *samples.shape[1:], len(order)
    spacing = image.GetSpacing()
    measures = item(PixelSpacing=[spacing[1], spacing[0]], SliceThickness=spacing[2], SpacingBetweenSlices=spacing[2])
    plane = item(ImageOrientationPatient=[f"{v:.9f}" for v in [*axes[:, 0], *axes[:, 1]]])
    groups = item(PixelMeasuresSequence=[measures])
    if shared:
        groups.PlaneOrientationSequence = [plane]
    file.SharedFunctionalGroupsSequence = [groups]
    file.PerFrameFunctionalGroupsSequence = []
    stored = []
    for i, z in enumerate(order):
        place = np.array(image.TransformIndexToPhysicalPoint((0, 0, int(z))))
        place = place if positions is None else positions(z, place)
        frame = item(
            PlanePositionSequence=[item(ImagePositionPatient=[f"{v:.6f}" for v in place])],
            PixelValueTransformationSequence=[
                item(RescaleSlope=f"{slopes[z]:g}", RescaleIntercept="-1024", RescaleType="HU")
            ],
            FrameContentSequence=[item(FrameAcquisitionNumber=i + 1, **{k: v[i] for k, v in (frames or {}).items()})],
        )
        if not shared:
            frame.PlaneOrientationSequence = [plane]
        file.PerFrameFunctionalGroupsSequence.append(frame)
        stored.append(np.rint((samples[z].astype(float) + 1024) / slopes[z]).astype("<i2"))
    file.PixelData = np.stack(stored).tobytes()
    file.save_as(path, enforce_file_format=True)
    return path
