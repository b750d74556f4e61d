"""The position embedding follows the grid of the image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

SIZES = [(64, 64), (96, 64), (40, 128), (61, 35), (128, 128)]
every_size = pytest.mark.parametrize('size', SIZES, ids=str)


@pytest.mark.parametrize('trained', [64, (64, 96), (50, 70)], ids=str)
@every_size
def test_interpolated_when_running_as_when_loading(
    build: Callable, make_images: Callable, trained: int | tuple, size: tuple[int, int]
) -> None:
    model, resized = build(img_size=trained).eval(), build(seed=1, img_size=size).eval()
    resized.load_state_dict(model.state_dict())
    images = make_images(1, 3, *size)
    for output, expected in zip(model(images), resized(images), strict=True):
        assert torch.equal(output, expected)


@pytest.mark.parametrize('mode', ['bicubic', 'bilinear'])
@every_size
def test_a_plane_stays_a_plane(
    build: Callable, make_images: Callable, mode: str, size: tuple[int, int]
) -> None:
    """Values that are linear in the place are the same at every size, but for the borders."""

    def plane(height: int, width: int) -> torch.Tensor:
        rows = (torch.arange(height) + 0.5) / height
        columns = (torch.arange(width) + 0.5) / width
        return (rows[:, None] - 2 * columns).expand(1, 16, height, width)

    model = build(img_size=128, interpolate_mode=mode).eval()
    model.pos_embed.data.copy_(plane(32, 32))
    seen = []
    model.stages[0].units[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images = make_images(1, 3, *size)
    model(images)
    without, _ = model.stages[0].merger(images)
    grid = (-(-size[0] // 4), -(-size[1] // 4))
    added = (seen[0] - without).transpose(1, 2).unflatten(2, grid)
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(added[inner], plane(*grid)[inner], atol=2e-3, rtol=0)


def test_trained_size_takes_the_embedding_as_it_is(build: Callable, make_images: Callable) -> None:
    model = build(img_size=(40, 64)).eval()
    seen = []
    model.stages[0].units[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images = make_images(2, 3, 40, 64)
    model(images)
    tokens, grid = model.stages[0].merger(images)
    assert grid == (10, 16)
    assert torch.equal(seen[0], tokens + model.pos_embed.flatten(2).transpose(1, 2))


def test_there_may_be_none(build: Callable, make_images: Callable) -> None:
    model = build(position_embedding=False)
    assert 'pos_embed' not in model.state_dict()
    assert model(make_images(1, 3, 50, 64))[0].shape == (1, 16, 13, 16)


def test_gradients_reach_an_interpolated_embedding(build: Callable, make_images: Callable) -> None:
    model = build(img_size=32)
    output = model(make_images(1, 3, 64, 48))[0]
    (output * make_images(*output.shape)).sum().backward()
    assert (model.pos_embed.grad != 0).all()
