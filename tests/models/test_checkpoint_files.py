"""Weights from files: every kind that is published, and nothing in a file is executed."""

from __future__ import annotations

import functools
import http.server
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
import torch
from mmengine.model import PretrainedInit
from mmengine.runner import Runner
from safetensors.torch import save_file
from torch import Tensor

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.weights import check_resumable, load_weights, save_weights

WEIGHTS = {'backbone.a': torch.arange(6.0).view(2, 3), 'head.b': torch.ones(2).bfloat16()}


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(actual) == list(expected)
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype
        assert torch.equal(actual[name], tensor), name


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


class Payload:
    """Writes a marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.marker}',)


class Lookup:
    """Looks up a name that is not there when it is unpickled."""

    def __reduce__(self) -> tuple:
        return getattr, (WEIGHTS['backbone.a'], 'no_such_name')


@pytest.fixture
def no_safe_globals() -> Iterator[None]:
    """Take back what packages allow torch to unpickle, as the maintained mmengine does."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


def test_bare_state_dict(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    assert_same(load_weights(tmp_path / 'a.pth'), WEIGHTS)
    assert_same(load_weights(str(tmp_path / 'a.pth')), WEIGHTS)


def test_old_torch_format(tmp_path: Path) -> None:
    torch.save({'state_dict': WEIGHTS}, tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    assert_same(load_weights(tmp_path / 'a.pth'), WEIGHTS)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_others_may_read_what_is_written_as_they_may_any_file(tmp_path: Path, suffix: str) -> None:
    path, other = tmp_path / f'weights{suffix}', tmp_path / 'other'
    save_weights(WEIGHTS, path)
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_safetensors(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / 'a.safetensors')
    loaded = load_weights(tmp_path / 'a.safetensors')
    assert_same(dict(sorted(loaded.items())), WEIGHTS)


def test_names_of_distributed_training(tmp_path: Path) -> None:
    wrapped = {f'module.{name}': tensor for name, tensor in WEIGHTS.items()}
    torch.save({'state_dict': wrapped}, tmp_path / 'a.pth')
    assert_same(load_weights(tmp_path / 'a.pth'), WEIGHTS)


@pytest.mark.parametrize('prefix', ['backbone', 'backbone.'])
def test_prefix_is_cut_off(tmp_path: Path, prefix: str) -> None:
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    assert_same(load_weights(tmp_path / 'a.pth', prefix), {'a': WEIGHTS['backbone.a']})


def test_a_prefix_that_no_name_has(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    message = r"a\.pth: no name begins with 'neck\.'; the names begin with \['backbone', 'head'\]"
    with pytest.raises(ValueError, match=message):
        load_weights(tmp_path / 'a.pth', 'neck')


def test_checkpoint_of_a_runner(
    build: Callable, train: Callable[..., Runner], tmp_path: Path, no_safe_globals: None
) -> None:
    runner = train(build(img_size=32), by_epoch=True, max_epochs=1)
    path = tmp_path / 'work_dir/epoch_1.pth'
    # The reason for load_weights: the file holds mmengine's own objects beside the weights.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert_same(load_weights(path), runner.model.state_dict())
    assert_same(load_weights(path, 'backbone.'), runner.model.backbone.state_dict())


@pytest.mark.parametrize('readable', [True, False])
def test_reading_leaves_the_settings_of_torch_alone(
    tmp_path: Path, no_safe_globals: None, readable: bool
) -> None:
    torch.serialization.add_safe_globals([Lookup])
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    if readable:
        load_weights(tmp_path / 'a.pth')
    else:
        truncate(tmp_path / 'a.pth', 200)
        with pytest.raises(ValueError, match='truncated'):
            load_weights(tmp_path / 'a.pth')
    assert torch.serialization.get_safe_globals() == [Lookup]


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'old format'])
@pytest.mark.parametrize('place', ['alone', 'beside the weights', 'among the weights'])
def test_nothing_in_a_file_is_executed(tmp_path: Path, zipped: bool, place: str) -> None:
    marker, path = tmp_path / 'marker', tmp_path / 'a.pth'
    content = {
        'alone': Payload(marker),
        'beside the weights': {'state_dict': WEIGHTS, 'message_hub': {'log': Payload(marker)}},
        'among the weights': {**WEIGHTS, 'backbone.c': Payload(marker)},
    }[place]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r'a\.pth holds more than weights and was not loaded'):
        load_weights(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # it would have been
    assert marker.exists()


def pickled_call(module: str, name: str, *arguments: str) -> bytes:
    """Pickle of ``module.name(*arguments)``, in protocol 0."""
    strings = ''.join(f'V{argument}\n' for argument in arguments)
    return f'c{module}\n{name}\n({strings}tR.'.encode()


@pytest.mark.parametrize(
    'function', ['builtins.eval', 'builtins.exec', 'os.system', 'posix.system']
)
def test_functions_that_run_code_are_refused(tmp_path: Path, function: str) -> None:
    marker = tmp_path / 'marker'
    arguments = [f'touch {marker}']
    if function.startswith('builtins'):
        arguments = [f'__import__("pathlib").Path({str(marker)!r}).touch()']
    content = pickled_call(*function.split('.'), *arguments)
    # what torch's old format begins with: a magic number, its version, facts about the machine
    head = b''.join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    (tmp_path / 'a.pth').write_bytes(head + content)
    with pytest.raises(ValueError, match='holds more than weights'):
        load_weights(tmp_path / 'a.pth')
    assert not marker.exists()
    pickle.loads(content)  # an ordinary unpickler runs it
    assert marker.exists()


def test_what_is_skipped_does_nothing(tmp_path: Path) -> None:
    """``getattr`` stands in files of mmengine: no reason to refuse one, but it is not called."""
    torch.save({'state_dict': WEIGHTS, 'meta': Lookup()}, tmp_path / 'a.pth')
    assert_same(load_weights(tmp_path / 'a.pth'), WEIGHTS)
    with pytest.raises(AttributeError, match='no_such_name'):
        torch.load(tmp_path / 'a.pth', weights_only=False)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*none\.pth does not exist'):
        load_weights(tmp_path / 'none.pth')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        load_weights(tmp_path)


@pytest.mark.parametrize('kind', ['zip', 'old format', 'safetensors'])
@pytest.mark.parametrize('left', [0.0, 0.002, 0.05, 0.5, 0.95, 0.999])
def test_truncated_file(tmp_path: Path, kind: str, left: float) -> None:
    weights = {f'layer{i}.weight': torch.ones(100, 10) for i in range(5)}
    if kind == 'safetensors':
        path = tmp_path / 'a.safetensors'
        save_file(weights, path)
    else:
        path = tmp_path / 'a.pth'
        torch.save({'state_dict': weights}, path, _use_new_zipfile_serialization=kind == 'zip')
    truncate(path, int(left * path.stat().st_size))
    with pytest.raises(ValueError, match=rf'checkpoint .*{path.name} is truncated or not'):
        load_weights(path)


def test_a_page_that_was_downloaded_instead(tmp_path: Path) -> None:
    (tmp_path / 'a.pth').write_text('<!DOCTYPE html><html><body>404 Not Found</body></html>')
    with pytest.raises(ValueError, match=r'a\.pth is truncated or not a torch checkpoint'):
        load_weights(tmp_path / 'a.pth')


@pytest.mark.parametrize(
    'content',
    [{}, {'state_dict': {}}, {'epoch': 3}, [torch.ones(2)], torch.ones(2), {'state_dict': [1]}],
    ids=['empty', 'empty state dict', 'numbers', 'list', 'tensor', 'list as state dict'],
)
def test_a_file_without_named_tensors(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth holds no tensors'):
        load_weights(tmp_path / 'a.pth')


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Address of a web server that serves ``tmp_path / 'served'``."""
    (tmp_path / 'served').mkdir()
    handler = functools.partial(Quiet, directory=tmp_path / 'served')
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_address(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    torch.save(WEIGHTS, tmp_path / 'served/a.pth')
    assert_same(load_weights(f'{address}/a.pth?download=true'), WEIGHTS)
    (tmp_path / 'served/a.pth').unlink()
    assert_same(load_weights(f'{address}/a.pth?download=true'), WEIGHTS)  # from the cache
    with pytest.raises(HTTPError):  # another address is another file
        load_weights(f'{address}/a.pth')


@pytest.mark.parametrize('name', ['w.pth', 'w.safetensors'])
def test_the_home_folder_is_known(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    save_weights(WEIGHTS, tmp_path / name)
    assert_same(load_weights(f'~/{name}'), WEIGHTS)
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}/other.pth'):
        load_weights('~/other.pth')


@pytest.mark.parametrize('name', ['w.pth', 'w.safetensors', 'plain.pth'])
def test_weights_alone_are_not_resumed_from(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == 'plain.pth':
        torch.save(WEIGHTS, path)
    else:
        save_weights(WEIGHTS, path)
    with pytest.raises(ValueError, match=rf'{name} cannot be resumed from.*load_from={path}'):
        check_resumable(path)
    with pytest.raises(FileNotFoundError, match=r'none\.pth does not exist'):
        check_resumable(tmp_path / 'none.pth')
    for extra in ({}, dict(hook=Payload(tmp_path / 'marker'))):
        torch.save(dict(state_dict=WEIGHTS, meta=dict(epoch=1), **extra), tmp_path / 'full.pth')
        check_resumable(tmp_path / 'full.pth')
    assert not (tmp_path / 'marker').exists()


@pytest.mark.parametrize('kind', ['Pretrained', PretrainedInit])
def test_init_cfg_executes_nothing(kind: str | type, tmp_path: Path) -> None:
    """By name, and by class as in pure-Python configs."""
    arch = dict(embed_dims=(8, 12), depths=(1, 1))
    options = dict(patch_sizes=(7, 3), strides=(4, 2), reduction_ratios=(0.5, None), img_size=32)
    path = tmp_path / 'w.pth'
    init_cfg = dict(type=kind, checkpoint=str(path))
    model = DynamicVis(arch, **options, init_cfg=init_cfg)
    weights = {name: torch.rand_like(tensor.float()) for name, tensor in model.state_dict().items()}
    torch.save(dict(state_dict=weights, more=Payload(tmp_path / 'marker')), path)
    with pytest.raises(ValueError, match='holds more than weights'):
        model.init_weights()
    assert not (tmp_path / 'marker').exists()
    save_weights(weights, path)
    model = DynamicVis(arch, **options, init_cfg=init_cfg)
    model.init_weights()
    assert torch.equal(model.pos_embed, weights['pos_embed'])


def test_weights_that_are_of_no_use_are_refused(tmp_path: Path) -> None:
    weights = DynamicVis(
        dict(embed_dims=(8, 12), depths=(1, 1)),
        patch_sizes=(7, 3)[:2],
        strides=(4, 2),
        reduction_ratios=None,
    ).state_dict()
    name = 'stages.0.norm.weight'
    for value, message in (
        (torch.nan, rf'has weights that are NaN or infinite, .*{name}'),
        (torch.inf, rf'has weights that are NaN or infinite, .*{name}'),
    ):
        torch.save({**weights, name: torch.full_like(weights[name], value)}, tmp_path / 'a.pth')
        with pytest.raises(ValueError, match=message):
            DynamicVis.from_checkpoint(tmp_path / 'a.pth')
    for dtype in (torch.int8, torch.complex64):
        torch.save({**weights, name: weights[name].to(dtype)}, tmp_path / 'a.pth')
        with pytest.raises(ValueError, match=rf'has {name} as {dtype}, quantized perhaps'):
            load_weights(tmp_path / 'a.pth')


def test_names_of_compiled_models(tmp_path: Path) -> None:
    torch.save(
        {f'backbone._orig_mod.{n[9:]}': t for n, t in WEIGHTS.items() if 'back' in n},
        tmp_path / 'a.pth',
    )
    assert list(load_weights(tmp_path / 'a.pth')) == ['backbone.a']
