"""What --force of the tools that prepare data may replace: files of an earlier run, as written."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def outputs(checkout):
    return runpy.run_path(str(checkout / 'tools/prepare_data/outputs.py'))


def write(outputs, target, *names, force=True, sources=()):
    with outputs['fresh_folder'](target, force, sources) as folder:
        for name in names:
            outputs['write_text'](folder / name, f'of {names}')


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob('[!.]*') if p.is_file()}


def test_only_what_an_earlier_run_wrote_is_replaced(outputs, tmp_path):
    target = tmp_path / 'tiles'
    write(outputs, target, 'A/1.png', 'B/1.png', 'list/all.txt', force=False)
    (target / 'A/mine.png').touch()
    with pytest.raises(FileExistsError, match='tiles exist; pass --force'):
        write(outputs, target, 'A/2.png', force=False)
    write(outputs, target, 'A/2.png')
    assert names(target) == {'A/2.png', 'A/mine.png'}
    assert not (target / 'B').exists()
    write(outputs, target, 'A/2.png', 'A/3.png')
    assert (target / 'A/2.png').read_text() == "of ('A/2.png', 'A/3.png')"
    assert [path.name for path in tmp_path.iterdir()] == ['tiles']


def test_a_folder_of_others_is_left_alone(outputs, tmp_path):
    (tmp_path / 'source.tif').touch()
    with pytest.raises(FileExistsError, match=r'holds files, and no \.written_files\.json'):
        write(outputs, tmp_path, 'A/1.png')
    assert names(tmp_path) == {'source.tif'}


def test_files_that_were_changed_or_added_are_left_alone(outputs, tmp_path):
    target = tmp_path / 'labels'
    write(outputs, target, '1.txt', '2.txt')
    (target / '3.txt').write_text('mine')
    with pytest.raises(FileExistsError, match=r'names of files to write: 3\.txt'):
        write(outputs, target, '3.txt')
    (target / '2.txt').write_text('corrected')
    with pytest.raises(FileExistsError, match=r'changed since they were written: 2\.txt'):
        write(outputs, target, '1.txt')
    assert names(target) == {'1.txt', '2.txt', '3.txt'}


def test_a_failure_leaves_what_was_there(outputs, tmp_path):
    write(outputs, tmp_path / 'tiles', '1.png')
    with pytest.raises(RuntimeError), outputs['fresh_folder'](tmp_path / 'tiles', True) as folder:
        outputs['write_text'](folder / '2.png', 'half')
        raise RuntimeError
    assert names(tmp_path) == {'tiles/1.png'}


def test_sources_are_never_written_to(outputs, tmp_path):
    source = tmp_path / 'train/images'
    source.mkdir(parents=True)
    for target in (source, source / 'tiles'):
        with pytest.raises(ValueError, match='is a source or lies in one'):
            write(outputs, target, '1.png', sources=[source])
    write(outputs, tmp_path / 'tiles', '1.png')
    with pytest.raises(ValueError, match=r'tiles/1\.png is a source'):
        write(outputs, tmp_path / 'tiles', '1.png', sources=[tmp_path / 'tiles/1.png'])


def test_a_link_to_a_folder_stays_one(outputs, tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'tiles').symlink_to(tmp_path / 'disk')
    write(outputs, tmp_path / 'tiles', '1.png')
    assert (tmp_path / 'tiles').is_symlink()
    assert names(tmp_path / 'disk') == {'1.png'}
