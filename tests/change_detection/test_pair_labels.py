"""Label maps of pairs: colors and indices, what is refused, and the change that follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmengine.registry import init_default_scope
from PIL import Image

from mmdynamicvis.change_detection import SECOND, LandsatSCD, LoadPairLabels, PackLabelMaps
from mmdynamicvis.change_detection.pair_labels import IGNORED, read_label_map
from mmdynamicvis.registry import TRANSFORMS

PALETTE = SECOND.METAINFO['maps']['semantic_from']['palette']
SHAPE = (6, 9)


def save(folder: Path, data: np.ndarray, name: str = 'x.png', mode: str | None = None) -> str:
    image = Image.fromarray(data.astype(np.uint8))
    (image if mode is None else image.convert(mode)).save(folder / name)
    return str(folder / name)


def indexed(folder: Path, data: np.ndarray, palette: list) -> str:
    """Write an image of palette indices."""
    image = Image.fromarray(data.astype(np.uint8)).convert('P')
    image.putpalette([part for color in palette for part in color])
    image.putdata(data.ravel().tolist())
    image.save(folder / 'x.png')
    return str(folder / 'x.png')


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('labels')


@settings(max_examples=15)
@given(arrays(np.uint8, SHAPE, elements=st.integers(0, len(PALETTE) - 1)))
def test_colors_and_indices_are_the_same_classes(folder, classes):
    colors = np.array(PALETTE, np.uint8)[classes]
    assert (read_label_map(save(folder, colors), PALETTE) == classes).all()
    assert (read_label_map(save(folder, classes), PALETTE) == classes).all()
    assert (read_label_map(indexed(folder, classes, PALETTE), PALETTE) == classes).all()
    grays = [(i, i, i) for i in range(256)]
    assert (read_label_map(indexed(folder, classes, grays), PALETTE) == classes).all()


@pytest.mark.parametrize(
    ('grays', 'expected'),
    [([255], [0]), ([128, 255], [2, 0]), ([128], [2]), ([0, 5], [0, 5]), ([0, 255], [0, IGNORED])],
)
def test_grays_are_colors_only_if_they_cannot_be_indices(folder, grays, expected):
    data = np.resize(np.array(grays, np.uint8), SHAPE)
    found = read_label_map(save(folder, data), PALETTE)
    assert (found == np.resize(expected, SHAPE)).all()


def test_255_alone_is_ignored_where_no_class_is_white(folder):
    path = save(folder, np.full(SHAPE, 255))
    assert (read_label_map(path, [(0, 0, 0), (9, 9, 9)]) == IGNORED).all()


def test_an_ignored_color(folder):
    colors = np.zeros((*SHAPE, 3), np.uint8)
    colors[0] = PALETTE[5]
    found = read_label_map(save(folder, colors), PALETTE, ignored_color=(0, 0, 0))
    assert (found[0] == 5).all()
    assert (found[1:] == IGNORED).all()
    # indices remain indices
    assert (read_label_map(save(folder, np.zeros(SHAPE)), PALETTE, (0, 0, 0)) == 0).all()


@pytest.mark.parametrize(
    ('colors', 'named'),
    [([(128, 0, 1)], r'\(128, 0, 1\)'), ([(3, 2, 1), (1, 2, 3)], r'\(1, 2, 3\)')],
)
def test_an_unknown_color_is_an_error(folder, colors, named):
    data = np.full((*SHAPE, 3), 255, np.uint8)
    data[0, : len(colors)] = colors
    with pytest.raises(ValueError, match=rf'x\.png has the colors {named}.*resized or stored'):
        read_label_map(save(folder, data), PALETTE)


def test_an_unknown_index_is_an_error(folder):
    with pytest.raises(ValueError, match=r'x\.png has the values 7, 9; classes are 0 to 6'):
        read_label_map(save(folder, np.resize([1, 7, 9, 255], SHAPE)), PALETTE)


def test_files_that_are_no_label_maps(folder, tmp_path):
    with pytest.raises(ValueError, match='has a color twice'):
        read_label_map(save(folder, np.zeros(SHAPE)), [PALETTE[0]] * 2)
    with pytest.raises(ValueError, match=r'x\.png is an image of mode LA'):
        read_label_map(save(folder, np.zeros(SHAPE), mode='LA'), PALETTE)
    Image.fromarray(np.zeros(SHAPE, np.uint16)).save(tmp_path / 'deep.png')
    with pytest.raises(ValueError, match=r'deep\.png has more than 8 bits'):
        read_label_map(str(tmp_path / 'deep.png'), PALETTE)
    whole = save(folder, np.random.default_rng(0).integers(0, 7, (64, 64)))
    (tmp_path / 'cut.png').write_bytes(Path(whole).read_bytes()[:500])
    with pytest.raises(OSError, match=r'cannot load label map .*cut\.png'):
        read_label_map(str(tmp_path / 'cut.png'), PALETTE)


def load(folder: Path, first: np.ndarray, second: np.ndarray, **options) -> dict:
    """Load the maps of two dates, and the change between them."""
    paths = [save(folder, data, f'{name}.png') for name, data in (('a', first), ('b', second))]
    labels = dict(
        semantic_from=dict(path=paths[0], palette=PALETTE),
        semantic_to=dict(path=paths[1], palette=PALETTE),
        change=dict(of=('semantic_from', 'semantic_to')),
    )
    results = dict(labels=labels, ori_shape=SHAPE, img_path='im1/x.png')
    return LoadPairLabels(**options)(results)


def test_change_is_where_there_is_a_land_cover(folder):
    first, second = np.zeros((2, *SHAPE), np.uint8)
    first[1, :3], second[1, :3] = (1, 2, 6), (3, 4, 5)
    second[4, 4] = 255  # not known at one date: not known at all
    results = load(folder, first, second)
    expected = (first > 0).astype(np.uint8)
    expected[4, 4] = 255
    assert (results['gt_change'] == expected).all()
    assert results['gt_semantic_from'][4, 4] == 255
    assert results['gt_semantic_to'][1, :3].tolist() == [3, 4, 5]
    assert {results[f'gt_{n}'].dtype for n in ('change', 'semantic_from')} == {np.dtype('uint8')}
    assert results['seg_fields'] == ['gt_semantic_from', 'gt_semantic_to', 'gt_change']


def test_maps_that_disagree_about_change(folder):
    first, second = np.zeros((2, *SHAPE), np.uint8)
    first[1, :3], second[1, 1:4] = 1, 2
    message = r"a\.png and .*b\.png disagree .* in 2 pixels, the first in row 1, column 0: {'sem"
    with pytest.raises(ValueError, match=message):
        load(folder, first, second)
    results = load(folder, first, second, disagreement='ignore')
    for name in ('change', 'semantic_from', 'semantic_to'):
        data = results[f'gt_{name}']
        assert (data[1, [0, 3]] == 255).all()
        assert (data == 255).sum() == 2
    assert (results['gt_change'][1, 1:3] == 1).all()
    with pytest.raises(ValueError, match="disagreement is 'keep'; choose 'error' or 'ignore'"):
        LoadPairLabels('keep')


def test_a_label_of_another_size_is_an_error(folder):
    with pytest.raises(ValueError, match=r'mask .*b\.png is of 4 x 5 pixels, its image im1/x\.png'):
        load(folder, np.zeros(SHAPE), np.zeros((5, 4)))


def test_pairs_without_labels_pass():
    assert LoadPairLabels()(dict(img_path='x'))['seg_fields'] == []


@settings(max_examples=10)
@given(arrays(np.uint8, SHAPE, elements=st.integers(0, 9)))
def test_transitions_are_a_class_at_each_date(folder, values):
    """Published: farmland to desert is 1, ..., water to desert is 9."""
    pairs = [(0, 0), (1, 2), (1, 3), (2, 1), (2, 3), (2, 4), (3, 1), (3, 2), (4, 1), (4, 2)]
    palette = LandsatSCD.TRANSITION_PALETTE
    for data in (values, np.array(palette, np.uint8)[values]):
        path = save(folder, data)
        labels = {
            name: dict(path=path, palette=palette, table=table)
            for name, table in LandsatSCD.TRANSITIONS.items()
        }
        labels['change'] = dict(of=tuple(labels))
        results = LoadPairLabels()(dict(labels=labels, ori_shape=SHAPE, img_path=''))
        for date, name in enumerate(('semantic_from', 'semantic_to')):
            expected = [[pairs[value][date] for value in row] for row in values]
            assert (results[f'gt_{name}'] == expected).all()
        assert (results['gt_change'] == (values > 0)).all()


def test_all_maps_are_cropped_flipped_and_packed_alike(folder):
    init_default_scope('mmseg')
    first = np.random.default_rng(0).integers(1, 7, SHAPE).astype(np.uint8)
    results = load(folder, first, 7 - first)
    results.update(img=np.stack([first] * 6, axis=-1), img_shape=SHAPE)
    for step in (
        dict(type='RandomCrop', crop_size=(4, 5)),
        dict(type='RandomFlip', prob=1.0, direction='diagonal'),
        dict(type='mmdynamicvis.PackLabelMaps'),
    ):
        results = TRANSFORMS.build(step)(results)
    sample = results['data_samples']
    assert sample.gt_semantic_from.data.shape == (1, 4, 5)
    assert (sample.gt_semantic_from.data[0] == results['inputs'][0]).all()
    assert (sample.gt_semantic_to.data == 7 - sample.gt_semantic_from.data).all()
    assert (sample.gt_change.data == 1).all()
    assert 'gt_sem_seg' not in sample
    assert isinstance(TRANSFORMS.build(dict(type='mmdynamicvis.PackLabelMaps')), PackLabelMaps)
