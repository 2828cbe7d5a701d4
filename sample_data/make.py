"""Write the sample images with their truth and prompts: ``python sample_data/make.py [FOLDER]``.

The same files come out on every run. Without FOLDER they are written beside this script.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import geopandas
import land
import numpy as np
import pyogrio
import rasterio
import rasterio.shutil
import scene
import shapely
import SimpleITK as sitk
import volume
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from scipy import ndimage

SEED = 7
CRS = "EPSG:32633"
TRANSFORM = rasterio.Affine(1.0, 0.0, 412_300.0, 0.0, -1.0, 5_655_900.0)  # one metre per pixel
BANDS = ("red", "green", "blue", "near infrared")


def main(folder: Path) -> None:
    """Write all files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2025-01-01T00:00:00.000Z"})
    make_scene(folder)
    make_volume(folder)


def make_scene(folder: Path) -> None:
    """The GeoTIFF, its truth, boxes and clicks."""
    rng = np.random.default_rng(SEED)
    shapes = land.make_land(rng)
    write_scene(folder / "scene.tif", scene.paint(shapes, rng))
    found = land.truth(shapes)
    frame = geopandas.GeoDataFrame(
        {"id": range(1, len(found) + 1), "category": [category for _, category in found]},
        geometry=[to_world(shapely.simplify(shape, 0.3)) for shape, _ in found],
        crs=CRS,
    )
    (folder / "scene_truth.gpkg").unlink(missing_ok=True)  # what is written into a file that exists leaves gaps
    frame.to_file(folder / "scene_truth.gpkg", layer="truth", driver="GPKG", SPATIAL_INDEX="NO")
    write_scene_boxes(folder / "scene_boxes.geojson", frame)
    write_scene_points(folder / "scene_points.csv", shapes)


def write_scene(path: Path, samples: NDArray[np.uint16]) -> None:
    """A cloud-optimised GeoTIFF with overviews."""
    profile = {"width": samples.shape[2], "height": samples.shape[1], "count": len(samples), "dtype": "uint16"}
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", crs=CRS, transform=TRANSFORM, nodata=0, **profile) as image:
            image.write(samples)
            image.descriptions = BANDS
            image.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
        options = {
            "BLOCKSIZE": 512,
            "COMPRESS": "DEFLATE",
            "LEVEL": 9,
            "PREDICTOR": 2,
            "OVERVIEW_RESAMPLING": "AVERAGE",
        }
        rasterio.shutil.copy(memory.name, path, driver="COG", **options)


def write_scene_boxes(path: Path, truth: geopandas.GeoDataFrame) -> None:
    """Boxes around some fields and every second roof, in degrees."""
    size = truth.area
    fields = truth[(truth.category == "field") & (size > 9000)].iloc[::4]
    roofs = truth[truth.category == "building"].iloc[::2]
    chosen = geopandas.GeoDataFrame(
        {"category": [*fields.category, *roofs.category]},
        geometry=[shapely.box(*np.add(g.bounds, (-1, -1, 1, 1))) for g in [*fields.geometry, *roofs.geometry]],
        crs=CRS,
    )
    chosen.to_crs("EPSG:4326").to_file(path, driver="GeoJSON", COORDINATE_PRECISION=8)


def write_scene_points(path: Path, shapes: land.Land) -> None:
    """Clicks in the image's CRS: some objects need two, or one that says where they are not."""
    shore = shapes.lake.buffer(-25)
    west, east = (shapely.intersection(shore, shapely.box(*b)) for b in ((0, 0, 1060, 600), (1060, 0, 1536, 600)))
    river = shapely.intersection(shapes.river, shapely.box(600, 0, 900, 1536))
    largest = max(shapes.woods, key=lambda wood: wood.area)
    fields = sorted((f for f, _, _ in shapes.fields), key=lambda f: -f.area)
    clicks: list[tuple[str, int, Any]] = [
        ("river", 1, river),
        ("lake", 1, west),
        ("lake", 1, east),
        ("lake", 0, shapes.island),
        ("island", 1, shapes.island),
        ("island", 1, shapes.island - shapes.island.buffer(-6)),  # its beach
        ("wood", 1, largest),
        ("field", 1, fields[1]),
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("x", "y", "label", "object", "category"))
        for name, label, shape in clicks:
            place = land.centre(max(shapely.get_parts(shape), key=lambda part: part.area))
            x, y = TRANSFORM @ (place.x, place.y)
            rows.writerow((f"{x:.2f}", f"{y:.2f}", label, name, name))


def to_world(shape: Any) -> Any:
    """A shape in pixels from the top left corner as a shape in the scene's CRS."""
    t = TRANSFORM
    return shapely.transform(shape, lambda xy: xy * (t.a, t.e) + (t.c, t.f))


def make_volume(folder: Path) -> None:
    """The NIfTI volume, its label volume, boxes and clicks."""
    samples, labels = volume.scan()
    for name, array in (("volume", samples), ("volume_truth", labels)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(volume.SPACING)
        image.SetOrigin(volume.origin().tolist())
        image.SetDirection(volume.direction().ravel().tolist())
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"), useCompression=True, compressionLevel=9)
    write_volume_points(folder / "volume_points.mrk.json", labels)
    write_volume_boxes(folder / "volume_boxes.csv", labels)


def to_lps(index: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Index coordinates ``(..., 3)`` as ``(z, y, x)`` in LPS millimetres."""
    world: NDArray[np.float64] = (index[..., ::-1] * volume.SPACING) @ volume.direction().T + volume.origin()
    return world


def largest_part(labels: NDArray[np.uint8], organ: str) -> NDArray[np.bool_]:
    """The largest connected part of an organ."""
    parts, _ = ndimage.label(labels == volume.ORGANS.index(organ) + 1)
    largest: NDArray[np.bool_] = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return largest


def lower_half(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of a mask in the lower half of its slices."""
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    return mask & (np.arange(len(mask)) < slices.mean())[:, None, None]


def deepest(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """LPS of the voxel farthest inside a mask."""
    depth = ndimage.distance_transform_edt(mask, sampling=volume.SPACING[::-1])
    return to_lps(np.array(np.unravel_index(depth.argmax(), depth.shape), float))


def write_volume_points(path: Path, labels: NDArray[np.uint8]) -> None:
    """Clicks on organs as 3D Slicer keeps them; the description names the object, after a minus one it is not on."""
    organs = {organ: largest_part(labels, organ) for organ in volume.ORGANS[:5]}
    clicks = [(organ, deepest(mask)) for organ, mask in organs.items()]
    clicks += [(organ, deepest(lower_half(organs[organ]))) for organ in ("right kidney", "left kidney")]
    clicks += [
        ("liver", deepest(organs["liver"] & (np.arange(volume.SHAPE[2]) > volume.SHAPE[2] / 2))),  # its left lobe
        ("-liver", deepest(organs["lesion"])),
        ("-liver", volume.VERTEBRA + volume.CENTRE),
    ]
    points = [
        {
            "id": str(number),
            "label": f"{name.lstrip('-')}-{number}",
            "description": name,
            "position": [round(float(v), 2) for v in place],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for number, (name, place) in enumerate(clicks, 1)
    ]
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    markups = [{"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}]
    text = json.dumps({"@schema": f"{schema}markups-schema-v1.0.3.json#", "markups": markups}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def write_volume_boxes(path: Path, labels: NDArray[np.uint8]) -> None:
    """The bounds of each organ in LPS, from the edges of its voxels."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("x0", "y0", "z0", "x1", "y1", "z1", "object", "category"))
        for number, organ in enumerate(volume.ORGANS[:5], 1):
            index = np.argwhere(largest_part(labels, organ)).astype(float)
            corners = index[:, None] + (np.indices((2, 2, 2)).reshape(3, -1).T - 0.5)[None]
            world = to_lps(corners.reshape(-1, 3))
            bounds = [*world.min(axis=0), *world.max(axis=0)]
            rows.writerow([*(f"{v:.2f}" for v in bounds), number, organ])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
