"""The part of SAM 2 that serves videos, with the parameters of the image model that it shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers.initialization import no_init_weights

from promptile.errors import ModelError
from promptile.models.checkpoints import differences, read_tensors
from promptile.models.sam2.layouts import OFFICIAL, OFFICIAL_MEMORY, PLAIN_MEMORY, layout_of, whole
from promptile.models.sam2.variants import Variant


def load_memory(variant: Variant, path: Path, network: Any) -> Any:
    """The network for videos, with the weights of a file, where `network` is.

    Parameters
    ----------
    variant : Variant
        Of SAM 2 or 2.1.
    path : path
        From which `network` was loaded.
    network : Sam2Model
        Its parameters are used, not copied.

    Raises
    ------
    ModelError
        If the file holds no memory, or another one.
    """
    tensors = whole(read_tensors(path))
    video: Any = bare_video(variant, network)
    layout = OFFICIAL_MEMORY if layout_of(tensors) is OFFICIAL else PLAIN_MEMORY
    needed = {layout.key(name): tuple(value.shape) for name, value in video.state_dict().items()}
    wrong = differences(needed, {key: tuple(value.shape) for key, value in tensors.items()})
    if wrong:
        raise ModelError(
            f"The weights {path} hold no memory that fits {variant.name}, {'; '.join(wrong)}: leave memory out, or get "
            f"{variant.file} from {variant.url}"
        )
    device = next(network.parameters()).device
    shared = network.state_dict()
    own = {name: tensors[layout.key(name)].float().to(device) for name in video.state_dict() if name not in shared}
    video.load_state_dict({**own, **shared}, strict=True, assign=True)
    return video.to(device).eval().requires_grad_(False)


def bare_video(variant: Variant, network: Any) -> Sam2VideoModel:
    """The network for videos before it has weights; it is built as the image model is."""
    image = network.config.to_dict()
    newer = variant.family == "SAM 2.1"
    config = Sam2VideoConfig(
        vision_config=image["vision_config"],
        prompt_encoder_config=image["prompt_encoder_config"],
        image_size=variant.side,
        memory_attention_rope_feat_sizes=[variant.tokens, variant.tokens],
        enable_occlusion_spatial_embedding=newer,
        enable_temporal_pos_encoding_for_object_pointers=newer,
    )
    with no_init_weights():  # not the meta device: it has tables that no file holds, computed as it is built
        return Sam2VideoModel(config)
