"""The mixer against two plain passes with shared weights, as the paper has them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv1d, linear, silu

from mmdynamicvis.models import STIM, DynamicVis, MambaMixer
from mmdynamicvis.models.mamba_mixer import fixed_permutation
from mmdynamicvis.models.state_dict_adapter import infer_arguments
from mmdynamicvis.ops import selective_scan


def one_pass(mixer: MambaMixer, tokens: Tensor) -> Tensor:
    """A whole Mamba mixer, forward (arXiv 2312.00752, figure 3)."""
    x, z = mixer.in_proj(tokens).chunk(2, dim=-1)
    conv = mixer.conv1d
    x = conv1d(x.transpose(1, 2), conv.weight, conv.bias, padding=3, groups=x.shape[-1])
    x = silu(x[..., : tokens.shape[1]]).transpose(1, 2)
    dt, B, C = mixer.x_proj(x).split(mixer.split, dim=-1)
    y = selective_scan(
        x,
        linear(dt, mixer.dt_proj.weight),
        -mixer.A_log.exp(),
        B,
        C,
        D=mixer.D,
        z=z,
        dt_bias=mixer.dt_proj.bias,
        dt_softplus=True,
        backend='naive',
    )
    return mixer.out_proj(y)


@pytest.mark.parametrize('scan_mode', ['forward', 'mean', 'gate'])
@pytest.mark.parametrize('length', [1, 3, 40])
@pytest.mark.parametrize('dim', [16, 21])
def test_sharing_projections_changes_nothing(scan_mode: str, length: int, dim: int) -> None:
    torch.manual_seed(0)
    mixer = MambaMixer(dim, scan_mode).double()
    with torch.no_grad():  # A is computed in float32: take numbers that are exact there
        mixer.A_log.zero_()
    tokens = torch.randn(2, length, dim, dtype=torch.float64)
    forward = one_pass(mixer, tokens)
    reverse = one_pass(mixer, tokens.flip(1)).flip(1)
    if scan_mode == 'gate':
        means = torch.cat([forward.mean(1), reverse.mean(1)], dim=-1)
        weight = mixer.direction_gate(means).softmax(-1)
        expected = weight[:, :1, None] * forward + weight[:, 1:, None] * reverse
    else:
        expected = forward if scan_mode == 'forward' else (forward + reverse) / 2
    torch.testing.assert_close(mixer(tokens), expected)


def shuffled(length: int) -> list[int]:
    """The positions by (i + s)^3 mod p, in Python's integers."""
    return sorted(range(length), key=lambda i: (i + 1618033988) ** 3 % 2147483579)


def shuffle_gated(mixer: MambaMixer, tokens: Tensor, order: list[int]) -> Tensor:
    """RSMamba's three passes (arXiv 2403.19654), each a whole mixer, and their gate."""
    third = torch.empty_like(tokens)
    third[:, order] = one_pass(mixer, tokens[:, order])
    passes = [one_pass(mixer, tokens), one_pass(mixer, tokens.flip(1)).flip(1), third]
    weight = mixer.direction_gate(torch.cat([one.mean(1) for one in passes], dim=-1)).softmax(-1)
    return sum(weight[:, i, None, None] * one for i, one in enumerate(passes))


def shuffle_gate_mixer(dim: int) -> MambaMixer:
    torch.manual_seed(0)
    mixer = MambaMixer(dim, 'shuffle_gate').double()
    with torch.no_grad():
        mixer.A_log.zero_()
    return mixer


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('length', [1, 3, 40])
def test_shuffled_pass_and_its_gate_with_gradients(training: bool, length: int) -> None:
    mixer = shuffle_gate_mixer(5).train(training)
    tokens = torch.randn(2, length, 5, dtype=torch.float64, requires_grad=True)
    to_each = [tokens, *mixer.parameters()]
    torch.manual_seed(7)
    ours = mixer(tokens)
    torch.manual_seed(7)
    order = torch.randperm(length).tolist() if training else shuffled(length)
    expected = shuffle_gated(mixer, tokens, order)
    torch.testing.assert_close(ours, expected)
    seed = torch.randn_like(ours)
    for got, wanted in zip(
        torch.autograd.grad(ours, to_each, seed),
        torch.autograd.grad(expected, to_each, seed),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted)


def test_permutation_is_new_in_each_training_step_and_fixed_in_tests() -> None:
    mixer = shuffle_gate_mixer(5)
    tokens = torch.randn(1, 40, 5, dtype=torch.float64)
    torch.manual_seed(3)
    first, second = mixer(tokens), mixer(tokens)
    assert (first - second).abs().max() > 1e-6
    torch.manual_seed(3)
    assert torch.equal(mixer(tokens), first)
    mixer.eval()
    torch.manual_seed(4)
    state = torch.get_rng_state()
    assert torch.equal(mixer(tokens), mixer(tokens))
    assert torch.equal(torch.get_rng_state(), state)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 20_000))
def test_fixed_permutation_has_every_position_once(length: int) -> None:
    order = fixed_permutation(length)
    assert order.tolist() == shuffled(length)
    assert torch.equal(order.sort().values, torch.arange(length))


def test_fixed_permutation_is_far_from_the_order_of_the_image() -> None:
    """Steps of a random order have a mean of a third of the length; those of the image are 1."""
    for length in (64, 1024, 16384):
        steps = fixed_permutation(length).diff().abs()
        assert 0.3 < steps.double().mean() / length < 0.37


@pytest.mark.parametrize('scan_mode', ['gate', 'shuffle_gate'])
def test_a_checkpoint_tells_which_passes_are_weighted(scan_mode: str) -> None:
    arch = dict(embed_dims=(8,), depths=(1,))
    model = DynamicVis(
        arch, patch_sizes=(7,), strides=(4,), reduction_ratios=(None,), scan_mode=scan_mode
    )
    assert infer_arguments(model.state_dict())['scan_mode'] == scan_mode


@pytest.mark.exhaustive
def test_shuffle_gate_exports_for_any_size() -> None:
    torch.manual_seed(0)
    arch = dict(embed_dims=(8, 12), depths=(1, 1))
    model = DynamicVis(
        arch,
        img_size=64,
        patch_sizes=(7, 3),
        strides=(4, 2),
        reduction_ratios=(1 / 2, None),
        scan_mode='shuffle_gate',
    ).eval()
    dynamic = {2: 32 * torch.export.Dim('h', min=2, max=16), 3: 32 * torch.export.Dim('w', min=2)}
    exported = torch.export.export(model, (torch.randn(2, 3, 64, 96),), dynamic_shapes=[dynamic])
    images = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(images), model(images), rtol=1e-4, atol=1e-5)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 70_000), st.integers(1, 64))
def test_number_of_kept_tokens_is_the_papers(length: int, rate: int) -> None:
    unit = STIM(2, 1 - 1 / rate, {}, selection_noise=None)
    assert unit.num_kept(length) == max(1, length // rate)
