"""Golden numbers for FastSAM's postprocessing and prompts from the implementation of its authors.

Run with an interpreter that has torch, opencv and matplotlib (Promptile needs none of them for FastSAM), on a checkout
of https://github.com/CASIA-IVA-Lab/FastSAM, commit b4ed20c, which brings ultralytics 8.0.120 along: ``python
tests/make_fastsam_golden.py CHECKOUT``. Writes ``fastsam_golden.npz``.

Of torchvision the checkout needs non-maximum suppression alone: a plain loop stands in for it. In place of CLIP stands
the mean of a picture's channels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch

from fastsam_cases import SHAPES, SIDE, boxes, kinds, outputs, picture, points

HERE = Path(__file__).parent
STRIDE = (31, 37)
"""Of the samples of the network's input that are kept."""
PHRASE = torch.tensor([[0.2, 1.0, 0.1]])


def suppress(corners: torch.Tensor, scores: torch.Tensor, limit: float) -> torch.Tensor:
    """What torchvision documents of ``ops.nms``."""
    waiting = scores.argsort(descending=True, stable=True).tolist()
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    kept = []
    while waiting:
        best, *waiting = waiting
        kept.append(best)
        low = torch.maximum(corners[best, :2], corners[waiting][:, :2])
        high = torch.minimum(corners[best, 2:], corners[waiting][:, 2:])
        common = (high - low).clamp(0).prod(1)
        overlaps = common / (areas[best] + areas[waiting] - common)
        waiting = [w for w, overlap in zip(waiting, overlaps.tolist(), strict=True) if overlap <= limit]
    return torch.tensor(kept)


def mean_colour(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.mean(dim=(2, 3))


def load(checkout: str) -> tuple[Any, Any, Any]:
    """Its predictor, its prompts, its letterbox."""
    sys.path.insert(0, checkout)
    for name in ("", ".transforms", ".transforms.functional", ".ops.boxes", ".datasets"):
        sys.modules["torchvision" + name] = MagicMock(__version__="0.0")
    torchvision: Any = sys.modules["torchvision"]
    torchvision.ops.nms, torchvision.datasets.ImageFolder = suppress, object
    clip = MagicMock(tokenize=lambda texts: PHRASE, load=lambda name, device: (CLIP, to_tensor))
    sys.modules["clip"] = clip
    from fastsam import prompt
    from fastsam.predict import FastSAMPredictor
    from ultralytics.yolo.data.augment import LetterBox

    prompt.clip = clip
    return FastSAMPredictor, prompt.FastSAMPrompt, LetterBox


def to_tensor(image: Any) -> torch.Tensor:
    return torch.tensor(np.array(image)).permute(2, 0, 1).float() / 255


CLIP = SimpleNamespace(encode_image=mean_colour, encode_text=lambda tokens: tokens.clone())


def predict(predictor: Any, kind: str, image: np.ndarray) -> Any:
    """The result of its postprocessing, with the thresholds of its own command line."""
    self = object.__new__(predictor)
    self.args = SimpleNamespace(conf=0.4, iou=0.9, agnostic_nms=False, max_det=300, classes=None, retina_masks=True)
    self.model = SimpleNamespace(names={0: "object"})
    self.batch = (["image"],)
    raw = [torch.tensor(each)[None] for each in outputs(kind)]
    return self.postprocess(raw, torch.zeros(1, 3, SIDE, SIDE), [image])


def golden(checkout: str) -> Iterator[tuple[str, np.ndarray]]:
    predictor, prompts, letterbox = load(checkout)
    for shape in SHAPES:
        image = np.ascontiguousarray(picture(shape).transpose(1, 2, 0)[..., ::-1])  # it wants blue first
        seen = letterbox((SIDE, SIDE), auto=False, stride=32)(image=image)[..., ::-1]
        yield f"{shape}/image", seen[:: STRIDE[0], :: STRIDE[1]]
        for kind in kinds(shape):
            results = predict(predictor, kind, image)
            key = f"{shape}/{kind}"
            yield f"{key}/count", np.array(len(results[0].masks.data) if results else 0)
            if results:
                yield from answers(key, shape, results, prompts(image, results, device="cpu"))


def answers(key: str, shape: tuple[int, int], results: Any, asked: Any) -> Iterator[tuple[str, np.ndarray]]:
    masks = results[0].masks.data.numpy().astype(bool)
    yield f"{key}/boxes", results[0].boxes.xyxy.numpy()
    yield f"{key}/scores", results[0].boxes.conf.numpy()
    yield f"{key}/masks", np.packbits(masks)
    for i, (places, labels) in enumerate(points(shape)):
        said = asked.point_prompt([(x, y) for y, x in places.tolist()], labels.astype(int).tolist())
        yield f"{key}/points{i}", np.packbits(said[0])
    for i, (low, high) in enumerate(boxes(shape).tolist()):
        said = asked.box_prompt(bbox=[low[1], low[0], high[1], high[0]])
        yield f"{key}/box{i}", np.packbits(said[0].astype(bool))
    asked.results = [results[0][torch.tensor(masks.sum((1, 2)) > 100)]]  # where there are small ones, it may err
    yield f"{key}/text", np.packbits(asked.text_prompt("green")[0])
    (first, _, _, _, _) = asked._crop_image(asked._format_results(results[0]))
    yield f"{key}/cut", np.array(first[0])[::7, ::7]


if __name__ == "__main__":
    np.savez_compressed(HERE / "fastsam_golden.npz", **dict(golden(sys.argv[1])))
