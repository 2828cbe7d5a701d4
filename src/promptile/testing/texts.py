"""`TextContract`: the tests of models that read texts, detectors and rankers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promptile.models.protocols import Detections, Detector, Model, Ranker, Thresholds, View

_PHRASES = ("a disc", "circle", "tree")
_LOW = Thresholds(box=0.01, text=0.01)


class TextContract:
    """Part of the contract of models; see `promptile.testing.ModelContract`."""

    def model(self) -> Model:
        """The model, ready to be asked."""
        raise NotImplementedError

    def _scene(self, *, shift: int = 0, odd: bool = False, hole: bool = False) -> tuple[View, NDArray[np.bool_]]:
        """A view to look at."""
        raise NotImplementedError

    # Detectors

    def test_detections_lie_in_the_view(self) -> None:
        if (model := self._detector()) is None:
            return
        for view in (self._scene()[0], self._scene(odd=True)[0]):
            (found,) = model.detect([view], _PHRASES, _LOW)
            n, ndim = len(found.scores), len(view.shape)
            check(found.boxes.shape == (n, 2, ndim), f"boxes have shape {found.boxes.shape}, not {(n, 2, ndim)}")
            check(bool((found.boxes[:, 0] < found.boxes[:, 1]).all()), "a box needs a low and a high corner")
            inside = (found.boxes >= -0.5) & (found.boxes <= np.subtract(view.shape, 0.5))
            check(bool(inside.all()), f"boxes are not cut at the border of the view {view.shape}, on sample edges")
            if found.masks is not None:
                check(found.masks.shape == (n, *view.shape), f"masks have shape {found.masks.shape}")
                check(found.masks.dtype == bool, f"masks are {found.masks.dtype}, and bool is needed")

    def test_the_best_detection_comes_first(self) -> None:
        for found in self._found(_LOW):
            check(bool((np.diff(found.scores) <= 0).all()), f"scores {found.scores} are not sorted, the best first")
            rightful = (found.scores >= 0) & (found.scores <= 1)
            check(bool(rightful.all()), f"scores {found.scores} are not between 0 and 1")

    def test_detections_name_phrases_that_were_asked_for(self) -> None:
        for found in self._found(_LOW):
            check(found.phrases.shape == found.scores.shape, "each detection needs a phrase")
            known = (found.phrases >= 0) & (found.phrases < len(_PHRASES))
            check(bool(known.all()), f"phrases {found.phrases} are no places in a list of {len(_PHRASES)}")

    def test_a_threshold_takes_the_weaker_detections_away(self) -> None:
        for many in self._found(_LOW):
            bar = float(np.median(many.scores)) if len(many.scores) else 0.5
            for few in self._found(Thresholds(box=bar, text=0.0)):
                kept = many.scores > bar
                same = few.boxes.shape == many.boxes[kept].shape and np.allclose(few.boxes, many.boxes[kept], atol=0.01)
                check(bool(same), f"with a threshold of {bar:.3f} others are left than those with higher scores")

    def test_views_are_searched_as_each_one_is(self) -> None:
        if (model := self._detector()) is None:
            return
        views = [self._scene()[0], self._scene(odd=True)[0], self._scene(shift=7)[0]]
        together = model.detect(views, _PHRASES, _LOW)
        check(len(together) == len(views), f"detect gave {len(together)} answers for {len(views)} views")
        for view, one in zip(views, together, strict=True):
            (alone,) = model.detect([view], _PHRASES, _LOW)
            same = one.scores.shape == alone.scores.shape and np.allclose(one.scores, alone.scores, atol=1e-3)
            check(bool(same), "a view is answered in another way beside others than alone")

    # Rankers

    def test_pictures_are_ranked_one_by_one(self) -> None:
        model = self.model()
        if not isinstance(model, Ranker) or "rank" not in model.card.abilities:
            return
        rng = np.random.default_rng(0)
        pictures = [rng.random((3, rows, columns), np.float32) for rows, columns in ((40, 60), (1, 7), (90, 20))]
        logits = model.rank(pictures, _PHRASES)
        shape = (len(pictures), len(_PHRASES))
        check(logits.shape == shape, f"rank gave shape {logits.shape}, not (pictures, phrases), {shape}")
        check(logits.dtype == np.float32, f"logits are {logits.dtype}, and float32 is needed")
        check(bool(np.isfinite(logits).all()), "logits must be numbers")
        alone = np.concatenate([model.rank([picture], _PHRASES) for picture in pictures])
        check(
            bool(np.allclose(logits, alone, atol=1e-2)), "a picture is ranked in another way beside others than alone"
        )

    def _detector(self) -> Detector | None:
        model = self.model()
        return model if isinstance(model, Detector) and "text" in model.card.abilities else None

    def _found(self, thresholds: Thresholds) -> list[Detections]:
        model = self._detector()
        return [] if model is None else model.detect([self._scene()[0]], _PHRASES, thresholds)


def check(holds: bool, otherwise: str) -> None:
    """Fail with a line that says what is wrong; without pytest's help, which rewrites no library."""
    if not holds:
        raise AssertionError(otherwise)
