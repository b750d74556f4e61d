from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mmdynamicvis.fileio import OutputNames, refuse_to_overwrite, replacing


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    for text in ('old', 'new'):
        with replacing(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('error', [OSError(errno.ENOSPC, 'full'), OSError('a.txt: why')])
def test_what_failed_is_named_and_leaves_nothing(tmp_path: Path, error: OSError) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(OSError, match=r'a\.txt') as raised, replacing(path) as temporary:
        temporary.write_text('new')
        raise error
    assert raised.value.errno == error.errno
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='missing'), replacing(tmp_path / 'missing/a.txt'):
        pass


@pytest.mark.parametrize('force', [None, False, True])
@pytest.mark.parametrize('kind', ['same', 'spelling', 'symlink', 'hard link', 'linked folder'])
def test_an_output_is_never_an_input(tmp_path: Path, kind: str, force: bool | None) -> None:
    source, output = tmp_path / 'folder/a.tif', tmp_path / 'b.tif'
    source.parent.mkdir()
    source.write_text('mine')
    if kind == 'same':
        output = source
    elif kind == 'spelling':
        output = tmp_path / 'folder/../folder/a.tif'
    elif kind == 'symlink':
        output.symlink_to(source)
    elif kind == 'hard link':
        os.link(source, output)
    else:
        (tmp_path / 'link').symlink_to(source.parent)
        output = tmp_path / 'link/a.tif'
    others = (tmp_path / 'missing', '/vsizip/a.zip/b.tif', 'a\0b', None)
    with pytest.raises(ValueError, match=rf'{output} would be written over {source}, which is'):
        refuse_to_overwrite([tmp_path / 'new.tif', output], [*others, source], force)


def test_what_exists_stays_unless_the_user_says_so(tmp_path: Path) -> None:
    refuse_to_overwrite([tmp_path / 'new'], [tmp_path / 'missing'])
    (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')
    (tmp_path / 'file').write_text('mine')
    for path in (tmp_path, tmp_path / 'link', tmp_path / 'file'):
        with pytest.raises(FileExistsError, match=f'{path} exists; remove it, or give another'):
            refuse_to_overwrite([path])
        with pytest.raises(FileExistsError, match='pass --force to overwrite it'):
            refuse_to_overwrite([path], force=False)
        refuse_to_overwrite([path], force=True)


def test_names_of_outputs_differ() -> None:
    paths = ['/d/a/1.png', '/d/b/1.png', '/d/a/1.jpg', 'B/1.png', '1.png', '1.jpg', '/d/c/a_1.tif']
    names = OutputNames()
    given = [names(path) for path in paths]
    assert given == ['1', 'b_1', 'a_1', 'B_1_2', '1_2', '1_3', 'c_a_1']
    assert len({name.casefold() for name in given}) == len(paths)
    assert [names(path) for path in reversed(paths)] == given[::-1]
