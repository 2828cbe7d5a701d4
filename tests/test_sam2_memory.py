"""SAM 2's memory of slices beside transformers' network for videos: the same keys, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'promptile[hf]'")

import torch
from transformers import Sam2VideoInferenceSession

from promptile.engine.job import Job
from promptile.engine.slices import SliceGrower, Slices
from promptile.engine.slices.pieces import draw, pieces_of
from promptile.engine.slices.remembering import RememberingStack
from promptile.errors import ModelError
from promptile.grid import LPS, Grid, Window
from promptile.models.protocols import Memorable, Remembering, View
from promptile.models.sam2.layouts import OFFICIAL_MEMORY
from promptile.models.sam2.loading import bare
from promptile.models.sam2.memory import bare_video
from promptile.models.sam2.remembering import RememberingSam2
from promptile.models.sam2.variants import VARIANTS
from promptile.sources.arrays import ArraySource
from sam2_small import KEYS, SMALL, official

CLOSE = 1e-4
CELLS = 64
"""Along a side of the model's masks: views of that size show its logits as they are."""
PRESENT = 3.0
"""Weights by rule say that there is no object; with that they say that there is one."""
PLACES = 17
"""From so many frames on, the network for videos counts time as it does in long ones."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "sam2.1_hiera_small.pt"
    held = official()
    held["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += PRESENT
    torch.save({"model": held}, path)
    return path


@pytest.fixture(scope="module")
def model(file: Path) -> RememberingSam2:
    return RememberingSam2.load(SMALL, file, "cpu")


def views() -> list[View]:
    """Frames in which something moves."""
    found = []
    y, x = np.mgrid[:CELLS, :CELLS]
    for place in range(PLACES):
        noise = np.random.default_rng(place).random((3, CELLS, CELLS))
        disc = np.hypot(y - 20 - place, x - 30) < 12
        found.append(View((0.3 * noise + 0.6 * disc).astype(np.float32), np.ones((CELLS, CELLS), bool), (1.0, 1.0)))
    return found


def mask(place: int) -> np.ndarray:
    y, x = np.mgrid[:CELLS, :CELLS]
    return np.asarray(np.hypot(y - 20 - place, x - 30) < 12)


@pytest.mark.parametrize(("given", "way", "steps"), [((3, 12), 1, 7), ((10,), -1, 2)])
def test_a_walk_is_that_of_transformers(model: RememberingSam2, given: tuple[int, ...], way: int, steps: int) -> None:
    """More frames than are remembered, and back."""
    start, seen = given[0], views()
    places = [start + way * k for k in range(1, steps + 1)]
    embedded = {place: model.embed([seen[place]])[0] for place in {*given, *places}}
    pixels = torch.stack([model._image(view, model._frame(view.shape)) for view in seen])
    wanted = propagated(model, pixels, given, way * steps)
    memory = model.remember([Memorable(place, embedded[place], mask(place)) for place in given])
    for place in places:
        masks, memory = model.recall(memory, embedded[place], place, way)
        logits, present = wanted[place]
        assert present > 0
        assert logits.std() > 1
        np.testing.assert_allclose(masks.logits, logits, atol=CLOSE, rtol=0, err_msg=str(place))
        assert 0 <= masks.scores[0] <= 1 / (1 + np.exp(-present))


def test_what_is_remembered_counts(model: RememberingSam2) -> None:
    assert isinstance(model, Remembering)
    seen = views()
    first, second = model.embed(seen[:2])
    answers = [
        model.recall(model.remember([Memorable(0, first, shown)]), second, 1, 1)[0].logits
        for shown in (mask(0), ~mask(0))
    ]
    assert np.abs(answers[0] - answers[1]).max() > 100 * CLOSE


def test_the_memory_is_loaded_when_it_is_needed_and_shares_the_rest(model: RememberingSam2, file: Path) -> None:
    other = RememberingSam2.load(SMALL, file, "cpu")
    other.embed(views()[:1])
    assert other._network_for_videos is None
    shared = model._network.state_dict()
    assert all(model._video.state_dict()[name].data_ptr() == value.data_ptr() for name, value in shared.items())


def test_slices_are_recalled_as_the_model_does(model: RememberingSam2) -> None:
    seen = np.stack([view.samples.mean(axis=0) for view in views()[:3]])
    source = ArraySource(seen, Grid.of(seen.shape, np.diag([1.0, 1, 3, 1])[:, [2, 1, 0, 3]], LPS))
    job = Job.prepare(source, model, window=(0.0, 1.0), slices=Slices(axis=0, memory=True))
    made = job.grower()
    assert isinstance(made, SliceGrower)
    (stack,) = made.stacks
    assert isinstance(stack, RememberingStack)
    trail = stack.begin(1, {1: pieces_of(mask(1))})
    assert trail is not None
    shown = [stack.grower(i).embedder.seen(trail.window, trail.level).embedding for i in (1, 0)]
    masks, _ = model.recall(model.remember([Memorable(1, shown[0], mask(1))]), shown[1], 0, -1)
    before = stack.follow(trail, 0, -1)
    assert before.answer.score == masks.scores[0]
    assert (draw(before.answer.sheet, Window.of((CELLS, CELLS))) == (masks.logits[0] > 0)).all()


def test_weights_for_images_only_are_refused(file: Path, tmp_path: Path) -> None:
    held = {key: value for key, value in official().items() if not key.startswith("memory_")}
    torch.save(held, tmp_path / "image.pt")
    model = RememberingSam2.load(SMALL, tmp_path / "image.pt", "cpu")
    (embedding,) = model.embed(views()[:1])
    with pytest.raises(ModelError, match=r"hold no memory that fits sam2.1-tiny, .* keys are missing .*: leave memory"):
        model.remember([Memorable(0, embedding, mask(0))])


@pytest.mark.parametrize("name", ["sam2-tiny", "sam2.1-tiny"])
def test_keys_and_shapes_are_those_of_the_authors(name: str) -> None:
    video = bare_video(VARIANTS[name], bare(VARIANTS[name]))
    needed = {OFFICIAL_MEMORY.key(key): list(value.shape) for key, value in video.state_dict().items()}
    points = {f"sam_prompt_encoder.point_embeddings.{i}.weight": [1, 256] for i in range(4)}
    assert needed.pop("sam_prompt_encoder.point_embeddings.weight") == [4, 256]
    assert needed | points == KEYS[name]


def propagated(
    model: RememberingSam2, pixels: torch.Tensor, given: tuple[int, ...], steps: int
) -> dict[int, tuple[np.ndarray, float]]:
    """Logits and the score of the object's presence by the network's own iterator."""
    session = Sam2VideoInferenceSession(pixels, SMALL.side, SMALL.side, dtype=torch.float32)
    network = model._video
    for place in given:
        index = session.obj_id_to_idx(1)
        told = model._frame((CELLS, CELLS)).image(torch.tensor(mask(place)[None], dtype=torch.float32))[None] >= 0.5
        session.add_mask_inputs(index, place, told)
        session.obj_with_new_inputs = [1]
        with torch.inference_mode():
            network(session, frame_idx=place)
    found = network.propagate_in_video_iterator(session, given[0], abs(steps), reverse=steps < 0)
    return {each.frame_idx: (each.pred_masks[0].numpy(), float(each.object_score_logits.amax())) for each in found}
