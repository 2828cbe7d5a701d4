"""samgeo's own merging of tiles, on answers of ours: run by `stitching.py` with an interpreter that has samgeo.

    SAMGEO_PYTHON samgeo_merge.py answers.npz merged.npy

Nothing of samgeo is rewritten: `SamGeo3.generate_masks_tiled` numbers the objects of each tile on and passes them to
`SamGeo3._merge_tile_mask`, which is what is called here. The package's `__init__`, which loads models, is left out.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import types

import numpy as np


def load() -> type:
    """`SamGeo3` without the package's `__init__`."""
    spec = importlib.util.find_spec("samgeo")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit("samgeo is not installed here: pip install segment-geospatial")
    package = types.ModuleType("samgeo")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["samgeo"] = package
    from samgeo.samgeo3 import SamGeo3

    return SamGeo3


def main(answers: str, merged: str) -> None:
    merge = load()._merge_tile_mask
    stored = np.load(answers)
    shape, indices, outers, overlap = (stored[name] for name in ("shape", "indices", "outers", "overlap"))
    tiles = indices.max(axis=0) + 1
    out, used, seconds = np.zeros(tuple(shape), np.uint32), 0, 0.0
    for i, (index, (start, stop)) in enumerate(zip(indices, outers, strict=True)):
        labels = stored[f"labels{i}"].astype(np.uint32)
        tile = np.where(labels > 0, labels + np.uint32(used), np.uint32(0))
        used += int(labels.max())
        begin = time.process_time()
        merge(
            None, out, tile, start[1], start[0], stop[1], stop[0], int(overlap), index[1], index[0], tiles[1], tiles[0]
        )
        seconds += time.process_time() - begin
    np.save(merged, out)
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
