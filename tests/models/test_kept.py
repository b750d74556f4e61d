"""What depends on parameters alone is computed once, and anew when they change."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.kept import Kept

SIZES = [(64, 64), (96, 64), (40, 128), (64, 64)]
PARAMETERS = ['pos_embed', 'stages.0.units.0.mixer.A_log', 'stages.1.units.0.local.weight']
by_parameter = pytest.mark.parametrize('name', PARAMETERS)


@pytest.fixture
def model(build: Callable) -> DynamicVis:
    return build(img_size=32).eval()


@pytest.fixture
def images(make_images: Callable) -> Tensor:
    return make_images(1, 3, 64, 96)


def entries(model: DynamicVis) -> list[tuple]:
    found = (value for module in model.modules() for value in vars(module).values())
    return [kept._entry for kept in found if isinstance(kept, Kept) and kept._entry is not None]


def fresh(model: DynamicVis, images: Tensor) -> tuple[Tensor, ...]:
    """What a model gives that has kept nothing: gradients are recorded."""
    return tuple(x.detach() for x in model(images))


@torch.no_grad()
def without_gradients(model: DynamicVis, images: Tensor) -> tuple[Tensor, ...]:
    return model(images)


def assert_fresh(model: DynamicVis, images: Tensor) -> None:
    for x, y in zip(without_gradients(model, images), fresh(model, images), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize('autocast', [False, True])
def test_results_are_the_same_at_every_size(
    model: DynamicVis, make_images: Callable, autocast: bool
) -> None:
    for height, width in SIZES:
        images = make_images(2, 3, height, width)
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            assert_fresh(model, images)
            assert_fresh(model, images)
    assert_fresh(model, images)  # and without autocast


def test_one_tensor_is_kept_however_many_sizes_there_are(
    model: DynamicVis, make_images: Callable
) -> None:
    counts = set()
    for height, width in SIZES:
        without_gradients(model, make_images(1, 3, height, width))
        counts.add(len(entries(model)))
    n_units = sum(len(stage.units) for stage in model.stages)
    assert counts == {1 + 2 * n_units}


@by_parameter
def test_a_change_in_place_is_seen(model: DynamicVis, images: Tensor, name: str) -> None:
    before = without_gradients(model, images)
    with torch.no_grad():
        model.get_parameter(name).add_(0.5)
    assert not torch.equal(without_gradients(model, images)[-1], before[-1])
    assert_fresh(model, images)


@pytest.mark.parametrize('assign', [False, True])
def test_loaded_weights_are_seen(
    model: DynamicVis, build: Callable, images: Tensor, assign: bool
) -> None:
    before = without_gradients(model, images)
    model.load_state_dict(build(seed=1, img_size=32).state_dict(), assign=assign)
    assert not torch.equal(without_gradients(model, images)[-1], before[-1])
    assert_fresh(model, images)


@by_parameter
def test_weights_swapped_through_data_are_seen_after_eval(
    model: DynamicVis, images: Tensor, name: str
) -> None:
    """As hooks do that evaluate averaged weights: no tensor counts this change."""
    without_gradients(model, images)
    parameter = model.get_parameter(name)
    version = parameter._version
    parameter.data.copy_(parameter.data + 0.5)
    assert parameter._version == version
    model.eval()
    assert_fresh(model, images)


def test_another_dtype_is_seen(model: DynamicVis, images: Tensor) -> None:
    without_gradients(model, images)
    model.double()
    assert_fresh(model, images.double())


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_empty_and_right(model: DynamicVis, images: Tensor, copied: Callable) -> None:
    names = set(model.state_dict())
    expected = without_gradients(model, images)
    assert entries(model)
    assert set(model.state_dict()) == names
    copy_of_model = copied(model)
    assert not entries(copy_of_model)
    assert torch.equal(without_gradients(copy_of_model, images)[-1], expected[-1])


def test_nothing_is_kept_in_training_with_gradients_or_of_uncounted_tensors(
    model: DynamicVis, images: Tensor
) -> None:
    model(images)
    assert not entries(model)
    without_gradients(model.train(), images)
    assert not entries(model)
    with torch.inference_mode():
        inference = copy.deepcopy(model.eval())
        inference.pos_embed = torch.nn.Parameter(model.pos_embed + 0, requires_grad=False)
        inference(images)
    assert inference.pos_embed.is_inference()
    assert inference.stages[0]._kept_position._entry is None
