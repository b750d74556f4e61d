from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.registry import DATASETS

h5py = pytest.importorskip('h5py', reason='h5py is not installed')

from mmdynamicvis.classification.geo_bench import GEOBench, LoadGEOBench  # noqa: E402

BANDS = ('02 - Blue', '03 - Green', '04 - Red', '08 - NIR')
LABELS = {'0': ['id_0', 'id_3'], '1': ['id_1'], '2': ['id_2']}
SPLIT = {'train': ['id_0', 'id_1'], 'valid': ['id_2'], 'test': ['id_3']}


class Trap:
    """Fails the test if it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ('a pickle was loaded',)


@pytest.fixture
def root(tmp_path):
    """A task as published: the bands of one date, and attributes that are a pickle as text."""
    import pickle

    folder = tmp_path / 'm-eurosat'
    folder.mkdir()
    for i in range(4):
        with h5py.File(folder / f'id_{i}.hdf5', 'w') as file:
            for number, band in enumerate(BANDS, 1):
                values = np.full((5, 6), 1000 * number + i, 'uint16')
                file.create_dataset(f'{band}_2018-07-01', data=values)
            file.attrs['pickle'] = str(pickle.dumps(Trap()))
    (folder / 'label_map.json').write_text(json.dumps(LABELS))
    (folder / 'default_partition.json').write_text(json.dumps(SPLIT))
    (folder / '0.50x_train_partition.json').write_text(json.dumps({**SPLIT, 'train': ['id_1']}))
    return folder


def change(path, **content):
    path.write_text(json.dumps({**json.loads(path.read_text()), **content}))


def test_samples_of_a_partition(root):
    pipeline = [dict(type='mmdynamicvis.LoadGEOBench', bands=BANDS[::-1])]
    settings = dict(type='mmdynamicvis.GEOBench', data_root=str(root), pipeline=pipeline)
    dataset = DATASETS.build(settings)
    assert [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))] == [0, 1]
    sample = dataset[1]
    assert sample['img'].dtype == np.float32
    assert sample['img'].shape == (5, 6, 4)
    assert sample['img'][0, 0].tolist() == [4001, 3001, 2001, 1001]
    assert dataset.CLASSES == ('0', '1', '2')
    half = DATASETS.build(dict(settings, partition='0.50x_train', classes=['a', 'b', 'c']))
    assert [half.get_data_info(i)['gt_label'] for i in range(len(half))] == [1]
    assert len(DATASETS.build(dict(settings, subset='test'))) == 1


def test_white_becomes_255(root):
    load = LoadGEOBench(BANDS[:3], white=2550)
    image = load({'img_path': str(root / 'id_0.hdf5')})['img']
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == [100, 200, 255]


def test_wrong_tasks_are_errors(root):
    with pytest.raises(ValueError, match="subset is 'val'"):
        GEOBench(str(root), 'val')
    with pytest.raises(ValueError, match=r'classes has 2 names.* 3 labels'):
        GEOBench(str(root), classes=['a', 'b'])
    with pytest.raises(FileNotFoundError, match='none_partition'):
        GEOBench(str(root), partition='none')
    change(root / 'default_partition.json', test=['id_3', 'id_9'], valid=['id_2', 'id_4'])
    (root / 'id_2.hdf5').unlink()
    with pytest.raises(ValueError, match=r'no label of id_9'):
        GEOBench(str(root), 'test')
    change(root / 'label_map.json', **{'2': ['id_2', 'id_4']})
    with pytest.raises(FileNotFoundError, match=r'id_2.*id_4'):
        GEOBench(str(root), 'valid')
    change(root / 'label_map.json', **{'1': ['id_1', 'id_0']})
    with pytest.raises(ValueError, match='id_0 has the labels 0 and 1'):
        GEOBench(str(root))
    change(root / 'label_map.json', forest=[])
    with pytest.raises(ValueError, match='forest, not indices'):
        GEOBench(str(root))


def test_wrong_samples_are_errors(root):
    results = {'img_path': str(root / 'id_0.hdf5')}
    with pytest.raises(ValueError, match=r"no band '05 - Red Edge'; it has 02 - Blue_2018-07-01"):
        LoadGEOBench(['05 - Red Edge'])(results)
    with h5py.File(results['img_path'], 'a') as file:
        file.create_dataset('04 - Red_2018-08-01', data=np.zeros((5, 6)))
        file.create_dataset('VH', data=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="band '04 - Red' at several dates"):
        LoadGEOBench(['04 - Red'])(results)
    with pytest.raises(ValueError, match='not of one size'):
        LoadGEOBench(['02 - Blue', 'VH'])(results)
    with pytest.raises(ValueError, match='white is -1'):
        LoadGEOBench(['VH'], white=-1)
    (root / 'id_1.hdf5').write_bytes(b'no HDF5')
    with pytest.raises(OSError, match='id_1'):
        LoadGEOBench(['VH'])({'img_path': str(root / 'id_1.hdf5')})
