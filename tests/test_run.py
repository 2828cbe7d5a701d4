"""Runs: what they keep, what they refuse, and that a kill loses nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from perfect import Perfect
from promptile.engine.lattice import Tiling
from promptile.errors import PromptileError, RunError
from promptile.masks import ObjectMask
from promptile.prompts import Prompts
from promptile.run import PromptedRun, Run
from promptile.segmentation import segment


def scene() -> np.ndarray:
    """Nine squares, two of which reach over the tiles' borders.

    ::

        1 2 3
        4 5 6      each 30 x 30, label = number
        7 8 9
    """
    truth = np.zeros((150, 150), np.uint8)
    for i in range(9):
        y, x = 10 + 45 * (i // 3), 10 + 45 * (i % 3)
        truth[y : y + 30, x : x + 30] = i + 1
    return truth


def clicks() -> Prompts:
    return Prompts.of(points=[(25 + 45 * (i // 3), 25 + 45 * (i % 3)) for i in range(9)])


def run_on(truth: np.ndarray, path: Path | None = None, **options: object) -> Run:
    options = {"model": Perfect(2), "tiling": Tiling(64, 32), "window": (0.0, 9.0), **options}
    prompts = options.pop("prompts", clicks())
    return segment(truth, prompts, out=path, **options)  # type: ignore[arg-type]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_labels_masks_and_objects_are_the_truth(tmp_path: Path) -> None:
    truth = scene()
    run = run_on(truth, tmp_path / "a.run.zarr")
    assert (run.labels[...] == truth).all()
    again = Run.open(tmp_path / "a.run.zarr")
    assert again.finished
    assert again.objects["id"].tolist() == list(range(1, 10))
    assert again.objects["bbox"][0] == [10, 10, 40, 40]
    assert again.mask(5).count == 900
    assert not again.failed


def test_overlaps_keep_their_masks_and_show_the_better_score(tmp_path: Path) -> None:
    class Scored(Perfect):
        def predict(self, embedding, prompt):
            masks = super().predict(embedding, prompt)
            everything = np.full_like(masks.logits, 5.0)
            big = prompt.box is not None
            return type(masks)(everything if big else masks.logits, np.array([0.2 if big else 0.9]))

    prompts = Prompts.of(points=[(25, 25)], objects=[2], boxes=[[(-0.5, -0.5), (49.5, 49.5)]])
    run = run_on(scene()[:50, :50], tmp_path / "o.run.zarr", prompts=prompts, model=Scored(2))
    assert run.mask(1).count == 2500
    assert run.mask(2).count == 900
    assert (np.unique(run.labels[...], return_counts=True)[1] == [1600, 900]).all()


def test_without_a_place_the_run_lives_as_long_as_it_is_held() -> None:
    run = run_on(scene())
    path = run.path
    assert path.exists()
    del run
    assert not path.exists()


def test_another_input_is_refused_and_the_difference_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.run.zarr"
    run_on(scene(), path)
    with pytest.raises(RunError, match=r"tiling\.overlap"):
        run_on(scene(), path, tiling=Tiling(64, 16))
    with pytest.raises(RunError, match="image"):
        run_on(np.rot90(scene()).copy(), path)
    with pytest.raises(RunError, match="prompts: 1 gone"):
        run_on(scene(), path, prompts=Prompts(clicks().objects[:8]))
    run_on(scene(), path, tiling=Tiling(64, 16), restart=True)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not a run folder"):
        run_on(scene(), tmp_path)
    with pytest.raises(RunError, match="not a run folder"):
        Run.open(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["notes.txt"]


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    first = PromptedRun.start(tmp_path / "a.run.zarr", {"grid": _grid()}, [], restart=False)
    with pytest.raises(RunError, match="in use"):
        PromptedRun.start(tmp_path / "a.run.zarr", {"grid": _grid()}, [], restart=False)
    first.close()
    PromptedRun.start(tmp_path / "a.run.zarr", {"grid": _grid()}, [], restart=False).close()


def _grid() -> dict[str, object]:
    return {"shape": [8, 8], "affine": np.eye(3).tolist(), "space": "pixels"}


class Failing(Perfect):
    """Fails on objects 3 and 4: on 3 always, on 4 the first time."""

    def __init__(self) -> None:
        super().__init__(2)
        self.failures = 0

    def predict(self, embedding, prompt):
        value = embedding.content[tuple(np.rint(prompt.points[0]).astype(int))]
        if value == 3 or (value == 4 and self.failures == 0):
            self.failures += value == 4
            raise ValueError("the model\nfell over")
        return super().predict(embedding, prompt)


def test_a_failed_object_is_tried_again_named_and_loses_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.run.zarr"
    run = run_on(scene(), path, model=Failing())
    assert [(r.id, r.error) for r in run.failed] == [(3, "ValueError: the model fell over")]
    assert sorted(run.objects["id"]) == [1, 2, 4, 5, 6, 7, 8, 9]
    healed = Failing()
    healed.predict = Perfect(2).predict  # type: ignore[method-assign]
    run = run_on(scene(), path, model=healed)
    assert not run.failed
    assert healed.embedded == 1  # only the failed object was asked again
    assert (run.labels[...] == scene()).all()


def test_a_finished_run_is_not_computed_again(tmp_path: Path) -> None:
    run_on(scene(), tmp_path / "a.run.zarr")
    before = files_of(tmp_path)
    model = Perfect(2)
    run_on(scene(), tmp_path / "a.run.zarr", model=model)
    assert model.embedded == 0
    assert files_of(tmp_path) == before


def test_the_order_of_prompts_does_not_change_the_labels(tmp_path: Path) -> None:
    a = run_on(scene(), tmp_path / "a.run.zarr")
    b = run_on(scene(), tmp_path / "b.run.zarr", prompts=Prompts(clicks().objects[::-1]))
    assert files_of(a.path / "labels") == files_of(b.path / "labels")


def test_an_interrupt_passes_through_and_the_lock_is_free(tmp_path: Path) -> None:
    class Interrupted(Perfect):
        def predict(self, embedding, prompt):
            if self.embedded > 1:
                raise KeyboardInterrupt
            return super().predict(embedding, prompt)

    with pytest.raises(KeyboardInterrupt):
        run_on(scene(), tmp_path / "a.run.zarr", model=Interrupted(2))
    assert not Run.open(tmp_path / "a.run.zarr").finished
    assert (run_on(scene(), tmp_path / "a.run.zarr").labels[...] == scene()).all()


SCRIPT = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from test_run import Perfect, run_on, scene

    class Slow(Perfect):
        def predict(self, embedding, prompt):
            time.sleep(0.02)
            return super().predict(embedding, prompt)

    print("begin", flush=True)
    run_on(scene(), Path({path!r}), model=Slow(2))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    whole = run_on(scene(), tmp_path / "whole.run.zarr")
    path = tmp_path / "killed.run.zarr"
    script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent), path=str(path))
    chance = random.Random(3)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.35))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    run = run_on(scene(), path)
    assert files_of(run.path / "labels") == files_of(whole.path / "labels")
    assert run.objects.equals(whole.objects)


def test_masks_come_back_from_disk(tmp_path: Path) -> None:
    from promptile.grid import Window

    rng = np.random.default_rng(0)
    samples = rng.random((700, 900)) < 0.3
    mask = ObjectMask.of((2000, 1500), Window((900, 500), (700, 900)), samples)
    with (tmp_path / "m.npz").open("wb") as file:
        mask.save(file)
    with (tmp_path / "m.npz").open("rb") as file:
        back = ObjectMask.load(file)
    assert back.count == mask.count == np.count_nonzero(samples)
    assert (back.read(Window((900, 500), (700, 900))) == samples).all()
    assert (back.read(Window((1000, 600), (64, 64))) == samples[100:164, 100:164]).all()
    assert not back.read(Window((0, 0), (900, 500))).any()


def test_only_negative_points_are_no_object() -> None:
    with pytest.raises(PromptileError, match="only negative"):
        Prompts.of(points=[(1, 1)], labels=[0], objects=[1])
