"""The datasets in their published layouts, and what is wrong with a download."""

from __future__ import annotations

import numpy as np
import pytest
from mmseg.datasets import LoveDADataset
from mmseg.registry import DATASETS

from mmdynamicvis.segmentation import MassachusettsRoadsSegDataset, WHUSegDataset

from .makers import square, write_massachusetts_roads, write_whu_building

PIPELINE = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
]
LAYOUTS = [
    (MassachusettsRoadsSegDataset, write_massachusetts_roads, 'valid/sat', 'valid/map'),
    (WHUSegDataset, write_whu_building, 'val/image', 'val/label'),
]


@pytest.mark.parametrize(('kind', 'write', 'images', 'masks'), LAYOUTS)
def test_published_layouts(tmp_path, kind, write, images, masks):
    write(tmp_path)
    prefix = dict(img_path=images, seg_map_path=masks)
    config = dict(data_root=str(tmp_path), data_prefix=prefix, pipeline=PIPELINE)
    dataset = DATASETS.build(dict(config, type=f'mmdynamicvis.{kind.__name__}'))
    assert len(dataset) == 2
    for i, results in enumerate(dataset):
        assert results['img'].shape == (72, 72, 3)
        assert (results['gt_seg_map'] == square(i)).all()


def test_images_without_masks_can_be_predicted(tmp_path):
    write_whu_building(tmp_path)
    dataset = WHUSegDataset(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='val/image'),
        pipeline=PIPELINE,
        test_mode=True,
    )
    assert 'gt_seg_map' not in dataset[0]


@pytest.mark.parametrize(('kind', 'write', 'images', 'masks'), LAYOUTS)
def test_missing_masks_show_at_once(tmp_path, kind, write, images, masks):
    write(tmp_path)
    next((tmp_path / masks).glob('1*')).unlink()
    prefix = dict(img_path=images, seg_map_path=masks)
    with pytest.raises(ValueError, match=rf'{images}: 1 problem\n.*{masks}/1\.tif does not exist'):
        kind(data_root=str(tmp_path), data_prefix=prefix)


def test_an_empty_folder_is_no_data_set(tmp_path):
    write_whu_building(tmp_path)
    prefix = dict(img_path='val/image', seg_map_path='val/label')
    with pytest.raises(ValueError, match=r'has no images \*\.png'):
        WHUSegDataset(data_root=str(tmp_path), data_prefix=prefix, img_suffix='.png')


def test_hidden_folders_and_circles_are_left_out(tmp_path):
    write_whu_building(tmp_path)
    images = tmp_path / 'val/image'
    (images / '.hidden').mkdir()
    (images / '.hidden/0.tif').write_bytes((images / '0.tif').read_bytes())
    for name in ('circle', 'second'):
        (images / name).symlink_to(images)
    prefix = dict(img_path='val/image', seg_map_path='val/label')
    dataset = WHUSegDataset(data_root=str(tmp_path), data_prefix=prefix)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [(info['img_path'], info['seg_map_path']) for info in infos] == [
        (f'{images}/{i}.tif', f'{tmp_path}/val/label/{i}.tif') for i in range(2)
    ]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ('name', 'classes'),
    [('LoveDADataset', 7), ('PotsdamDataset', 6), ('ISPRSDataset', 6)],
)
def test_land_cover_through_the_host(shared_data, name, classes):
    folder = dict(LoveDADataset='loveda', PotsdamDataset='potsdam', ISPRSDataset='vaihingen')[name]
    assert DATASETS.get('LoveDADataset') is LoveDADataset
    dataset = DATASETS.build(
        dict(
            type=f'mmseg.{name}',  # whatever scope an earlier test has left
            data_root=str(shared_data / folder),
            data_prefix=dict(img_path='img_dir', seg_map_path='ann_dir'),
            pipeline=[
                dict(type='mmdynamicvis.LoadIntactImage'),
                dict(type='mmseg.LoadAnnotations'),
            ],
        )
    )
    assert len(dataset.metainfo['classes']) == classes
    found = np.unique(dataset[0]['gt_seg_map'])
    assert set(found) <= {*range(classes), 255}
    assert len(found) >= 5
