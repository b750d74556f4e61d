"""What becomes of weights in a backbone: adapted, summed up, refused if they do not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import get_state_dict, save_checkpoint, weights_to_cpu
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.state_dict_map import convert_layout, flatten_position, to_published
from mmdynamicvis.models.stem_bands import with_bands
from mmdynamicvis.models.weights import load_weights, save_weights

OTHER_ARCH = dict(embed_dims=(16, 24, 40, 48), depths=(1, 1, 2, 1))


class Parent(BaseModule):
    def __init__(self, backbone: DynamicVis) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(48, 2)


def published(model: DynamicVis, prefix: str = '') -> dict[str, Tensor]:
    """The weights of a backbone in the published layout."""
    weights = {prefix + to_published(name): t.clone() for name, t in model.state_dict().items()}
    weights[f'{prefix}pos_embed'] = flatten_position(model.pos_embed.detach())
    return weights


def assert_same_weights(actual: nn.Module, expected: nn.Module) -> None:
    for name, tensor in expected.state_dict().items():
        assert torch.equal(actual.state_dict()[name], tensor), name


def messages(log: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.getMessage())
        for record in log.records
        if record.getMessage().startswith('DynamicVis: loaded')
    ]


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
@pytest.mark.parametrize('prefix', [None, 'backbone.'])
def test_init_cfg(
    build: Callable,
    log: pytest.LogCaptureFixture,
    tmp_path: Path,
    suffix: str,
    prefix: str | None,
) -> None:
    source, path = build(scan_mode='gate', seed=1), tmp_path / f'a.{suffix}'
    weights = published(source, prefix or '')
    if prefix:
        weights['head.fc.weight'] = torch.ones(3, 48)
    if suffix == 'pth':
        torch.save({'meta': {'epoch': 3}, 'state_dict': weights}, path)
    else:
        save_file(weights, path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix=prefix)
    model = build(scan_mode='gate', init_cfg=init_cfg)
    model.init_weights()
    assert_same_weights(model, source)
    total = len(source.state_dict())
    assert messages(log) == [(logging.INFO, f'DynamicVis: loaded {total} of {total} tensors')]


def test_pretrained_is_what_mmseg_hands_on(build: Callable, tmp_path: Path) -> None:
    source, path = build(seed=1), str(tmp_path / 'a.pth')
    torch.save(source.state_dict(), path)
    model = build(pretrained=path)
    model.init_weights()
    assert_same_weights(model, source)


def test_init_cfg_loads_once(build: Callable, tmp_path: Path) -> None:
    source = build(seed=1)
    torch.save(source.state_dict(), tmp_path / 'a.pth')
    parent = Parent(build(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))))
    parent.init_weights()
    assert_same_weights(parent.backbone, source)
    nn.init.zeros_(parent.backbone.pos_embed)
    parent.init_weights()
    parent.backbone.init_weights()
    assert not parent.backbone.pos_embed.any()


def test_init_cfg_in_a_list(build: Callable, tmp_path: Path) -> None:
    source, path = build(seed=1), tmp_path / 'a.pth'
    torch.save(published(source, 'backbone.'), path)
    pretrained = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    model = build(init_cfg=[dict(type='Kaiming', layer='Conv2d'), pretrained])
    model.init_weights()
    assert_same_weights(model, source)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_mmengine_load_checkpoint(build: Callable, tmp_path: Path, prefix: str) -> None:
    source, model, path = build(seed=1), build(), tmp_path / 'a.pth'
    torch.save({'state_dict': published(source, prefix)}, path)
    load_checkpoint(model, str(path), strict=True)
    assert_same_weights(model, source)


def test_mmengine_load_checkpoint_of_a_whole_model(
    build: Callable, log: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    source, model, path = Parent(build(seed=1)), Parent(build()), tmp_path / 'a.pth'
    weights = published(source.backbone, 'backbone.')
    head = {f'head.{name}': tensor for name, tensor in source.head.state_dict().items()}
    torch.save({'state_dict': {**weights, **head}}, path)
    load_checkpoint(model, str(path), strict=True)
    assert_same_weights(model, source)
    assert len(messages(log)) == 1


@pytest.mark.parametrize('layout', ['ours', 'published'])
def test_load_state_dict(build: Callable, layout: str) -> None:
    source, model = build(seed=1), build()
    weights = source.state_dict() if layout == 'ours' else published(source)
    before = dict(weights)
    result = model.load_state_dict(weights, strict=True)
    assert result.missing_keys == result.unexpected_keys == []
    assert_same_weights(model, source)
    assert weights.keys() == before.keys()  # the caller's dict is left alone
    assert all(weights[name] is tensor for name, tensor in before.items())


def test_load_state_dict_of_a_whole_model(build: Callable) -> None:
    source, model = Parent(build(seed=1)), Parent(build())
    head = {f'head.{name}': tensor for name, tensor in source.head.state_dict().items()}
    model.load_state_dict({**published(source.backbone, 'backbone.'), **head}, strict=True)
    assert_same_weights(model, source)


def test_two_backbones_in_one_model(build: Callable) -> None:
    source = nn.ModuleDict({'a': build(seed=1), 'b': build(seed=2, img_size=32)})
    model = nn.ModuleDict({'a': build(seed=3), 'b': build(seed=4, img_size=32)})
    model.load_state_dict({**published(source['a'], 'a.'), **published(source['b'], 'b.')})
    assert_same_weights(model, source)


def test_summary_names_what_is_missing_unexpected_and_resized(
    build: Callable, log: pytest.LogCaptureFixture
) -> None:
    source, model = build(img_size=32), build(seed=1)
    weights = published(source)
    del weights['layers.2.0.projection.bias']
    weights['head.fc.weight'] = torch.ones(1)
    model.load_state_dict(weights, strict=False)
    total = len(model.state_dict())
    assert messages(log) == [
        (
            logging.WARNING,
            f'DynamicVis: loaded {total - 1} of {total} tensors; '
            '1 resized: pos_embed (1, 64, 16) -> (1, 16, 16, 16); '
            '1 missing: stages.2.merger.projection.bias; '
            '1 unexpected: head.fc.weight',
        )
    ]
    with pytest.raises(RuntimeError, match=r'Missing key.*stages\.2\.merger\.projection\.bias'):
        model.load_state_dict(weights, strict=True)


def test_summary_is_cut_when_it_is_long(build: Callable, log: pytest.LogCaptureFixture) -> None:
    source = build(scan_mode='forward')
    partial = {n: t for n, t in source.state_dict().items() if not n.startswith('stages.2.')}
    build().load_state_dict(partial, strict=False)
    ((level, text),) = messages(log)
    n_missing = len(source.state_dict()) - len(partial)
    assert level == logging.WARNING
    assert f'{n_missing} missing: stages.2.merger.projection.weight' in text
    assert text.endswith(f' and {n_missing - 8} more')


@pytest.mark.parametrize('whole_model', [False, True])
def test_a_checkpoint_that_matches_nothing_is_an_error(build: Callable, whole_model: bool) -> None:
    resnet = {'conv1.weight': torch.ones(8, 3, 7, 7), 'layer1.0.bn1.bias': torch.ones(8)}
    model = build()
    if whole_model:
        model = Parent(model)
        resnet = {f'backbone.{name}': tensor for name, tensor in resnet.items()}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RuntimeError, match=r'nothing for the backbone.*conv1\.weight'):
        model.load_state_dict(resnet, strict=False)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_a_checkpoint_of_a_head_alone_is_an_error(build: Callable) -> None:
    with pytest.raises(RuntimeError, match=r"no name in it begins with 'backbone\.'$"):
        Parent(build()).load_state_dict({'head.b': torch.ones(1)}, strict=False)


def test_a_forgotten_prefix_is_an_error_that_tells_it(build: Callable, tmp_path: Path) -> None:
    torch.save(published(build(), 'backbone.'), tmp_path / 'a.pth')
    model = build(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth')))
    with pytest.raises(RuntimeError, match=r"nothing for the backbone.*prefix='backbone\.'"):
        model.init_weights()


@pytest.mark.parametrize('strict', [True, False])
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            dict(arch=OTHER_ARCH),
            r'another backbone.* \(40, 24, 3, 3\) .* \(32, 24, 3, 3\) in the model',
        ),
        (
            dict(in_channels=4),
            r'takes 4 bands, the backbone 3, .*Name them: bands=\(\.\.\.\) of the backbone',
        ),
        (
            dict(patch_sizes=(5, 3, 3, 3)),
            r'weight is \(16, 3, 5, 5\) .*\(16, 3, 7, 7\) in the model',
        ),
    ],
    ids=['arch', 'bands', 'patch size'],
)
def test_another_backbone_is_an_error(
    build: Callable, arguments: dict, message: str, strict: bool
) -> None:
    model = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for weights in (build(**arguments).state_dict(), published(build(**arguments))):
        with pytest.raises(RuntimeError, match=message):
            model.load_state_dict(weights, strict=strict)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def expected_position(source: DynamicVis, model: DynamicVis) -> Tensor:
    grid = model.pos_embed.shape[2:]
    if source.pos_embed.shape[2:] == grid:
        return source.pos_embed
    return interpolate(source.pos_embed, grid, mode='bicubic')


@pytest.mark.parametrize('own', [32, 64, (64, 96), (40, 72)], ids=str)
@pytest.mark.parametrize('trained', [64, (64, 96), (96, 64), (32, 128)], ids=str)
def test_position_embedding_is_resized(
    build: Callable, trained: int | tuple, own: int | tuple
) -> None:
    source, model = build(img_size=trained, seed=1), build(img_size=own)
    model.load_state_dict(source.state_dict(), strict=True)
    assert torch.equal(model.pos_embed, expected_position(source, model))


@pytest.mark.parametrize(
    ('trained', 'own'),
    [
        (64, 64),
        (64, 96),
        (96, (40, 72)),
        ((64, 96), (64, 96)),
        ((64, 96), (128, 192)),
        ((96, 32), (48, 16)),
    ],
    ids=str,
)
def test_published_position_embedding_is_resized(
    build: Callable, trained: int | tuple, own: int | tuple
) -> None:
    """It is flat: a square, or of the shape of the model."""
    source, model = build(img_size=trained, seed=1), build(img_size=own)
    model.load_state_dict(published(source), strict=True)
    assert torch.equal(model.pos_embed, expected_position(source, model))


def test_a_position_embedding_of_unknown_shape_is_an_error(build: Callable) -> None:
    source, model = build(img_size=(64, 96)), build(img_size=64)
    message = r"384 tokens, neither a square nor of the shape of the model's 16 x 16.*img_size"
    with pytest.raises(RuntimeError, match=message):
        model.load_state_dict(published(source))


RGB = ('red', 'green', 'blue')
STEM = 'stages.0.merger.projection.weight'


def stem(model: DynamicVis) -> Tensor:
    return model.state_dict()[STEM]


@pytest.mark.parametrize(
    ('bands', 'text'),
    [
        (
            ('coastal', 'Blue', 'GREEN', 'red', 'nir'),
            'of its bands red, green, blue, Blue, GREEN, red are taken, and coastal, nir start '
            'fresh',
        ),
        (('VV', 'VH'), 'of its bands red, green, blue, none are taken, and VV, VH start fresh'),
        (('blue', 'red'), 'of its bands red, green, blue, blue, red are taken'),
        (('blue', 'green', 'red'), 'of its bands red, green, blue, blue, green, red are taken'),
    ],
    ids=lambda x: str(len(x)),
)
@pytest.mark.parametrize('layout', ['ours', 'published'])
def test_bands_take_the_weights_of_their_names(
    build: Callable, log: pytest.LogCaptureFixture, bands: tuple, text: str, layout: str
) -> None:
    source, model = build(seed=1), build(bands=bands)
    before = stem(model).clone()
    weights = source.state_dict() if layout == 'ours' else published(source)
    weights = with_bands(weights, {'': RGB})
    missing, unexpected = model.load_state_dict(weights, strict=False)
    fresh = [band for band in bands if band.lower() not in RGB]
    assert missing == [f'{STEM} of band {band}' for band in fresh]
    assert not unexpected
    for i, band in enumerate(bands):
        known = band.lower() in RGB
        expected = stem(source)[:, RGB.index(band.lower())] if known else before[:, i]
        assert torch.equal(stem(model)[:, i], expected)
    ((level, said),) = messages(log)
    assert said.endswith(f'; {text}')
    assert level == (logging.WARNING if fresh else logging.INFO)


def test_the_same_bands_say_nothing(build: Callable, log: pytest.LogCaptureFixture) -> None:
    source = build(seed=1, bands=('B02', 'VV'))
    model = build(bands=('b2', 'vv'))
    model.load_state_dict(source.state_dict())
    assert_same_weights(model, source)
    total = len(source.state_dict())
    assert messages(log) == [(logging.INFO, f'DynamicVis: loaded {total} of {total} tensors')]


@pytest.mark.parametrize(('trained', 'own'), [(None, None), (RGB, None), (None, (*RGB, 'nir'))])
def test_bands_without_names(build: Callable, trained: tuple | None, own: tuple | None) -> None:
    model = build(in_channels=4, bands=own)
    weights = with_bands(build(seed=1).state_dict(), {'': trained} if trained else {})
    message = (
        r'takes 3 bands, the backbone 4, .* for a checkpoint without names bands=\(\.\.\.\) of'
    )
    with pytest.raises(RuntimeError, match=message):
        model.load_state_dict(weights, strict=False)
    assert torch.equal(stem(model), stem(build(in_channels=4)))


def test_as_many_bands_without_names_are_taken_in_order(
    build: Callable, log: pytest.LogCaptureFixture
) -> None:
    source, model = build(seed=1), build(bands=RGB)
    model.load_state_dict(source.state_dict())
    assert_same_weights(model, source)
    assert messages(log)[0][1].endswith('; its bands have no names: taken as red, green, blue')


def test_names_of_other_than_the_bands_are_refused(build: Callable) -> None:
    weights = with_bands(build().state_dict(), {'': ['red', 'nir']})
    with pytest.raises(RuntimeError, match=r'2 bands are named .*red, nir, but its stem takes 3'):
        build(bands=RGB).load_state_dict(weights)


def test_init_cfg_names_the_bands_of_a_checkpoint(build: Callable, tmp_path: Path) -> None:
    source, path = build(seed=1), str(tmp_path / 'a.pth')
    torch.save(published(source, 'backbone.'), path)
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.', bands=RGB)
    model = build(bands=('nir', 'red'), init_cfg=init_cfg)
    fresh = stem(model)[:, 0].clone()
    model.init_weights()
    assert torch.equal(stem(model), torch.stack([fresh, stem(source)[:, 0]], 1))


@pytest.mark.parametrize('suffix', ['pth', 'safetensors', 'mmengine'])
def test_names_of_bands_are_saved_and_read(build: Callable, tmp_path: Path, suffix: str) -> None:
    bands, path = ('nir', 'red', 'green'), tmp_path / f'a.{suffix}'
    source = Parent(build(seed=1, bands=bands))
    if suffix == 'mmengine':
        path = path.with_suffix('.pth')
        save_checkpoint(dict(state_dict=weights_to_cpu(get_state_dict(source))), str(path))
    else:
        save_weights(source.state_dict(), path)
    expected = stem(source.backbone)
    loaded = DynamicVis.from_checkpoint(path)
    assert loaded.bands == bands
    assert torch.equal(stem(loaded), expected)

    turned = Parent(build(bands=bands[::-1]))
    load_checkpoint(turned, str(path), strict=True)
    assert torch.equal(stem(turned.backbone), expected.flip(1))

    part = load_weights(path, 'backbone')
    turned = build(bands=bands[::-1])
    turned.load_state_dict(part)
    assert torch.equal(stem(turned), expected.flip(1))

    more = ('red', 'swir16')
    with pytest.raises(RuntimeError, match=r'projection\.weight of band swir16'):
        DynamicVis.from_checkpoint(path, bands=more)
    wider = DynamicVis.from_checkpoint(path, bands=more, strict=False)
    assert wider.in_channels == 2
    assert torch.equal(stem(wider)[:, 0], expected[:, 1])


def test_wrong_names_of_bands(build: Callable) -> None:
    for bands in (('red', 'RED'), 'red', ('red', ' ')):
        with pytest.raises(ValueError, match='give a different name for each channel'):
            build(bands=bands)
    with pytest.raises(ValueError, match='in_channels is 4, but bands has 3 names'):
        build(bands=RGB, in_channels=4)


@pytest.mark.parametrize('layout', ['ours', 'published'])
def test_a_model_takes_over_the_published_design(
    build: Callable, make_images: Callable, log: pytest.LogCaptureFixture, layout: str
) -> None:
    source = build(published=True).eval()
    weights = source.state_dict()
    if layout == 'published':
        weights = convert_layout(weights, 'published')
    model = build(seed=1).train()
    model.load_state_dict(weights, strict=True)
    assert 'the published design, to which the model switches' in log.text
    images = make_images(2, 3, 64, 64)
    for output, expected in zip(model.eval()(images), source(images), strict=True):
        assert torch.equal(output, expected)
    # its own checkpoints are of that design
    again = build(seed=2)
    again.load_state_dict(model.state_dict(), strict=True)
    assert again.published


def test_parameters_of_an_optimizer_survive_the_change_of_design(
    build: Callable, make_images: Callable
) -> None:
    model = build(seed=1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model.load_state_dict(build(published=True).state_dict())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    ramps = (
        torch.linspace(-1, 1, x.numel()).view(x.shape) * x for x in model(make_images(2, 3, 64, 64))
    )
    sum(x.mean() for x in ramps).backward()
    optimizer.step()
    assert not any(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_published_model_refuses_weights_of_the_default_design(build: Callable) -> None:
    with pytest.raises(RuntimeError, match='not of the published design, but the model is'):
        build(published=True).load_state_dict(build().state_dict())
    with pytest.raises(ValueError, match='its layout has no place for the convolutions'):
        convert_layout(build().state_dict(), 'published')


def test_a_stem_alone_changes_no_design(build: Callable) -> None:
    model = build()
    stem = {n: p for n, p in build(seed=1).state_dict().items() if 'stages.0.merger' in n}
    model.load_state_dict(stem, strict=False)
    assert not model.published
