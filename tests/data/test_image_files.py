"""Lists of image files: all of them, once, and no others."""

from __future__ import annotations

import os

import pytest

from mmdynamicvis.data.image_files import find_files


@pytest.fixture
def root(tmp_path):
    for name in (
        'data/b.png',
        'data/sub/A.PNG',
        'data/sub/._A.png',
        'data/.hidden/c.png',
        'data/notes.txt',
        'elsewhere/d.png',
        'elsewhere/deep/e.png',
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / 'data'


def found(root):
    return [path.relative_to(root).as_posix() for path in find_files(root, ['.png'])]


def test_hidden_files_and_folders_are_left_out(root):
    assert found(root) == ['b.png', 'sub/A.PNG']


def test_linked_folders_are_followed_once(root):
    (root / 'first').symlink_to(root.parent / 'elsewhere/deep')
    (root / 'second').symlink_to(root.parent / 'elsewhere')
    assert found(root) == ['b.png', 'first/e.png', 'second/d.png', 'sub/A.PNG']


def test_links_into_the_folder_and_circles_add_nothing(root):
    (root / 'again').symlink_to(root / 'sub')
    (root / 'sub/up').symlink_to(root.parent)
    (root.parent / 'elsewhere/back').symlink_to(root)
    (root / 'link').symlink_to(root.parent / 'elsewhere')
    assert found(root) == ['b.png', 'link/d.png', 'link/deep/e.png', 'sub/A.PNG']


def test_a_linked_file_and_a_linked_root_are_taken(root):
    (root / 'f.png').symlink_to(root.parent / 'elsewhere/d.png')
    (root.parent / 'alias').symlink_to(root)
    assert found(root.parent / 'alias') == ['b.png', 'f.png', 'sub/A.PNG']


def test_a_folder_that_cannot_be_listed_is_named(root, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('sub'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(PermissionError, match='data/sub'):
        find_files(root, ['.png'])


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='none is no folder'):
        find_files(tmp_path / 'none', ['.png'])
