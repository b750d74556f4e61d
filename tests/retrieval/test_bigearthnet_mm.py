"""BigEarthNet with two sensors, in its published layouts."""

from __future__ import annotations

import json
import shutil

import pytest
from mmengine.registry import DATASETS

from mmdynamicvis.retrieval.bigearthnet_classes import CLASSES_19

OPTICAL = [f'S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_{i}' for i in range(3)]
RADAR = [f'S1A_IW_GRDH_1SDV_20170613T165043_33UUP_26_{i}' for i in range(3)]
LABELS = [['Arable land'], ['Marine waters', 'Pastures'], ['Inland waters']]
SPLITS = ['train', 'train', 'test']


def build(kind, root, **options):
    dataset = DATASETS.build(dict(type=f'mmdynamicvis.{kind}', data_root=str(root), **options))
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def labels(samples):
    return [[CLASSES_19[i] for i in sample['gt_label']] for sample in samples]


@pytest.fixture
def reben(tmp_path):
    pa = pytest.importorskip('pyarrow')
    from pyarrow import parquet

    for optical, radar in zip(OPTICAL, RADAR, strict=True):
        product = 'S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP'
        (tmp_path / 'BigEarthNet-S2' / product / optical).mkdir(parents=True)
        product = 'S1A_IW_GRDH_1SDV_20170613T165043'
        (tmp_path / 'BigEarthNet-S1' / product / radar).mkdir(parents=True)
    table = dict(patch_id=OPTICAL, s1_name=RADAR, labels=LABELS, split=SPLITS)
    parquet.write_table(pa.table(table), tmp_path / 'metadata.parquet')
    return tmp_path


def test_reben(reben):
    samples = build('ReBEN', reben, split='train')
    assert labels(samples) == [['Arable land'], ['Pastures', 'Marine waters']]
    assert samples[0]['modalities'] == dict(
        sentinel2=str(next(reben.glob(f'BigEarthNet-S2/*/{OPTICAL[0]}'))),
        sentinel1=str(next(reben.glob(f'BigEarthNet-S1/*/{RADAR[0]}'))),
    )
    assert len(build('ReBEN', reben, split='test')) == 1
    assert len(build('ReBEN', reben)) == 3
    with pytest.raises(
        ValueError, match=r"no patch of the split 'val', but of \['test', 'train'\]"
    ):
        build('ReBEN', reben, split='val')


def test_patches_that_are_missing(reben):
    shutil.rmtree(next(reben.glob(f'BigEarthNet-S1/*/{RADAR[1]}')))
    with pytest.raises(ValueError, match=rf'1 problem\n.*{RADAR[1]} does not exist\n.*optional'):
        build('ReBEN', reben)
    samples = build('ReBEN', reben, optional=['sentinel1'])
    assert [list(sample['modalities']) for sample in samples] == [
        ['sentinel2', 'sentinel1'],
        ['sentinel2'],
        ['sentinel2', 'sentinel1'],
    ]
    shutil.rmtree(next(reben.glob(f'BigEarthNet-S2/*/{OPTICAL[1]}')))
    with pytest.raises(ValueError, match=rf'neither of .*{OPTICAL[1]}, .*{RADAR[1]} exists'):
        build('ReBEN', reben, optional=['sentinel1', 'sentinel2'])
    with pytest.raises(ValueError, match=r"optional has \['S1'\]"):
        build('ReBEN', reben, optional=['S1'])


def test_metadata_that_does_not_fit(reben):
    pa = pytest.importorskip('pyarrow')
    from pyarrow import parquet

    with pytest.raises(FileNotFoundError, match=r'none\.parquet does not exist'):
        build('ReBEN', reben, ann_file='none.parquet')
    table = dict(patch_id=OPTICAL, s1_name=RADAR, labels=[['Moon']] * 3, split=SPLITS)
    parquet.write_table(pa.table(table), reben / 'moon.parquet')
    with pytest.raises(ValueError, match=rf"{OPTICAL[0]} has labels \['Moon'\]"):
        build('ReBEN', reben, ann_file='moon.parquet')
    del table['labels']
    parquet.write_table(pa.table(table), reben / 'few.parquet')
    with pytest.raises(ValueError, match=r"few\.parquet has no column \['labels'\]"):
        build('ReBEN', reben, ann_file='few.parquet')


def test_version_1(tmp_path):
    names = [['Rice fields', 'Sea and ocean'], ['Burnt areas'], ['Pastures']]
    for optical, radar, of_patch in zip(OPTICAL, RADAR, names, strict=True):
        folder = tmp_path / 'BigEarthNet-v1.0' / optical
        folder.mkdir(parents=True)
        text = json.dumps(dict(labels=of_patch, corresponding_s1_patch=radar))
        (folder / f'{optical}_labels_metadata.json').write_text(text)
        (tmp_path / 'BigEarthNet-S1-v1.0' / radar).mkdir(parents=True)
    lines = ''.join(f'{pair[0]},{pair[1]}\n' for pair in zip(OPTICAL, RADAR, strict=True))
    (tmp_path / 'train.csv').write_text(lines)
    samples = build('BigEarthNetMM', tmp_path, ann_file='train.csv')
    # burnt areas are none of the 19 classes
    assert labels(samples) == [['Arable land', 'Marine waters'], ['Pastures']]
    assert samples[1]['modalities'] == dict(
        sentinel2=str(tmp_path / 'BigEarthNet-v1.0' / OPTICAL[2]),
        sentinel1=str(tmp_path / 'BigEarthNet-S1-v1.0' / RADAR[2]),
    )
    assert len(build('BigEarthNetMM', tmp_path, ann_file='train.csv', num_classes=43)) == 3
    (tmp_path / 'train.csv').write_text(f'{OPTICAL[0]}\n')
    with pytest.raises(ValueError, match=r'train\.csv, line 1: .* has one name'):
        build('BigEarthNetMM', tmp_path, ann_file='train.csv')
