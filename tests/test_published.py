"""What is known of models without loading any."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from promptile.cli import main
from promptile.models.detectors.variants import VARIANTS as DETECTORS
from promptile.models.fastsam.variants import VARIANTS as FASTSAM
from promptile.models.published import all_published
from promptile.models.rankers.variants import VARIANTS as RANKERS
from promptile.models.sam.variants import VARIANTS as SAM
from promptile.models.sam2.variants import VARIANTS as SAM_2

KINDS = [*SAM, *SAM_2, *DETECTORS, *RANKERS, *FASTSAM]


@pytest.mark.parametrize("name", KINDS)
def test_each_model_tells_what_it_costs_and_who_made_it(name: str) -> None:
    wanted = all_published()[name]
    facts = wanted.facts
    assert facts is not None
    # Four bytes a parameter; files of SAM 2 and SAM 3 also hold what only videos need.
    assert 0.9 < facts.megabytes / (4e-6 * facts.parameters) < 1.3
    assert facts.gigabytes > 0.8 * facts.megabytes / 1000  # SigLIP's table of words is hardly read
    assert re.fullmatch(r"\w+ et al\.: .* 20\d\d, arXiv:\d{4}\.\d{5}", facts.citation)
    assert wanted.abilities
    assert re.fullmatch(r"(Promptile, BSD-3-Clause|transformers, Apache-2.0)( and .*|, and .*)?", facts.code)


@pytest.mark.parametrize("name", [*DETECTORS, *RANKERS])
def test_parameters_of_detectors_and_rankers_are_those_of_the_real_architecture(name: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from detectors_small import BUILDERS, MODELS, NETWORKS

    kind, sizes = MODELS[name]
    config, _ = BUILDERS[kind](sizes, 49408, True)
    with torch.device("meta"):
        network = getattr(transformers, NETWORKS[kind])(config)
    assert sum(p.numel() for p in network.parameters()) == all_published()[name].facts.parameters


@pytest.mark.parametrize("name", FASTSAM)
def test_parameters_of_fastsam_are_those_of_the_real_architecture(name: str) -> None:
    torch = pytest.importorskip("torch")
    from fastsam_net import SIZES, Net

    with torch.device("meta"):
        network = Net(SIZES[name[-1]])
    assert sum(p.numel() for p in network.parameters()) == all_published()[name].facts.parameters


def test_larger_ones_cost_more() -> None:
    for smaller, larger in (("sam-b", "sam-l"), ("sam-l", "sam-h"), ("mobile-sam", "sam-b"), ("sam-b", "sam-hq-b")):
        one, other = (all_published()[name].facts for name in (smaller, larger))
        assert one.megabytes < other.megabytes
        assert one.seconds <= other.seconds
        assert one.gigabytes < other.gigabytes


def test_a_model_is_shown_without_its_weights_and_without_torch(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PROMPTILE_WEIGHTS", "")
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    program = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from promptile.cli import main
sys.exit(main(["models", "show", "sam-hq-l", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8")
    shown = json.loads(done.stdout)
    assert shown["parameters"] == "314 million"
    assert shown["size"] == "1,255 MB"
    assert "Segment Anything in High Quality" in shown["citation"]
    assert "two cores" in shown["speed"]
    assert shown["memory"].endswith("GB on a CPU")
    assert shown["abilities"] == ["box", "mask", "points"]
    assert shown["weights"] == "not here: promptile models fetch sam-hq-l"


def test_detectors_rankers_and_fastsam_are_shown_alike(monkeypatch, tmp_path, capsys) -> None:
    for variable in ("PROMPTILE_WEIGHTS", "PROMPTILE_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path))
    shown = {}
    for name in ("grounding-dino-tiny", "clip-b32", "fastsam-s", "sam-l"):
        assert main(["models", "show", name, "--json"]) == 0
        shown[name] = json.loads(capsys.readouterr().out)
    assert {*shown["sam-l"]} == {*shown["grounding-dino-tiny"]} == {*shown["clip-b32"]} == {*shown["fastsam-s"]}
    assert shown["grounding-dino-tiny"]["parameters"] == "172 million"
    assert shown["grounding-dino-tiny"]["code"] == "transformers, Apache-2.0"
    assert "to look at 16 pictures, with two cores" in shown["clip-b32"]["speed"]
    assert shown["fastsam-s"]["abilities"] == ["box", "points", "propose"]
    assert shown["sam-l"]["speed"].endswith("; estimated")


def test_weights_that_are_here_are_named_and_not_read(monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "mobile_sam.pt").write_bytes(b"not read")
    monkeypatch.setenv("PROMPTILE_WEIGHTS", str(tmp_path))
    assert main(["models", "show", "mobile-sam", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == str(tmp_path / "mobile_sam.pt")


def test_the_list_tells_sizes(capsys) -> None:
    assert main(["models"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert re.match(r"sam-b +box, mask, points +375 MB", rows["sam-b"])
    assert re.match(r"grounding-dino-tiny +text +689 MB", rows["grounding-dino-tiny"])
    assert rows["basin"] == "basin"
