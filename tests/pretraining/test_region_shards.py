from __future__ import annotations

import json

import pytest

from mmdynamicvis.pretraining.region_shards import Shard, ShardIndex

from .shard_makers import CLASSES, serving, write_one, write_shards


@pytest.fixture
def folder(tmp_path):
    return write_shards(tmp_path / 'shards', counts=(5, 3))


def change_meta(folder, **changes):
    path = folder / 'meta.json'
    meta = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in meta.items() if value is not None}))


def test_what_is_written_is_read(folder, tmp_path):
    index = ShardIndex.read(folder)
    assert [(shard.name, shard.num_samples) for shard in index.shards] == [
        ('000000.tar', 5),
        ('000001.tar', 3),
    ]
    assert index.num_samples == 8
    assert index.classes == CLASSES
    assert index.source == {'made': 'by tests'}
    assert index.address(index.shards[1]) == str(folder / '000001.tar')

    before = (folder / 'meta.json').read_bytes()
    index.write(folder)
    assert (folder / 'meta.json').read_bytes() == before
    assert [path.name for path in folder.iterdir() if 'meta' in path.name] == ['meta.json']
    assert json.loads(before)['num_samples'] == 8
    assert 'sha256' not in json.loads(before)['shards'][0]


def test_relative_paths_and_addresses(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert ShardIndex.read('shards') == ShardIndex.read(folder)
    assert ShardIndex.read(folder.as_uri()) == ShardIndex.read(folder)
    with pytest.raises(ValueError, match=r'pipe://ls: .*http, https, file'):
        ShardIndex.read('pipe://ls')


def test_remote_folders_are_read(folder):
    with serving(folder) as address:
        index = ShardIndex.read(address + '/')
        assert index.shards == ShardIndex.read(folder).shards
        assert index.address(index.shards[0]) == f'{address}/000000.tar'
        with pytest.raises(OSError, match=r'none/meta\.json cannot be read'):
            ShardIndex.read(f'{address}/none')
        change_meta(folder, shards=None)
        with pytest.raises(ValueError, match=r'a remote folder cannot be listed. Copy the folder'):
            ShardIndex.read(address)


def test_the_published_layout_is_counted(folder):
    change_meta(folder, shards=None, classes=None, source=None)
    index = ShardIndex.read(folder)
    assert index.shards == (Shard('000000.tar', 5), Shard('000001.tar', 3))
    assert index.classes == ()
    index.write(folder)
    assert ShardIndex.read(folder) == index

    change_meta(folder, shards=None, num_samples=9)
    with pytest.raises(ValueError, match=r'the shards have 8 samples, but num_samples .* is 9'):
        ShardIndex.read(folder)
    data = (folder / '000001.tar').read_bytes()
    (folder / '000001.tar').write_bytes(data[:1000])
    with pytest.raises(ValueError, match=r'000001\.tar is truncated or no tar file'):
        ShardIndex.read(folder)
    (folder / '000001.tar').write_bytes(b'')
    with pytest.raises(ValueError, match=r'000001\.tar is truncated or no tar file'):
        ShardIndex.read(folder)


def test_a_shard_without_images_is_an_error(tmp_path):
    folder = write_one(tmp_path / 'shards', ('a.json', b'{}'))
    change_meta(folder, shards=None)
    with pytest.raises(ValueError, match=r'000000\.tar has no \.jpg'):
        ShardIndex.read(folder)


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        (dict(num_samples=7), 'the shards have 8 samples, but num_samples .* is 7'),
        (dict(num_samples=None), 'no integer num_samples'),
        (dict(num_samples=0, shards=[]), 'has no shards'),
        (dict(classes='airport'), 'classes is no list'),
        (dict(shards=[{'name': '000000.tar'}]), 'describes no shard'),
        (dict(shards=[{'name': '000000.tar', 'num_samples': 0}]), 'num_samples of 000000.tar is 0'),
        (dict(shards=[{'name': '../a.tar', 'num_samples': 8}]), "'../a.tar' is not the name"),
        (dict(shards=[{'name': '000000.tar', 'num_samples': 4}] * 2), '000000.tar more than once'),
        (
            dict(shards=[{'name': '000000.tar', 'num_samples': 8, 'num_bytes': 3}]),
            r'000000.tar has \d+ bytes, but meta.json says 3',
        ),
    ],
)
def test_an_index_that_does_not_agree_is_an_error(folder, changes, match):
    change_meta(folder, **changes)
    with pytest.raises(ValueError, match=match):
        ShardIndex.read(folder)


def test_missing_and_broken_files_are_errors(folder):
    (folder / '000001.tar').unlink()
    with pytest.raises(FileNotFoundError, match=r'000001\.tar does not exist, but meta\.json'):
        ShardIndex.read(folder)
    (folder / 'meta.json').write_text('{"num_samples": ')
    with pytest.raises(ValueError, match=r'meta\.json is no JSON'):
        ShardIndex.read(folder)
    (folder / 'meta.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'meta\.json does not exist.*fmow\.py'):
        ShardIndex.read(folder)
