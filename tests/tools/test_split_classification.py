from __future__ import annotations

import os
import runpy
import subprocess
import sys
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

TOOL = 'tools/prepare_data/split_classification.py'


@pytest.fixture(scope='module')
def tool(checkout):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str((checkout / TOOL).parent))
        return runpy.run_path(str(checkout / TOOL))


@pytest.fixture(scope='module')
def split(tool):
    return tool['split']


@pytest.fixture
def root(tmp_path):
    for name, count in (('a', 10), ('b', 4)):
        (tmp_path / 'Images' / name).mkdir(parents=True)
        for i in range(count):
            (tmp_path / 'Images' / name / f'{name}{i:02}.tif').touch()
        (tmp_path / 'Images' / name / 'Thumbs.db').touch()
        (tmp_path / 'Images' / name / f'._{name}00.tif').touch()
    (tmp_path / 'Images/.cache').mkdir()
    (tmp_path / 'Images/again').symlink_to(tmp_path / 'Images/a')
    return tmp_path


def run(checkout, *arguments):
    command = [sys.executable, str(checkout / TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@given(
    counts=st.dictionaries(st.sampled_from('abcdef'), st.integers(2, 30), min_size=1),
    ratio=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_split_is_a_partition_at_the_share_of_every_class(split, counts, ratio, seed):
    by_class = {name: [f'{name}/{i}.jpg' for i in range(n)] for name, n in counts.items()}
    train, val = split(by_class, ratio, seed)
    assert sorted(train + val) == sorted(chain(*by_class.values()))
    for name, n in counts.items():
        n_train = sum(line.startswith(f'{name}/') for line in train)
        assert abs(n_train - ratio * n) <= 1
        assert 1 <= n_train <= n - 1
    backwards = {name: images[::-1] for name, images in reversed(by_class.items())}
    assert split(backwards, ratio, seed) == (train, val)


def test_tool_writes_lists_and_counts(checkout, root):
    done = run(checkout, root, '--images', 'Images', '--train-ratio', 0.7)
    assert done.returncode == 0, done.stderr
    train = (root / 'train.txt').read_text().split()
    assert len(train) == 7 + 3
    assert all(line.endswith('.tif') for line in train)
    assert len((root / 'val.txt').read_text().split()) == 3 + 1
    assert done.stdout.splitlines()[-1].split() == ['all', '10', '4']

    again = run(checkout, root, '--images', 'Images', '--train-ratio', 0.7)
    assert again.returncode == 1
    assert '--force' in again.stderr
    run(checkout, root, '--images', 'Images', '--train-ratio', 0.7, '--force')
    assert (root / 'train.txt').read_text().split() == train
    run(checkout, root, '--images', 'Images', '--train-ratio', 0.7, '--force', '--seed', 1)
    assert (root / 'train.txt').read_text().split() != train


def test_tool_splits_a_list(checkout, root):
    lines = [f'a/a{i:02}.tif 0' for i in range(10)]
    (root / 'train.txt').write_text('\n'.join(lines))
    names = ('--names', 'tune_train.txt', 'tune_val.txt')
    done = run(checkout, root, '--list', 'train.txt', *names, '--train-ratio', 0.8)
    assert done.returncode == 0, done.stderr
    assert len((root / 'tune_train.txt').read_text().split()) == 8
    assert (root / 'train.txt').read_text().split('\n') == lines


def test_tool_writes_elsewhere_and_keeps_its_input(checkout, root, tmp_path_factory):
    out = tmp_path_factory.mktemp('lists')
    done = run(checkout, root, '--images', 'Images', '--train-ratio', 0.5, '--out', out)
    assert done.returncode == 0, done.stderr
    assert not (root / 'train.txt').exists()
    (root / 'train.txt').write_text('a/a00.tif\nstray.tif\n')
    for spelling in ('train.txt', f'../{root.name}/train.txt'):
        same = run(checkout, root, '--list', spelling, '--train-ratio', 0.5, '--force')
        assert same.returncode == 1
        assert 'train.txt is a source' in same.stderr
        assert (root / 'train.txt').read_text() == 'a/a00.tif\nstray.tif\n'
    stray = run(
        checkout, root, '--list', 'train.txt', '--train-ratio', 0.5, '--out', out, '--force'
    )
    assert stray.returncode == 1
    assert 'train.txt, line 2: stray.tif' in stray.stderr


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['--images', 'none', '--train-ratio', 0.5], 'none'), (['--train-ratio', 1], '1.0')],
)
def test_tool_refuses_wrong_input(checkout, root, arguments, message):
    done = run(checkout, root, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (root / 'train.txt').exists()


def test_files_that_are_no_images_in_class_folders(tool, root):
    (root / 'Images/a/deep').mkdir()
    for name in ('a/deep/1.tif', 'a/2.gif', 'top.tif', 'notes.txt'):
        (root / 'Images' / name).touch()
    by_class, left_out = tool['find_images'](root / 'Images')
    assert {name: len(images) for name, images in by_class.items()} == {'a': 10, 'b': 4}
    assert left_out == ['a/2.gif', 'a/Thumbs.db', 'a/deep/1.tif', 'b/Thumbs.db', 'top.tif']


@pytest.mark.parametrize('name', ['x\ny.tif', 'x\u2028y.tif', b'\xff.tif'])
def test_names_that_no_line_holds(tool, root, name):
    (root / 'Images/a' / os.fsdecode(name)).touch()
    with pytest.raises(ValueError, match=r"(?s)1 problem\n  'a/.*rename the files"):
        tool['find_images'](root / 'Images')


def test_an_image_twice_in_a_list(tool, root):
    (root / 'all.txt').write_text('a/1.tif\nb/1.tif\na/1.tif 0\n')
    with pytest.raises(ValueError, match=r'all\.txt, line 3: a/1\.tif is there twice'):
        tool['read_list'](root / 'all.txt')


def test_a_byte_order_mark_is_no_part_of_a_name(tool, root):
    (root / 'all.txt').write_text('a/1.tif\r\nb/1.tif\r\n', encoding='utf-8-sig')
    assert list(tool['read_list'](root / 'all.txt')) == ['a', 'b']
