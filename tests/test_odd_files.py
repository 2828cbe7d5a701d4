"""Odd, corrupt and misleading files: a result or one line, never anything else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.data

LOOK = """
import json, sys, time, warnings
from pathlib import Path

warnings.simplefilter("error")
import promptile as pt
from promptile.grid import Window


def look(path):
    source = pt.open(path)
    for level, factors in enumerate(source.levels):
        shape = source.grid.coarsen(factors).shape
        size = tuple(min(n, 64) for n in shape)
        for share in (0, 0.5, 1):
            start = tuple(int((n - s) * share) for n, s in zip(shape, size))
            source.read(Window(start, size), level)
            source.valid(Window(start, size), level)
    json.dumps(source.identity)
    return f"{source.grid.shape} {source.grid.space}"


for path in map(Path, sys.argv[1:]):
    begin = time.perf_counter()
    try:
        answer = ["read", look(path)]
    except pt.PromptileError as error:
        answer = ["refused", str(error)]
    except BaseException as error:
        answer = ["failed", repr(error)]
    print(json.dumps([str(path), *answer, time.perf_counter() - begin]), flush=True)
print(json.dumps(["peak", next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))]))
"""


@pytest.fixture(scope="module")
def answers(shared):
    """What became of every file and every folder, and the peak of memory in kilobytes."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of memory is read from Linux's /proc")
    folder = shared / "odd"
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() or p.parent.name == "dcm_series"]
    done = subprocess.run([sys.executable, "-c", LOOK, *map(str, paths)], capture_output=True, text=True, check=True)
    *found, (_, peak) = map(json.loads, done.stdout.splitlines())
    assert len(found) == len(paths)
    return {str(Path(path).relative_to(folder)): rest for path, *rest in found}, int(peak)


def test_a_result_or_one_line(answers):
    found, _ = answers
    failed = {name: said for name, (kind, said, _) in found.items() if kind == "failed"}
    assert not failed
    assert not [name for name, (kind, said, _) in found.items() if kind == "refused" and "\n" in said]
    assert not [name for name, (kind, said, _) in found.items() if kind == "refused" and len(said) > 400]


def test_refusals_name_the_file(answers):
    for name, (kind, said, _) in answers[0].items():
        assert kind != "refused" or Path(name).name in said


def test_quick_and_small(answers):
    found, peak = answers
    assert max(seconds for _, _, seconds in found.values()) < 30
    assert peak < 2e6


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("dcm_series/d2n_fail_gantrytilt", "tilted gantry (14.0°)"),
        ("tif_gdal_gcore/byte_gcp.tif", "ground control points"),
        ("tif_gdal_gcore/byte_rpc.tif", "RPCs"),
        ("tif_gdal_gcore/cint_sar.tif", "complex"),
        ("tif_gdal_gcore/scanline_more_than_2GB.tif", "blocks of 1 × 2147483647"),
        ("tif_rioxarray/sentinel_2_L1C_geographic.nc", "holds 2 images (red, nir)"),
        ("nii_nibabel/test.mgz", "no format that GDAL or ITK knows"),
        ("tif_rasterio/corrupt.tif", "cannot be read"),
    ],
)
def test_findings(answers, name, finding):
    kind, said, _ = answers[0][name]
    assert kind == "refused"
    assert finding in said


def test_what_another_reader_opens_and_reads_is_read(answers, shared):
    """By the index: of these, only images whose place cannot be said by a grid, or that are none, are refused."""
    index = json.loads((shared / "index.json").read_text())
    good = [e["image"][4:] for e in index if e["domain"] == "odd" and e.get("expect_read") == "ok"]
    refused = {name: said for name in good for kind, said, _ in [answers[0][name]] if kind != "read"}
    reasons = ("ground control points", "RPCs", "complex samples", "DICOM segmentation")
    assert not {name: said for name, said in refused.items() if not any(r in said for r in reasons)}
    assert len(good) - len(refused) > 35
