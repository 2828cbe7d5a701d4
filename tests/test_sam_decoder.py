"""The shortcuts of the decoder give what the long way gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptile.models.sam.nets.network import Features, Network, Questions
from promptile.models.sam.nets.transformer import Attention, ImageToTokens, Prepared, TokensToImage
from promptile.models.sam.nets.upscaling import Upscaling
from sam_small import MADE, value_of

WIDTH, HEADS = 64, 4
CLOSE = 1e-6
"""Times the largest value: the rounding of single precision."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(8)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


def assert_same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=max(1, wanted.abs().max().item()) * CLOSE)


def long_way(attention: Attention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention as it is written in papers."""
    count = max(len(queries), len(keys))
    q, k, v = (
        attention._split(projection(x)).expand(count, -1, -1, -1)
        for projection, x in (
            (attention.q_proj, queries),
            (attention.k_proj, keys),
            (attention.v_proj, values),
        )
    )
    seen = functional.scaled_dot_product_attention(q, k, v)
    return attention.out_proj(seen.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_tokens_look_at_an_image_as_the_long_way(tokens: int) -> None:
    attention = TokensToImage(WIDTH, HEADS, WIDTH // 2)
    places, images, queries = torch.randn(1, 100, WIDTH), torch.randn(3, 100, WIDTH), torch.randn(3, tokens, WIDTH)
    attention.settle(places)
    assert_same(attention(queries, images), long_way(attention, queries, images + places, images))
    keys, values = attention.prepare(images[:1])
    wanted = long_way(attention, queries, images[:1] + places, images[:1])
    assert_same(attention(queries, images[:1], Prepared(keys, values, keys)), wanted)


@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_an_image_looks_at_tokens_as_the_long_way(tokens: int) -> None:
    attention = ImageToTokens(WIDTH, HEADS, WIDTH // 2)
    places, images = torch.randn(1, 100, WIDTH), torch.randn(3, 100, WIDTH)
    keys, values = torch.randn(3, tokens, WIDTH), torch.randn(3, tokens, WIDTH)
    attention.settle(places)
    wanted = images + long_way(attention, images + places, keys, values)
    assert_same(attention(images, keys, values), wanted)
    queries = attention.prepare(images[:1])
    wanted = images[:1] + long_way(attention, images[:1] + places, keys, values)
    assert_same(attention(images[:1], keys, values, Prepared(queries, queries, queries)), wanted)


@pytest.mark.parametrize("norm", [None, nn.GroupNorm(1, WIDTH // 4)])
def test_pixels_are_made_as_by_transposed_convolutions(norm: nn.GroupNorm | None) -> None:
    layers = Upscaling(WIDTH, norm)
    image = torch.randn(2, WIDTH, 5, 5)
    wanted = nn.Sequential.forward(layers, image)
    upscaled = layers(image.flatten(2).transpose(1, 2))
    assert_same(layers.as_images(upscaled), wanted)
    weights = torch.randn(2, 3, WIDTH // 8)
    masks = layers.as_image(torch.bmm(weights, upscaled.flatten(1, 2).transpose(1, 2)))
    assert_same(masks, torch.einsum("pmc,pchw->pmhw", weights, wanted))


@pytest.fixture(scope="module", params=["small-sam", "small-sam-hq", "small-efficient-sam"])
def network(request: pytest.FixtureRequest) -> Network:
    variant = replace(MADE[request.param], side=128)
    made = Network(variant).eval().requires_grad_(False)
    made.load_state_dict({k: value_of(k, tuple(v.shape), v.dtype) for k, v in made.state_dict().items()})
    made.fold()
    return made


def features(network: Network) -> Features:
    fine = torch.randn(1, 32, 32, 32) if network.mask_decoder.__class__.__name__ == "HighQualityDecoder" else None
    return Features(torch.randn(1, 256, 8, 8), fine)


QUESTIONS = Questions(torch.tensor([[[20.0, 30]], [[90, 31]], [[64, 100]]]), torch.ones(3, 1, dtype=torch.int64))


def test_what_prompts_have_in_common_may_be_prepared_or_not(network: Network) -> None:
    held = features(network)
    for ambiguous in (True, False):
        wanted = network.decode(held, QUESTIONS, ambiguous=ambiguous)
        found = network.decode(network.prepare(held), QUESTIONS, ambiguous=ambiguous)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_an_image_that_is_said_to_hold_no_mask_is_seen_as_one_that_says_nothing(network: Network) -> None:
    """Prompts with masks go another way, where nothing is prepared."""
    if network.efficient:
        pytest.skip("EfficientSAM takes no masks")
    held, network.prompt_encoder.mask_downscaling = features(network), Nothing(network)
    said = replace(QUESTIONS, masks=torch.zeros(3, 1, 32, 32))
    for one, other in zip(
        network.decode(held, said, ambiguous=True), network.decode(held, QUESTIONS, ambiguous=True), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


class Nothing(nn.Module):
    """Says of any mask what is said of none."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.meaning = network.prompt_encoder.no_mask_embed.weight[:, :, None, None]

    def forward(self, masks: Tensor) -> Tensor:
        return self.meaning.expand(len(masks), -1, 8, 8)


def test_masks_nobody_wants_are_not_drawn(network: Network) -> None:
    held = network.prepare(features(network))
    wanted, iou = network.decode(held, QUESTIONS, ambiguous=True)
    best = iou.amax(dim=1)
    least = best.sort().values[1].item()
    found, guesses = network.decode(held, QUESTIONS, ambiguous=True, least=least)
    torch.testing.assert_close(guesses, iou, rtol=0, atol=0)
    assert_same(found[best > least], wanted[best > least])
    assert (found[best <= least] < 0).all()
    none, _ = network.decode(held, QUESTIONS, ambiguous=True, least=best.max().item())
    assert none.shape == wanted.shape
    assert (none < 0).all()
