from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from itertools import chain, zip_longest
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdynamicvis.engine.hooks.data_check import require_a_box
from mmdynamicvis.pretraining.region_stream import (
    RegionStream,
    rank_share,
    shard_pieces,
    worker_share,
)

from .shard_makers import (
    CLASSES,
    image_bytes,
    regions_bytes,
    serving,
    write_one,
    write_shards,
)

COUNTS = (5, 3, 8, 7)
KEY = itemgetter('img_id')
SCRIPT = Path(__file__).with_name('stream_in_processes.py')
AUGMENT = [
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='RandomResize',
        scale=(32, 32),
        ratio_range=(0.5, 2.0),
        resize_type='mmdet.Resize',
        keep_ratio=True,
    ),
    dict(type='mmdet.RandomCrop', crop_size=(16, 16), allow_negative_crop=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='mmdet.PackDetInputs'),
]

steady = settings(deadline=None, derandomize=True)


@pytest.fixture(scope='session')
def folder(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp('stream') / 'shards', COUNTS)


@pytest.fixture(scope='session')
def keys():
    return [f'{shard:02d}_{i:03d}' for shard, n in enumerate(COUNTS) for i in range(n)]


def stream(folder, epoch=0, batches_done=0, batch_size=1, ranks=(0, 1), **kwargs):
    """Return a stream of keys, as rank ranks[0] of ranks[1] sees it."""
    dataset = RegionStream(folder, **{'pipeline': [KEY], 'shuffle_buffer': 4, **kwargs})
    dataset.rank, dataset.world_size = ranks
    dataset.set_progress(epoch, batches_done, batch_size)
    return dataset


def batches(folder, batch_size=1, n_workers=0, drop_last=False, **kwargs):
    dataset = stream(folder, batch_size=batch_size, **kwargs)
    loader = DataLoader(
        dataset, batch_size, num_workers=n_workers, collate_fn=list, drop_last=drop_last
    )
    return list(loader)


def flat(lists):
    return list(chain.from_iterable(lists))


# arithmetic


@steady
@given(st.integers(0, 300), st.integers(1, 20))
def test_ranks_share_everything_in_a_test(n, world_size):
    shares = [rank_share(n, rank, world_size, drop_rest=False) for rank in range(world_size)]
    assert flat(shares) == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@steady
@given(st.integers(0, 300), st.integers(1, 20))
def test_ranks_have_equally_many_in_training(n, world_size):
    shares = [rank_share(n, rank, world_size, drop_rest=True) for rank in range(world_size)]
    assert {len(share) for share in shares} == {n // world_size}
    assert flat(shares) == list(range(n // world_size * world_size))


@steady
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 9), st.integers(1, 40))
def test_workers_have_full_batches_in_turn(start, n, n_workers, batch_size):
    share = range(start, start + n)
    parts = [worker_share(share, worker, n_workers, batch_size) for worker in range(n_workers)]
    assert flat(parts) == list(share)
    by_worker = [
        [part[i : i + batch_size] for i in range(0, len(part), batch_size)] for part in parts
    ]
    in_turn = flat(zip_longest(*by_worker))
    n_batches = -(-n // batch_size)
    assert None not in in_turn[:n_batches]
    assert set(in_turn[n_batches:]) <= {None}
    assert {len(batch) for batch in in_turn[: n_batches - 1]} <= {batch_size}


@steady
@given(st.lists(st.integers(1, 9), max_size=8), st.data())
def test_pieces_of_shards(counts, data):
    every = [(shard, i) for shard, count in enumerate(counts) for i in range(count)]
    start = data.draw(st.integers(0, len(every)))
    stop = data.draw(st.integers(start, len(every)))
    pieces = list(shard_pieces(counts, range(start, stop)))
    assert [(shard, i) for shard, piece in pieces for i in piece] == every[start:stop]
    assert len({shard for shard, _ in pieces}) == len(pieces)


# what comes, and when


@pytest.mark.parametrize('world_size', [1, 2, 5, 30])
def test_a_test_has_every_sample_once_in_order(folder, keys, world_size):
    shares = [
        list(stream(folder, ranks=(rank, world_size), test_mode=True, epoch=rank))
        for rank in range(world_size)
    ]
    assert flat(shares) == keys
    lengths = [
        len(stream(folder, ranks=(rank, world_size), test_mode=True)) for rank in range(world_size)
    ]
    assert lengths == list(map(len, shares))


def test_a_test_needs_no_progress(folder, keys):
    dataset = RegionStream(folder, pipeline=[KEY], test_mode=True)
    assert sorted(flat(DataLoader(dataset, 4, num_workers=2, collate_fn=list))) == keys
    dataset.set_progress(3, 2, 4)
    loader = DataLoader(dataset, 4, num_workers=2, collate_fn=list)
    batches = list(loader)
    assert sorted(flat(batches)) == keys
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert len(loader) == 6


@pytest.mark.parametrize(('world_size', 'n_workers'), [(1, 0), (1, 2), (2, 0), (4, 2)])
def test_an_epoch_has_samples_at_most_once(folder, keys, world_size, n_workers):
    shares = [
        batches(folder, 2, n_workers, ranks=(rank, world_size), epoch=1)
        for rank in range(world_size)
    ]
    assert {len(flat(share)) for share in shares} == {len(keys) // world_size}
    assert len(stream(folder, ranks=(0, world_size))) == len(keys) // world_size
    found = flat(map(flat, shares))
    assert len(set(found)) == len(found)
    assert set(found) <= set(keys)


def test_the_order_follows_from_seed_and_epoch(folder, keys):
    first = list(stream(folder))
    assert first == list(stream(folder))
    others = [list(stream(folder, epoch=1)), list(stream(folder, seed=1))]
    assert first != others[0] != others[1] != first
    assert all(sorted(order) == keys for order in [first, *others])
    # without a buffer, whole shards change places
    unshuffled = list(stream(folder, shuffle_buffer=0))
    starts = [unshuffled.index(f'{shard:02d}_000') for shard in range(len(COUNTS))]
    for start, shard in zip(starts, range(len(COUNTS)), strict=True):
        part = [key for key in keys if key.startswith(f'{shard:02d}_')]
        assert unshuffled[start : start + len(part)] == part


def test_what_is_left_out_changes(folder, keys):
    left_out = [
        set(keys) - set(flat(list(stream(folder, epoch, ranks=(rank, 3))) for rank in range(3)))
        for epoch in range(8)
    ]
    assert {len(rest) for rest in left_out} == {23 % 3}
    assert len(set.union(*left_out)) > 2


@pytest.mark.parametrize('drop_last', [True, False])
@pytest.mark.filterwarnings('ignore:This DataLoader will create 3 worker')
@pytest.mark.parametrize('n_workers', [0, 2, 3])
def test_resumed_epochs_go_on_as_they_would_have(folder, n_workers, drop_last):
    arguments = dict(batch_size=4, n_workers=n_workers, drop_last=drop_last, epoch=5)
    whole = batches(folder, **arguments)
    assert [len(batch) for batch in whole] == [4] * 5 + ([] if drop_last else [3])
    for done in (1, 2, len(whole)) if n_workers else range(len(whole) + 1):
        assert batches(folder, batches_done=done, **arguments) == whole[done:]


def test_what_is_behind_is_not_decoded(tmp_path):
    broken = [('a.jpg', b'no image'), ('a.json', regions_bytes())]
    good = [('b.jpg', image_bytes()), ('b.json', regions_bytes())]
    folder = write_one(tmp_path / 'shards', *broken, *good, num_samples=2)
    options = dict(shuffle_buffer=0)
    assert list(stream(folder, batches_done=1, **options)) == ['b']
    with pytest.raises(OSError, match=r'000000\.tar/a\.jpg'):
        list(stream(folder, **options))


def test_persistent_workers_see_progress(folder, keys):
    dataset = stream(folder, batch_size=4)
    loader = DataLoader(dataset, 4, num_workers=2, persistent_workers=True, collate_fn=list)
    for epoch in range(3):
        dataset.set_progress(epoch, 0, 4)
        assert list(loader) == batches(folder, 4, 2, epoch=epoch)
    dataset.set_progress(7, 3, 4)
    assert list(loader) == batches(folder, 4, 2, epoch=7)[3:]


# what a sample is


def test_samples_are_as_mmdet_takes_them(tmp_path):
    folder = write_one(
        tmp_path / 'shards',
        ('x/key.jpg', image_bytes((200, 100, 0))),
        ('x/key.json', regions_bytes([[-3, 2, 30.5, 12]], ['dam'])),
    )
    (sample,) = RegionStream(folder, test_mode=True)
    assert sample['img'].shape == (16, 24, 3)
    assert sample['img'].dtype == np.uint8
    assert sample['img'].flags.c_contiguous
    assert sample['img'].flags.writeable
    np.testing.assert_allclose(sample['img'][8, 12], (0, 100, 200), atol=4)
    assert sample['img_shape'] == sample['ori_shape'] == (16, 24)
    assert (sample['height'], sample['width']) == (16, 24)
    assert sample['img_id'] == 'x/key'
    assert sample['img_path'] == f'{folder}/000000.tar/x/key.jpg'
    assert sample['instances'] == [dict(bbox=[0, 2, 24, 12], bbox_label=1, ignore_flag=0)]


def test_images_are_decoded_as_mmcv_does(folder):
    mmcv = pytest.importorskip('mmcv')
    import webdataset

    stored = webdataset.tarfile_samples([{'url': str(folder / '000000.tar')}])
    for ours, theirs in zip(RegionStream(folder, test_mode=True), stored, strict=False):
        assert ours['img_id'] == theirs['__key__']
        expected = mmcv.imfrombytes(theirs['jpg'], backend='pillow')
        np.testing.assert_array_equal(ours['img'], expected)


@pytest.mark.parametrize(
    'box',
    [
        [3, 3, 3, 9],  # no width
        [9, 3, 3, 9],  # inverted
        [24, 0, 30, 16],  # beside the image
        [-9, -9, 0, 4],
        [2, 16, 4, 17],
    ],
)
def test_boxes_without_a_part_of_the_image_are_left_out(tmp_path, box):
    regions = regions_bytes([box, [1, 1, 2, 2]], ['zoo', 'airport'])
    folder = write_one(tmp_path / 'shards', ('a.jpg', image_bytes()), ('a.json', regions))
    (sample,) = RegionStream(folder, test_mode=True)
    assert sample['instances'] == [dict(bbox=[1, 1, 2, 2], bbox_label=0, ignore_flag=0)]


def test_images_without_boxes_stay(tmp_path):
    pytest.importorskip('mmdet')
    regions = regions_bytes([], [])
    folder = write_one(tmp_path / 'shards', ('a.jpg', image_bytes()), ('a.json', regions))
    dataset = stream(folder, pipeline=AUGMENT)
    (sample,) = dataset
    assert sample['data_samples'].gt_instances.bboxes.tensor.shape == (0, 4)
    assert sample['data_samples'].gt_instances.labels.dtype == torch.int64


def test_training_on_no_box_is_refused(folder, tmp_path):
    require_a_box(RegionStream(folder))
    regions = regions_bytes([[30, 0, 40, 9]])  # beside the image
    empty = write_one(tmp_path / 'shards', ('a.jpg', image_bytes()), ('a.json', regions))
    with pytest.raises(ValueError, match=r'the 1 images of RegionStream, .* have no box to train'):
        require_a_box(RegionStream(empty))


def test_classes_are_those_of_the_index_or_given(folder):
    assert RegionStream(folder).metainfo == {'classes': CLASSES}
    swapped = RegionStream(folder, metainfo=dict(classes=['zoo', 'dam', 'airport']), test_mode=True)
    assert swapped.metainfo['classes'] == ('zoo', 'dam', 'airport')
    for sample, own in zip(swapped, RegionStream(folder, test_mode=True), strict=True):
        for one, other in zip(sample['instances'], own['instances'], strict=True):
            assert one['bbox_label'] == 2 - other['bbox_label']


def augmented(folder, n_workers, batch_size=4, **kwargs):
    """Return the pictures and boxes of an epoch by key."""
    found = {}
    for batch in batches(folder, batch_size, n_workers, pipeline=AUGMENT, **kwargs):
        for sample in batch:
            instances = sample['data_samples'].gt_instances
            found[sample['data_samples'].img_id] = (
                sample['inputs'],
                instances.bboxes.tensor,
                instances.labels,
            )
    return found


def test_augmentations_follow_from_seed_epoch_and_key(folder, keys):
    pytest.importorskip('mmdet')
    alone, by_workers = augmented(folder, 0), augmented(folder, 2, batch_size=3)
    random.seed(1)  # what was drawn before does not matter
    np.random.seed(2)
    torch.manual_seed(3)
    again = augmented(folder, 0)
    assert alone.keys() == by_workers.keys() == set(keys)
    for key, sample in alone.items():
        for one, two, three in zip(sample, by_workers[key], again[key], strict=True):
            assert torch.equal(one, two)
            assert torch.equal(one, three)
    for changed in (augmented(folder, 0, epoch=1), augmented(folder, 0, seed=1)):
        same = [torch.equal(alone[key][0], changed[key][0]) for key in keys]
        assert sum(same) < len(keys) / 2


# wrong input


@pytest.mark.parametrize(
    ('jpg', 'regions', 'error', 'match'),
    [
        (b'no image', regions_bytes(), OSError, r'000000\.tar/a\.jpg'),
        (image_bytes()[:-20], regions_bytes(), OSError, r'000000\.tar/a\.jpg.*truncated'),
        (None, regions_bytes(), ValueError, r'000000\.tar/a\.jpg is missing'),
        (image_bytes(), None, ValueError, r'000000\.tar/a\.json is missing'),
        (image_bytes(), b'{', ValueError, r'000000\.tar/a\.json is no JSON'),
        (image_bytes(), b'[]', ValueError, r'000000\.tar/a\.json has no list gt_bboxes'),
        (image_bytes(), b'{"gt_bboxes": []}', ValueError, 'has no list gt_bboxes_labels'),
        (image_bytes(), regions_bytes([[1, 2, 3]]), ValueError, r'a\.json: .*four numbers'),
        (image_bytes(), regions_bytes([['a', 2, 3, 4]]), ValueError, r'a\.json: .*four numbers'),
        (image_bytes(), regions_bytes([[1, 2, 3, 4], [1]]), ValueError, 'four numbers'),
        (image_bytes(), regions_bytes(labels=[]), ValueError, 'has 1 gt_bboxes, but 0 labels'),
        (image_bytes(), regions_bytes([]), ValueError, 'has 0 gt_bboxes, but 1 labels'),
        (
            image_bytes(),
            regions_bytes([[1, 2, 3, float('nan')]]),
            ValueError,
            r'000000\.tar/a\.json: the box \[1, 2, 3, nan\] is not finite',
        ),
        (image_bytes(), regions_bytes([[1, 2, 3, float('inf')]]), ValueError, 'is not finite'),
        (image_bytes(), regions_bytes([[1, 2, 3, 1e300]]), ValueError, 'is not finite'),
        (image_bytes(), regions_bytes([[1, 2, 3, None]]), ValueError, 'is not finite'),
        (
            image_bytes(),
            regions_bytes([[0.25, 0.5, 0.75, 1]]),
            ValueError,
            r'a\.json: the box \[0\.25, 0\.5, 0\.75, 1\] is from 0 to 1; it must be in pixels',
        ),
        (
            image_bytes(),
            regions_bytes(labels=['moon']),
            ValueError,
            r"000000\.tar/a\.json: category 'moon' is not one of the 3 classes airport, dam, zoo",
        ),
        (image_bytes(), regions_bytes(labels=[['dam']]), ValueError, r"category \['dam'\]"),
    ],
    ids=itertools.count(),
)
def test_broken_samples_are_named(tmp_path, jpg, regions, error, match):
    files = [('a.jpg', jpg), ('a.json', regions)]
    present = [(name, data) for name, data in files if data is not None]
    dataset = RegionStream(write_one(tmp_path / 'shards', *present), test_mode=True)
    with pytest.raises(error, match=match):
        list(dataset)


def test_errors_of_workers_are_named_too(tmp_path):
    folder = write_one(tmp_path / 'shards', ('a.jpg', b'no image'), ('a.json', regions_bytes()))
    dataset = RegionStream(folder, test_mode=True)
    with pytest.raises(OSError, match=r'000000\.tar/a\.jpg'):
        list(DataLoader(dataset, num_workers=1, collate_fn=list))


@pytest.mark.parametrize(('num_samples', 'match'), [(2, 'has 1 of the 2'), (1, None)])
def test_shards_with_fewer_samples_are_named(tmp_path, num_samples, match):
    files = [('a.jpg', image_bytes()), ('a.json', regions_bytes())]
    folder = write_one(tmp_path / 'shards', *files, num_samples=num_samples)
    dataset = RegionStream(folder, test_mode=True)
    if match is None:
        assert len(list(dataset)) == 1
    else:
        with pytest.raises(ValueError, match=rf'shard .*000000\.tar {match} samples'):
            list(dataset)


def test_shards_with_more_samples_are_named(tmp_path):
    files = [(f'{key}.{suffix}', b'') for key in 'abc' for suffix in ('jpg', 'json')]
    folder = write_one(tmp_path / 'shards', *files, num_samples=2)
    with pytest.raises(ValueError, match=r'shard .*000000\.tar has more than the 2 samples'):
        list(stream(folder, shuffle_buffer=10))


def test_duplicate_files_are_named(tmp_path):
    files = [('a.jpg', image_bytes()), ('a.jpg', image_bytes()), ('a.json', regions_bytes())]
    dataset = RegionStream(write_one(tmp_path / 'shards', *files), test_mode=True)
    with pytest.raises(ValueError, match=r'shard .*000000\.tar is truncated or broken.*duplicate'):
        list(dataset)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.data())
def test_truncated_shards_are_named(tmp_path_factory, data):
    folder = write_shards(tmp_path_factory.mktemp('cut') / 'shards', (2,))
    (folder / 'meta.json').write_text(
        json.dumps(
            dict(
                num_samples=2,
                classes=CLASSES,
                shards=[dict(name='000000.tar', num_samples=2)],
            )
        )
    )
    path = folder / '000000.tar'
    content = path.read_bytes()
    end_of_data = len(content.rstrip(b'\0'))
    path.write_bytes(content[: data.draw(st.integers(0, end_of_data - 1))])
    dataset = RegionStream(folder, test_mode=True, pipeline=[KEY])
    with pytest.raises(ValueError, match=r'000000\.tar'):
        list(dataset)


def test_shards_that_vanish_are_named(folder, tmp_path):
    folder = write_shards(tmp_path / 'shards', (2, 2))
    dataset = RegionStream(folder, test_mode=True, pipeline=[KEY])
    (folder / '000001.tar').unlink()
    with pytest.raises(OSError, match=r'shard .*000001\.tar cannot be read'):
        list(dataset)


def test_training_needs_progress_and_its_hook(folder):
    dataset = RegionStream(folder)
    with pytest.raises(RuntimeError, match=r"custom_hooks=\[dict\(type='mmdynamicvis.ExactResume"):
        list(dataset)
    for wrong in ((-1, 0, 1), (0, -1, 1), (0, 0, 0)):
        with pytest.raises(ValueError, match='must be at least 0, batch_size'):
            dataset.set_progress(*wrong)


def test_classes_must_be_known(tmp_path):
    folder = write_shards(tmp_path / 'shards', (2,))
    (folder / 'meta.json').write_text('{"num_samples": 2}')
    with pytest.raises(ValueError, match=r'does not name the classes: give\s+metainfo=dict'):
        RegionStream(folder)
    dataset = RegionStream(folder, metainfo=dict(classes=CLASSES), test_mode=True)
    assert len(list(dataset)) == 2


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_pipeline_must_not_drop_samples(folder, test_mode):
    dataset = stream(folder, pipeline=[lambda results: None], test_mode=test_mode)
    with pytest.raises(ValueError, match=r'dropped .*\.jpg, .*keep_empty=False'):
        list(dataset)


# shards on other hosts


def test_remote_shards_are_streamed(folder):
    with serving(folder) as address:
        assert list(stream(address, epoch=3)) == list(stream(folder, epoch=3))
        assert batches(address, 4, 2, batches_done=2) == batches(folder, 4, 2, batches_done=2)
    assert list(stream(folder.as_uri())) == list(stream(folder))


def test_remote_shards_that_fail_are_named(tmp_path):
    folder = write_shards(tmp_path / 'shards', (2, 2))
    with serving(folder) as address:
        dataset = stream(address, test_mode=True)
        content = (folder / '000001.tar').read_bytes()
        (folder / '000001.tar').write_bytes(content[:1500])
        with pytest.raises(ValueError, match=r'shard http.*000001\.tar is truncated'):
            list(dataset)
        (folder / '000001.tar').unlink()
        with pytest.raises(OSError, match=r'shard http.*000001\.tar cannot be read'):
            list(dataset)


# within OpenMMLab's Runner


def build_loader(folder, **kwargs):
    init_default_scope('mmdet')
    cfg = dict(
        batch_size=4,
        num_workers=2,
        persistent_workers=True,
        drop_last=True,
        sampler=None,
        dataset=dict(type='mmdynamicvis.RegionStream', shards=str(folder), pipeline=AUGMENT),
    )
    return Runner.build_dataloader({**cfg, **kwargs}, seed=0)


def test_the_runner_builds_it(folder):
    pytest.importorskip('mmdet')
    loader = build_loader(folder)
    assert len(loader) == 23 // 4
    epochs = []
    for epoch in (0, 1):
        loader.dataset.set_progress(epoch, 0, 4)
        got = list(loader)
        assert len(got) == len(loader)
        assert all(len(batch['inputs']) == 4 for batch in got)
        epochs.append([sample.img_id for batch in got for sample in batch['data_samples']])
    assert epochs[0] != epochs[1]
    sample = got[0]['data_samples'][0]
    assert sample.gt_instances.bboxes.tensor.dtype == torch.float32
    assert {'img_id', 'img_path', 'ori_shape', 'img_shape', 'flip'} <= set(sample.metainfo_keys())


@pytest.mark.exhaustive
def test_ranks_and_spawned_workers(folder, keys, tmp_path):
    """Two real processes, each with workers that are started afresh."""
    single = write_shards(tmp_path / 'single', (9,))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    done = subprocess.run(
        [*command, str(SCRIPT), str(folder), str(single)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ranks = json.loads(done.stdout.splitlines()[-1])
    for epoch, shares in enumerate(zip(*(rank['train'] for rank in ranks), strict=True)):
        found = flat(map(flat, shares))
        assert len(found) == len(set(found)) == 22
        for rank, share in enumerate(shares):
            assert share == batches(folder, 2, 2, epoch=epoch, ranks=(rank, 2))
    assert flat(rank['test'] for rank in ranks) == keys
    for rank in ranks:
        assert f'2 processes train on the 1 shards of {single}: make more' in rank['refused']


def test_files_of_published_shards_have_two_suffixes(tmp_path):
    files = [('a.jpg.jpg', image_bytes()), ('a.jpg.json', regions_bytes(labels=['dam']))]
    dataset = RegionStream(write_one(tmp_path / 'shards', *files), test_mode=True)
    (sample,) = dataset
    assert sample['img_id'] == 'a'
    assert [region['bbox_label'] for region in sample['instances']] == [CLASSES.index('dam')]
