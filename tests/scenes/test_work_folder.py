from __future__ import annotations

import errno

import numpy as np
import pytest

from mmdynamicvis.scenes.work_folder import WorkFolder


def test_results_outlive_the_object(tmp_path):
    settings = dict(tile=512, scaling=(0, 255))
    WorkFolder(tmp_path / 'work', settings).save('a', dict(x=np.arange(5)))
    work = WorkFolder(tmp_path / 'work', settings)
    assert work.has('a')
    assert work.load('a')['x'].tolist() == [0, 1, 2, 3, 4]
    work.discard('a')
    assert not work.has('a')
    work.remove()
    assert not (tmp_path / 'work').exists()


def test_results_of_other_settings_are_refused(tmp_path):
    WorkFolder(tmp_path, dict(tile=512, overlap=8))
    with pytest.raises(ValueError, match=r'tile was 512 and is 256\. Remove the folder'):
        WorkFolder(tmp_path, dict(tile=256, overlap=8))


def test_nothing_is_left_of_what_failed(tmp_path):
    work = WorkFolder(tmp_path / 'work', {})
    target = tmp_path / 'a.tif'
    with pytest.raises(OSError, match='full'), work.replacing(target) as temporary:
        temporary.write_text('half')
        raise OSError(errno.ENOSPC, 'disk full')
    assert not target.exists()
    assert [path.name for path in work.path.iterdir()] == ['settings.json']


def test_what_a_killed_run_left_is_cleared(tmp_path):
    WorkFolder(tmp_path, {}).save('a', dict(x=np.zeros(1)))
    (tmp_path / '.xyz').mkdir()
    (tmp_path / '.xyz/half.npz').write_text('half')
    work = WorkFolder(tmp_path, {})
    assert work.has('a')
    assert not (tmp_path / '.xyz').exists()


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / 'mine.txt').write_text('mine')
    (tmp_path / '.git').mkdir()
    with pytest.raises(ValueError, match='is no folder of a run, and would be removed: move it'):
        WorkFolder(tmp_path, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.git', 'mine.txt']
