"""Small images of every kind that `open_source` opens, with what must be read from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
import SimpleITK
import zarr
from affine import Affine
from PIL import Image
from rasterio.enums import Resampling

from promptile.grid import LPS, PIXELS
from promptile.sources import Source, open_source
from promptile.sources.arrays import ArraySource

ROTATED = Affine(1.7, 1.5, 5e5, 1.0, -2.6, 4e6)
SOUTH_UP = Affine(0.5, 0, 100, 0, 0.5, 200)
NORTH_UP = Affine(0.5, 0, 100, 0, -0.5, 200)


@dataclass
class Example:
    """An image that was written to disk, and what was written."""

    path: Path | None
    samples: np.ndarray  # (c, *shape)
    open: Callable[[], Source]
    valid: np.ndarray | None = None
    space: str = PIXELS
    nearest: bool = False
    mean_tolerance: float = 0.5  # integers are rounded
    border_tolerance: float | None = None  # where an overview's last sample covers more than ours
    affine: np.ndarray | None = None  # (x, y[, z]) of (x, y[, z]) index, from an independent reading
    levels: tuple | None = None
    extra: dict = field(default_factory=dict)


def noise(shape, dtype, seed=0, high=None):
    random = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.floating):
        return random.normal(size=shape).astype(dtype)
    high = min(np.iinfo(dtype).max, 4000) if high is None else high
    return random.integers(1, high, shape, dtype=dtype)


def write_tif(path, samples, transform=ROTATED, **options):
    profile = {"driver": "GTiff", "crs": "EPSG:32633", "tiled": True, "blockxsize": 64, "blockysize": 64}
    profile |= {"count": len(samples), "height": samples.shape[1], "width": samples.shape[2], "dtype": samples.dtype}
    with rasterio.open(path, "w", transform=transform, **(profile | options)) as target:
        target.write(samples)
    return centres(path)


def centres(path):
    """Rasterio's transform, moved from corners to centres by asking rasterio where the first centre is."""
    with rasterio.open(path) as source:
        affine = np.reshape(source.transform, (3, 3)).copy()
        affine[:2, 2] = source.xy(0, 0)
    return affine


def read_all(path, **options):
    """Open and read everything."""
    source = open_source(path, **options)
    return source.read(source.grid.window)


def tif(folder):
    samples = noise((3, 311, 203), np.uint16)
    affine = write_tif(folder / "a.tif", samples, photometric="MINISBLACK")
    return Example(folder / "a.tif", samples, lambda: open_source(folder / "a.tif"), affine=affine, space="EPSG:32633")


def south_up_strips(folder):
    samples = noise((1, 301, 290), np.int16)
    affine = write_tif(folder / "a.tif", samples, SOUTH_UP, tiled=False, blockxsize=None, blockysize=7, compress="lzw")
    return Example(folder / "a.tif", samples, lambda: open_source(folder / "a.tif"), affine=affine, space="EPSG:32633")


def pyramid(folder):
    """Overviews of an image whose sides are no multiples of anything."""
    smooth = np.add.outer(np.sin(np.arange(1021) / 60), np.cos(np.arange(907) / 45)) * 500
    samples = np.stack([smooth, smooth[::-1]]).astype(np.float32)
    affine = write_tif(folder / "a.tif", samples)
    with rasterio.open(folder / "a.tif", "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.average)
    return Example(
        folder / "a.tif",
        samples,
        lambda: open_source(folder / "a.tif"),
        affine=affine,
        space="EPSG:32633",
        mean_tolerance=1.0,
        border_tolerance=25.0,
    )


def cog(folder):
    samples = noise((3, 512, 1024), np.uint8)
    write_tif(folder / "plain.tif", samples, NORTH_UP)
    rasterio.shutil.copy(
        folder / "plain.tif", folder / "a.tif", driver="COG", overview_resampling="average", blocksize=128
    )
    return Example(
        folder / "a.tif",
        samples,
        lambda: open_source(folder / "a.tif"),
        affine=centres(folder / "a.tif"),
        space="EPSG:32633",
        mean_tolerance=2.0,
    )


def vrt(folder):
    samples = noise((2, 300, 260), np.int32)
    affine = write_tif(folder / "a.tif", samples)
    rasterio.shutil.copy(folder / "a.tif", folder / "a.vrt", driver="VRT")
    return Example(folder / "a.vrt", samples, lambda: open_source(folder / "a.vrt"), affine=affine, space="EPSG:32633")


def nodata(folder):
    samples = noise((2, 300, 270), np.int16)
    samples[0, :40] = -9999
    samples[1, 20:60] = -9999
    samples[:, 100:170, 100:170] = -9999
    affine = write_tif(folder / "a.tif", samples, nodata=-9999)
    valid = (samples != -9999).any(axis=0)
    return Example(
        folder / "a.tif", samples, lambda: open_source(folder / "a.tif"), valid, affine=affine, space="EPSG:32633"
    )


def nan(folder):
    samples = noise((2, 300, 270), np.float32)
    samples[0, :50] = np.nan
    samples[:, 30:99, 30:99] = np.nan
    affine = write_tif(folder / "a.tif", samples)
    valid = np.isfinite(samples).any(axis=0)
    return Example(
        folder / "a.tif", samples, lambda: open_source(folder / "a.tif"), valid, affine=affine, space="EPSG:32633"
    )


def mask_band(folder):
    samples = noise((3, 290, 300), np.uint8)
    valid = np.zeros((290, 300), bool)
    valid[10:200, 33:280] = True
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        affine = write_tif(folder / "a.tif", samples)
        with rasterio.open(folder / "a.tif", "r+") as target:
            target.write_mask(valid)
    return Example(
        folder / "a.tif", samples, lambda: open_source(folder / "a.tif"), valid, affine=affine, space="EPSG:32633"
    )


def alpha(folder):
    samples = noise((4, 290, 300), np.uint8)
    samples[3] = 255
    samples[3, 50:120, 60:] = 0
    affine = write_tif(folder / "a.tif", samples, photometric="RGB", alpha="YES")
    return Example(
        folder / "a.tif",
        samples,
        lambda: open_source(folder / "a.tif"),
        samples[3] > 0,
        affine=affine,
        space="EPSG:32633",
        extra={"channels": ("red", "green", "blue", "alpha")},
    )


def palette(folder):
    random = np.random.default_rng(0)
    table = random.integers(0, 256, (256, 4), dtype=np.uint8)
    table[:, 3] = 255
    table[7, 3] = 0
    index = random.integers(0, 20, (1, 280, 300), dtype=np.uint8)
    affine = write_tif(folder / "a.tif", index, photometric="palette")
    with rasterio.open(folder / "a.tif", "r+") as target:
        target.write_colormap(1, {i: tuple(map(int, c)) for i, c in enumerate(table)})
    with rasterio.open(folder / "a.tif") as source:  # GeoTIFF keeps no transparency of colours
        table = np.array([source.colormap(1)[i] for i in range(256)], np.uint8)
    samples = np.moveaxis(table[index[0], :3], -1, 0)
    return Example(
        folder / "a.tif",
        samples,
        lambda: open_source(folder / "a.tif"),
        table[index[0], 3] > 0,
        affine=affine,
        space="EPSG:32633",
        extra={"channels": ("red", "green", "blue")},
    )


def png(folder):
    samples = noise((3, 270, 301), np.uint8)
    Image.fromarray(np.moveaxis(samples, 0, -1)).save(folder / "a.png")
    return Example(folder / "a.png", samples, lambda: open_source(folder / "a.png"))


def oblique(shape, dtype=np.int16, spacing=(0.8, 0.8, 3.0), seed=0):
    """An ITK image of this array shape ``([c,] z, y, x)`` with an oblique, left-handed direction."""
    image = SimpleITK.GetImageFromArray(noise(shape, dtype, seed), isVector=len(shape) == 4)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    image.SetDirection((turn * [1, -1, 1]).ravel().tolist())
    image.SetSpacing(spacing)
    image.SetOrigin((-103.5, 77.25, 12.0))
    return image


def itk_affine(image):
    n = image.GetDimension()
    origin = np.array(image.TransformContinuousIndexToPhysicalPoint([0.0] * n))
    steps = [np.array(image.TransformContinuousIndexToPhysicalPoint(np.eye(n)[i].tolist())) - origin for i in range(n)]
    matrix = np.eye(n + 1)
    matrix[:n, :n], matrix[:n, n] = np.transpose(steps), origin
    return matrix


def volume(name, compress=False, **options):
    def make(folder):
        image = oblique((30, 141, 130), **options)
        SimpleITK.WriteImage(image, folder / name, compress)
        again = SimpleITK.ReadImage(folder / name)
        return Example(
            folder / name,
            SimpleITK.GetArrayFromImage(again)[None],
            lambda: open_source(folder / name),
            affine=itk_affine(again),
            space=LPS,
        )

    return make


def colour_volume(folder):
    image = oblique((20, 66, 70, 3), np.uint8)
    SimpleITK.WriteImage(image, folder / "a.nrrd")
    samples = np.moveaxis(SimpleITK.GetArrayFromImage(image), -1, 0)
    return Example(
        folder / "a.nrrd",
        samples,
        lambda: open_source(folder / "a.nrrd"),
        affine=itk_affine(image),
        space=LPS,
        extra={"channels": ("red", "green", "blue")},
    )


def flat_medical(folder):
    image = SimpleITK.GetImageFromArray(noise((270, 300), np.float32))
    image.SetSpacing((0.5, 0.25))
    image.SetOrigin((3, -4))
    SimpleITK.WriteImage(image, folder / "a.mha")
    samples = SimpleITK.GetArrayFromImage(image)[None]
    return Example(
        folder / "a.mha", samples, lambda: open_source(folder / "a.mha"), affine=itk_affine(image), space=LPS
    )


def times(name):
    def make(folder):
        parts = [oblique((12, 70, 66), seed=i) for i in range(3)]
        SimpleITK.WriteImage(SimpleITK.JoinSeries(parts), folder / name)
        samples = SimpleITK.GetArrayFromImage(parts[2])[None]
        return Example(
            folder / name,
            samples,
            lambda: open_source(folder / name, time=2),
            affine=itk_affine(parts[2]),
            space=LPS,
        )

    return make


def write_series(folder, image, uid="1.2.3", kind="CT", tags=None):
    """A slice per file, as a scanner would; `tags` may change those of one slice: (index, slice) -> changes."""
    folder.mkdir(exist_ok=True)
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    direction = np.reshape(image.GetDirection(), (3, 3))
    for i in range(image.GetDepth()):
        part = image[:, :, i]
        position = image.TransformIndexToPhysicalPoint((0, 0, i))
        said = {
            "0008|0060": kind,
            "0008|0018": f"{uid}.{i + 1}",
            "0020|000e": uid,
            "0020|0013": str(i + 1),
            "0020|0032": "\\".join(f"{p:.6f}" for p in position),
            "0020|0037": "\\".join(f"{d:.9f}" for d in [*direction[:, 0], *direction[:, 1]]),
            "0028|1052": "-1024",
            "0028|1053": "1",
        } | (tags(i, part) if tags else {})
        for key, value in said.items():
            part.SetMetaData(key, value)
        part.SetSpacing(image.GetSpacing()[:2])
        writer.SetFileName(str(folder / f"{uid}-{image.GetDepth() - i:03}"))  # named against the order
        writer.SetImageIO("GDCMImageIO")
        writer.Execute(part)


def read_series(folder):
    """ITK's own reading of a regular series."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def right_handed(shape=(14, 90, 80), seed=0):
    """DICOM has no left-handed stacks that go up: the third axis is the product of the first two."""
    image = oblique(shape, seed=seed)
    d = np.reshape(image.GetDirection(), (3, 3))
    d[:, 2] = np.cross(d[:, 0], d[:, 1])
    image.SetDirection(d.ravel().tolist())
    return image


def dicom(folder):
    image = right_handed()
    write_series(folder / "series", image)
    again = read_series(folder / "series")
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(again), SimpleITK.GetArrayFromImage(image))
    return Example(
        folder / "series",
        SimpleITK.GetArrayFromImage(again)[None],
        lambda: open_source(folder / "series"),
        affine=itk_affine(again),
        space=LPS,
        extra={"modality": "CT"},
    )


def plain_zarr(version):
    def make(folder):
        samples = noise((2, 20, 90, 80), np.uint16)
        zarr.create_array(folder / "a.zarr", data=samples, chunks=(1, 8, 32, 32), zarr_format=version)
        return Example(folder / "a.zarr", samples, lambda: open_source(folder / "a.zarr"))

    return make


def ome_zarr(version):
    """Levels of (1, 2, 2) and (1, 4, 4) with their exact translations; t and c axes."""

    def make(folder):
        samples = noise((2, 13, 97, 85), np.float32)
        group = zarr.create_group(folder / "a.zarr", zarr_format=2 if version == "0.4" else 3)
        scale, shift = np.array([3.0, 0.5, 0.5]), np.array([10.0, 20.0, -7.0])
        datasets = []
        for i, f in enumerate((1, 2, 4)):
            data = block_means(samples, (1, f, f)) if f > 1 else samples
            stacked = np.stack([np.zeros_like(data), data])
            group.create_array(str(i), data=stacked, chunks=(1, 1, 8, 32, 32))
            at = shift + (np.array([1, f, f]) - 1) / 2 * scale
            transforms = [
                {"type": "scale", "scale": [1, 1, *(scale * [1, f, f])]},
                {"type": "translation", "translation": [0, 0, *at]},
            ]
            datasets.append({"path": str(i), "coordinateTransformations": transforms})
        axes = [{"name": n, "type": "space"} for n in "tczyx"]
        said = {"multiscales": [{"version": version, "axes": axes, "datasets": datasets}]}
        group.attrs.update(said if version == "0.4" else {"ome": said | {"version": version}})
        affine = np.diag([*scale[::-1], 1.0])
        affine[:3, 3] = shift[::-1]
        return Example(
            folder / "a.zarr",
            samples,
            lambda: open_source(folder / "a.zarr", time=1),
            affine=affine,
            levels=((1, 1, 1), (1, 2, 2), (1, 4, 4)),
            mean_tolerance=1e-6,
        )

    return make


def array_2d(_folder):
    samples = noise((290, 270), np.uint16)
    return Example(None, samples[None], lambda: open_source(samples))


def array_channels_last(_folder):
    samples = noise((290, 270, 3), np.uint8)
    return Example(None, np.moveaxis(samples, -1, 0), lambda: open_source(samples, channel_axis=-1))


def array_3d(_folder):
    samples = noise((30, 90, 70), np.float64)
    return Example(None, samples[None], lambda: open_source(samples))


def labels(_folder):
    samples = noise((301, 270), np.uint32, high=5)
    return Example(None, samples[None], lambda: ArraySource(samples, resampling="nearest"), nearest=True)


KINDS = {
    "tif": tif,
    "south-up-strips": south_up_strips,
    "pyramid": pyramid,
    "cog": cog,
    "vrt": vrt,
    "nodata": nodata,
    "nan": nan,
    "mask-band": mask_band,
    "alpha": alpha,
    "palette": palette,
    "png": png,
    "nii": volume("a.nii"),
    "nii.gz": volume("a.nii.gz", dtype=np.float32),
    "nrrd": volume("a.nrrd", compress=True),
    "raw-nrrd": volume("a.nrrd"),
    "mha": volume("a.mha", spacing=(1, 1, 1)),
    "packed-mha": volume("a.mha", compress=True),
    "mhd": volume("a.mhd", dtype=np.uint8),
    "colour-volume": colour_volume,
    "flat-medical": flat_medical,
    "times-nii.gz": times("a.nii.gz"),
    "times-nii": times("a.nii"),
    "dicom": dicom,
    "zarr2": plain_zarr(2),
    "zarr3": plain_zarr(3),
    "ome-zarr-0.4": ome_zarr("0.4"),
    "ome-zarr-0.5": ome_zarr("0.5"),
    "array-2d": array_2d,
    "array-channels-last": array_channels_last,
    "array-3d": array_3d,
    "labels": labels,
}


def block_means(samples, factors, valid=None):
    """Means of blocks by definition, one block at a time along each axis; NaN where nothing is valid.

    Parameters
    ----------
    samples : (c, *shape) array
    valid : (c, *shape) array, optional
    """
    valid = np.ones(samples.shape, bool) if valid is None else valid
    total = np.where(valid, samples, 0).astype(float)
    count = valid.astype(float)
    for axis, f in enumerate(factors, 1):
        starts = np.arange(0, samples.shape[axis], f)
        total, count = (np.add.reduceat(a, starts, axis=axis) for a in (total, count))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / count
    return means.astype(samples.dtype) if np.issubdtype(samples.dtype, np.floating) else means
