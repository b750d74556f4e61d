"""Datasets of several modalities, on files that are written here."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.registry import DATASETS, TRANSFORMS
from rasters import write_raster

MODALITIES = dict(radar='S1', optical='S2', seg_map_path='labels')


def write(root, files):
    for file in files:
        write_raster(root / file, np.zeros((4, 4), np.float32))
    return str(root)


def build(root, kind='ModalitySegDataset', **options):
    classes = {} if 'data_prefix' not in options else dict(metainfo=dict(classes=('a', 'b')))
    config = dict(type=f'mmdynamicvis.{kind}', data_root=root, **classes, **options)
    dataset = DATASETS.build(config)
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def names(sample, root):
    def shorten(path):
        return path.removeprefix(f'{root}/')

    return {
        key: shorten(path) if isinstance(path, str) else [shorten(date) for date in path]
        for key, path in sample['modalities'].items()
    }


def test_files_of_one_name(tmp_path):
    folders = ('S1', 'S2', 'labels')
    root = write(tmp_path, [f'{folder}/{name}.tif' for folder in folders for name in ('a', 'b/c')])
    first, second = build(root, data_prefix=MODALITIES)
    assert names(first, root) == dict(radar='S1/a.tif', optical='S2/a.tif')
    assert first['img_path'] == f'{root}/S2/a.tif'  # the first by name
    turned = dict(reversed(MODALITIES.items()))  # as configs that mmengine writes
    assert build(root, data_prefix=turned)[0] == first
    assert build(root, data_prefix=MODALITIES, primary='radar')[0]['img_path'] == (
        f'{root}/S1/a.tif'
    )
    assert first['seg_map_path'] == f'{root}/labels/a.tif'
    assert first['seg_fields'] == []
    assert names(second, root) == dict(radar='S1/b/c.tif', optical='S2/b/c.tif')
    (tmp_path / 'list.txt').write_text('\nb/c\n')
    (only,) = build(root, data_prefix=MODALITIES, ann_file='list.txt')
    assert only['modalities'] == second['modalities']
    without = build(root, data_prefix=dict(radar='S1'))
    assert [sample.get('seg_map_path') for sample in without] == [None, None]


def test_modalities_that_samples_may_lack(tmp_path):
    files = ['S1/a.tif', 'S2/a.tif', 'labels/a.tif', 'S2/b.tif', 'labels/b.tif']
    root = write(tmp_path, files)
    with pytest.raises(ValueError, match=r'1 problem\n.*S1/b\.tif does not exist\n.*optional'):
        build(root, data_prefix=MODALITIES)
    _, second = build(root, data_prefix=MODALITIES, optional=['radar'])
    assert names(second, root) == dict(optical='S2/b.tif')
    assert second['img_path'] == f'{root}/S2/b.tif'
    (tmp_path / 'labels/b.tif').unlink()
    with pytest.raises(ValueError, match=r'labels/b\.tif does not exist'):
        build(root, data_prefix=MODALITIES, optional=['radar'])
    write(tmp_path, ['labels/b.tif', 'labels/c.tif'])
    with pytest.raises(ValueError, match='c has no image of any modality'):
        build(root, data_prefix=MODALITIES, optional=['radar', 'optical'])


def test_dates(tmp_path):
    files = [f'S1/{name}/{date}.tif' for name in ('a', 'a_1') for date in ('2021', '2020')]
    root = write(tmp_path, [*files, 'S2/a.tif', 'S2/a_1.tif', 'S2/b[.tif'])
    options = dict(data_prefix=dict(radar='S1', optical='S2'), suffixes=dict(radar='/*.tif'))
    with pytest.raises(ValueError, match=r'S1/b\[/\*\.tif does not exist'):
        build(root, **options)
    first, _, third = build(root, **options, optional=['radar'])
    assert names(first, root) == dict(radar=['S1/a/2020.tif', 'S1/a/2021.tif'], optical='S2/a.tif')
    assert first['img_path'] == f'{root}/S2/a.tif'
    first, *_ = build(root, **options, optional=['radar'], primary='radar')
    assert first['img_path'] == f'{root}/S1/a/2020.tif'
    assert names(third, root) == dict(optical='S2/b[.tif')


def test_mistakes_are_named(tmp_path):
    root = write(tmp_path, ['S1/a.tif', 'S2/a.tif', 'labels/a.tif'])
    for wrong in (dict(suffixes=dict(dem='.tif')), dict(optional=['dem']), dict(primary='dem')):
        with pytest.raises(ValueError, match=r"has \['dem'\], which are none of \['optical'"):
            build(root, data_prefix=MODALITIES, **wrong)
    with pytest.raises(ValueError, match=r"optional has .*'seg_map_path'"):
        build(root, data_prefix=MODALITIES, optional=['seg_map_path'])
    with pytest.raises(ValueError, match='a sample has one label map'):
        build(root, data_prefix=MODALITIES, suffixes=dict(seg_map_path='/*.tif'))
    with pytest.raises(FileNotFoundError, match='dem is no folder'):
        build(root, data_prefix=dict(MODALITIES, dem='dem'))
    with pytest.raises(FileNotFoundError, match=r'none\.txt does not exist'):
        build(root, data_prefix=MODALITIES, ann_file='none.txt')
    with pytest.raises(ValueError, match='has no samples'):
        build(root, data_prefix=MODALITIES, suffixes=dict.fromkeys(MODALITIES, '.png'))


def test_sen1floods11(tmp_path):
    data = tmp_path / 'data/flood_events/HandLabeled'
    rng = np.random.default_rng(0)
    degrees = dict(gsd=8.98e-5, crs='EPSG:4326', left=12.0)
    for name in ('Ghana_1', 'Spain_2'):
        radar = rng.normal(-12, 3, (2, 8, 8)).astype(np.float32)
        radar[:, 0] = np.nan
        optical = rng.integers(0, 9000, (13, 8, 8), dtype=np.uint16)
        labels = rng.integers(-1, 2, (8, 8)).astype(np.int16)
        write_raster(data / f'S1Hand/{name}_S1Hand.tif', radar, **degrees)
        write_raster(data / f'S2Hand/{name}_S2Hand.tif', optical, **degrees)
        write_raster(data / f'LabelHand/{name}_LabelHand.tif', labels, **degrees)
    splits = tmp_path / 'splits/flood_handlabeled'
    splits.mkdir(parents=True)
    text = 'Spain_2_S1Hand.tif,Spain_2_LabelHand.tif\n'
    (splits / 'flood_test_data.csv').write_text(text)
    split = 'splits/flood_handlabeled/flood_test_data.csv'
    (sample,) = build(str(tmp_path), 'Sen1Floods11', ann_file=split)
    assert names(sample, data) == dict(
        sentinel1='S1Hand/Spain_2_S1Hand.tif', sentinel2='S2Hand/Spain_2_S2Hand.tif'
    )
    assert len(build(str(tmp_path), 'Sen1Floods11')) == 2
    loader = dict(type='mmdynamicvis.LoadGeoTIFF')
    steps = [
        dict(
            type='mmdynamicvis.LoadModalities',
            loaders=dict(sentinel1=dict(loader, unit='dB'), sentinel2=loader),
            gsd=dict(sentinel1=10.0, sentinel2=10.0),
        ),
        dict(type='mmdynamicvis.LoadLabelMap', no_label=(-1,)),
    ]
    for step in steps:
        sample = TRANSFORMS.build(step)(sample)
    expected = np.where(labels < 0, 255, labels)
    assert (sample['gt_seg_map'] == expected).all()
    assert set(np.unique(expected)) == {0, 1, 255}


@pytest.mark.shared_data
def test_real_tiles(shared_data):
    root = str(shared_data / 'terramind_tiles')
    samples = build(root, 'TerraMeshLandCover')
    assert [names(sample, root)['sentinel2'] for sample in samples] == [
        'S2L2A/282D_485L_3_3.tif',
        'S2L2A/637U_59R_1_3.tif',
    ]
    # water and crops, by what the tiles show
    radar = dict(type='mmdynamicvis.LoadGeoTIFF', unit='dB', bands=(1, 2))
    loaders = dict(sentinel1=radar, sentinel2=dict(type='mmdynamicvis.LoadGeoTIFF'))
    loaders['dem'] = loaders['sentinel2']
    load = TRANSFORMS.build(dict(type='mmdynamicvis.LoadModalities', loaders=loaders))
    label = TRANSFORMS.build(dict(type='mmdynamicvis.LoadLabelMap'))
    classes = []
    for sample in samples:
        results = label(load(sample))
        assert {reading.gsd for reading in results['readings'].values()} == {10}
        classes.append(np.bincount(results['gt_seg_map'].ravel(), minlength=9)[:9])
    assert classes[0].tolist() == [25991, 18690, 0, 0, 0, 3316, 0, 0, 2179]
    assert classes[1].tolist() == [0, 1209, 0, 44382, 797, 0, 0, 0, 3788]
