from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mmdynamicvis.fileio import replacing


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
