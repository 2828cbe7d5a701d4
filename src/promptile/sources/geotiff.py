"""GeoTIFF, COG, VRT, PNG, JPEG and whatever else GDAL opens, through rasterio."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from promptile.errors import SourceError
from promptile.grid import PIXELS, Grid, Window
from promptile.sources.bad import logger, one_line
from promptile.sources.identity import file_identity, files_identity
from promptile.sources.image import Facts, ImageSource, reopening
from promptile.sources.levels import Resolution, Valid

GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 64,  # MB, for all open rasters together: GDAL's own default is 5 % of the machine
    "GDAL_TIFF_INTERNAL_MASK": True,
}

LARGEST_BLOCK = 2**28
"""Bytes of one block with all channels that are decoded together: GDAL holds at least one of them."""

MOST_CHANNELS = 4096
_opening = threading.Lock()


def corner_to_centre(transform: Affine | ArrayLike) -> NDArray[np.float64]:
    """A GDAL geotransform as the affine of a `Grid`: the one place where rasters shift by half a sample.

    ::

        GDAL    0       1       2     integers are corners, (column, row) -> (x, y)
                |---o---|---o---|
        Grid        0       1         integers are centres, (row, column) -> (x, y)

    Parameters
    ----------
    transform : Affine or (3, 3) array

    Returns
    -------
    (3, 3) array
        From homogeneous index ``(y, x, 1)`` to homogeneous world ``(x, y, 1)``.
    """
    centred = _matrix(transform) @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    affine: NDArray[np.float64] = centred[:, [1, 0, 2]]
    return affine


def centre_to_corner(affine: ArrayLike) -> Affine:
    """The inverse of `corner_to_centre`: the affine of a `Grid` as the transform rasterio writes."""
    matrix = np.asarray(affine, float)[:, [1, 0, 2]] @ np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    return Affine(*matrix[:2].ravel())


@reopening
def open_raster(path: str | Path) -> ImageSource:
    """Open a raster; nothing but its header is read.

    Raises
    ------
    SourceError
        If GDAL cannot read it, or only with more memory than any image may take, or if where its samples are
        cannot be said by a grid (ground control points, RPCs).
    """
    path = Path(path)
    with _reading(path):
        full = _Raster(path)
        with full.dataset() as dataset:
            _refuse(path, dataset)
            facts = _facts(path, dataset)
            overviews = dataset.overviews(1)
            files = [Path(f) for f in dataset.files] if dataset.driver == "VRT" else []
        coarse = [_Raster(path, i, full.shape) for i in range(len(overviews))]
    usable = sorted((r for r in coarse if r.decoded <= LARGEST_BLOCK), key=lambda r: r.ratio)
    sources = [f for f in files if f.is_file()]
    return ImageSource(
        facts,
        [full, *usable],
        lambda: files_identity(path.name, sources, path.parent) if sources else file_identity(path),
    )


class _Raster(Resolution):
    """A dataset, or one of its overviews.

    GDAL's datasets must not be used from two threads at once. Every read takes one from a pool that grows to as
    many as there are readers at the same time.
    """

    def __init__(self, path: Path, overview: int | None = None, whole: Sequence[int] | None = None) -> None:
        self._path = path
        self._overview = overview
        self._idle: deque[rasterio.DatasetReader] = deque()
        with _reading(path), self.dataset() as dataset:
            shape = dataset.shape
            block = dataset.block_shapes[0] if dataset.count else (1, 1)
            together = dataset.count if dataset.interleaving == rasterio.enums.Interleaving.pixel else 1
            self.decoded = int(np.prod(block)) * together * np.dtype(_sample_type(dataset)).itemsize
            self._dtype = np.dtype(_sample_type(dataset))
            self._table = _colour_table(dataset)
            self._alpha = next((i for i, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha), None)
            flags = dataset.mask_flag_enums[0] if dataset.count else []
            self._masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        ratio = [n / m for n, m in zip(whole or shape, shape, strict=True)]
        super().__init__(shape, ratio, block)

    @contextmanager
    def dataset(self) -> Iterator[rasterio.DatasetReader]:
        """An open dataset that nobody else uses meanwhile."""
        try:
            dataset = self._idle.pop()
        except IndexError:
            dataset = _open(self._path, self._overview)
        yield dataset
        self._idle.append(dataset)  # not after an error: what state it is in is anybody's guess

    def samples(self, window: Window, channels: Sequence[int]) -> NDArray[Any]:
        if self._table is not None:
            colours: NDArray[Any] = np.moveaxis(self._table[self._bands(window, [1])[0]], -1, 0)
            return colours[list(channels)]
        return self._bands(window, [c + 1 for c in channels])

    def mask(self, window: Window) -> Valid | None:
        if self._table is not None:
            return None if self._table[:, 3].all() else self._table[self._bands(window, [1])[0]][..., 3] > 0
        masks = []
        if self._alpha is not None:
            masks.append(self._bands(window, [self._alpha])[0] > 0)
        if self._masked:
            with _reading(self._path), self.dataset() as dataset:
                masks.append(dataset.read_masks(1, window=_window(window)) > 0)
        return np.logical_and.reduce(masks) if masks else None

    def _bands(self, window: Window, bands: list[int]) -> NDArray[Any]:
        with _reading(self._path), self.dataset() as dataset:
            samples: NDArray[Any] = dataset.read(bands, window=_window(window), out_dtype=self._dtype)
        return samples


def _open(path: Path, overview: int | None) -> rasterio.DatasetReader:
    """A dataset of its own; the lock keeps our threads from mixing up the process's warning filters."""
    options = {} if overview is None else {"OVERVIEW_LEVEL": overview}
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, sharing=False, **options)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Bounds GDAL's cache, keeps its messages off the terminal and turns its errors into ours."""
    try:
        with rasterio.Env(**GDAL_OPTIONS):
            yield
    except (RasterioError, CPLE_BaseError, OSError, LookupError, ValueError, MemoryError) as error:
        raise SourceError(f"{path.name} cannot be read: {_finding(path, error.__cause__ or error)}") from error


def _finding(path: Path, error: BaseException) -> str:
    """What GDAL means, without repeating the file's name; and the cure."""
    text = one_line(error).removeprefix(f"{path.name}: ").removeprefix(f"{path.name}, ")
    if "not recognized as being in a supported file format" in text:
        return "it has no format that GDAL or ITK knows. Convert it to GeoTIFF, NIfTI or NRRD"
    return f"{text}. Get it again, or convert it to a tiled GeoTIFF with the program that made it"


def _window(window: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window(*window.start[::-1], *window.shape[::-1])


def _refuse(path: Path, dataset: rasterio.DatasetReader) -> None:
    """Files that cannot be segmented, or not within a reasonable memory."""
    name = path.name
    if dataset.count == 0:
        if not dataset.subdatasets:
            raise SourceError(f"{name} holds no image: check the path")
        inner = ", ".join(s.rsplit(":", 1)[-1] for s in dataset.subdatasets[:5])
        raise SourceError(
            f"{name} holds {len(dataset.subdatasets)} images ({inner}): pick one with"
            f" `gdal_translate '{dataset.subdatasets[0]}' OUT.tif`"
        )
    if dataset.count > MOST_CHANNELS:
        raise SourceError(
            f"{name} has {dataset.count} channels, more than {MOST_CHANNELS}: pick some with"
            f" `gdal_translate -b 1 -b 2 -b 3 {name} OUT.tif`"
        )
    if any(d.startswith("complex") for d in dataset.dtypes):
        raise SourceError(
            f"{name} has complex samples ({dataset.dtypes[0]}): write their amplitude into a file of its own,"
            f" e.g. `gdal raster calc` or `gdal_calc.py --calc 'abs(A)' -A {name} --outfile OUT.tif`"
        )
    rows, columns = dataset.block_shapes[0]
    together = dataset.count if dataset.interleaving == rasterio.enums.Interleaving.pixel else 1
    decoded = rows * columns * together * np.dtype(_sample_type(dataset)).itemsize
    if decoded > LARGEST_BLOCK:
        raise SourceError(
            f"{name} is stored in blocks of {rows} × {columns} samples, {decoded / 1e9:.1f} GB each: store it in tiles"
            f" with `gdal_translate -co TILED=YES {name} OUT.tif`"
        )
    if dataset.transform == Affine.identity() and (dataset.gcps[0] or dataset.rpcs):
        how = "ground control points" if dataset.gcps[0] else "RPCs"
        raise SourceError(f"{name} is georeferenced by {how} only: warp it first with `gdalwarp {name} OUT.tif`")
    if len(dataset.subdatasets) > 1:
        logger.warning("%s holds %d images; the first one is used", name, len(dataset.subdatasets))


def _facts(path: Path, dataset: rasterio.DatasetReader) -> Facts:
    table = _colour_table(dataset)
    names = _channel_names(dataset) if table is None else ("red", "green", "blue")
    return Facts(
        name=path.name,
        grid=_grid(dataset),
        channels=names,
        dtype=np.dtype(np.uint8) if table is not None else np.dtype(_sample_type(dataset)),
        nodata=tuple(dataset.nodatavals) if table is None else (),
    )


def _grid(dataset: rasterio.DatasetReader) -> Grid:
    """Any affine is kept: south-up and rotated rasters need no special case."""
    if dataset.transform == Affine.identity():
        return Grid.of(dataset.shape)
    if dataset.transform.is_degenerate or not np.isfinite(_matrix(dataset.transform)).all():
        raise SourceError(
            f"{Path(dataset.name).name} has a geotransform of zero area {tuple(dataset.transform)[:6]}: correct it"
            " with `gdal_edit.py -a_ullr ULX ULY LRX LRY`"
        )
    return Grid.of(dataset.shape, corner_to_centre(dataset.transform), _space(dataset.crs))


def _space(crs: rasterio.crs.CRS | None) -> str:
    """``EPSG:n`` if that is exactly the file's system, else its WKT; `PIXELS` without one."""
    if not crs:
        return PIXELS
    authority = crs.to_authority(confidence_threshold=100)
    if authority is not None and authority[0] == "EPSG" and rasterio.crs.CRS.from_epsg(authority[1]) == crs:
        return f"EPSG:{authority[1]}"
    return str(crs.to_wkt())


def _channel_names(dataset: rasterio.DatasetReader) -> tuple[str, ...]:
    """Red, green, blue and alpha by colour interpretation, the others by description or number; all different."""
    names: list[str] = []
    for i, (colour, described) in enumerate(zip(dataset.colorinterp, dataset.descriptions, strict=True), 1):
        named = colour in (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
        name = colour.name if named else described or str(i)
        names.append(name if name not in names else str(i))
    return tuple(names)


def _sample_type(dataset: rasterio.DatasetReader) -> Any:
    """The type that holds the samples of all channels; complex ones are refused elsewhere."""
    return np.result_type(*(np.dtype("c8" if d.startswith("complex") else d) for d in dataset.dtypes or ["u1"]))


def _colour_table(dataset: rasterio.DatasetReader) -> NDArray[np.uint8] | None:
    """``(entries, 4)``: red, green, blue, alpha per sample value, if the samples are indices into colours."""
    if (
        dataset.count != 1
        or dataset.colorinterp[0] != ColorInterp.palette
        or dataset.dtypes[0] not in ("uint8", "uint16")
    ):
        return None
    table = np.zeros((np.iinfo(dataset.dtypes[0]).max + 1, 4), np.uint8)
    for value, colour in dataset.colormap(1).items():
        table[value] = colour
    if dataset.nodata is not None and 0 <= dataset.nodata < len(table):
        table[int(dataset.nodata), 3] = 0
    return table


def _matrix(transform: Affine | ArrayLike) -> NDArray[np.float64]:
    return np.asarray(transform, float).reshape(3, 3)
