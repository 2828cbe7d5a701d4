"""Snapshots of detectors and rankers with random weights: small ones for tests, or the full architecture.

A snapshot is what Hugging Face's tools download: a folder with config.json, model.safetensors and tokenizer files.
The tokenizer knows few words and spells out the others; the weights say nothing. As a command::

    python tests/detectors_small.py grounding-dino-tiny FOLDER [--full]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import BertTokenizer, CLIPTokenizer, GemmaTokenizer

WORDS = "a the of building house swimming pool tree car road ship field solar panel roof lake"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SEED = 7


def write(name: str, folder: Path, *, full: bool = False) -> Path:
    """The snapshot of a model in a folder, which is made."""
    torch.manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    kind, sizes = MODELS[name]
    tokenizer = TOKENIZERS[kind]()
    config, preprocessing = BUILDERS[kind](sizes if full else {}, len(tokenizer), full)
    network = getattr(transformers, NETWORKS[kind])(config)
    _spread(network)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if preprocessing:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing), encoding="utf-8")
    return folder


def _spread(network: torch.nn.Module) -> None:
    """Weights as large as those of trained networks, so that answers depend on what is seen and asked."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("class_embed.0.bias", "class_embed.bias")):
                parameter.zero_()  # MM-Grounding DINO begins without hope
            elif name == "model.decoder.layer_norm.weight" and not type(network).__name__.startswith("MM"):
                parameter.fill_(len(parameter) ** -0.5)  # not all of Grounding DINO's scores are close to 0 or 1
            elif parameter.ndim > 1 and ("embed" not in name or "bbox_embed" in name):
                parameter.normal_(0, (1.0 / parameter[0].numel()) ** 0.5)


def bert() -> BertTokenizer:
    """The words and letters where nothing else is; the signs have the ids that Grounding DINO knows them by."""
    names = [f"[unused{i}]" for i in range(1100)]
    names[0], names[100:104] = "[PAD]", ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    names[1012], names[1029] = ".", "?"
    pieces = [*LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS.split()[1:], "##s", "##ing", "-", ","]
    pieces = list(dict.fromkeys(pieces))
    names[200 : 200 + len(pieces)] = pieces
    return BertTokenizer(vocab={name: i for i, name in enumerate(names)}, do_lower_case=True)


def clip() -> CLIPTokenizer:
    """All bytes, alone and at a word's end, and one merge; the end's sign has the highest id, as CLIP wants."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    names = [*letters, *(f"{letter}</w>" for letter in letters), "th", "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=[("t", "h")])


def gemma() -> GemmaTokenizer:
    """Letters; padded on the right and ended, as SigLIP 2 was trained."""
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *LETTERS]
    vocabulary = {name: i for i, name in enumerate(names)}
    return GemmaTokenizer(
        vocab=vocabulary, merges=[], add_bos_token=False, add_eos_token=True, padding_side="right", model_max_length=64
    )


def grounding(sizes: dict[str, Any], words: int, full: bool, kind: str = "GroundingDino") -> tuple[Any, dict[str, Any]]:
    backbone = {"model_type": "swin", "out_indices": [2, 3, 4], "drop_path_rate": 0.0}
    text: dict[str, Any] = {"model_type": "bert"}
    rest: dict[str, Any] = {}
    if full:
        backbone |= sizes
    else:
        backbone |= {"embed_dim": 8, "depths": [1] * 4, "num_heads": [1, 2, 2, 4], "window_size": 4, "image_size": 64}
        text |= {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
        text |= {"vocab_size": words}
        rest = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 40}
        rest |= {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in _ATTENTION.items()}
    config = getattr(transformers, f"{kind}Config")(backbone_config=backbone, text_config=text, **rest)
    size = {"shortest_edge": 800, "longest_edge": 1333} if full else {"shortest_edge": 128, "longest_edge": 214}
    return config, {"image_processor_type": "GroundingDinoImageProcessor", "size": size}


_ATTENTION = {"attention_heads": 2, "ffn_dim": 48}


def mm_grounding(sizes: dict[str, Any], words: int, full: bool) -> tuple[Any, dict[str, Any]]:
    return grounding(sizes, words, full, "MMGroundingDino")


def _ends(words: int) -> dict[str, int]:
    """A vocabulary of CLIP, in which the signs for start and end come last."""
    return {"vocab_size": words, "bos_token_id": words - 2, "eos_token_id": words - 1}


def owl(sizes: dict[str, Any], words: int, full: bool) -> tuple[Any, dict[str, Any]]:
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text, vision = small | _ends(words), small | {"image_size": 96, "patch_size": 16}
    if full:
        text, vision = sizes["text"], sizes["vision"]
    config = transformers.Owlv2Config(
        text_config=text, vision_config=vision, projection_dim=text.get("hidden_size", 512)
    )
    side = vision["image_size"]
    return config, {"image_processor_type": "Owlv2ImageProcessor", "size": {"height": side, "width": side}}


def concepts(sizes: dict[str, Any], words: int, full: bool) -> tuple[Any, dict[str, Any]]:
    if full:
        return transformers.Sam3Config(), {}
    vit = {"model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    vit |= {"num_attention_heads": 2, "global_attn_indexes": [1], "image_size": 112, "pretrain_image_size": 56}
    vision = {"model_type": "sam3_vision_model", "backbone_config": vit | {"window_size": 4}, "fpn_hidden_size": 32}
    vision |= {"backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]}
    text = {"model_type": "clip_text_model", "hidden_size": 32, "intermediate_size": 48, **_ends(words)}
    text |= {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32, "projection_dim": 16}
    part = {"hidden_size": 32, "num_attention_heads": 2}
    layers = part | {"num_layers": 1, "intermediate_size": 48}
    parts = {"geometry_encoder_config": layers, "detr_encoder_config": layers, "mask_decoder_config": part}
    parts |= {"detr_decoder_config": layers | {"num_layers": 2, "num_queries": 20}}
    return transformers.Sam3Config(vision_config=vision, text_config=text, **parts), {}


def contrastive(sizes: dict[str, Any], words: int, full: bool) -> tuple[Any, dict[str, Any]]:
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text, vision = small | _ends(words), small | {"image_size": 64, "patch_size": 16}
    wide = 24
    if full:
        text, vision, wide = sizes["text"], sizes["vision"], sizes["projection_dim"]
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=wide)
    side = vision["image_size"]
    size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    return config, {"image_processor_type": "CLIPImageProcessor", **size}


def sigmoid(sizes: dict[str, Any], words: int, full: bool) -> tuple[Any, dict[str, Any]]:
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = small | {"vocab_size": words, "projection_size": 32, "bos_token_id": 2, "eos_token_id": 1}
    vision = small | {"image_size": 64, "patch_size": 16}
    if full:
        text, vision = sizes["text"], sizes["vision"]
    side = vision["image_size"]
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    size = {"size": {"height": side, "width": side}, "resample": 2}
    return config, {"image_processor_type": "SiglipImageProcessor", **size}


_SWIN_T: dict[str, Any] = {}
_SWIN_B = {
    "embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "window_size": 12, "image_size": 384,
}  # fmt: skip
_LARGE_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
_LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "grounding-dino-tiny": ("grounding", _SWIN_T),
    "grounding-dino-base": ("grounding", _SWIN_B),
    "mm-grounding-dino-tiny": ("mm-grounding", _SWIN_T),
    "owlv2-base": ("owl", {"text": {}, "vision": {"image_size": 960, "patch_size": 16}}),
    "owlv2-large": ("owl", {"text": _LARGE_TEXT, "vision": {**_LARGE, "image_size": 1008, "patch_size": 14}}),
    "sam3": ("concepts", {}),
    "clip-b32": ("clip", {"text": {}, "vision": {"image_size": 224, "patch_size": 32}, "projection_dim": 512}),
    "clip-l14": (
        "clip",
        {"text": _LARGE_TEXT, "vision": {**_LARGE, "image_size": 224, "patch_size": 14}, "projection_dim": 768},
    ),
    "siglip2-base": (
        "siglip",
        {"text": {"vocab_size": 256000}, "vision": {"image_size": 224, "patch_size": 16}},
    ),
}
BUILDERS: dict[str, Callable[[dict[str, Any], int, bool], tuple[Any, dict[str, Any]]]] = {
    "grounding": grounding, "mm-grounding": mm_grounding, "owl": owl, "concepts": concepts,
    "clip": contrastive, "siglip": sigmoid,
}  # fmt: skip
TOKENIZERS = {
    "grounding": bert, "mm-grounding": bert, "owl": clip, "concepts": clip, "clip": clip, "siglip": gemma,
}  # fmt: skip
NETWORKS = {
    "grounding": "GroundingDinoForObjectDetection", "mm-grounding": "MMGroundingDinoForObjectDetection",
    "owl": "Owlv2ForObjectDetection", "concepts": "Sam3Model", "clip": "CLIPModel", "siglip": "SiglipModel",
}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true", help="the real architecture; as large as the real weights")
    options = parser.parse_args()
    print(write(options.model, options.folder, full=options.full))
