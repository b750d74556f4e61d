from __future__ import annotations

import cv2
import numpy as np
import pytest
from synthetic import CATEGORIES, make_scene, write_classification_dataset

TRAIN, VAL, SIZE = 30, 10, 64


def read_split(root, split):
    lines = (root / f'{split}.txt').read_text().splitlines()
    return [line.split()[0] for line in lines], np.array([int(line.split()[1]) for line in lines])


def read_images(root, names):
    return np.stack([cv2.imread(str(root / name))[..., ::-1] for name in names])


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp('synthetic') / 'scenes'
    calls = []
    made = write_classification_dataset(
        root, TRAIN, VAL, size=SIZE, seed=7, progress=lambda *call: calls.append(call)
    )
    assert made
    total = len(CATEGORIES) * (TRAIN + VAL)
    assert calls == [(done, total) for done in range(1, total + 1)]
    return root


def test_folder_holds_what_the_split_files_say(dataset):
    train, train_labels = read_split(dataset, 'train')
    val, val_labels = read_split(dataset, 'val')
    assert not set(train) & set(val)
    files = {p.relative_to(dataset).as_posix() for p in dataset.glob('*/*.png')}
    assert files == {*train, *val}
    assert np.bincount(train_labels).tolist() == [TRAIN] * len(CATEGORIES)
    assert np.bincount(val_labels).tolist() == [VAL] * len(CATEGORIES)
    for name, label in zip(train + val, [*train_labels, *val_labels], strict=True):
        assert name.split('/')[0] == CATEGORIES[label]
    # Nothing temporary is left beside it.
    assert [p.name for p in dataset.parent.iterdir()] == [dataset.name]


def test_files_hold_the_scenes(dataset):
    names = ['forest/forest_00000.png', f'river/river_{TRAIN:05d}.png']
    images = read_images(dataset, names)
    np.testing.assert_array_equal(images[0], make_scene('forest', 0, size=SIZE, seed=7).image)
    np.testing.assert_array_equal(images[1], make_scene('river', TRAIN, size=SIZE, seed=7).image)


def test_color_alone_does_not_tell_the_classes(dataset):
    """What a model learns on top of this is shape and texture."""
    train, train_labels = read_split(dataset, 'train')
    val, val_labels = read_split(dataset, 'val')
    train_images, val_images = read_images(dataset, train), read_images(dataset, val)
    chance = 1 / len(CATEGORIES)

    means = [images.mean(axis=(1, 2)) for images in (train_images, val_images)]
    centers = np.stack([means[0][train_labels == k].mean(axis=0) for k in range(len(CATEGORIES))])
    nearest = np.linalg.norm(means[1][:, None] - centers, axis=2).argmin(axis=1)
    mean_color = (nearest == val_labels).mean()

    histograms = []
    for images in (train_images, val_images):
        bins = (images // 32).astype(int) @ [64, 8, 1]
        counts = np.stack([np.bincount(image.ravel(), minlength=512) for image in bins])
        histograms.append(np.sqrt(counts / SIZE**2))
    # Bhattacharyya similarity of the color histograms, five neighbors.
    neighbors = (histograms[1] @ histograms[0].T).argsort(axis=1)[:, -5:]
    votes = [np.bincount(train_labels[row], minlength=len(CATEGORIES)) for row in neighbors]
    histogram = (np.argmax(votes, axis=1) == val_labels).mean()

    print(f'\nmean color {mean_color:.1%}, color histogram {histogram:.1%}')
    assert chance < mean_color < 0.5
    assert chance < histogram < 0.7


def test_complete_data_set_is_reused(dataset):
    before = {p: p.stat().st_mtime_ns for p in dataset.rglob('*')}
    assert not write_classification_dataset(dataset, TRAIN, VAL, size=SIZE, seed=7)
    assert {p: p.stat().st_mtime_ns for p in dataset.rglob('*')} == before


def test_other_arguments_are_refused(dataset):
    with pytest.raises(FileExistsError, match=r'seed: 7 instead of 8.*remove it'):
        write_classification_dataset(dataset, TRAIN, VAL, size=SIZE, seed=8)


def test_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos/mine.jpg').write_text('mine')
    with pytest.raises(FileExistsError, match=r'photos exists and is no synthetic dataset'):
        write_classification_dataset(tmp_path / 'photos', 1, 1, size=32)
    assert [p.name for p in (tmp_path / 'photos').iterdir()] == ['mine.jpg']


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_classification_dataset(tmp_path / 'scenes', 1, 1, size=32, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('counts', [(0, 1), (1, 0)])
def test_empty_splits_are_refused(tmp_path, counts):
    with pytest.raises(ValueError, match=f'at least 1, got {counts[0]} and {counts[1]}'):
        write_classification_dataset(tmp_path / 'scenes', *counts)
    assert list(tmp_path.iterdir()) == []


def test_both_dataset_classes_read_it(dataset):
    from mmpretrain.datasets import CustomDataset

    from mmdynamicvis.registry import DATASETS

    common = dict(ann_file='val.txt', data_root=str(dataset), pipeline=[])
    ours = DATASETS.build(
        dict(type='mmdynamicvis.SceneDataset', metainfo=dict(classes=CATEGORIES), **common)
    )
    theirs = CustomDataset(metainfo=dict(classes=CATEGORIES), **common)
    names, labels = read_split(dataset, 'val')
    for read in (ours, theirs):
        assert [read.get_data_info(i)['gt_label'] for i in range(len(read))] == labels.tolist()
        assert read.get_data_info(0)['img_path'].endswith(names[0])
