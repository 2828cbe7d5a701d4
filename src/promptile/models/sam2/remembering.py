"""`RememberingSam2`: SAM 2 with the memory that it has for videos."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from promptile.errors import ModelError
from promptile.models.computing import as_tensor
from promptile.models.protocols import Embedding, Masks, Memorable, Memory
from promptile.models.sam2.memory import load_memory
from promptile.models.sam2.model import Sam2, Sight
from promptile.models.sam2.variants import Variant

_HALF = 0.5
"""From which part of it a pixel of the input is object."""
_LOADING = threading.Lock()


@dataclass(frozen=True, eq=False)
class Shot:
    """What is remembered of one view."""

    features: Tensor
    """``(tokens, 1, 64)``, in half precision as the authors have it."""
    pointer: Tensor
    """``(1, 1, 256)``: what the object is."""

    @property
    def nbytes(self) -> int:
        return self.features.nbytes + self.pointer.nbytes


@dataclass(frozen=True, eq=False)
class Recollection:
    """What is remembered of an object, by place."""

    given: Mapping[int, Shot]
    """Where the object was known."""
    seen: Mapping[int, Shot] = field(default_factory=dict)
    """Where it was recalled: the last places only."""


class RememberingSam2(Sam2):
    """`Sam2` that follows an object through slices as its network for videos does through frames.

    That network is loaded when it is first needed, and shares the parameters of the image model.
    """

    _abilities = Sam2._abilities | {"memory"}
    _path: Path | None = None
    _network_for_videos: Any = None

    @classmethod
    def load(cls, variant: Variant, path: Path, device: str = "auto", *, precision: str = "auto") -> Self:
        sam2 = super().load(variant, path, device, precision=precision)
        sam2._path = path
        return sam2

    @torch.inference_mode()
    def remember(self, known: Sequence[Memorable]) -> Memory:
        shots = {one.place: self._given(one) for one in known}
        return self._memory(Recollection(shots), *shots.values())

    @torch.inference_mode()
    def recall(self, memory: Memory, embedding: Embedding, place: int, way: int) -> tuple[Masks, Memory]:
        held: Recollection = memory.content
        sight: Sight = embedding.content
        raw = self._raw(sight)
        found = self._video._single_frame_forward(
            image_embeddings=[*sight.maps[:-1], self._reminded(raw, held, place, way)], multimask_output=True
        )
        shot = self._shot(raw, found, given=False)
        past = (place - way * back for back in range(1, self._video.config.max_object_pointers_in_encoder))
        seen = {there: held.seen[there] for there in past if there in held.seen}
        score = (found.iou_scores.amax() * found.object_score_logits.sigmoid().amax()).clamp(0, 1)
        masks = Masks(sight.frame.back(found.pred_masks)[0].cpu().numpy(), score.reshape(1).cpu().double().numpy())
        return masks, self._memory(Recollection(held.given, {place: shot, **seen}), shot)

    @property
    def _video(self) -> Any:
        with _LOADING:
            if self._network_for_videos is None:
                if self._path is None:
                    raise ModelError(f"Model {self.card.name!r} was not loaded from a file and has no memory")
                self._network_for_videos = load_memory(self._variant, self._path, self._network)
            return self._network_for_videos

    def _memory(self, content: Recollection, *new: Shot) -> Memory:
        return Memory(content, self.card.digest, sum(shot.nbytes for shot in new))

    def _given(self, known: Memorable) -> Shot:
        """What is remembered of a view in which the object is known: the mask itself, no answer to it."""
        sight: Sight = known.embedding.content
        raw = self._raw(sight)
        mask = sight.frame.image(as_tensor(known.mask[None].astype(np.float32), self._device))[None] >= _HALF
        found = self._video._use_mask_as_output(_unrolled(raw), list(sight.maps[:-1]), mask.float())
        return self._shot(raw, found, given=True)

    def _shot(self, raw: Tensor, found: Any, *, given: bool) -> Shot:
        features, _ = self._video._encode_new_memory(raw, found.high_res_masks, found.object_score_logits, given)
        return Shot(features, found.object_pointer)

    def _raw(self, sight: Sight) -> Tensor:
        """``(tokens, 1, 256)``: the coarsest map without the token for "nothing is remembered"."""
        nothing: Tensor = self._network.no_memory_embedding
        return sight.maps[-1].flatten(2).permute(2, 0, 1) - nothing

    def _reminded(self, raw: Tensor, held: Recollection, place: int, way: int) -> Tensor:
        """``(1, 256, side, side)``: a view's coarsest map in the light of what is remembered."""
        video = self._video
        parts, places = video._build_memory_attention_inputs(self._past(held, place, way), self._device)
        pointers = [((place - there) * way, shot.pointer) for there, shot in held.given.items()]
        pointers = [(back, pointer) for back, pointer in pointers if back >= 0]
        most = video.config.max_object_pointers_in_encoder
        pointers += [(k, held.seen[place - way * k].pointer) for k in range(1, most) if place - way * k in held.seen]
        count = 0
        if pointers:
            offsets, tokens = zip(*pointers, strict=True)
            told, when = video._process_object_pointers(
                list(offsets), list(tokens), most, 1, raw.shape[-1], self._device
            )
            parts, places, count = [*parts, told], [*places, when], len(told)
        reminded: Tensor = video.memory_attention(
            current_vision_features=raw,
            current_vision_position_embeddings=_placed(video.vision_encoder.neck.position_encoding, raw),
            memory=torch.cat(parts).float(),
            memory_posision_embeddings=torch.cat(places),
            num_object_pointer_tokens=count,
        )
        return _unrolled(reminded.reshape(raw.shape))

    def _past(self, held: Recollection, place: int, way: int) -> list[tuple[int, dict[str, Tensor]]]:
        """What is remembered, and how many views ago it was; 0 where the object was known."""
        video = self._video
        shots = [(0, shot) for shot in held.given.values()]
        shots += [
            (back, held.seen[place - way * back])
            for back in range(video.num_maskmem - 1, 0, -1)
            if place - way * back in held.seen
        ]
        encoding = _placed(video.memory_encoder.position_encoding, shots[0][1].features.float())
        return [(back, {"maskmem_features": shot.features, "maskmem_pos_enc": encoding}) for back, shot in shots]


def _unrolled(flat: Tensor) -> Tensor:
    """``(1, c, side, side)`` of ``(tokens, 1, c)``."""
    side = round(len(flat) ** 0.5)
    return flat.permute(1, 2, 0).reshape(flat.shape[1], -1, side, side)


def _placed(encoding: Any, flat: Tensor) -> Tensor:
    """``(tokens, 1, c)``: where each token lies."""
    like = _unrolled(flat)
    placed: Tensor = encoding(like.shape, like.device, like.dtype).flatten(2).permute(2, 0, 1)
    return placed
