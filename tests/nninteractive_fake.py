"""Stands for the package nnInteractive 2.6: the same calls, and an answer that is always right."""

from __future__ import annotations

import sys
import types

import numpy as np
from scipy import ndimage


class nnInteractiveInferenceSession:
    """Finds the bright pieces that it was told of; refuses what the real one refuses."""

    three = False
    made: list[nnInteractiveInferenceSession] = []  # noqa: RUF012

    def __init__(
        self,
        device,
        use_torch_compile=False,
        verbose=False,
        torch_n_threads=8,
        do_autozoom=True,
        interactions_storage="auto",
        enable_undo=True,
    ):
        print("session initialized")
        assert device.type in ("cpu", "cuda")
        assert interactions_storage in ("auto", "tensor", "blosc2")
        self.license = None
        self.supported_interactions, self.supports_initial_label = {}, False
        self.calls, self.chance = [], []
        self.image = self.target_buffer = None
        type(self).made.append(self)

    def initialize_from_trained_model_folder(
        self, model_training_output_dir, use_fold=None, checkpoint_name="checkpoint_final.pth"
    ):
        import json
        from pathlib import Path

        root = Path(model_training_output_dir)
        json.loads((root / "plans.json").read_text(encoding="utf-8"))
        assert (root / "fold_0" / checkpoint_name).is_file()
        self.license = "CC BY-NC-SA 4.0"
        self.supported_interactions = {"points": True, "bbox2d": True, "bbox3d": self.three, "scribble": True}
        self.supports_initial_label = True

    def set_image(self, image, image_properties=None):
        assert image.ndim == 4
        assert image.any(), "Input image is entirely zero; cannot determine normalization statistics."
        self.calls.append(("set_image", image.shape))
        self.image, self.target_buffer = np.array(image[0], np.float32), None

    def set_target_buffer(self, target_buffer):
        assert target_buffer.shape == self.image.shape
        self.target_buffer = target_buffer

    def reset_interactions(self):
        self.calls.append(("reset",))
        self.target_buffer.fill(0)
        self.hints, self.denied = np.zeros(self.image.shape, bool), np.zeros(self.image.shape, bool)

    def add_point_interaction(
        self, coordinates, include_interaction, run_prediction=True, override_capability_checks=False
    ):
        assert all(type(x) is int and 0 <= x < n for x, n in zip(coordinates, self.image.shape, strict=True))
        self.calls.append(("point", coordinates, include_interaction, run_prediction))
        (self.hints if include_interaction else self.denied)[coordinates] = True
        return self._predict(run_prediction)

    def add_bbox_interaction(
        self, bbox_coords, include_interaction, run_prediction=True, override_capability_checks=False
    ):
        sizes = [b - a for a, b in bbox_coords]
        assert min(sizes) > 0
        assert self.three or 1 in sizes, "This is not supported by the loaded model checkpoint."
        self.calls.append(("box", bbox_coords, run_prediction))
        inside = tuple(slice(a, b) for a, b in bbox_coords)
        self.hints[inside] |= self.image[inside] > self._level
        return self._predict(run_prediction)

    def add_initial_seg_interaction(self, initial_seg, run_prediction=False, override_capability_checks=False):
        assert initial_seg.shape == self.image.shape
        self.reset_interactions()
        self.calls[-1] = ("mask", int(initial_seg.sum()), run_prediction)
        self.target_buffer[:] = initial_seg
        self.hints |= initial_seg > 0
        return self._predict(run_prediction)

    @property
    def _level(self):
        return (self.image.min() + self.image.max()) / 2

    def _predict(self, asked):
        if asked:
            print("Added new interaction")
            self.chance.append(np.random.choice(1000))
            pieces, _ = ndimage.label(self.image > self._level)
            wanted = np.setdiff1d(pieces[self.hints], [0, *pieces[self.denied]])
            self.target_buffer[:] = np.isin(pieces, wanted)


def install(monkeypatch, *, three=False):
    """Put it where the real one would be imported from; gives its class."""
    names = ("nnInteractive", "nnInteractive.inference", "nnInteractive.inference.inference_session")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(nnInteractiveInferenceSession, "three", three)
    monkeypatch.setattr(nnInteractiveInferenceSession, "made", [])
    sys.modules[names[-1]].nnInteractiveInferenceSession = nnInteractiveInferenceSession
    return nnInteractiveInferenceSession
