"""Every file of a folder of odd images through `promptile info` and `promptile segment`, each in a process of its own.

    python benchmarks/robustness.py ../shared/data/odd

Prints a line per command that ended in a traceback, took above 30 s or 2 GB, and counts the others: results,
and errors of one line. The prompt is a click in the middle.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SECONDS, MEGABYTES = 30, 2000


def run(folder: Path, *args: object) -> tuple[int, str, str, float, float]:
    """Exit status, stdout, stderr, seconds and peak memory in MB of a command."""
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "promptile", *map(str, args)], stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - begin
        texts = [file.seek(0) or file.read() for file in (out, err)]
    return process.returncode, texts[0], texts[1], took, usage.ru_maxrss / 1024


def verdict(answer: tuple[int, str, str, float, float]) -> str:
    """What a command did, as it is counted; `BAD` first where it may not."""
    status, _, err, took, megabytes = answer
    if "Traceback" in err or status not in (0, 1, 2, 3):
        return f"BAD: status {status}: {err.strip().splitlines()[-1:]}"
    if took > SECONDS or megabytes > MEGABYTES:
        return f"BAD: {took:.0f} s, {megabytes:.0f} MB"
    return {0: "result", 3: "result with failed objects"}.get(status, "one-line error")


def middle(facts: dict[str, list[float]], path: Path) -> Path:
    """A file with a click in the middle of an image."""
    n = len(facts["shape"])
    low, high = facts["bounds"][:n], facts["bounds"][n:]
    centre = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    path.write_text(f"{','.join('xyz'[:n])}\n{','.join(map(repr, centre))}\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    images = sorted(
        {p.parent if p.parent.parent.name == "dcm_series" else p for p in _files(parser.parse_args().folder)}
    )
    counts: Counter[str] = Counter()
    slowest, largest = 0.0, 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for image in images:
            answers = [run(folder, "info", image, "--json")]
            if answers[0][0] == 0:
                clicks = middle(json.loads(answers[0][1]), folder / "click.csv")
                kept = folder / "kept.run.zarr"
                answers.append(run(folder, "segment", image, "--points", clicks, "--run", kept, "--restart"))
            for command, answer in zip(("info", "segment"), answers, strict=False):
                said = verdict(answer)
                counts[f"{command}: {said.split(':')[0]}"] += 1
                slowest, largest = max(slowest, answer[3]), max(largest, answer[4])
                if said.startswith("BAD"):
                    print(image.name, command, said)
    for what, count in sorted(counts.items()):
        print(f"{count:4d} {what}")
    print(f"slowest {slowest:.1f} s, largest {largest:.0f} MB, {len(images)} images")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


if __name__ == "__main__":
    main()
