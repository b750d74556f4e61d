"""Build a Runner from a command line and a config of any OpenMMLab project.

Shared by ``tools/train.py`` and ``tools/test.py``, so that both read options, place their outputs
and start processes in the same way.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdynamicvis.engine.config import load_config_file, scope_of, type_name
from mmdynamicvis.engine.hooks.data_check import DataCheckHook
from mmdynamicvis.engine.hooks.last_batch import LastBatchHook
from mmdynamicvis.fileio import expand_home

_CHECKOUT = Path(__file__).resolve().parents[2]
_DUMP_SUFFIX = '.dump'
_PATHS = (
    'data_root',
    'work_dir',
    'load_from',
    'checkpoint',
    'ann_file',
    'shards',
    'out_dir',
    'test_out_dir',
    'save_dir',
)
"""Settings that hold paths, in addition to all settings within a ``data_prefix``."""
_READ_FROM_CONFIG = (
    'auto_scale_lr',
    'data_root',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'tta_model',
    'tta_pipeline',
)
"""Settings that are not arguments of a Runner; ``data_root`` changes paths derived from it."""
_DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


class OptionsAction(DictAction):
    """mmengine's KEY=VALUE options, with values of path settings left unchanged.

    mmengine converts ``data_root=2024`` to a number and ``data_root=tiles,2020`` to a list, and
    removes the space from ``'data_root=my data'``.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Add the pairs to those in the namespace."""
        paths, others = {}, []
        for pair in values:
            key, sign, text = pair.partition('=')
            if not sign or not key:
                parser.error(
                    f'{option_string} takes KEY=VALUE pairs, got {pair!r}; quote a value with '
                    'spaces: "KEY=a value"'
                )
            text = text.strip('\'"')
            is_path = key.split('.')[-1] in _PATHS or 'data_prefix' in key.split('.')
            if is_path and text != 'None' and text[:1] not in ('[', '('):
                paths[key] = text
            else:
                others.append(pair)
        try:
            super().__call__(parser, namespace, others, option_string)
        except AssertionError as error:
            parser.error(f'{option_string}: {error}')
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **paths})


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments shared by training and testing to ``parser``."""
    # `mim train` searches this help for the name of a device-count option and, if it finds it,
    # passes one that current tools do not accept: mention devices through --launcher only.
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and the dumped config')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='turn pin_memory off in all dataloaders'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='override settings of the config: xxx=yyy pairs, lists as key="[a,b]" or key=a,b; '
        'paths are taken as they are. '
        'data_root=DIR moves every path that the config derives from its data_root',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # torch.distributed.launch passes --local-rank (torch >= 2.0) or --local_rank.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of the command line and merge the shared arguments into it.

    Args:
        args: Parsed arguments of :func:`add_common_arguments`.

    Returns:
        The config, with ``launcher`` and ``work_dir`` set. ``work_dir`` is ``--work-dir``, else the
        config's ``work_dir``, else ``./work_dirs/NAME``.

    Raises:
        FileNotFoundError: The config file does not exist.
        ValueError: The file is not a config.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    path = Path(args.config)
    if not path.is_file():
        raise FileNotFoundError(
            f'config file {args.config} does not exist. A config of the suite can be given by '
            'its bare name through mim: `mim train mmdynamicvis NAME.py`'
        )
    cfg = load_config_file(path)

    # Options come first, so that later steps (test-time augmentation, loader defaults) see them.
    options = dict(args.cfg_options or {})
    if 'data_root' in options and cfg.get('data_root'):
        cfg = move_data_root(cfg, options['data_root'])
    cfg.merge_from_dict(options)
    _warn_of_unread(options)

    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / path.stem.removesuffix(_DUMP_SUFFIX))
    return cfg


def _warn_of_unread(options: Mapping[str, Any]) -> None:
    """Warn of settings that a Runner does not read: misspelled ones, and variables of a config."""
    known = {*inspect.signature(Runner).parameters, *_READ_FROM_CONFIG}
    unread = sorted({key.partition('.')[0] for key in options} - known)
    if unread:
        print_log(
            f'--cfg-options has {", ".join(unread)}, which no Runner reads. A name is '
            'misspelled, or it is a variable of the config: set what is derived from it',
            'current',
            logging.WARNING,
        )


def move_data_root(cfg: Config, new_root: str) -> Config:
    """Replace the config's ``data_root`` in every setting that was derived from it.

    A config resolves ``data_root`` when it is read, so overriding only the top-level name would
    not change the paths of the datasets.

    Args:
        cfg: Config with a top-level ``data_root``.
        new_root: The folder to use instead.

    Returns:
        A copy in which each string that is the old root, or a path below it, starts with the new
        root.

    Raises:
        ValueError: The new root is not a string, or empty.
    """
    if not isinstance(new_root, str) or not new_root:
        raise ValueError(f'data_root is {new_root!r}: give a folder; of the current one, "."')
    old_root = cfg.data_root.rstrip('/')

    def move(text: str) -> str:
        if text == old_root or text.startswith(f'{old_root}/'):
            return new_root.rstrip('/') + text[len(old_root) :]
        return text

    return _rebuilt(cfg, _mapped(cfg.to_dict(), move), cfg.filename)


def _mapped(value: Any, function: Callable[[str], str]) -> Any:
    """Return a config's content with a function applied to all values that are strings."""
    if isinstance(value, dict):
        return {key: _mapped(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(item, function) for item in value)
    return function(value) if isinstance(value, str) else value


def latest_checkpoint(work_dir: str) -> str | None:
    """Return the checkpoint that mmengine resumes from in a work folder, if there is one.

    Raises:
        ValueError: The folder names one of another folder, of which it was copied, and has its own.
    """
    note = Path(expand_home(work_dir), 'last_checkpoint')
    if not note.is_file():
        return None
    latest = note.read_text().strip()
    own = note.with_name(Path(latest).name)
    if own.is_file() and own.resolve() != Path(latest).resolve():
        raise ValueError(
            f'{note} names {latest}, of another folder, as in a copy or behind a move: pass '
            f'--resume {own}, or --resume {latest}'
        )
    return latest


def set_loader_defaults(cfg: Config, args: argparse.Namespace, **defaults: Any) -> None:
    """Complete the dataloaders of ``cfg`` in place.

    mmpretrain's dataset configs leave the collate function to its tools; the other projects rely on
    mmengine's default, which does not stack samples.

    Args:
        cfg: Config whose dataloaders are completed.
        args: Parsed command line; ``no_pin_memory`` is used.
        **defaults: Further settings for loaders that do not define them; mmpretrain configs only.
    """
    for name in _DATALOADERS:
        loader = cfg.get(name)
        if loader is None:
            continue
        if scope_of(cfg) == 'mmpretrain':
            loader.setdefault('pin_memory', True)
            loader.setdefault('collate_fn', ConfigDict(type='default_collate'))
            for key, value in defaults.items():
                loader.setdefault(key, value)
        if args.no_pin_memory:
            loader['pin_memory'] = False
        if loader.get('num_workers') == 0:
            # torch raises an error for persistent_workers without workers
            loader['persistent_workers'] = False


def build_runner(cfg: Config) -> Runner:
    """Build the Runner of ``cfg``, of the class that its ``runner_type`` names, if any.

    The Runner checks that heads and data have the same number of classes, that detectors have boxes
    to train on, and that a last batch of one image does not fail.

    Raises:
        RuntimeError: Mixed-precision training on a CPU, or mmcv lacks ops that the config needs.
    """
    require_compiled_ops(scope_of(cfg))
    if get_device() == 'cpu':
        _prepare_for_cpu(cfg)
    cfg = _with_own_names(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(DataCheckHook())
    runner.register_hook(LastBatchHook())
    return runner


def require_compiled_ops(host: str | None) -> None:
    """Make sure that mmcv has its compiled ops if a host needs them; mmpretrain does not.

    The environment built by ``make demo`` has no compiled ops; in it, they are compiled now.

    Args:
        host: A config's ``default_scope``.

    Raises:
        RuntimeError: The ops are missing in another environment, or cannot be compiled.
    """
    if host not in ('mmdet', 'mmrotate', 'mmseg', 'opencd') or find_spec('mmcv._ext') is not None:
        return
    if not (Path(sys.prefix, 'light').is_file() and Path(_CHECKOUT, 'Makefile').is_file()):
        raise RuntimeError(
            f'{host} needs the compiled ops of mmcv, and the installed mmcv has none: install it '
            'again with the variable MMCV_WITH_OPS=1 (from source, 10 to 15 minutes on two cores)'
        )
    print(f'{host} needs the ops of mmcv; compiling them takes 10 to 15 minutes, once', flush=True)
    if subprocess.run(['make', '-C', str(_CHECKOUT), 'ops'], check=False).returncode:
        raise RuntimeError(f'{host} needs the ops of mmcv, which `make ops` could not compile')
    importlib.invalidate_caches()


@contextmanager
def checkpoint_errors_explained() -> Iterator[None]:
    """Explain what to do when mmengine cannot read a training checkpoint."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise RuntimeError(
            'the checkpoint holds more than weights (training state, log history), and mmengine '
            f'{mmengine.__version__} with torch {torch.__version__} loads weights only. For a '
            'checkpoint that you trust, set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 in the '
            'environment, or use onedl-mmengine, which handles it.'
        ) from error


def _prepare_for_cpu(cfg: Config) -> None:
    """Adapt the config to run without an accelerator, or raise an error that says why it cannot."""
    wrapper = cfg.get('optim_wrapper') or {}
    if 'type' in wrapper and type_name(wrapper) == 'AmpOptimWrapper':
        raise RuntimeError(
            "mixed-precision training (optim_wrapper type 'AmpOptimWrapper', --amp) needs a GPU, "
            'and none is visible: leave --amp out to train on the CPU in float32.'
        )
    if cfg.get('launcher') == 'pytorch' and not torch.distributed.is_initialized():
        # mmengine binds each process to a CUDA device while it sets the group up, and gives
        # device ids to DDP; a group that exists already and a wrapper without ids do neither.
        torch.distributed.init_process_group('gloo')
        cfg.setdefault(
            'model_wrapper_cfg',
            ConfigDict(
                type='MMDistributedDataParallel',
                broadcast_buffers=False,
                find_unused_parameters=cfg.get('find_unused_parameters', False),
            ),
        )
        cfg.model_wrapper_cfg.device_ids = None


def _with_own_names(cfg: Config) -> Config:
    """Return ``cfg`` with ``~/`` expanded and a file name that differs from the suite's configs.

    The Runner dumps a copy of the config into the work folder under the name of the original. mim
    searches the whole repository, which usually contains ``work_dirs``, for a config's name and
    refuses to train if it finds two. So NAME.py is dumped as NAME.dump.py.
    """
    if cfg.filename is None:
        return _rebuilt(cfg, _mapped(cfg.to_dict(), expand_home), None)
    path = Path(cfg.filename)
    stem = path.stem.removesuffix(_DUMP_SUFFIX)
    content = _mapped(cfg.to_dict(), expand_home)
    content.setdefault('experiment_name', stem)
    return _rebuilt(cfg, content, str(path.with_name(f'{stem}{_DUMP_SUFFIX}{path.suffix}')))


def _rebuilt(cfg: Config, content: dict, filename: str | None) -> Config:
    return Config(
        content,
        # Without a text, the constructor would read it from `filename`, which may not exist.
        cfg_text=cfg.text or '\n',
        filename=filename,
        env_variables=cfg.env_variables,
    )
