from __future__ import annotations

import pytest
from mmengine.registry import DATASETS, init_default_scope

from mmdynamicvis.classification import AID, SceneDataset, UCMerced
from mmdynamicvis.data.loading import LoadIntactImage

from .makers import write_scenes

CLASSES = ('Beach', 'Forest', 'Port')


@pytest.fixture
def root(tmp_path):
    return write_scenes(tmp_path / 'scenes', CLASSES, per_class=2)


def build(root, **kwargs):
    settings = dict(ann_file='train.txt', data_root=str(root), classes=CLASSES, pipeline=[])
    return SceneDataset(**{**settings, **kwargs})


def test_reads_paths_and_labels(root):
    dataset = build(root)
    assert len(dataset) == 6
    labels = [dataset.get_data_info(i)['gt_label'] for i in range(6)]
    assert labels == [0, 0, 1, 1, 2, 2]
    assert dataset.get_data_info(5)['img_path'] == str(root / 'Port/port_1.jpg')


def test_class_indices_in_the_list_are_checked(root):
    (root / 'train.txt').write_text('Beach/beach_0.jpg 0\n\nPort/port_1.jpg 2\n')
    assert [info['gt_label'] for info in build(root).load_data_list()] == [0, 2]
    (root / 'train.txt').write_text('Beach/beach_0.jpg 0\nPort/port_1.jpg 1\n')
    with pytest.raises(ValueError, match=r'train\.txt, line 2.*index 1.*class 2'):
        build(root)


@pytest.mark.parametrize(
    ('line', 'error', 'match'),
    [
        ('Beach/none.jpg', FileNotFoundError, r'train\.txt, line 2.*Beach/none\.jpg'),
        ('Desert/a.jpg', ValueError, r"train\.txt, line 2.*'Desert'.*no class"),
        ('beach_0.jpg', ValueError, r'train\.txt, line 2.*no class'),
    ],
)
def test_wrong_lines_are_named(root, line, error, match):
    (root / 'train.txt').write_text(f'Beach/beach_0.jpg\n{line}\n')
    with pytest.raises(error, match=match):
        build(root)


def test_missing_and_empty_lists_are_errors(root):
    with pytest.raises(FileNotFoundError, match=r'none\.txt.*split_classification'):
        build(root, ann_file='none.txt')
    (root / 'train.txt').write_text('\n')
    with pytest.raises(ValueError, match=r'train\.txt names no image'):
        build(root)


def test_a_class_named_twice(root):
    with pytest.raises(ValueError, match='SceneDataset has Beach twice in its classes'):
        build(root, classes=(*CLASSES, 'Beach'))


@pytest.mark.parametrize('damage', ['truncated', 'text', 'missing'])
def test_damaged_images_are_named(root, damage):
    path = root / 'Beach/beach_0.jpg'
    content = path.read_bytes()
    if damage == 'missing':
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == 'truncated' else b'no image')
    with pytest.raises(OSError, match=r'Beach/beach_0\.jpg'):
        LoadIntactImage()(dict(img_path=str(path)))


def test_published_layouts(tmp_path):
    names = UCMerced.METAINFO['classes']
    write_scenes(tmp_path / 'uc/Images', names, per_class=1, size=8, suffix='.tif')
    (tmp_path / 'uc/Images/train.txt').rename(tmp_path / 'uc/train.txt')
    dataset = UCMerced(ann_file='train.txt', data_root=str(tmp_path / 'uc'), pipeline=[])
    assert len(dataset) == len(names) == 21

    write_scenes(tmp_path / 'aid', AID.METAINFO['classes'], per_class=1, size=8)
    init_default_scope('mmpretrain')
    cfg = dict(type='mmdynamicvis.AID', ann_file='val.txt', data_root=str(tmp_path / 'aid'))
    assert len(DATASETS.build(dict(**cfg, pipeline=[]))) == 30


@pytest.mark.shared_data
@pytest.mark.parametrize(('ann_file', 'count'), [('train.txt', 1500), ('val.txt', 600)])
def test_real_aid_samples(shared_data, ann_file, count):
    root = str(shared_data / 'aid150')
    dataset = AID(ann_file=ann_file, data_root=root, pipeline=[LoadIntactImage()])
    assert len(dataset) == count
    assert dataset[0]['img'].shape == (150, 150, 3)
    assert {info['gt_label'] for info in dataset.load_data_list()} == set(range(30))
