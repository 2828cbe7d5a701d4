"""FastSAM: its postprocessing and selection against its authors' numbers, and the model as the engine asks it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

import promptile as pt
from fastsam_cases import SHAPES, SIDE, boxes, kinds, outputs, picture, points
from promptile.cli import main
from promptile.errors import ModelError
from promptile.grid import Window
from promptile.models import registry
from promptile.models.fastsam.instances import Instance, Seen, instances_of
from promptile.models.fastsam.letterbox import Letterbox
from promptile.models.fastsam.model import FastSam
from promptile.models.fastsam.selection import _alone, by_text, select
from promptile.models.fastsam.variants import VARIANTS
from promptile.models.protocols import View, WindowPrompt
from promptile.testing import ModelContract

GOLDEN = np.load(Path(__file__).parent / "fastsam_golden.npz")
CASES = [(shape, kind) for shape in SHAPES for kind in kinds(shape)]
AGREE = 0.9999


@pytest.fixture(scope="module")
def seen():
    return {(shape, kind): instances_of(*outputs(kind), Letterbox(shape, SIDE)) for shape, kind in CASES}


def golden(shape, name, count=None):
    wanted = shape if count is None else (count, *shape)
    return np.unpackbits(GOLDEN[f"{shape}/{name}"], count=int(np.prod(wanted))).reshape(wanted).astype(bool)


def spread(instance, shape):
    mask = np.zeros(shape, bool)
    mask[instance.window.slices] = instance.samples
    return mask


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


class MeanColour:
    """Ranks pictures by how green they are, as the stand-in for CLIP of the golden numbers does."""

    card = None

    def rank(self, pictures, phrases):
        text = np.array([0.2, 1.0, 0.1])
        means = np.stack([p.mean(axis=(1, 2)) for p in pictures]).astype(np.float64)
        cosines = means @ text / np.linalg.norm(means, axis=1) / np.linalg.norm(text)
        return np.repeat((100 * cosines)[:, None], len(phrases), axis=1).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_are_put_into_the_letterbox_as_their_authors_do(shape):
    image = Letterbox(shape, SIDE).image((picture(shape) / 255).astype(np.float32))
    wanted = GOLDEN[f"{shape}/image"].transpose(2, 0, 1)
    difference = np.abs(image[:, ::31, ::37] * 255 - wanted)
    assert difference.max() <= 1.0  # they round to whole numbers
    assert difference.mean() < 0.3


@pytest.mark.parametrize(("shape", "kind"), CASES, ids=str)
def test_instances_are_those_of_the_authors(seen, shape, kind):
    count = int(GOLDEN[f"{shape}/{kind}/count"])
    found = seen[shape, kind].instances
    if not count:
        assert found == ()
        return
    masks = golden(shape, f"{kind}/masks", count)
    there = masks.any(axis=(1, 2))  # they keep masks without samples
    np.testing.assert_allclose([i.score for i in found], GOLDEN[f"{shape}/{kind}/scores"][there], rtol=1e-6)
    ours = np.stack([spread(i, shape) for i in found])
    assert (ours == masks[there]).mean() > AGREE
    for instance, box in zip(found, GOLDEN[f"{shape}/{kind}/boxes"][there], strict=True):
        low, high = instance.window.start, instance.window.stop
        assert (np.array(low) >= np.ceil(box[1::-1])).all()
        assert (np.array(high) <= np.ceil(box[:1:-1])).all()


@pytest.mark.parametrize(("shape", "kind"), CASES, ids=str)
def test_points_choose_as_the_authors_do(seen, shape, kind):
    for i, (places, labels) in enumerate(points(shape)):
        masks = select(seen[shape, kind], WindowPrompt(places.astype(float), labels))
        found = masks.logits[0] > 0
        if GOLDEN[f"{shape}/{kind}/count"]:
            wanted = golden(shape, f"{kind}/points{i}")
            assert (found == wanted).mean() > AGREE
        assert (masks.scores[0] > 0) == found.any()


@pytest.mark.parametrize(("shape", "kind"), CASES, ids=str)
def test_boxes_choose_as_the_authors_do(seen, shape, kind):
    for i, box in enumerate(boxes(shape)):
        prompt = WindowPrompt(np.zeros((0, 2)), np.zeros(0, bool), box=box - 0.5)  # an index is a sample's centre
        found = select(seen[shape, kind], prompt).logits[0] > 0
        if GOLDEN[f"{shape}/{kind}/count"]:
            assert (found == golden(shape, f"{kind}/box{i}")).mean() > AGREE
        else:
            assert not found.any()


def test_text_chooses_as_the_authors_do(seen):
    compared = 0
    for shape, kind in CASES:
        if not GOLDEN[f"{shape}/{kind}/count"] or max(shape) == SIDE:
            continue
        instance, share = by_text(
            seen[shape, kind].instances, (picture(shape) / 255).astype(np.float32), "green", MeanColour()
        )
        assert iou(spread(instance, shape), golden(shape, f"{kind}/text")) > 0.999
        assert 0 < share <= 1
        compared += 1
    assert compared > 5


@pytest.mark.parametrize(("shape", "kind"), [case for case in CASES if f"{case[0]}/{case[1]}/cut" in GOLDEN], ids=str)
def test_cut_outs_are_those_of_the_authors(seen, shape, kind):
    colours = (picture(shape) / 255).astype(np.float32)
    large = next(i for i in seen[shape, kind].instances if i.area > 100)
    ours = _alone(large.window, colours)[:, ::7, ::7].transpose(1, 2, 0)
    np.testing.assert_allclose(ours * 255, GOLDEN[f"{shape}/{kind}/cut"], atol=1e-3)


def test_small_instances_that_text_skips_do_not_shift_the_others():
    colours = np.zeros((3, 40, 40), np.float32)
    colours[1, 20:, 20:] = 1  # green, in the last of them
    windows = [Window((0, 0), (5, 5)), Window((1, 9), (5, 5)), Window((0, 20), (15, 15)), Window((20, 20), (15, 15))]
    found = [Instance(w, np.packbits(np.ones(w.shape, bool)), w.size, 0.9, np.zeros(32, np.float32)) for w in windows]
    assert by_text(found, colours, "green", MeanColour())[0] is found[3]
    assert by_text(found[:2], colours, "green", MeanColour()) is None


def test_a_click_on_nothing_is_answered_with_nothing():
    nothing = Seen((30, 40), np.zeros((32, 8, 10), np.float32), ())
    for prompt in (
        WindowPrompt(np.array([[3.0, 4.0]]), np.ones(1, bool)),
        WindowPrompt(np.zeros((0, 2)), np.zeros(0, bool), box=np.array([[2.0, 2.0], [9.0, 9.0]])),
    ):
        masks = select(nothing, prompt)
        assert masks.logits.shape == (1, 30, 40)
        assert not (masks.logits > 0).any()
        assert masks.scores.tolist() == [0.0]


# The network, on a small export made here


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    for name in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(name)
    from fastsam_net import export

    path = tmp_path_factory.mktemp("fastsam") / "FastSAM-s.onnx"
    export("tiny", path, side=128)
    return path


@pytest.fixture
def agreed(tmp_path, monkeypatch):
    """A cache of one's own in which the licence is accepted."""
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROMPTILE_WEIGHTS", "")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "accepted.json").write_text('["fastsam-s", "fastsam-x"]')


@pytest.fixture
def model(export, agreed):
    return registry.load("fastsam-s", 2, weights=export, device="cpu")


def view(shape=(96, 150), channels=3):
    samples = (picture(shape) / 255).astype(np.float32)[:channels]
    return View(samples, np.ones(shape, bool), (1.0, 1.0))


class TestContract(ModelContract):
    finds_the_obvious = False

    @pytest.fixture(autouse=True)
    def _loaded(self, model):
        self._model = model

    def model(self):
        return self._model


@pytest.mark.parametrize(("size", "millions"), [("s", (11.75, 11.85)), ("x", (71.7, 72.3))])
def test_the_network_of_the_tests_has_the_size_of_the_real_one(size, millions):
    torch = pytest.importorskip("torch")
    from fastsam_net import SIZES, Net

    with torch.device("meta"):
        net = Net(SIZES[size]).eval()
        assert millions[0] < sum(p.numel() for p in net.parameters()) / 1e6 < millions[1]
        if size == "x":
            found, prototypes = net(torch.zeros(1, 3, 1024, 1024))
            assert (tuple(found.shape), tuple(prototypes.shape)) == ((1, 37, 21504), (1, 32, 256, 256))


def test_the_runtime_answers_as_torch_does(export):
    torch = pytest.importorskip("torch")
    from fastsam_net import build
    from promptile.models.fastsam.network import Network

    network = Network(VARIANTS["fastsam-s"], export, "cpu")
    image = np.random.default_rng(0).uniform(0, 1, (3, 128, 128)).astype(np.float32)
    with torch.inference_mode():
        wanted = build("tiny")(torch.tensor(image)[None])
    assert network.side == 128
    for ours, theirs in zip(network.run(image), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs[0].numpy(), rtol=1e-4, atol=1e-3)


def test_proposals_are_the_instances_where_there_is_data(model):
    whole = view()
    holed = View(whole.samples, np.arange(150) >= np.full((96, 1), 60), whole.spacing)
    all_of_them, others = model.propose(whole), model.propose(holed)
    assert len(all_of_them) > 5
    for proposal in others:
        assert holed.valid[proposal.window.slices][proposal.samples].all()
        assert proposal.samples.any(axis=0).all() or proposal.samples.any(axis=1).any()


def test_grey_is_shown_in_all_channels_and_four_are_refused(model):
    grey = view(channels=1)
    colours = View(np.repeat(grey.samples, 3, axis=0), grey.valid, grey.spacing)
    assert [p.window for p in model.propose(grey)] == [p.window for p in model.propose(colours)]
    with pytest.raises(ModelError, match="1 or 3 channels, not 2"):
        model.propose(view(channels=2))


def test_text_finds_one_instance_of_a_view(model):
    found, share = model.find(view(), "green", MeanColour())
    assert found.samples.any()
    assert 0 < share <= 1


def test_workers_load_the_weights_themselves(model):
    again = pickle.loads(pickle.dumps(model))
    assert again.card == model.card
    assert [p.score for p in again.propose(view())] == [p.score for p in model.propose(view())]


def test_everything_in_an_image_larger_than_a_tile(model, tmp_path):
    image = picture((200, 150))[0]
    run = pt.segment(image, everything=True, model=model, out=tmp_path / "all.run.zarr")
    assert run.finished
    assert not run.failed
    assert len(run.objects) > 0
    prompts = pt.Prompts.of(points=[(100, 90)])
    assert pt.segment(image, prompts, model=model).failed == []


class PerfectNet:
    """Sees each grey value but the ground as an object, as well as masks of a quarter of the side can."""

    side, device = 128, "cpu"

    def run(self, image):
        values = np.rint(image[0] * 255).astype(int)
        found, prototypes = np.zeros((37, 40), np.float32), np.zeros((32, 32, 32), np.float32)
        for n, value in enumerate(v for v in np.unique(values) if v not in (0, 114)):
            mask = values == value
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            low, high = np.array([columns[0], rows[0]]), np.array([columns[-1] + 1, rows[-1] + 1])
            found[:5, n] = (*(low + high) / 2, *(high - low), 0.9 - n / 100)
            found[5 + n, n] = 1
            prototypes[n] = np.where(mask, 8, -8).reshape(32, 4, 32, 4).mean(axis=(1, 3))
        return found, prototypes


def test_objects_larger_than_a_tile_grow_over_all_of_it():
    scene = np.zeros((300, 400), np.uint8)
    y, x = np.mgrid[:300, :400]
    scene[(y - 150) ** 2 / 100**2 + (x - 180) ** 2 / 150**2 < 1] = 40
    scene[20:60, 330:380], scene[220:280, 340:370], scene[130:170, 160:200] = 80, 120, 200
    model = FastSam(VARIANTS["fastsam-s"], PerfectNet(), "perfect")
    asked = {"model": model, "window": (0, 255), "tiling": pt.Tiling(128, 64)}
    points = pt.Prompts.of(points=[(150, 100), (40, 350), (250, 350), (150, 180)])
    run = pt.segment(scene, points, **asked)
    for object_id, value in ((1, 40), (2, 80), (3, 120), (4, 200)):
        mask = np.zeros(scene.shape, bool)
        for window, samples in run.mask(object_id).blocks():
            mask[window.clip(scene.shape).slices] = samples
        assert iou(mask, scene == value) > 0.93, value
    every = pt.segment(scene, everything=True, **asked | {"tiling": pt.Tiling(128, 32)})
    assert len(every.objects) == 4
    for value in (40, 80, 120, 200):
        ids = np.bincount(every.labels[...][scene == value])
        assert iou(every.labels[...] == ids.argmax(), scene == value) > 0.93


def test_the_licence_must_be_accepted(export, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path))
    monkeypatch.setenv("PROMPTILE_WEIGHTS", "")
    with pytest.raises(ModelError, match=r"AGPL-3\.0.*--accept-licence"):
        registry.load("fastsam-s", 2, weights=export)
    assert main(["models", "show", "fastsam-s"]) == 0
    assert "yolo export model=FastSAM-s.pt format=onnx imgsz=1024" in capsys.readouterr().out.replace("\n", "")
    assert main(["models", "fetch", "fastsam-s", "--accept-licence"]) == 1
    assert "yolo export" in capsys.readouterr().err
    assert main(["models", "fetch", "fastsam-s", "--from", str(export)]) == 0
    assert registry.load("fastsam-s", 2).card.licence == "AGPL-3.0"


def test_what_is_no_export_is_named(agreed, tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError, match=r"needs FastSAM-x\.onnx.*yolo export"):
        registry.load("fastsam-x", 2)
    (tmp_path / "page.onnx").write_text("<html>")
    with pytest.raises(ModelError, match="web page"):
        registry.load("fastsam-x", 2, weights=tmp_path / "page.onnx")
    torch, _ = pytest.importorskip("torch"), pytest.importorskip("onnx")
    other = tmp_path / "other.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(torch.nn.Conv2d(3, 4, 1), (torch.zeros(1, 3, 8, 8),), str(other), dynamo=False)
    with pytest.raises(ModelError, match="no export of FastSAM-x"):
        registry.load("fastsam-x", 2, weights=other)
    with pytest.raises(ModelError, match="--device cpu"):
        registry.load("fastsam-x", 2, weights=other, device="mps")
