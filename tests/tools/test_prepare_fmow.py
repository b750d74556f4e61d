from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdynamicvis.pretraining.fmow import FMOW_CLASSES
from mmdynamicvis.pretraining.region_shards import ShardIndex

from ..pretraining.makers import write_annotation, write_broken_fmow, write_fmow, write_view

TOOL = 'tools/prepare_data/fmow.py'


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    return write_fmow(tmp_path_factory.mktemp('fmow'), n_per_category=3)


@pytest.fixture(scope='module')
def tool(checkout):
    """The tool as a module; importing the package takes a fresh process seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend((checkout / TOOL).parent)
        patch.setattr(Image, 'MAX_IMAGE_PIXELS', Image.MAX_IMAGE_PIXELS)
        yield import_module('fmow')
        for name in ('fmow', 'fmow_raw', 'shard_writer'):
            del sys.modules[name]


def run(tool, *arguments, workers=1):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['fmow.py', *map(str, arguments), '--workers', str(workers)])
        tool.main()


def command(checkout, *arguments):
    return [sys.executable, str(checkout / TOOL), *map(str, arguments)]


def digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def read(folder):
    """Return the samples by key, as webdataset sees them."""
    urls = sorted(map(str, folder.glob('*.tar')))
    samples = list(wds.WebDataset(urls, shardshuffle=False))
    by_key = {sample['__key__']: sample for sample in samples}
    assert len(by_key) == len(samples)
    return by_key


@pytest.fixture(scope='module')
def shards(tool, raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp('shards') / 'out'
    run(tool, raw, folder, '--shards', 4)
    return folder


def test_samples_are_the_files(raw, shards):
    samples = read(shards)
    images = {path.stem: path for path in (raw / 'val').rglob('*.jpg')}
    assert len(samples) == 2 * 9 and len(images) == 9
    for stem, path in images.items():
        sample = samples[f'val_{stem}']
        assert sample['jpg'] == path.read_bytes()
        regions = json.loads(sample['json'])
        objects = json.loads(path.with_suffix('.json').read_text())['bounding_boxes']
        assert regions['gt_bboxes_labels'] == [entry['category'] for entry in objects]
        expected = [[x, y, x + w, y + h] for x, y, w, h in (entry['box'] for entry in objects)]
        assert regions['gt_bboxes'] == expected


def test_index_tells_shards_and_categories(shards):
    index = ShardIndex.read(shards)
    assert index.classes == FMOW_CLASSES and len(set(FMOW_CLASSES)) == 63
    assert index.num_samples == 18
    assert [shard.num_samples for shard in index.shards] == [5, 5, 4, 4]
    for shard in index.shards:
        data = (shards / shard.name).read_bytes()
        assert (shard.num_bytes, shard.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    labels = [
        label for s in read(shards).values() for label in json.loads(s['json'])['gt_bboxes_labels']
    ]
    counts = index.source['boxes_per_category']
    assert {name: n for name, n in counts.items() if n} == {
        name: labels.count(name) for name in ('airport', 'barn', 'zoo')
    }
    assert sorted(digests(shards)) == [f'{i:06d}.tar' for i in range(4)] + [
        'meta.json',
        'skipped.json',
    ]


def test_nothing_of_the_machine_is_in_a_shard(shards):
    with tarfile.open(shards / '000000.tar') as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (0, 0, 0, '', '', 0o644)
    }


def test_workers_do_not_matter_but_the_seed_does(tool, raw, shards, tmp_path):
    run(tool, raw, tmp_path / 'two', '--shards', 4, workers=2)
    assert digests(tmp_path / 'two') == digests(shards)
    run(tool, raw, tmp_path / 'seed', '--shards', 4, '--seed', 1)
    assert digests(tmp_path / 'seed')['000000.tar'] != digests(shards)['000000.tar']
    assert read(tmp_path / 'seed').keys() == read(shards).keys()


def alive(pid):
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.exhaustive
def test_killed_run_continues_to_the_same_bytes(checkout, tool, tmp_path):
    raw = write_fmow(tmp_path / 'raw', n_per_category=8, size=1000)
    arguments = (raw, tmp_path / 'out', '--shards', 8, '--max-size', 900)
    line = command(checkout, *arguments, '--workers', 2)
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = tmp_path / 'out/.unfinished'
    wait_until(lambda: len(list(records.glob('*.tar.json'))) >= 2)
    children = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(children) >= 2
    wait_until(lambda: not any(map(alive, children)), seconds=10)

    finished = {path.name.removesuffix('.json') for path in records.glob('*.tar.json')}
    assert 2 <= len(finished) < 8
    assert not (tmp_path / 'out/meta.json').exists()
    times = {name: (tmp_path / 'out' / name).stat().st_mtime_ns for name in finished}
    subprocess.run(line, check=True, stderr=subprocess.DEVNULL)
    assert times == {name: (tmp_path / 'out' / name).stat().st_mtime_ns for name in finished}

    run(tool, raw, tmp_path / 'whole', *arguments[2:], workers=2)
    assert digests(tmp_path / 'out') == digests(tmp_path / 'whole')


@pytest.fixture
def half(tool, raw, shards, tmp_path):
    """A copy of `raw`, and shards of it of which one is still missing."""
    copy = Path(shutil.copytree(raw, tmp_path / 'raw'))
    out = tmp_path / 'out'
    run(tool, copy, out, '--shards', 4)
    unfinish(out)
    return copy, out


def unfinish(out):
    """Put a finished folder back to where its last shard was not done."""
    index = ShardIndex.read(out)
    (out / 'meta.json').unlink()
    unfinished = out / '.unfinished'
    unfinished.mkdir()
    added = ('num_skipped_files', 'num_skipped_boxes', 'boxes_per_category')
    plan = {name: value for name, value in index.source.items() if name not in added}
    (unfinished / 'plan.json').write_text(json.dumps(plan))
    for shard in index.shards[:-1]:
        record = {'shard': vars(shard), 'categories': {}, 'skipped': []}
        (unfinished / f'{shard.name}.json').write_text(json.dumps(record))
    (out / index.shards[-1].name).unlink()


def test_continuation_of_other_files_or_arguments_is_refused(tool, half):
    raw, out = half
    before = digests_of_shards(out)
    with pytest.raises(ValueError, match=r'fit was None.*--force'):
        run(tool, raw, out, '--shards', 4, '--max-size', 32)
    write_view(raw, 'train/dam/dam_0', np.random.default_rng(0), 64)
    with pytest.raises(ValueError, match=r'num_files was 18, is 19.*--force'):
        run(tool, raw, out, '--shards', 4)
    assert digests_of_shards(out) == before

    run(tool, raw, out, '--shards', 4, '--force')
    assert ShardIndex.read(out).num_samples == 18
    assert json.loads((out / 'skipped.json').read_text())['files'][0]['file'].endswith(
        'dam_0_0_rgb.json'
    )


def digests_of_shards(out):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob('*.tar')}


def test_lost_shard_is_written_again(tool, half, shards):
    raw, out = half
    (out / '000000.tar').unlink()
    (out / '000001.tar').write_bytes(b'short')
    run(tool, raw, out, '--shards', 4)
    assert digests_of_shards(out) == digests_of_shards(shards)


def test_finished_and_foreign_folders_are_left_alone(tool, raw, shards, tmp_path):
    before = digests(shards)
    with pytest.raises(FileExistsError, match=r'finished shards.*--force'):
        run(tool, raw, shards, '--shards', 4)
    assert digests(shards) == before

    published = tmp_path / 'published'
    published.mkdir()
    (published / '000000.tar').write_text('of others')
    (published / 'meta.json').write_text('{"num_samples": 1}')
    with pytest.raises(FileExistsError, match=r'meta\.json is not of this tool'):
        run(tool, raw, published, '--shards', 4, '--force')
    copy = Path(shutil.copytree(shards, tmp_path / 'copy'))
    (copy / '000099.tar').write_text('of others')
    with pytest.raises(FileExistsError, match=r'what this tool did not write: 000099\.tar'):
        run(tool, raw, copy, '--shards', 4, '--force')
    assert digests_of_shards(copy).keys() == {*digests_of_shards(shards), '000099.tar'}
    (copy / '000099.tar').rename(copy / '000001.tar')
    with pytest.raises(FileExistsError, match=r'what this tool did not write: 000001\.tar'):
        run(tool, raw, copy, '--shards', 4, '--force')
    assert (copy / '000001.tar').read_text() == 'of others'
    assert digests_of_shards(copy).keys() == digests_of_shards(shards).keys()
    shutil.rmtree(published)
    shutil.rmtree(copy)

    (tmp_path / 'thesis.tex').write_text('x')
    for options in ((), ('--force',)):
        with pytest.raises(FileExistsError, match='not empty'):
            run(tool, raw, tmp_path, '--shards', 4, *options)
    assert digests(tmp_path).keys() == {'thesis.tex'}


def test_a_shard_of_others_stays(tool, half):
    raw, out = half
    (out / '000003.tar').write_text('of others')
    for options, message in (((), 'this tool did not write: 000003'), (['--force'], 'not empty')):
        with pytest.raises(FileExistsError, match=message):
            run(tool, raw, out, '--shards', 4, *options)
    assert (out / '000003.tar').read_text() == 'of others'


def test_second_writer_is_refused(tool, raw, tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match=f'another process is writing into {tmp_path}'):
            run(tool, raw, tmp_path, '--shards', 4)
    finally:
        os.close(descriptor)


def test_everything_broken_is_listed_and_skipped(tool, tmp_path):
    raw = write_fmow(tmp_path / 'raw', n_per_category=1)
    files, boxes = write_broken_fmow(raw)
    run(tool, raw, tmp_path / 'out', '--shards', 2)
    skipped = json.loads((tmp_path / 'out/skipped.json').read_text())

    found = {entry['file']: entry['reason'] for entry in skipped['files']}
    assert found.keys() == files.keys() and len(found) == len(skipped['files'])
    assert all(reason in found[name] for name, reason in files.items()), found
    found = {f'{entry["file"]} {entry["box"]}': entry['reason'] for entry in skipped['boxes']}
    assert found.keys() == boxes.keys()
    assert all(reason in found[name] for name, reason in boxes.items()), found

    samples = read(tmp_path / 'out')
    assert len(samples) == 6 + 1
    regions = json.loads(samples['train_dam_100_0_rgb']['json'])
    assert regions == {'gt_bboxes': [[8, 8, 24, 24]], 'gt_bboxes_labels': ['dam']}
    source = ShardIndex.read(tmp_path / 'out').source
    assert source['num_skipped_files'] == len(files)
    assert source['num_skipped_boxes'] == len(boxes)


def test_nothing_left_is_an_error(checkout, tmp_path):
    for i in range(2):
        write_annotation(tmp_path / 'raw', f'train/zoo/zoo_{i}', [], 64)
        write_view(tmp_path / 'raw', f'train/zoo/zoo_{i}', np.random.default_rng(0), 64)
    line = command(checkout, tmp_path / 'raw', tmp_path / 'out', '--splits', 'train', '--shards', 1)
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('error: nothing is left')
    assert 'skipped.json' in done.stderr and 'Traceback' not in done.stderr
    assert not (tmp_path / 'out/meta.json').exists()
    skipped = json.loads((tmp_path / 'out/skipped.json').read_text())
    assert len(skipped['files']) == 2


def test_shard_without_samples_is_left_out(tool, tmp_path):
    raw = write_fmow(tmp_path / 'raw', n_per_category=1, splits=('train',))
    for path in (raw / 'train').rglob('airport*.jpg'):
        path.write_bytes(b'')
    run(tool, raw, tmp_path / 'out', '--splits', 'train', '--shards', 3)
    index = ShardIndex.read(tmp_path / 'out')
    assert [shard.num_samples for shard in index.shards] == [1, 1]
    assert {shard.name for shard in index.shards} == {
        p.name for p in (tmp_path / 'out').glob('*.tar')
    }


def test_truth_of_test_comes_from_the_mapping(tool, tmp_path):
    raw = write_fmow(tmp_path / 'raw', splits=('train', 'test'), kinds=('rgb', 'msrgb'))
    options = ('--splits', 'test', '--shards', 2)
    run(tool, raw, tmp_path / 'rgb', *options)
    assert sorted(read(tmp_path / 'rgb')) == [f'test_{i:07d}_0_rgb' for i in range(6)]
    regions = json.loads(read(tmp_path / 'rgb')['test_0000005_0_rgb']['json'])
    assert set(regions['gt_bboxes_labels']) == {'zoo'}
    skipped = json.loads((tmp_path / 'rgb/skipped.json').read_text())
    assert skipped == {'files': [], 'boxes': []}  # outlines are no boxes
    run(tool, raw, tmp_path / 'both', *options, '--images', 'both')
    assert len(read(tmp_path / 'both')) == 12

    (raw / 'test_gt_mapping.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'groundtruth\.tar\.bz2'):
        run(tool, raw, tmp_path / 'none', *options)


def test_held_out_images_are_a_part_of_test(tool, tmp_path):
    raw = write_fmow(tmp_path / 'raw', splits=('train', 'test'))
    held = ('--held-out', 2, '--shards', 1)
    run(tool, raw, tmp_path / 'train', '--splits', 'train', 'test', *held)
    run(tool, raw, tmp_path / 'held', '--splits', 'test', *held, '--only-held-out')
    train, test = read(tmp_path / 'train').keys(), read(tmp_path / 'held').keys()
    assert len(test) == 2 and len(train) == 6 + 4 and not train & test
    with pytest.raises(ValueError, match='test has 6'):
        run(tool, raw, tmp_path / 'x', '--splits', 'test', '--held-out', 7)


def test_large_images_are_shrunk(tool, tmp_path):
    raw = write_fmow(tmp_path / 'raw', n_per_category=1, size=100, splits=('train',))
    write_view(raw, 'train/zoo/zoo_9', np.random.default_rng(0), 40)
    write_annotation(raw, 'train/zoo/zoo_9', [{'category': 'zoo', 'box': [5, 5, 50, 9]}], 40)
    run(tool, raw, tmp_path / 'out', '--splits', 'train', '--shards', 1, '--max-size', 50)
    samples = read(tmp_path / 'out')
    small = samples['train_zoo_9_0_rgb']
    assert small['jpg'] == (raw / 'train/zoo/zoo_9/zoo_9_0_rgb.jpg').read_bytes()
    assert json.loads(small['json'])['gt_bboxes'] == [[5, 5, 40, 14]]
    large = samples['train_zoo_0_0_rgb']
    assert Image.open(io.BytesIO(large['jpg'])).size == (50, 50)
    objects = json.loads((raw / 'train/zoo/zoo_0/zoo_0_0_rgb.json').read_text())['bounding_boxes']
    expected = [
        [x / 2, y / 2, (x + w) / 2, (y + h) / 2] for x, y, w, h in (o['box'] for o in objects)
    ]
    assert json.loads(large['json'])['gt_bboxes'] == expected


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


@given(entry=anything | st.fixed_dictionaries({'category': st.just('zoo'), 'box': anything}))
def test_entry_of_an_annotation_is_used_or_refused(tool, entry):
    try:
        (x1, y1, x2, y2), category = tool.parse_object(entry, (30, 20), frozenset(['zoo']))
    except ValueError as error:
        assert str(error).isprintable()  # it goes into a list for people
    else:
        assert category == 'zoo'
        assert 0 <= x1 < x2 <= 30 and 0 <= y1 < y2 <= 20


@given(st.lists(st.floats(-50, 50), min_size=4, max_size=4))
def test_box_is_clipped_to_the_image(tool, box):
    x, y, width, height = box
    overlap = max(0, min(30, x + width) - max(0, x)), max(0, min(20, y + height) - max(0, y))
    entry = {'category': 'zoo', 'box': box}
    if min(width, height) > 0 and min(overlap) > 0:
        (x1, y1, x2, y2), _ = tool.parse_object(entry, (30, 20), frozenset(['zoo']))
        assert (x2 - x1, y2 - y1) == overlap
    else:
        with pytest.raises(ValueError, match='box'):
            tool.parse_object(entry, (30, 20), frozenset(['zoo']))


@st.composite
def images_with_boxes(draw):
    size = draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    boxes = []
    for _ in range(draw(st.integers(1, 3))):
        corners = [sorted(draw(st.tuples(*[st.floats(0, side)] * 2))) for side in size]
        (x1, x2), (y1, y2) = corners
        boxes.append([x1, y1, x2, y2])
    return size, boxes


@given(images_with_boxes(), st.integers(1, 200), st.none() | st.floats(0, 10))
def test_reduced_image_keeps_its_boxes(tool, scene, max_size, context):
    (width, height), boxes = scene
    image = Image.new('RGB', (width, height))
    fit = tool.Fit(max_size, context, 95)
    data, reduced = tool.reduce_image(image, boxes, fit)
    new = Image.open(io.BytesIO(data)).size
    assert max(new) <= max_size
    assert min(max_size, width, height) <= max(new)
    hull = [max(b[a + 2] for b in boxes) - min(b[a] for b in boxes) for a in (0, 1)]
    for old_box, box in zip(boxes, reduced, strict=True):
        assert -0.01 <= box[0] <= box[2] <= new[0] + 0.01
        assert -0.01 <= box[1] <= box[3] <= new[1] + 0.01
        if context is not None and max(hull) * (1 + 2 * context) + 2 <= max_size:
            assert box[2] - box[0] == pytest.approx(old_box[2] - old_box[0], abs=0.01)


def test_cut_shows_the_object_where_its_box_is(tool):
    pixels = np.zeros((400, 600, 3), np.uint8)
    pixels[300:340, 500:560] = 255
    fit = tool.Fit(100, 0.5, 95)
    data, [[x1, y1, x2, y2]] = tool.reduce_image(
        Image.fromarray(pixels), [[500.0, 300.0, 560.0, 340.0]], fit
    )
    cut = np.asarray(Image.open(io.BytesIO(data))).mean(-1)
    assert max(cut.shape) == 100
    rows, columns = np.nonzero(cut > 128)
    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(np.subtract(edges, [x1, y1, x2, y2])).max() <= 1
    assert x2 - x1 > 40  # of 10 when the whole image is shrunk


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--shards', 0), '--shards is 0'),
        (('--quality', 80), 'need --max-size'),
        (('--quality', 99, '--max-size', 9), '--quality is 99'),
        (('--context', -1, '--max-size', 9), '--context is -1'),
        (('--held-out', 5), 'test in --splits'),
        (('--only-held-out',), 'needs --held-out'),
    ],
)
def test_wrong_arguments_are_refused(tool, raw, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run(tool, raw, tmp_path / 'out', *arguments)
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (('--shards', 19), ValueError, '18 samples do not fill 19 shards'),
        (('--splits', 'seq'), FileNotFoundError, 'seq does not exist'),
        (('--images', 'msrgb'), FileNotFoundError, 'no images of the kind msrgb'),
    ],
)
def test_wrong_folders_are_refused(tool, raw, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        run(tool, raw, tmp_path / 'out', *arguments)
    assert not (tmp_path / 'out').exists()
