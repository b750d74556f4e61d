"""Compilation of the C++ kernels in this folder, once per machine, and loading of the library.

The library is stored in the user's cache folder under a hash of everything that it depends on: the
sources, the compiler, the flags and the instruction set. So machines that share a home folder do
not use each other's library. It uses the OpenMP threads of torch, not a second set.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

logger = logging.getLogger('mmdynamicvis.ops')

SOURCES = sorted(Path(__file__).parent.glob('*.cpp'))
FLAGS = (
    *('-std=c++17', '-O3', '-shared', '-fPIC', '-ffp-contract=fast'),
    *('-fno-math-errno', '-fno-trapping-math', '-w'),
)
# tried in order, because not every compiler supports OpenMP or knows the processor
OPTIONAL_FLAGS = (
    ('-march=native', '-fopenmp'),
    ('-mcpu=native', '-fopenmp'),
    ('-march=native',),
    (),
)
CACHE_VARIABLE = 'MMDYNAMICVIS_CACHE'


@functools.cache
def load() -> ctypes.CDLL:
    """Return the library of kernels, after compiling it if necessary (about 3 seconds).

    Raises:
        RuntimeError: There is no compiler, or it fails; the message has its error.
    """
    path = _path()
    if not path.exists():
        _compile(path)
    return ctypes.CDLL(str(path))


def unavailable() -> str | None:
    """Return why the kernels cannot run on this machine, or None if they can."""
    return _unavailable()


# This is all that torch.compiler.assume_constant_result does. Calling it would import
# torch._dynamo, which takes longer than the rest of this package.
unavailable._dynamo_marked_constant = True


def unsupported(*tensors: Tensor) -> str | None:
    """Return why the kernels cannot run on these tensors, or None if they can."""
    for tensor in tensors:
        if tensor.device.type != 'cpu':
            return f'the tensors are on the {tensor.device.type}'
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            return f'no kernel for {tensor.dtype}'
    return None


@functools.cache
def _unavailable() -> str | None:
    try:
        load()
    except (RuntimeError, OSError) as error:
        return str(error)
    return None


def _compiler() -> str:
    for name in filter(None, (os.environ.get('CXX'), 'c++', 'g++', 'clang++')):
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError('no C++ compiler (apt-get install g++, or name one with CXX)')


def _path() -> Path:
    compiler = _compiler()
    version = subprocess.run([compiler, '--version'], capture_output=True, text=True, check=False)
    headers = sorted(Path(__file__).parent.glob('*.h'))
    parts = [version.stdout, *FLAGS, *map(str, OPTIONAL_FLAGS), platform.machine(), _processor()]
    parts += [path.read_text() for path in [*SOURCES, *headers]]
    key = hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path(home) / 'mmdynamicvis')
    return folder / 'kernels' / f'cpu-{key}.so'


def _processor() -> str:
    """Return a description of the instruction set, as far as the system provides one."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(('flags', 'Features'))), '')


def _compile(path: Path) -> None:
    logger.info('compiling the CPU kernels, once, into %s', path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(suffix='.so', dir=path.parent)
    os.close(handle)
    try:
        for optional in OPTIONAL_FLAGS:
            command = [_compiler(), *FLAGS, *optional, *map(str, SOURCES), '-o', temporary]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode == 0:
                # concurrent processes replace each other's files, which are equal
                Path(temporary).replace(path)
                return
        message = result.stderr.strip().splitlines() or [f'exit status {result.returncode}']
        raise RuntimeError(f'{_compiler()} cannot compile the kernels: {message[0]}')
    finally:
        Path(temporary).unlink(missing_ok=True)
