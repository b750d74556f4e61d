"""Datasets of retrieval in their published layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from mmengine.registry import init_default_scope

from mmdynamicvis.registry import DATASETS, TRANSFORMS
from mmdynamicvis.retrieval.bigearthnet_classes import CLASSES_19, CLASSES_43, TO_19

from .makers import write_bigearthnet, write_forestnet

PATCHES = {
    'val.csv': {'S2A_1': ['Sea and ocean', 'Airports'], 'S2A_2': ['Burnt areas']},
    'test.csv': {'S2B_3': ['Estuaries', 'Coastal lagoons', 'Pastures']},
}


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope('mmpretrain')


@pytest.fixture
def bigearthnet(tmp_path: Path) -> Path:
    return write_bigearthnet(tmp_path / 'BigEarthNet', PATCHES)


def test_classes_of_bigearthnet() -> None:
    assert (len(CLASSES_43), len(set(CLASSES_43)), len(CLASSES_19)) == (43, 43, 19)
    assert set(TO_19) <= set(CLASSES_43)
    assert set(TO_19.values()) == set(CLASSES_19)
    assert len(set(CLASSES_43) - set(TO_19)) == 11


def test_bigearthnet_with_43_classes(bigearthnet: Path) -> None:
    cfg = dict(type='mmdynamicvis.BigEarthNet', data_root=str(bigearthnet), ann_file='val.csv')
    dataset = DATASETS.build(cfg)
    labels = [[CLASSES_43[i] for i in dataset.get_data_info(n)['gt_label']] for n in range(2)]
    assert labels == [['Airports', 'Sea and ocean'], ['Burnt areas']]


def test_bigearthnet_with_19_classes(bigearthnet: Path) -> None:
    cfg = dict(type='mmdynamicvis.BigEarthNet', data_root=str(bigearthnet), num_classes=19)
    dataset = DATASETS.build(dict(cfg, ann_file='val.csv'))
    # one patch has no class of the 19
    assert [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))] == [[18]]
    dataset = DATASETS.build(dict(cfg, ann_file='test.csv'))
    assert dataset.get_data_info(0)['gt_label'] == [4, 18]


def test_bands_are_brought_to_one_size(bigearthnet: Path) -> None:
    folder = bigearthnet / 'BigEarthNet-v1.0/S2A_1'
    transform = TRANSFORMS.build(dict(type='mmdynamicvis.LoadBandFiles', bands=('B05', 'B02')))
    image = transform(dict(img_path=str(folder)))['img']
    assert image.shape == (24, 24, 2)
    with rasterio.open(folder / 'S2A_1_B02.tif') as file:
        assert np.array_equal(image[..., 1], file.read(1))
    scaled = dict(type='mmdynamicvis.LoadBandFiles', bands=('B02',), scaling=(1000, 3000))
    values = TRANSFORMS.build(scaled)(dict(img_path=str(folder)))['img'][..., 0]
    expected = ((image[..., 1] - 1000) * 255 / 2000).clip(0, 255)
    assert np.allclose(values, expected, atol=1e-3)


def write_band(path: Path, values: np.ndarray, left: float = 6e5, **profile: float) -> None:
    step = 240 / len(values)
    transform = rasterio.transform.from_origin(left, 5.3e6, step, step)
    profile |= dict(driver='GTiff', count=1, dtype=values.dtype, crs='EPSG:32633')
    height, width = values.shape
    path.parent.mkdir(exist_ok=True)
    with rasterio.open(
        path, 'w', height=height, width=width, transform=transform, **profile
    ) as file:
        file.write(values, 1)


def test_bands_without_data_and_of_other_places(tmp_path: Path) -> None:
    fine, coarse = np.full((24, 24), 500, np.float32), np.full((12, 12), 500, np.float32)
    fine[0, 0], coarse[6, 6] = np.nan, -1
    write_band(tmp_path / 'S/S_B02.tif', fine)
    write_band(tmp_path / 'S/S_B05.tif', coarse, nodata=-1)
    cfg = dict(type='mmdynamicvis.LoadBandFiles', bands=('B02', 'B05'), nodata_fill=7)
    results = TRANSFORMS.build(cfg)(dict(img_path=str(tmp_path / 'S')))
    image, nodata = results['img'], results['nodata']
    assert nodata[0, 0] and nodata[12:14, 12:14].all()
    assert nodata.sum() < 20
    assert (image[nodata] == 7).all()
    assert (image[~nodata] == 500).all()
    assert results['crs'] == 'EPSG:32633' and results['transform'].a == 10
    with rasterio.open(tmp_path / 'S/S_B05.tif', 'r+') as file:
        file.offsets = [-1000]
    with pytest.raises(ValueError, match=r'S_B02\.tif has the scales .*S_B05\.tif .*-1000'):
        TRANSFORMS.build(cfg)(dict(img_path=str(tmp_path / 'S')))
    write_band(tmp_path / 'S/S_B05.tif', coarse, left=6e5 + 100)
    with pytest.raises(ValueError, match=r'S_B05\.tif is shifted by 5\.0 pixels against .*S_B02'):
        TRANSFORMS.build(cfg)(dict(img_path=str(tmp_path / 'S')))


def test_forestnet(tmp_path: Path) -> None:
    rows = [('Mining', 'Other'), ('Oil palm plantation', 'Plantation')]
    root = write_forestnet(tmp_path, {'val.csv': rows})
    cfg = dict(type='mmdynamicvis.ForestNet', data_root=str(root), ann_file='val.csv')
    for num_classes, expected in ((12, [7, 0]), (4, [3, 0])):
        dataset = DATASETS.build(dict(cfg, num_classes=num_classes))
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert [info['gt_label'] for info in infos] == expected
        assert all(Path(info['img_path']).is_file() for info in infos)


def test_samples_know_their_role(tmp_path: Path) -> None:
    rows = {'val.csv': [('Mining', 'Other')], 'test.csv': [('Other', 'Other')] * 2}
    pipeline = [dict(type='mmdynamicvis.LoadIntactImage'), dict(type='PackInputs')]
    root = str(write_forestnet(tmp_path, rows))
    part = dict(type='mmdynamicvis.ForestNet', data_root=root, pipeline=pipeline)
    dataset = DATASETS.build(
        dict(
            type='mmdynamicvis.QueriesAndDatabase',
            queries=dict(part, ann_file='val.csv'),
            database=dict(part, ann_file='test.csv'),
        )
    )
    roles = [dataset[i]['data_samples'].role for i in range(len(dataset))]
    assert roles == ['query', 'database', 'database']
    assert dataset[0]['data_samples'].to_dict()['role'] == 'query'


def test_mistakes_are_named(bigearthnet: Path, tmp_path: Path) -> None:
    cfg = dict(type='mmdynamicvis.BigEarthNet', data_root=str(bigearthnet), ann_file='val.csv')
    with pytest.raises(ValueError, match='num_classes is 20; choose 43 or 19'):
        DATASETS.build(dict(cfg, num_classes=20))
    with pytest.raises(FileNotFoundError, match=r'train.csv does not exist'):
        DATASETS.build(dict(cfg, ann_file='train.csv'))
    metadata = bigearthnet / 'BigEarthNet-v1.0/S2A_1/S2A_1_labels_metadata.json'
    metadata.write_text('{"labels": ["Moon"]}')
    with pytest.raises(ValueError, match=r"S2A_1_labels_metadata.json has labels \['Moon'\]"):
        DATASETS.build(cfg)
    metadata.unlink()
    with pytest.raises(FileNotFoundError, match=r'S2A_1_labels_metadata.json does not exist'):
        DATASETS.build(cfg)
    (bigearthnet / 'val.csv').write_text('')
    with pytest.raises(ValueError, match='names no image'):
        DATASETS.build(cfg)
    transform = TRANSFORMS.build(dict(type='mmdynamicvis.LoadBandFiles', bands=('B99',)))
    with pytest.raises(OSError, match=r'cannot load band .*S2A_2_B99.tif'):
        transform(dict(img_path=str(bigearthnet / 'BigEarthNet-v1.0/S2A_2')))

    root = write_forestnet(tmp_path / 'forest', {'val.csv': [('Minning', 'Other')]})
    cfg = dict(type='mmdynamicvis.ForestNet', data_root=str(root), ann_file='val.csv')
    with pytest.raises(ValueError, match=r"val.csv, line 2: 'Minning' is none of"):
        DATASETS.build(cfg)
    (root / 'val.csv').write_text('a,b\n1,2\n')
    with pytest.raises(ValueError, match=r"has no column \['example_path', 'label'\]"):
        DATASETS.build(cfg)
