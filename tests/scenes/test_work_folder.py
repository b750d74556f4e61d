from __future__ import annotations

import errno
from multiprocessing import get_context

import numpy as np
import pytest

from mmdynamicvis.fileio import PARTIAL
from mmdynamicvis.scenes.work_folder import JOURNAL, WorkFolder, remove_left

RESULT = dict(x=np.arange(5))


def test_results_outlive_the_object(tmp_path):
    settings = dict(tile=512, scaling=(0, 255))
    with WorkFolder(tmp_path / 'work', settings) as work:
        work.save('a', RESULT)
    with WorkFolder(tmp_path / 'work', settings) as work:
        assert work.has('a')
        assert work.load('a')['x'].tolist() == [0, 1, 2, 3, 4]
        work.discard('a')
        assert not work.has('a')
        work.remove()
    assert not (tmp_path / 'work').exists()


def test_what_a_killed_removal_left(tmp_path):
    path = tmp_path / 'work'
    with WorkFolder(path, dict(tile=512)) as work:
        work.save('a', RESULT)
    remove_left(path)
    assert not path.exists()
    remove_left(path)
    path.mkdir()
    remove_left(path)
    assert not path.exists()
    path.mkdir()
    (path / 'notes.txt').touch()
    remove_left(path)
    assert (path / 'notes.txt').exists()


def test_results_of_other_settings_are_refused(tmp_path):
    files = {'a.tif': [1, 2], 'b.tif': [3, 4]}
    with WorkFolder(tmp_path, dict(tile=512, overlap=8, file=files)) as work:
        work.save('a', RESULT)
    message = r'file b\.tif was \[3, 4\] and is None; tile was 512 and is 256\. Remove the folder'
    with (
        pytest.raises(ValueError, match=message),
        WorkFolder(tmp_path, dict(tile=256, overlap=8, file={'a.tif': [1, 2]})),
    ):
        pass
    assert (tmp_path / 'a.npz').exists()


def test_without_results_settings_may_change(tmp_path):
    """As after a first window that was too small."""
    with pytest.raises(RuntimeError), WorkFolder(tmp_path / 'work', dict(tile=31)):
        raise RuntimeError
    with WorkFolder(tmp_path / 'work', dict(tile=128)) as work:
        work.save('a', RESULT)
    with WorkFolder(tmp_path / 'work', dict(tile=128)) as work:
        assert work.has('a')


def test_nothing_is_left_of_what_failed(tmp_path):
    target = tmp_path / 'a.tif'
    with WorkFolder(tmp_path / 'work', {}) as work:
        with pytest.raises(OSError, match='full'), work.replacing(target) as temporary:
            temporary.write_text('half')
            raise OSError(errno.ENOSPC, 'disk full')
        assert not target.exists()
        assert [path.name for path in work.path.iterdir()] == [JOURNAL]


def test_what_a_killed_run_left_is_cleared(tmp_path):
    with WorkFolder(tmp_path, {}) as work:
        work.save('a', RESULT)
    half = tmp_path / f'{PARTIAL}xyz'
    half.mkdir()
    (half / 'half.npz').write_text('half')
    with WorkFolder(tmp_path, {}) as work:
        assert work.has('a')
        assert not half.exists()


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / 'settings.json').write_text('mine')
    (tmp_path / '.git').mkdir()
    message = 'is not the folder of a run, but would be removed: move it'
    with pytest.raises(ValueError, match=message), WorkFolder(tmp_path, {}):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.git', 'settings.json']


def test_files_of_others_stay(tmp_path):
    """A file browser or a network disk puts its own beside the results."""
    strangers = ['.DS_Store', '.nfs0000', 'notes.txt']
    with WorkFolder(tmp_path / 'work', {}) as work:
        work.save('a', RESULT)
    for name in strangers:
        (work.path / name).write_text('mine')
    with WorkFolder(tmp_path / 'work', {}) as work:
        assert work.has('a')
        with pytest.warns(match=r'work stays: no run has written \.DS_Store, \.nfs0000, notes'):
            work.remove()
    assert sorted(path.name for path in work.path.iterdir()) == strangers


@pytest.mark.parametrize('damage', [lambda c: c[:100], lambda c: b'', lambda c: c[:-40] + c[-39:]])
def test_damaged_results_are_made_again(tmp_path, damage):
    with WorkFolder(tmp_path, {}) as work:
        work.save('a', RESULT)
        work.save('b', RESULT)
    path = tmp_path / 'a.npz'
    path.write_bytes(damage(path.read_bytes()))
    with WorkFolder(tmp_path, {}) as work:
        with pytest.raises(OSError, match=r'a\.npz was damaged .*: start the same command again'):
            work.load('a')
        assert not work.has('a')
        assert work.has('b')


def test_damaged_settings_are_named(tmp_path):
    with WorkFolder(tmp_path, {}) as work:
        work.save('a', RESULT)
    (tmp_path / JOURNAL).write_text('')
    with pytest.raises(ValueError, match=r'run\.json is damaged'), WorkFolder(tmp_path, {}):
        pass


def test_runs_that_share(tmp_path):
    path = tmp_path / 'work'
    with (
        WorkFolder(path, dict(tile=31), shared=True) as first,
        WorkFolder(path, dict(tile=31), shared=True) as second,
    ):
        first.save('a', RESULT)
        assert second.has('a')
        with pytest.raises(BlockingIOError), WorkFolder(path, dict(tile=31)):
            pass
        second.discard('a')
        for settings in (dict(tile=32), {}):
            with (
                pytest.raises(ValueError, match='tile was 31 and is'),
                WorkFolder(path, settings, shared=True),
            ):
                pass
    assert [entry.name for entry in path.iterdir()] == [JOURNAL]


def hold(path, inside, end):
    with WorkFolder(path, {}) as work:
        work.save('a', RESULT)
        inside.set()
        end.wait()


def test_one_run_at_a_time(tmp_path):
    """The lock ends with the process that has it, here by kill -9."""
    context = get_context('fork')
    inside, end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / 'work', inside, end))
    process.start()
    assert inside.wait(20)
    for path in (tmp_path / 'work', tmp_path / 'work/../work'):
        with (
            pytest.raises(BlockingIOError, match=r'another process is writing into .*work'),
            WorkFolder(path, {}),
        ):
            pass
    process.kill()
    process.join()
    with WorkFolder(tmp_path / 'work', {}) as work:
        assert work.has('a')
