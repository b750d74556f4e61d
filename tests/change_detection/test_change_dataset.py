from __future__ import annotations

from pathlib import Path

import pytest

from mmdynamicvis.change_detection import ChangeDataset
from mmdynamicvis.registry import DATASETS

from .pairs import write_pairs

FOLDERS = dict(img_path='A', img_path2='B', seg_map_path='label')


def build(root: Path, **options) -> ChangeDataset:
    cfg = dict(
        type='mmdynamicvis.ChangeDataset', data_root=str(root), data_prefix=FOLDERS, **options
    )
    return DATASETS.build(cfg)


def paths(dataset: ChangeDataset) -> list[tuple[str, ...]]:
    keys = ('img_path', 'img_path2', 'seg_map_path')
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [tuple(info[key] for key in keys if key in info) for info in infos]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pairs(tmp_path, ['x', 'tile_0.5_y', 'z'])
    return tmp_path


@pytest.mark.parametrize('ann_file', ['', 'list/all.txt'])
def test_pairs_are_listed_by_folder_or_file(root, ann_file):
    dataset = build(root, ann_file=ann_file)
    assert sorted(paths(dataset)) == [
        (f'{root}/A/{name}.png', f'{root}/B/{name}.png', f'{root}/label/{name}.png')
        for name in ('tile_0.5_y', 'x', 'z')
    ]
    assert dataset.metainfo['classes'] == ('unchanged', 'changed')


def test_hidden_folders_and_circles_are_left_out(root):
    for part in ('A', 'B'):
        (root / part / '.hidden').mkdir()
        (root / part / '.hidden/w.png').touch()
        for name in ('circle', 'second'):
            (root / part / name).symlink_to(root / part)
    assert len(build(root)) == 3


def test_lists_go_without_endings_and_with_blank_lines(root):
    (root / 'list/some.txt').write_text('x\n\nz\n')
    assert len(build(root, ann_file='list/some.txt')) == 2


def test_both_dates_may_lie_in_one_folder(tmp_path):
    for place in ('Szada/1', 'Szada/2', 'Tiszadob/3'):
        (tmp_path / place).mkdir(parents=True)
        for name in ('im1', 'im2', 'gt'):
            (tmp_path / place / f'{name}.png').touch()
    suffixes = dict(img_suffix='/im1.png', img_suffix2='/im2.png', seg_map_suffix='/gt.png')
    everything = dict(img_path='', img_path2='', seg_map_path='')
    dataset = DATASETS.build(
        dict(
            type='mmdynamicvis.ChangeDataset',
            data_root=str(tmp_path),
            data_prefix=everything,
            **suffixes,
        )
    )
    assert paths(dataset)[2] == tuple(
        f'{tmp_path}/Tiszadob/3/{name}.png' for name in ('im1', 'im2', 'gt')
    )
    assert len(dataset) == 3


def test_masks_are_not_needed_without_their_folder(root):
    (root / 'label/x.png').unlink()
    dataset = DATASETS.build(
        dict(
            type='mmdynamicvis.ChangeDataset',
            data_root=str(root),
            data_prefix=dict(img_path='A', img_path2='B'),
        )
    )
    assert {len(pair) for pair in paths(dataset)} == {2}


@pytest.mark.parametrize(('lost', 'which'), [('A', 'second'), ('B', 'first')])
def test_an_image_without_partner_is_an_error(root, lost, which):
    (root / f'{lost}/x.png').unlink()
    with pytest.raises(ValueError, match=f'x: only the {which} image exists'):
        build(root)
    with pytest.raises(ValueError, match=rf'all.txt: 1 problem\n.*/{lost}/x.png does not exist'):
        build(root, ann_file='list/all.txt')


def test_a_missing_mask_is_an_error(root):
    (root / 'label/z.png').unlink()
    with pytest.raises(ValueError, match=r'label/z\.png does not exist'):
        build(root)


def test_a_missing_list_or_folder_is_an_error(root):
    with pytest.raises(FileNotFoundError, match=r'list/none\.txt does not exist'):
        build(root, ann_file='list/none.txt')
    with pytest.raises(FileNotFoundError, match='elsewhere/A does not exist'):
        build(root / 'elsewhere')


def test_no_pairs_are_an_error(root):
    with pytest.raises(ValueError, match=r'no pairs \*\.jpg'):
        build(root, img_suffix='.jpg')
