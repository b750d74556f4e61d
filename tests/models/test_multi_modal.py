"""Several modalities in one backbone, at any ground sampling distance."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from mmdynamicvis import DynamicVis
from mmdynamicvis.models import ModalityImages, MultiModalBatch, MultiModalDynamicVis
from mmdynamicvis.models.selections import record_selections
from mmdynamicvis.models.state_dict_map import convert_layout
from mmdynamicvis.registry import MODELS

TOY = dict(embed_dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))
RGB = dict(bands=('red', 'green', 'blue'), gsd=0.3, unit='uint8')
S2 = dict(bands=('B02', 'B03', 'B04', 'B08'), gsd=10.0)
S1 = dict(bands=('VV', 'VH'), gsd=10.0)
ALL = dict(rgb=RGB, sentinel2=S2, sentinel1=S1)
EVERYTHING = dict(cell=10.0, prompts=4, position_embedding='metric', experts=dict(num=4, units=2))
either_design = pytest.mark.parametrize('published', [False, True], ids=['default', 'published'])


def build_multi(modalities: dict = ALL, seed: int = 0, **arguments) -> MultiModalDynamicVis:
    torch.manual_seed(seed)
    primary = 'rgb' if 'rgb' in modalities else None
    arguments = {'img_size': 64, 'primary': primary, **arguments}
    model = MultiModalDynamicVis(TOY, modalities, **arguments)
    for name, parameter in model.named_parameters():
        if name == 'pos_embed' or 'down_' in name:  # zero in a new model, which would hide it
            nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def make_batch(make_images: Callable) -> Callable[..., MultiModalBatch]:
    """Make a batch with rows of samples per modality, 115 to 120 m on the ground."""

    def make_batch(
        rgb: Sequence[int] = (0, 1), sentinel2: Sequence[int] = (), sentinel1: Sequence[int] = ()
    ) -> MultiModalBatch:
        images = dict(
            rgb=images_of(make_images(len(rgb), 3, 384, 384), rgb, 0.3),
            sentinel2=images_of(make_images(len(sentinel2), 4, 12, 12), sentinel2, 10.0),
            sentinel1=images_of(make_images(len(sentinel1), 2, 12, 12), sentinel1, 10.0),
        )
        images = {name: entry for name, entry in images.items() if len(entry.samples)}
        return MultiModalBatch(images, 2)

    return make_batch


def images_of(
    pixels: Tensor, samples: Sequence[int], gsd: float, bands: tuple | None = None
) -> ModalityImages:
    return ModalityImages(pixels, torch.tensor(samples, dtype=torch.int64), gsd, bands)


def levels(model: MultiModalDynamicVis, name: str, pixels: Tensor, gsd: float, bands=None) -> tuple:
    samples = range(len(pixels))
    batch = MultiModalBatch({name: images_of(pixels, samples, gsd, bands)}, len(pixels))
    return model(batch).maps[name].levels


def assert_same(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@pytest.mark.parametrize('as_batch', [False, True], ids=['images', 'batch'])
@pytest.mark.parametrize(
    'options',
    [{}, dict(published=True), dict(reduction_ratios=None, with_cp=True), dict(drop_path_rate=0.5)],
    ids=str,
)
def test_one_modality_is_dynamicvis(
    build: Callable, make_images: Callable, options: dict, as_batch: bool
) -> None:
    model, plain = build_multi(dict(rgb=RGB), **options), build(**options)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert_same(list(model.state_dict().values()), list(plain.state_dict().values()))
    images = make_images(2, 3, 64, 96)
    outputs = []
    for network in (model, plain):
        torch.manual_seed(1)  # of the selection noise
        if as_batch and network is model:
            maps = levels(network.train(), 'rgb', images, 0.3)
        else:
            maps = network.train()(images)
        sum((x * make_images(*x.shape)).sum() for x in maps).backward()
        outputs.append(maps)
    assert_same(*outputs)
    gradients = [[p.grad for p in network.parameters()] for network in (model, plain)]
    assert_same(*gradients)


@pytest.mark.parametrize(
    ('layout', 'published'), [('ours', False), ('ours', True), ('published', True)]
)
def test_weights_of_dynamicvis_load(
    build: Callable, make_images: Callable, layout: str, published: bool
) -> None:
    plain = build(seed=1, published=published).eval()
    weights = convert_layout(plain.state_dict(), layout)
    model = build_multi(cell=10.0, prompts=2).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    own = ('tokenizers.', 'merger_norms.', 'prompts.')
    assert all(name.startswith(own) for name in missing)
    assert model.published == published
    assert len(model.merger_norms) == (0 if published else 2)
    alone = build_multi(dict(rgb=RGB)).eval()
    alone.load_state_dict(weights)
    images = make_images(1, 3, 64, 64)
    assert_same(alone(images), plain(images))
    # the others run, too
    assert levels(model, 'sentinel1', make_images(1, 2, 8, 8), 10.0)[3].shape == (1, 48, 8, 8)


def test_from_checkpoint_takes_the_weights_of_one_modality(
    build: Callable, make_images: Callable, tmp_path
) -> None:
    plain = build().eval()
    torch.save(dict(state_dict=plain.state_dict()), tmp_path / 'plain.pth')
    model = MultiModalDynamicVis.from_checkpoint(tmp_path / 'plain.pth', modalities=dict(rgb=RGB))
    images = make_images(1, 3, 64, 64)
    assert_same(model(images), plain(images))


def test_own_norms_start_as_those_of_the_primary_modality(build: Callable) -> None:
    plain = build().train()
    plain(torch.randn(2, 3, 64, 64))
    nn.init.normal_(plain.stages[2].merger.norm.weight)
    model = build_multi()
    model.load_state_dict(plain.state_dict(), strict=False)
    for name, value in plain.stages[2].merger.norm.state_dict().items():
        assert torch.equal(model.merger_norms['sentinel1']['2'].state_dict()[name], value)


@either_design
def test_missing_modalities_and_several_dates(
    make_batch: Callable[..., MultiModalBatch], published: bool
) -> None:
    model = build_multi(published=published, **EVERYTHING).eval()
    # modalities do not see each other
    features = model(make_batch((0, 1), (1,), (0, 0, 1)))
    assert list(features.maps) == ['rgb', 'sentinel1', 'sentinel2']
    assert features.size == 2
    for name, rows in dict(rgb=(0, 1), sentinel2=(1,), sentinel1=(0, 0, 1)).items():
        maps = features.maps[name]
        assert maps.samples.tolist() == list(rows)
        assert [x.shape[0] for x in maps.levels] == [len(rows)] * 4
        alone = model(make_batch(**{'rgb': (), name: rows}))
        assert list(alone.maps) == [name]
        assert_same(alone.maps[name].levels, maps.levels)
    empty = MultiModalBatch(dict(rgb=images_of(torch.zeros(0, 3, 64, 64), (), 0.3)), 1)
    with pytest.raises(ValueError, match='the batch has no images of any modality'):
        model(empty)


@pytest.mark.parametrize('name', ['rgb', 'sentinel2'])
def test_bands_by_name(make_images: Callable, name: str) -> None:
    model = build_multi(cell=10.0).eval()
    bands, gsd = ALL[name]['bands'], ALL[name]['gsd']
    pixels = make_images(1, len(bands), 64, 64)
    full = levels(model, name, pixels, gsd)
    shuffled = levels(model, name, pixels.flip(1), gsd, bands[::-1])
    spelled = levels(model, name, pixels, gsd, tuple(band.upper() for band in bands))
    for a, b, c in zip(full, shuffled, spelled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert torch.equal(a, c)
    # absent bands count as zero, and the others are scaled by n / |S|
    part = levels(model, name, pixels[:, 1:], gsd, bands[1:])
    scale = len(bands) / (len(bands) - 1)
    zeroed = torch.cat([torch.zeros_like(pixels[:, :1]), pixels[:, 1:] * scale], dim=1)
    for a, b in zip(part, levels(model, name, zeroed, gsd), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ('name', 'pixels', 'gsd', 'bands', 'message'),
    [
        ('rgb', (2, 64, 64), 0.3, ('red', 'nir'), r'choose different ones of red, .* no nir'),
        ('rgb', (2, 64, 64), 0.3, ('red', 'R'), 'have the bands red, R; choose different'),
        ('rgb', (2, 64, 64), 0.3, None, r'of rgb have shape .*need \(N, 3, H, W\)'),
        ('sentinel1', (2, 64, 64), 10.0, ('VV',), r'need \(N, 1, H, W\) for the bands VV'),
        ('sar', (2, 64, 64), 10.0, None, "'sar' is unknown; .*rgb, sentinel1, sentinel2"),
        ('rgb', (3, 64, 64), None, None, 'of rgb have gsd=None; give their meters per pixel'),
        ('rgb', (3, 64, 64), float('nan'), None, 'gsd=nan'),
        ('rgb', (3, 64, 64), -0.3, None, 'gsd=-0.3'),
        ('rgb', (3, 64, 31), 0.3, None, 'of rgb are 64 x 31 pixels; need at least 32'),
    ],
)
def test_bad_images_are_named(
    make_images: Callable, name: str, pixels: tuple, gsd: float, bands: tuple, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        levels(build_multi(cell=10.0).eval(), name, make_images(1, *pixels), gsd, bands)


def test_bad_batches_are_named(make_batch: Callable[..., MultiModalBatch]) -> None:
    model = build_multi(cell=10.0).train()
    batch = make_batch((0,), (0,))
    batch.images['sentinel2'] = batch.images['sentinel2']._replace(gsd=20.0)
    with pytest.raises(ValueError, match=r'rgb 115\.2 x 115\.2 m and sentinel2 240 x 240 m'):
        model(batch)
    batch = make_batch()
    batch.images['rgb'] = batch.images['rgb']._replace(samples=torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r'samples of rgb .* \(2,\), one per image'):
        model(batch)
    with pytest.raises(ValueError, match='input is a dict; give a MultiModalBatch'):
        model(make_batch().images)
    single = MultiModalBatch(dict(sentinel1=images_of(torch.zeros(1, 2, 1, 1), (0,), 10.0)), 1)
    with pytest.raises(ValueError, match='training on one image of 1 x 1 pixels'):
        model(single)
    one = build_multi(dict(rgb=RGB), out_type='avg_featmap')
    with pytest.raises(ValueError, match="'avg_featmap' takes images"):
        one(make_batch())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(modalities={}), 'modalities is {}; give their names'),
        (dict(modalities=dict(rgb=dict(bands=('red',)))), r"\['rgb'\] has bands; need bands and"),
        (dict(modalities=dict(rgb=dict(RGB, size=3))), 'has bands, gsd, unit, size; need'),
        (dict(modalities=dict(rgb=dict(RGB, gsd=0))), 'gsd=0; give meters'),
        (dict(modalities=dict(rgb=dict(RGB, stride=2))), 'primary one'),
        (dict(modalities=dict(rgb=dict(RGB, bands=('R', 'red')))), 'a different name for each'),
        (dict(modalities=dict(rgb=RGB, s=dict(S1, patch_size=4))), 'patch_size=4; it must be odd'),
        (dict(modalities=dict(rgb=RGB, s=dict(S1, stride=0))), 'stride=0; it must be positive'),
        (dict(modalities={'s.1': S1}), "the name 's.1'; choose another"),
        (dict(modalities=dict(items=S1)), "the name 'items'; choose another"),
        (dict(in_channels=3), 'in_channels is 3; name the bands in modalities'),
        (dict(position_embedding='meters'), "'meters'; choose True, False or 'metric'"),
        (dict(primary=None), 'primary is None; name one of the modalities rgb, sentinel2, '),
        (dict(primary='s2'), "primary is 's2'; name one of"),
        (dict(cell=0), 'cell is 0; give the side'),
        (dict(prompts=-1), 'prompts is -1'),
        (dict(experts=dict(units=9)), 'experts has units 9; choose 1 to 5'),
        (dict(experts=dict(num=2, top_k=3)), 'num 2 and top_k 3'),
        (dict(out_type='avg_featmap'), 'takes one modality; there are rgb, sentinel1, sentinel2'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_multi(**{'modalities': ALL, **arguments})


@either_design
def test_keeping_equals_merging_where_the_map_is_constant(published: bool) -> None:
    merger = build_multi(published=published).eval().stages[1].merger
    halves = torch.randn(2, 16, 1, 1).expand(-1, -1, 12, 12)
    x = torch.cat([halves[:1], halves[1:]], dim=3)  # 12 x 24, another value from column 12
    kept, grid = merger(x, keep=True)
    assert grid == (12, 24)
    merged, grid = merger(x)
    assert grid == (6, 12)
    kept, merged = kept.unflatten(1, (12, 24))[:, ::2, ::2], merged.unflatten(1, grid)
    for columns in (slice(1, 5), slice(7, 11)):
        inner = (slice(None), slice(1, 5), columns)
        torch.testing.assert_close(kept[inner], merged[inner], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(kept[:, 0], merged[:, 0], atol=1e-3)  # padding


def test_half_the_pixels_of_twice_the_size_give_the_same_grids(make_images: Callable) -> None:
    model = build_multi(cell=10.0).eval()
    shapes = {}
    for gsd, size in ((0.3, 384), (0.6, 192), (1.2, 96), (2.4, 48)):
        maps = levels(model, 'rgb', make_images(1, 3, size, size), gsd)
        shapes[gsd] = [x.shape[2] for x in maps]
    assert shapes[0.3] == [96, 48, 24, 12]
    assert shapes[0.6] == [48, 48, 24, 12]
    assert shapes[1.2] == [24, 24, 24, 12]
    assert shapes[2.4] == [12, 12, 12, 12]
    assert model.cells('rgb') == pytest.approx((1.2, 2.4, 4.8, 9.6))
    assert model.cells('rgb', 2.4) == pytest.approx((9.6,) * 4)
    assert build_multi().cells('rgb', 2.4) == pytest.approx((9.6, 19.2, 38.4, 76.8))


@pytest.mark.parametrize('gsd', [0.3, 0.3125, 10 / 32 * 1.0004])
def test_aerial_and_satellite_images_meet_on_one_grid(make_images: Callable, gsd: float) -> None:
    """Stride 4 at 0.3 m, and stride 1 at 10 m."""
    model = build_multi(cell=10.0).eval()
    strides = {name: modality.stride for name, modality in model.modalities.items()}
    assert strides == dict(rgb=4, sentinel2=1, sentinel1=1)
    batch = MultiModalBatch(
        dict(
            rgb=images_of(make_images(1, 3, 384, 320), (0,), gsd),
            sentinel2=images_of(make_images(1, 4, 12, 10), (0,), 10.0),
            sentinel1=images_of(make_images(1, 2, 12, 10), (0,), 10.0),
        ),
        1,
    )
    maps = model(batch).maps
    assert {tuple(entry.levels[3].shape) for entry in maps.values()} == {(1, 48, 12, 10)}
    assert maps['sentinel1'].cells == (10.0,) * 4
    assert maps['rgb'].cells == pytest.approx([gsd * stride for stride in (4, 8, 16, 32)])


def test_without_a_cell_every_modality_merges(make_images: Callable) -> None:
    model = build_multi(dict(rgb=RGB, sentinel1=dict(S1, stride=2, patch_size=5))).eval()
    assert model.tokenizers['sentinel1'].projection.kernel_size == (5, 5)
    maps = levels(model, 'sentinel1', make_images(1, 2, 32, 32), 10.0)
    assert [x.shape[2] for x in maps] == [16, 8, 4, 2]


@either_design
@pytest.mark.parametrize('ratio', [None, 1 / 2], ids=['dense', 'selecting'])
def test_prompts_are_carried_and_dropped(
    make_images: Callable, published: bool, ratio: float | None
) -> None:
    ratios = None if ratio is None else (ratio,) * 4
    options = dict(published=published, reduction_ratios=ratios)
    assert build_multi(**options).prompts is None
    model = build_multi(dict(rgb=RGB), prompts=3, **options).eval()
    shapes = {name: tuple(p.shape) for name, p in model.prompts.named_parameters()}
    assert shapes == {'rgb.2': (3, 32), 'rgb.3': (3, 48)}
    seen = []
    for stage in model.stages:
        for unit in stage.units:
            unit.register_forward_hook(lambda _, args, out: seen.append((args[2:], out[2])))
    images = make_images(2, 3, 64, 64)
    outputs = model(images)
    assert [tuple(x.shape[2:]) for x in outputs] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert [out is None for _, out in seen] == [True, True, False, False, False]
    (first_in,), first_out = seen[2]
    assert torch.equal(first_in, model.prompts['rgb']['2'].expand(2, 3, 32))
    assert torch.equal(seen[3][0][0], first_out)  # carried within the stage
    assert not torch.equal(first_in, first_out)
    assert torch.equal(seen[4][0][0], model.prompts['rgb']['3'].expand(2, 3, 48))  # anew
    # nothing else differs, and they matter
    plain = build_multi(dict(rgb=RGB), **options).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    assert_same(plain(images)[:2], outputs[:2])
    assert not torch.equal(plain(images)[2], outputs[2])


def test_prompts_come_first_in_the_sequence(make_images: Callable) -> None:
    """A forward pass over the prompts, global tokens and kept tokens, without the unit."""
    unit = build_multi(dict(rgb=RGB), published=True).eval().stages[3].units[0]
    tokens, prompts = make_images(2, 12, 48), make_images(2, 3, 48, seed=1)
    result, (indices, importance, _), after = unit(tokens, (3, 4), prompts)
    means = tokens.unflatten(1, (3, 4)).mean(2)
    kept = tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, 48))
    sequence = torch.cat([prompts, means, kept], dim=1)
    mixed = sequence + unit.mixer(unit.norm(sequence))
    torch.testing.assert_close(after, mixed[:, :3])
    expected = tokens.clone()
    weight = importance.exp().gather(1, indices).unsqueeze(-1)
    expected.scatter_add_(1, indices.unsqueeze(-1).expand(-1, -1, 48), weight * mixed[:, 6:])
    torch.testing.assert_close(result, expected)


@either_design
@pytest.mark.parametrize('with_cp', [False, True])
def test_every_parameter_gets_a_gradient(
    make_batch: Callable[..., MultiModalBatch], published: bool, with_cp: bool
) -> None:
    model = build_multi(published=published, with_cp=with_cp, **EVERYTHING).train()
    features = model(make_batch((0, 1), (0, 1), (0, 1)))
    total = sum(x.square().sum() for maps in features.maps.values() for x in maps.levels)
    (total + model.balance_loss).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # an expert may get no tokens
    assert [name for name in without if '.experts.' not in name] == []
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_checkpointing_changes_nothing(make_batch: Callable[..., MultiModalBatch]) -> None:
    gradients = []
    for with_cp in (False, True):
        model = build_multi(with_cp=with_cp, **EVERYTHING, selection_noise=None).train()
        features = model(make_batch((0, 1), (1,)))
        total = sum(x.square().mean() for maps in features.maps.values() for x in maps.levels)
        (total + model.balance_loss).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_frozen_stages_leave_what_belongs_to_other_modalities(
    make_batch: Callable[..., MultiModalBatch],
) -> None:
    model = build_multi(frozen_stages=3, **EVERYTHING).train()
    trained = {n.split('.')[0] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {'tokenizers', 'merger_norms', 'prompts'}
    assert not any(module.training for stage in model.stages for module in stage.modules())
    assert model.merger_norms['sentinel1']['1'].training
    maps = model(make_batch((), (), (0, 1))).maps['sentinel1'].levels
    sum(x.square().sum() for x in maps).backward()
    assert model.tokenizers['sentinel1'].projection.weight.grad.any()


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(
    make_batch: Callable[..., MultiModalBatch], duplicate: Callable
) -> None:
    model = build_multi(**EVERYTHING).train()
    batch = make_batch((0, 1), (1,), (0, 1))
    model(batch)
    twin, other = duplicate(model), build_multi(seed=1, **EVERYTHING)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    expected = model.eval()(batch).maps
    for network in (twin, other):
        for name, maps in network.eval()(batch).maps.items():
            assert_same(maps.levels, expected[name].levels)


def test_tokenizers_load_bands_by_name() -> None:
    model = build_multi(dict(rgb=RGB, sentinel2=S2))
    other = build_multi(dict(rgb=RGB, sentinel2=dict(S2, bands=('B8', 'B11', 'B4'))), seed=1)
    fresh = other.tokenizers['sentinel2'].projection.weight[:, 1].clone()
    missing, _ = other.load_state_dict(model.state_dict(), strict=False)
    assert missing == ['tokenizers.sentinel2.projection.weight of band B11']
    weight = model.tokenizers['sentinel2'].projection.weight
    loaded = other.tokenizers['sentinel2'].projection.weight
    assert torch.equal(loaded[:, 0], weight[:, 3])
    assert torch.equal(loaded[:, 1], fresh)
    assert torch.equal(loaded[:, 2], weight[:, 2])
    nameless = dict(model.state_dict())
    with pytest.raises(RuntimeError, match=r'size mismatch for tokenizers.sentinel2'):
        other.load_state_dict(nameless, strict=False)


@pytest.mark.parametrize(
    'published',
    [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.exhaustive])],
    ids=['default', 'published'],
)
def test_exported_with_fixed_sizes(make_images: Callable, published: bool) -> None:
    torch.manual_seed(0)
    model = MultiModalDynamicVis(
        dict(embed_dims=(8, 12), depths=(1, 1)),
        dict(rgb=dict(RGB, gsd=1.25), sentinel1=S1),
        'rgb',
        patch_sizes=(7, 3),
        strides=(4, 2),
        reduction_ratios=(1 / 2, 0),
        published=published,
        backend='eager',
        **{**EVERYTHING, 'experts': dict(num=2)},
    ).eval()
    rgb = images_of(make_images(1, 3, 32, 32), (1,), 1.25)
    sentinel1 = images_of(make_images(2, 1, 4, 4), (0, 1), 10.0, ('VH',))
    batch = MultiModalBatch(dict(rgb=rgb, sentinel1=sentinel1), 2)
    with torch.no_grad():
        exported = torch.export.export(model, (batch,)).module()
        expected, actual = model(batch), exported(batch)
    assert actual.maps.keys() == expected.maps.keys()
    for name, maps in expected.maps.items():
        assert actual.maps[name].cells == maps.cells
        assert torch.equal(actual.maps[name].samples, maps.samples)
        assert maps.levels[1].shape[1:] == (12, 4, 4)
        for a, b in zip(actual.maps[name].levels, maps.levels, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_depths_for_layer_wise_learning_rates() -> None:
    model = build_multi(prompts=2, experts=dict(num=2, units=2))
    names = {
        'tokenizers.sentinel2.projection.weight': 0,
        'merger_norms.sentinel2.2.weight': 3,
        'prompts.rgb.3': 5,
        'stages.2.experts.1.router.weight': 4,
        'stages.3.experts.0.router.weight': 5,
        'stages.2.units.1.norm.weight': 4,
    }
    parameters = dict(model.named_parameters())
    for name, depth in names.items():
        assert name in parameters
        assert model.get_layer_depth(f'backbone.{name}', 'backbone.') == (depth, 7)
    assert model.get_layer_depth('head.prompts.rgb.3', 'backbone.') == (6, 7)


def test_strides_are_those_of_the_primary_modality(make_images: Callable) -> None:
    model = build_multi(dict(rgb=dict(RGB, gsd=0.6)), cell=10.0).eval()
    assert model.strides == (4, 4, 8, 16)
    assert model.min_size == 16
    assert [x.shape[2] for x in model(make_images(1, 3, 16, 16))] == [4, 4, 2, 1]


@pytest.mark.parametrize('autocast', [False, True], ids=['pure', 'autocast'])
def test_bfloat16(make_batch: Callable[..., MultiModalBatch], autocast: bool) -> None:
    model, batch = build_multi(**EVERYTHING).eval(), make_batch((), (0,), (0, 1))
    expected = model(batch).maps
    if not autocast:
        model = model.bfloat16()
        images = {k: v._replace(pixels=v.pixels.bfloat16()) for k, v in batch.images.items()}
        batch = batch._replace(images=images)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        maps = model(batch).maps
    for name, entry in expected.items():
        for a, b in zip(maps[name].levels, entry.levels, strict=True):
            assert a.isfinite().all()
            # selections may differ in a few tokens
            assert (a.float() - b).abs().median() < 0.05


def test_the_balance_loss_counts_all_modalities_together() -> None:
    model = build_multi(dict(rgb=RGB, sentinel1=S1), experts=dict(num=2, units=2, balance=0.5))
    routings = []
    for stage in model.stages[2:]:
        for mixture in stage.experts.values():
            mixture.register_forward_hook(lambda _, args, out: routings.append(out[1]))
    batch = MultiModalBatch(
        dict(
            rgb=images_of(torch.randn(2, 3, 64, 64), (0, 1), 10.0),
            sentinel1=images_of(torch.randn(2, 2, 64, 64), (0, 1), 10.0),
        ),
        2,
    )
    model.train()(batch)
    rgb_2, rgb_3, s1_2, s1_3 = routings
    expected = 0
    for layer in (rgb_2 + s1_2, rgb_3 + s1_3):
        share, gate = layer / layer[0].sum()
        expected += 0.5 * 2 * (share * gate).sum() / 2
    torch.testing.assert_close(model.balance_loss, expected)
    model.eval()(batch)
    assert model.balance_loss is None


def test_the_order_of_the_modalities_does_not_matter(make_batch: Callable) -> None:
    """Configs that mmengine writes have their keys sorted."""
    again = dict(sorted(ALL.items(), reverse=True))
    model, other = build_multi(cell=10.0).eval(), build_multi(again, cell=10.0).eval()
    other.load_state_dict(model.state_dict())
    batch = make_batch(sentinel2=(0, 1), sentinel1=(1,))
    for name, maps in model(batch).maps.items():
        for level, same in zip(maps.levels, other(batch).maps[name].levels, strict=True):
            assert torch.equal(level, same)


def test_selections_by_name(make_batch: Callable[..., MultiModalBatch]) -> None:
    model = build_multi(cell=10.0).eval()
    _, selections = model.forward_with_selection(make_batch((0, 1), (1,)))
    grids = {name: [s.grid for s in found] for name, found in selections.items()}
    assert grids == dict(rgb=[(96, 96), (48, 48), (24, 24), (12, 12)], sentinel2=[(12, 12)] * 4)
    with pytest.raises(TypeError, match='got a MultiModalBatch'), record_selections(model):
        model(make_batch())
    with record_selections(model) as record:
        model(torch.zeros(1, 3, 64, 64))
    assert record.images_BCHW.shape == (1, 3, 64, 64)


def test_it_is_in_the_registry() -> None:
    model = MODELS.build(
        dict(
            type='mmdynamicvis.MultiModalDynamicVis',
            arch=TOY,
            modalities=ALL,
            primary='sentinel2',
            img_size=64,
        )
    )
    assert isinstance(model, DynamicVis)
    assert list(model.modalities) == ['sentinel2', 'rgb', 'sentinel1']
