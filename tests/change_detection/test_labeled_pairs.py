"""SECOND and Landsat-SCD: made copies in the published layouts, and what is missing in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from mmdynamicvis.change_detection import SECOND, LandsatSCD
from mmdynamicvis.registry import DATASETS

from .pairs import make_cover, make_pair, write_second

NAMES = ['00003', '00013', '04661']
PALETTE = SECOND.METAINFO['maps']['semantic_from']['palette']
PIPELINE = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadPairLabels'),
    dict(type='mmdynamicvis.PackLabelMaps'),
]
TEST = dict(
    img_path='test/im1',
    img_path2='test/im2',
    semantic_from='test/label1',
    semantic_to='test/label2',
)


def build(root: Path, kind: str = 'SECOND', **options):
    init_default_scope('mmseg')
    options = dict(pipeline=PIPELINE, **options)
    return DATASETS.build(dict(type=f'mmdynamicvis.{kind}', data_root=str(root), **options))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    write_second(tmp_path / 'train', NAMES, PALETTE)
    write_second(tmp_path / 'test', NAMES[:2], None)
    return tmp_path


def test_second_in_colors_and_in_indices(second):
    train, test = build(second), build(second, data_prefix=TEST, test_mode=True)
    assert (len(train), len(test)) == (3, 2)
    for dataset in (train, test):
        for seed in range(len(dataset)):
            sample = dataset[seed]['data_samples']
            first, last = make_cover((64, 64), seed, 7)
            assert (sample.gt_semantic_from.data[0].numpy() == first).all()
            assert (sample.gt_semantic_to.data[0].numpy() == last).all()
            assert (sample.gt_change.data[0].numpy() == (first > 0)).all()
            images = dataset[seed]['inputs'].numpy().reshape(2, 3, 64, 64)[:, ::-1]
            for image, expected in zip(images, make_pair((64, 64), seed), strict=False):
                assert (image == expected.transpose(2, 0, 1)).all()
    assert train.metainfo['classes'] == ('unchanged', 'changed')
    maps = train.metainfo['maps']
    assert maps['semantic_to']['classes'][5] == 'building'
    assert all(len(of['classes']) == len(of['palette']) for of in maps.values())


def test_indices_of_another_order_are_told_by_metainfo(second):
    """Here the palette is that of SECOND, in which test/ has no colors that could contradict."""
    order = [0, 3, 2, 4, 1, 5, 6]
    cover = SECOND.METAINFO['maps']['semantic_from']
    cover = {key: [values[i] for i in order] for key, values in cover.items()}
    maps = dict(SECOND.METAINFO['maps'], semantic_from=cover, semantic_to=cover)
    colored = build(second, metainfo=dict(maps=maps))
    expected = make_cover((64, 64), 0, 7)[0]
    found = colored[0]['data_samples'].gt_semantic_from.data[0].numpy()
    assert (np.array(order)[found] == expected).all()
    assert colored.metainfo['maps']['semantic_to']['classes'][1] == 'low vegetation'


def test_labels_are_not_needed_without_their_folders(second):
    images = {key: folder for key, folder in TEST.items() if 'img' in key}
    dataset = build(second, data_prefix=images, test_mode=True)
    assert 'gt_change' not in dataset[0]['data_samples']


def test_a_missing_second_label_is_an_error(second):
    (second / 'train/label2/00013.png').unlink()
    with pytest.raises(ValueError, match=r'1 problem\n.*/train/label2/00013\.png does not exist'):
        build(second)


def test_one_folder_of_labels_alone_is_an_error(second):
    prefix = {key: folder for key, folder in TEST.items() if key != 'semantic_to'}
    message = r"a folder of \['semantic_from'\] and none of \['semantic_to'\]: give both"
    with pytest.raises(ValueError, match=message):
        build(second, data_prefix=prefix)


def test_a_folder_under_another_key_is_an_error(second):
    with pytest.raises(ValueError, match=r"data_prefix has \['seg_map_path'\]; it may have \['img"):
        build(second, data_prefix=dict(TEST, seg_map_path='test/label1'))


def test_images_and_labels_that_do_not_fit(second):
    for folder, message in (
        ('im2', r'im1/00003\.png has the shape .*im2/00003\.png .*on one grid'),
        (
            'label2',
            r'label2/00003\.png is of 64 x 32 pixels, its image .*im1/00003\.png of 64 x 64',
        ),
    ):
        path = second / f'train/{folder}/00003.png'
        whole = path.read_bytes()
        Image.open(path).crop((0, 0, 64, 32)).save(path)
        with pytest.raises(ValueError, match=message):
            build(second)[0]
        path.write_bytes(whole)


def test_labels_of_different_pairs_disagree(second):
    shutil.copy(second / 'train/label2/00013.png', second / 'train/label2/00003.png')
    with pytest.raises(ValueError, match=r'label1/00003\.png and .*label2/00003\.png disagree'):
        build(second)[0]


def write_landsat(root: Path, names: list[str], layout: str) -> None:
    """Write A/, B/, label/ or labelA/, labelB/, and train_list.txt, of 32 px."""
    size = (32, 32)
    tables = np.array(list(LandsatSCD.TRANSITIONS.values()))
    for folder in ('A', 'B', *(['label'] if layout == 'published' else ['labelA', 'labelB'])):
        (root / folder).mkdir(parents=True)
    for seed, name in enumerate(names):
        before, after, changed = make_pair(size, seed)
        values = np.random.default_rng(seed).integers(1, 10, size) * changed
        arrays = dict(A=before, B=after)
        if layout == 'published':
            arrays['label'] = values
        elif layout == 'colors':
            palette = np.array(LandsatSCD.METAINFO['maps']['semantic_to']['palette'])
            arrays.update(zip(('labelA', 'labelB'), palette[tables[:, values]], strict=True))
            for part in ('A', 'B', 'labelA', 'labelB'):  # no data at either date
                arrays[part][-2:] = 255 if len(part) == 1 else 0
        else:
            arrays.update(zip(('labelA', 'labelB'), tables[:, values], strict=True))
        for folder, array in arrays.items():
            Image.fromarray(array.astype(np.uint8)).save(root / folder / f'{name}.png')
    (root / 'train_list.txt').write_text(''.join(f'{name}.png\n' for name in names))


PER_DATE = dict(img_path='A', img_path2='B', semantic_from='labelA', semantic_to='labelB')


@pytest.mark.parametrize('layout', ['published', 'indices', 'colors'])
def test_landsat_scd(tmp_path, layout):
    write_landsat(tmp_path, ['1', '1_rotate', '7', '7_Crop2', '7ZheDang'], layout)
    options = {} if layout == 'published' else dict(data_prefix=PER_DATE)
    dataset = build(tmp_path, 'LandsatSCD', ann_file='train_list.txt', **options)
    assert [Path(dataset.get_data_info(i)['img_path']).name for i in range(2)] == ['1.png', '7.png']
    assert len(dataset) == 2
    assert len(build(tmp_path, 'LandsatSCD', augmented=True, **options)) == 5
    for index, seed in enumerate((0, 2)):
        sample = dataset[index]['data_samples']
        values = np.random.default_rng(seed).integers(1, 10, (32, 32))
        values *= make_pair((32, 32), seed)[2]
        for name, table in LandsatSCD.TRANSITIONS.items():
            expected = np.array(table)[values]
            if layout == 'colors':
                expected[-2:] = 255
            assert (sample.get(f'gt_{name}').data[0].numpy() == expected).all()


def test_landsat_scd_has_transitions_or_maps_per_date(tmp_path):
    write_landsat(tmp_path, ['1'], 'published')
    (tmp_path / 'labelA').symlink_to(tmp_path / 'label')
    prefix = dict(img_path='A', img_path2='B', transitions='label', semantic_from='labelA')
    with pytest.raises(ValueError, match='give transitions, or the maps of both dates'):
        build(tmp_path, 'LandsatSCD', data_prefix=prefix)


def test_landsat_scd_says_what_it_leaves_out(tmp_path, caplog):
    write_landsat(tmp_path, ['1_rotate'], 'published')
    with pytest.raises(ValueError, match='has no pairs'):
        build(tmp_path, 'LandsatSCD')
