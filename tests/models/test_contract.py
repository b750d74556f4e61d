"""What a host may rely on, for every arch and option."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.state_dict_map import to_ours, to_published

OPTIONS = {
    'default': {},
    'gate': dict(scan_mode='gate'),
    'shuffle_gate': dict(scan_mode='shuffle_gate'),
    'forward': dict(scan_mode='forward'),
    'dense': dict(reduction_ratios=None),
    'partly dense': dict(reduction_ratios=(None, 3 / 4, None, 0)),
    'strong reduction': dict(reduction_ratios=(31 / 32, 15 / 16, 7 / 8, 3 / 4)),
    'globals mid': dict(published=True, global_tokens=dict(position='mid')),
    'globals headtail': dict(published=True, global_tokens=dict(position='headtail', num=3)),
    'published': dict(published=True),
    'no globals': dict(global_tokens=dict(position='none')),
    'selected only': dict(published=True, update_unselected=False),
    'normalized importance': dict(published=True, normalize_importance=True),
    'no position': dict(position_embedding=False),
    'some outputs': dict(out_indices=(1, 2)),
    'first output': dict(out_indices=(0,)),
    'averaged': dict(out_type='avg_featmap'),
    'averaged early': dict(out_type='avg_featmap', out_indices=(2,)),
    'RMSNorm': dict(norm_cfg=dict(type='RMSNorm', eps=1e-6)),
}
every_option = pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)


@every_option
def test_every_parameter_gets_a_gradient(
    build: Callable, make_images: Callable, options: dict
) -> None:
    # Enough tokens in the last stage, too, for the order of the scan to matter.
    model = build(**options).train()
    for position, output in enumerate(model(make_images(2, 3, 96, 128))):
        weight = make_images(*output.shape, seed=position)
        (output * weight).sum().backward(retain_graph=True)
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


@every_option
def test_outputs_are_those_that_were_asked_for(
    build: Callable, make_images: Callable, options: dict
) -> None:
    model = build(**options).eval()
    outputs = model(make_images(2, 3, 64, 96))
    assert isinstance(outputs, tuple)
    indices = options.get('out_indices', range(4))
    if options.get('out_type') == 'avg_featmap':
        expected = [(2, (16, 24, 32, 48)[max(options.get('out_indices', (3,)))])]
    else:
        expected = [(2, (16, 24, 32, 48)[i], 16 >> i, 24 >> i) for i in indices]
    assert [tuple(output.shape) for output in outputs] == expected
    assert all(output.is_contiguous() for output in outputs)


@every_option
def test_the_oracles_of_the_ops_give_the_same(
    build: Callable, make_images: Callable, options: dict
) -> None:
    images = make_images(2, 3, 64, 64)
    expected = build(**{**options, 'backend': 'naive'}).eval()(images)
    for output, wanted in zip(build(**options).eval()(images), expected, strict=True):
        torch.testing.assert_close(output, wanted, rtol=0, atol=1e-4)


def test_a_subset_of_outputs_has_the_same_values(build: Callable, make_images: Callable) -> None:
    full, part = build().eval(), build(out_indices=(0, 2)).eval()
    assert len(part.stages) == 3  # what follows is not built
    part.load_state_dict(full.state_dict(), strict=False)
    images = make_images(1, 3, 64, 64)
    outputs = full(images)
    for output, expected in zip(part(images), (outputs[0], outputs[2]), strict=True):
        assert torch.equal(output, expected)


def test_average_is_the_norm_of_the_mean_of_the_last_map(
    build: Callable, make_images: Callable
) -> None:
    images = make_images(3, 3, 64, 64)
    model = build(out_type='avg_featmap').eval()
    maps = build().eval()
    maps.load_state_dict(model.state_dict(), strict=False)
    mean = maps(images)[-1].mean((2, 3))
    expected = torch.nn.functional.layer_norm(
        mean, (48,), model.post_norm.weight, model.post_norm.bias, eps=1e-6
    )
    torch.testing.assert_close(model(images)[0], expected)


@pytest.mark.parametrize(
    ('arch', 'published', 'ours', 'channels'),
    [
        ('tiny', 3.22, 3.23, (48, 96, 192, 384)),
        ('small', 11.79, 11.84, (64, 128, 256, 512)),
        ('base', 36.75, 36.85, (96, 192, 384, 768)),
        ('large', 91.24, 91.46, (128, 256, 512, 1024)),
    ],
)
def test_sizes_of_the_archs(
    arch: str, published: float, ours: float, channels: tuple[int, ...]
) -> None:
    # the paper's figures are 36.75 and 91.3
    for millions, options in ((published, dict(published=True)), (ours, {})):
        model = DynamicVis(arch, **options)
        total = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        assert total == pytest.approx(millions, abs=0.005)
    assert model.embed_dims == channels
    assert model.pos_embed.shape == (1, channels[0], 128, 128)


def test_tiny_as_it_is(make_images: Callable) -> None:
    model = DynamicVis('tiny').eval()
    with torch.inference_mode():
        outputs = model(make_images(1, 3, 128, 96))
    sizes = [(1, 48, 32, 24), (1, 96, 16, 12), (1, 192, 8, 6), (1, 384, 4, 3)]
    assert [tuple(output.shape) for output in outputs] == sizes


def test_named_archs_take_the_numbers_of_a_dict(make_images: Callable) -> None:
    named = DynamicVis('tiny', img_size=32).eval()
    given = DynamicVis(dict(embed_dims=[48, 96, 192, 384], depths=[1, 1, 2, 1]), img_size=32).eval()
    given.load_state_dict(named.state_dict())
    images = make_images(1, 3, 32, 32)
    assert all(torch.equal(a, b) for a, b in zip(named(images), given(images), strict=True))


def test_other_strides_and_stages(make_images: Callable) -> None:
    model = DynamicVis(
        dict(embed_dims=(16, 24), depths=(1, 1)),
        in_channels=13,
        img_size=(24, 32),
        patch_sizes=(3, 3),
        strides=(2, 2),
        reduction_ratios=(1 / 2, None),
    )
    assert model.pos_embed.shape == (1, 16, 12, 16)
    outputs = model(make_images(2, 13, 25, 30))
    assert [tuple(output.shape) for output in outputs] == [(2, 16, 13, 15), (2, 24, 7, 8)]


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_lives_on_its_own(
    build: Callable, make_images: Callable, duplicate: Callable
) -> None:
    model, other = build().eval(), build(seed=1, img_size=96)
    expected = model(make_images(1, 3, 64, 64))
    twin = duplicate(model)
    outputs = twin(make_images(1, 3, 64, 64))
    assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
    del model
    twin.load_state_dict(other.state_dict())  # the load hook of the copy knows the copy
    assert torch.equal(
        twin.stages[0].merger.projection.weight, other.stages[0].merger.projection.weight
    )


@every_option
def test_published_names_map_there_and_back(build: Callable, options: dict) -> None:
    names = list(build(**{**options, 'published': True}).state_dict())
    published = [to_published(name) for name in names]
    assert len(set(published)) == len(names)
    assert not any('stages' in name or 'units' in name for name in published)
    assert [to_ours(name) for name in published] == names
    assert [to_ours(name) for name in names] == names


def test_channels_last_images_give_the_same(build: Callable, make_images: Callable) -> None:
    model, images = build().eval(), make_images(2, 3, 64, 64)
    outputs = model(images.to(memory_format=torch.channels_last))
    for output, expected in zip(outputs, model(images), strict=True):
        torch.testing.assert_close(output, expected)
