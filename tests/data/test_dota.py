"""What check_dota accepts, mmrotate reads; what it refuses, it names by file and line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmrotate.datasets import DOTADataset

from mmdynamicvis.data.dota import check_dota
from mmdynamicvis.rotated_detection.datasets import NWPURotatedDataset

CLASSES = ('ship', 'plane')
FINE = '10 10 30 10 30 25 10 25 ship 0'
HEADER = 'imagesource:GoogleEarth\ngsd:0.25\n'


@pytest.fixture
def write(tmp_path):
    def write(*lines, name='P1.txt'):
        (tmp_path / name).write_text(''.join(f'{line}\n' for line in lines))
        return tmp_path

    return write


def test_accepts(write):
    write('1.5 -3 30 10 3e1 25 10 25 plane 2', FINE)
    check_dota(write(name='without_objects.txt'), CLASSES)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('10 10 30 10 30 25 10 25 ship', '9 fields instead of 10'),
        ('10 10 30 10 30 25 10 25 large ship 0', '11 fields instead of 10'),
        ('', '0 fields instead of 10'),
        ('gsd:0.25', r'1 fields instead of 10; tools/prepare_data/dota\.py drops headers'),
        ('10 10 30 1O 30 25 10 25 ship 0', "could not convert string to float: '1O'"),
        ('10 10 30 nan 30 25 10 25 ship 0', 'the corners 10 10 30 nan 30 25 10 25 are not finite'),
        ('10 10 30 10 inf 25 10 25 ship 0', 'the corners 10 10 30 10 inf 25 10 25 are not finite'),
        ('10 10 10 10 10 10 10 10 ship 0', 'the corners 10 10 10 10 10 10 10 10 enclose no area'),
        ('0 0 1 1 2 2 3 3 ship 0', 'enclose no area'),
        ('.1 .1 .2 .2 .3 .3 .2 .2 ship 0', 'enclose no area'),
        ('5 5 5 5 9 9 5 5 ship 0', 'enclose no area'),
        ('0 .1 .9 .1 .9 1 0 1 ship 0', r'the corners 0 .1 .* are from 0 to 1; .* in pixels'),
        ('10 10 30 10 30 25 10 25 Ship 0', 'the category Ship is none of plane, ship'),
        ('10 10 30 10 30 25 10 25 ship 0.5', 'the difficulty 0.5 is not a whole number'),
        ('10 10 30 10 30 25 10 25 ship -1', 'the difficulty -1 is not a whole number'),
    ],
)
def test_names_file_and_line(write, line, message):
    folder = write(FINE, line, FINE)
    with pytest.raises(ValueError, match=rf'P1\.txt, line 2: (the corners .* )?{message}') as error:
        check_dota(folder, CLASSES)
    assert str(error.value).endswith('x1 y1 x2 y2 x3 y3 x4 y4 category difficulty')


@pytest.mark.parametrize('line', ['1 1 5 1 1 1 5 5 ship 0', '1 1 1 1 5 1 5 5 ship 0'])
def test_a_triangle_has_an_area(write, line):
    check_dota(write(line), CLASSES)


def test_headers_are_for_the_download_only(write):
    folder = write(*HEADER.splitlines(), FINE)
    check_dota(folder, CLASSES, headers=True)
    with pytest.raises(ValueError, match='2 problems'):
        check_dota(folder, CLASSES)


def test_a_header_in_the_middle_is_none(write):
    with pytest.raises(ValueError, match='line 3: 1 fields'):
        check_dota(write(FINE, FINE, 'gsd:0.25'), CLASSES, headers=True)


def test_many_problems_are_counted_and_ten_are_shown(write):
    write(*['ship'] * 7, name='P2.txt')
    with pytest.raises(ValueError, match='14 problems, the first 10 are') as error:
        check_dota(write(*['ship'] * 7), CLASSES)
    assert len(re.findall('line', str(error.value))) == 10 + 1


def test_files_instead_of_a_folder(write):
    folder = write(FINE)
    write('ship', name='P2.txt')
    check_dota([folder / 'P1.txt'], CLASSES)
    with pytest.raises(ValueError, match=r'P2\.txt, line 1'):
        check_dota([folder / 'P1.txt', folder / 'P2.txt'], CLASSES)


@pytest.mark.parametrize('folder', ['.', 'absent'])
def test_no_files(tmp_path, folder):
    with pytest.raises(ValueError, match=r'has no \.txt files'):
        check_dota(tmp_path / folder, CLASSES)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / 'P1.txt').write_bytes(b'10 10 30 10 30 25 10 25 sh\xffp 0\n')
    with pytest.raises(ValueError, match=r'P1\.txt, line 1: the category'):
        check_dota(tmp_path, CLASSES)


fields = st.sampled_from(['1', '-2.5', '30', '7e1', 'x', 'nan', 'ship', 'plane', '0', 'gsd:1'])
corners = st.lists(st.integers(-9, 99).map(str), min_size=8, max_size=8)
lines = st.one_of(
    st.lists(fields, max_size=11).map(' '.join),
    st.tuples(corners, fields, fields).map(lambda parts: ' '.join([*parts[0], *parts[1:]])),
)


@given(lines=st.lists(lines, max_size=3))
def test_what_is_accepted_is_what_mmrotate_reads(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp('dota')
    (folder / 'P1.txt').write_text('\n'.join(lines))
    written = (folder / 'P1.txt').read_text().splitlines()
    try:
        check_dota(folder, CLASSES)
    except ValueError:
        return
    data = DOTADataset(ann_file=str(folder), metainfo=dict(classes=CLASSES), serialize_data=False)
    assert len(data[0]['instances']) == len(written)


@pytest.mark.shared_data
def test_real_files_pass(shared_data):
    check_dota(shared_data / 'dota/labelTxt', DOTADataset.METAINFO['classes'], headers=True)
    nwpu = shared_data / 'nwpu_vhr10/labelTxt_derived_minarearect'
    for split in ('train', 'val'):
        check_dota(nwpu / split, NWPURotatedDataset.METAINFO['classes'])
