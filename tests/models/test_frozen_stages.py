"""Frozen stages keep their weights and stay in eval mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mmdynamicvis import DynamicVis


def is_frozen(model: DynamicVis, name: str) -> bool:
    return name == 'pos_embed' or any(
        name.startswith(f'stages.{i}.') for i in range(model.frozen_stages + 1)
    )


@pytest.mark.parametrize('frozen_stages', [0, 1, 3])
def test_frozen_weights_do_not_move_and_others_do(
    build: Callable, make_images: Callable, frozen_stages: int
) -> None:
    model = build(frozen_stages=frozen_stages, out_type='avg_featmap')
    model.init_weights()
    model.eval()
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    output = model(make_images(2, 3, 64, 64))[0]
    (output * make_images(*output.shape)).sum().backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        frozen = is_frozen(model, name)
        assert parameter.requires_grad != frozen, name
        assert (parameter.grad is None) == frozen, name
        assert torch.equal(parameter, before[name]) == frozen, name


def test_frozen_stages_stay_in_eval_mode(build: Callable, make_images: Callable) -> None:
    noise = dict(type='fixed', val=10.0)
    model = build(frozen_stages=1, selection_noise=noise, drop_path_rate=0.5)
    for _ in range(2):
        model.eval()
        assert not any(module.training for module in model.modules())
        model.train()
        assert model.training
        for i, stage in enumerate(model.stages):
            assert {module.training for module in stage.modules()} == {i > 1}
    images = make_images(2, 3, 64, 64)
    maps = [model(images) for _ in range(2)]
    assert torch.equal(maps[0][1], maps[1][1])  # neither noise nor drop path
    assert not torch.equal(maps[0][3], maps[1][3])


def test_by_default_nothing_is_frozen(build: Callable) -> None:
    model = build().train()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_frozen_weights_are_still_loaded(build: Callable) -> None:
    source, model = build(seed=1), build(frozen_stages=3)
    model.load_state_dict(source.state_dict())
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert not any(parameter.requires_grad for parameter in model.parameters())
