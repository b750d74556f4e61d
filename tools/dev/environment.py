#!/usr/bin/env python3
"""Builds and finds the Python environment in which `make` runs this checkout.

    python3 tools/dev/environment.py ensure            # build what is missing
    python3 tools/dev/environment.py python            # print the interpreter's path
    python3 tools/dev/environment.py run COMMAND ...   # run a command in the environment

Everything lies outside the checkout, under $MMDYNAMICVIS_ENV_ROOT (default: the folder mmdynamicvis
in the user's cache folder), so that a second clone builds next to nothing:

    <root>/wheels/<torch>-<python>/   mmcv compiled once per torch and Python
    <root>/<key>/base/                all packages; the key is a hash of what is pinned
    <root>/<key>/checkouts/<hash>/    per checkout: base plus an editable install of that checkout

Other variables: PYTHON (interpreter to build from, 3.10 to 3.12), MAX_JOBS (compiler processes),
MMDYNAMICVIS_CUDA_OPS=1 (compile mmcv's ops for CUDA too; needs nvcc of torch's CUDA version).

Needs the standard library alone. Progress goes to stderr, results to stdout.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
REQUIREMENTS = CHECKOUT / 'requirements'
PINNED = ('environment.txt', 'mmcv.txt', 'hosts.txt')
# What an editable install is made from; edits of these files renew it.
INSTALLED_FROM = (
    'setup.py',
    'pyproject.toml',
    'mmdynamicvis/version.py',
    'requirements/runtime.txt',
    'requirements/optional.txt',
    'requirements/tests.txt',
)
SUPPORTED = ('3.10', '3.11', '3.12')
CANDIDATES = ('python3', 'python3.11', 'python3.12', 'python3.10')
BUILD_TOOLS = ('pip', 'setuptools', 'wheel')
DISK_GB = 12
# A compiler process takes up to about this much memory on mmcv's larger files.
COMPILER_GB = 2
IMPORTS = 'import torch, mmengine, mmcv.ops, mmpretrain, mmdet, mmseg, mmrotate, mim'

# What the log of a failed step may say -> how to mend it.
REMEDIES = (
    (r'No space left on device', f'free disk space: about {DISK_GB} GB are needed'),
    (
        r'name resolution|Network is unreachable|NewConnectionError|Connection refused'
        r'|ConnectTimeout|Read timed out|No matching distribution found',
        'the package index could not be reached or lacks a package: check the network, or point '
        'pip at a mirror of PyPI with PIP_INDEX_URL; then run the same command again',
    ),
    (
        r"No such file or directory: '(g|c)\+\+'|(g|c)\+\+'?( failed)?: (not found|No such)",
        'apt-get install g++',
    ),
    (r'Python\.h: No such file', 'apt-get install python{version}-dev'),
    (r'ensurepip|No module named venv', 'apt-get install python{version}-venv'),
    (r'Killed signal|Killed$', 'out of memory while compiling: try again with MAX_JOBS=1'),
)


class SetupError(Exception):
    """A step that cannot be done; the text says what failed and how to mend it."""


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


def minutes(seconds: float) -> str:
    """Return a duration such as '2m05s'."""
    return f'{int(seconds) // 60}m{int(seconds) % 60:02d}s'


def pins(name: str) -> list[str]:
    """Return the lines of a requirement file without comments."""
    lines = (REQUIREMENTS / name).read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def find_python() -> tuple[str, str]:
    """Return path and 'X.Y' of the interpreter to build from.

    Raises:
        SetupError: $PYTHON is no supported Python, or none is installed.
    """
    asked = os.environ.get('PYTHON')
    ask = 'import sys; print(sys.executable, "%d.%d" % sys.version_info[:2], sep="\\n")'
    seen = []
    for name in [asked] if asked else CANDIDATES:
        path = shutil.which(name)
        if path is None:
            continue
        # A shim may exist and yet not run.
        answer = subprocess.run([path, '-c', ask], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            executable, version = answer.stdout.split('\n')[:2]
            if version in SUPPORTED:
                return executable, version
            seen.append(f'{name} is Python {version}')
    found = ', '.join(seen) or f'{asked or "/".join(CANDIDATES)} not found, or does not run'
    raise SetupError(
        f'No usable Python ({found}): mmdynamicvis supports {", ".join(SUPPORTED)}.\n'
        'To mend it: name one with PYTHON, e.g. `make test PYTHON=python3.11`, or install one with '
        '`apt-get install python3`.'
    )


@dataclass(frozen=True)
class Environment:
    """Where the parts of the environment lie.

    Attributes:
        source: interpreter that the environment is built from.
        version: its version as 'X.Y'.
        root: folder of all environments.
        cuda_ops: whether mmcv's ops are compiled for CUDA as well.
    """

    source: str
    version: str
    root: Path
    cuda_ops: bool

    @classmethod
    def of_this_checkout(cls) -> Environment:
        """Return the environment that the process's variables ask for."""
        cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
        root = Path(os.environ.get('MMDYNAMICVIS_ENV_ROOT') or cache / 'mmdynamicvis')
        cuda_ops = os.environ.get('MMDYNAMICVIS_CUDA_OPS') == '1'
        return cls(*find_python(), root.expanduser().absolute(), cuda_ops)

    @property
    def home(self) -> Path:
        """Folder of this environment, named by what is pinned, Python and platform."""
        lines = [line for name in PINNED for line in pins(name)]
        lines += [self.version, platform.machine(), str(self.cuda_ops)]
        key = hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:12]
        return self.root / f'py{self.version}-{key}'

    @property
    def base(self) -> Path:
        """Virtual environment with all packages, shared by all checkouts."""
        return self.home / 'base'

    @property
    def layer(self) -> Path:
        """Virtual environment of this checkout, on top of base."""
        return self.home / 'checkouts' / hashlib.sha256(bytes(CHECKOUT)).hexdigest()[:12]

    @property
    def python(self) -> Path:
        """Interpreter of this checkout's environment."""
        return self.layer / 'bin/python'

    @property
    def wheels(self) -> Path:
        """Folder of what was compiled against the pinned torch."""
        torch = next(line for line in pins('environment.txt') if line.startswith('torch=='))
        name = f'{torch.split("==")[1]}-cp{self.version.replace(".", "")}'
        return self.root / 'wheels' / (name + ('-cuda' if self.cuda_ops else ''))

    def mmcv_wheel(self) -> Path | None:
        """Return the compiled mmcv, if there is one."""
        package, version = pins('mmcv.txt')[0].split('==')
        return next(self.wheels.glob(f'{package.replace("-", "_")}-{version}-*.whl'), None)

    def site_packages(self, venv: Path) -> Path:
        """Return the package folder of one of the two virtual environments."""
        return venv / f'lib/python{self.version}/site-packages'

    @property
    def base_stamp(self) -> Path:
        """Written last: base is complete."""
        return self.base / '.complete'

    @property
    def layer_stamp(self) -> Path:
        """Written last, with a hash of what the checkout was installed from."""
        return self.layer / '.complete'

    def base_is_complete(self) -> bool:
        """Tell whether all packages are there, and still the interpreter they were built from."""
        return self.base_stamp.is_file() and (self.base / 'bin/python').exists()

    def layer_is_current(self) -> bool:
        """Tell whether this checkout is installed as its metadata now say."""
        if not (self.layer_stamp.is_file() and self.python.exists()):
            return False
        return self.layer_stamp.read_text() == installed_from()


def installed_from() -> str:
    """Return a hash of the files that an editable install depends on."""
    digest = hashlib.sha256()
    for name in INSTALLED_FROM:
        digest.update((CHECKOUT / name).read_bytes())
    return digest.hexdigest()


def variables_without_python() -> dict[str, str]:
    """Return the process's variables less those that would mix in other packages."""
    return {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'PYTHONHOME')}


class Output:
    """What a running command printed: its last lines, and one phrase on how far it is."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=400)
        self.compiled = ''

    def add(self, line: str) -> None:
        """Take in a line."""
        self.lines.append(line.rstrip())
        count = re.match(r'\s*\[(\d+)/(\d+)\]', line)  # ninja's
        if count:
            self.compiled = f'{count.group(1)} of {count.group(2)} files compiled'

    def status(self) -> str:
        """Return the phrase."""
        return self.compiled or (self.lines[-1].strip()[:70] if self.lines else '')


class Steps:
    """Runs the commands that build one environment, and explains their failures."""

    def __init__(self, environment: Environment) -> None:
        self.version = environment.version
        self.home = environment.home
        # For ninja, without which compiling takes several times as long.
        self.path = f'{environment.base / "bin"}{os.pathsep}{os.environ.get("PATH", "")}'
        self.log = environment.home / 'build.log'
        # pip unpacks gigabytes: beside the environment, where disk space was checked.
        self.temporary = environment.home / 'tmp'

    def run(self, title: str, command: list[str | Path], **variables: str) -> None:
        """Run a command, with its output in the log and its progress shown.

        Args:
            title: what is shown to the user.
            command: program and arguments.
            variables: environment variables to add.

        Raises:
            SetupError: it failed; the text has the end of its output and how to mend it.
        """
        command = [str(part) for part in command]
        self.temporary.mkdir(parents=True, exist_ok=True)
        settings = variables_without_python()
        settings.update(PIP_USER='0', PIP_DISABLE_PIP_VERSION_CHECK='1', PIP_NO_INPUT='1')
        settings.update(PATH=self.path, TMPDIR=str(self.temporary), **variables)
        say(f'  {title} ...')
        begin = time.monotonic()
        output = Output()
        with self.log.open('a', encoding='utf-8') as log:
            log.write(f'\n$ {" ".join(command)}\n')
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=settings,
                text=True,
                errors='replace',
                start_new_session=True,
            ) as process:

                def read() -> None:
                    for line in process.stdout:
                        log.write(line)
                        output.add(line)

                reader = threading.Thread(target=read)
                reader.start()
                try:
                    show_progress(reader, output, begin)
                except BaseException:
                    # pip's compilers too, or they would go on while the next run starts.
                    os.killpg(process.pid, signal.SIGTERM)
                    raise
        if process.returncode:
            raise SetupError(self._explain(title, process.returncode, output))
        say(f'  {title}: done in {minutes(time.monotonic() - begin)}')

    def _explain(self, title: str, code: int, output: Output) -> str:
        text = '\n'.join(output.lines)
        remedy = next(
            (mend for sign, mend in REMEDIES if re.search(sign, text, re.MULTILINE)),
            f'see the log; should the environment itself be broken, remove {self.home}',
        )
        end = '\n'.join(f'    | {line}' for line in list(output.lines)[-25:])
        return (
            f'Failed, with exit status {code}: {title}. The end of {self.log}:\n{end}\n'
            f'To mend it: {remedy.format(version=self.version)}'
        )


def show_progress(reader: threading.Thread, output: Output, begin: float) -> None:
    """Show how far a command is until its output ends."""
    terminal = sys.stderr.isatty()
    reader.join(1 if terminal else 20)
    while reader.is_alive():
        text = f'    {minutes(time.monotonic() - begin)}  {output.status()}'
        print(
            f'\r\x1b[K{text}' if terminal else text,
            end='' if terminal else '\n',
            file=sys.stderr,
            flush=True,
        )
        reader.join(1 if terminal else 20)
    if terminal:
        print('\r\x1b[K', end='', file=sys.stderr, flush=True)


def check_machine(environment: Environment) -> None:
    """Find out what the machine lacks before gigabytes are fetched.

    Raises:
        SetupError: something is missing.
    """
    version = environment.version
    free_gb = shutil.disk_usage(environment.root).free / 1e9
    if free_gb < DISK_GB and not environment.base.exists():
        raise SetupError(
            f'{environment.root} has {free_gb:.1f} GB free; the environment needs about '
            f'{DISK_GB} GB while it is built.\n'
            'To mend it: free some, or name another folder with MMDYNAMICVIS_ENV_ROOT.'
        )
    packages = []
    if not runs(environment.source, 'import ensurepip, venv'):
        packages.append(f'python{version}-venv')
    if environment.mmcv_wheel() is None:
        if shutil.which('g++') is None and shutil.which('c++') is None:
            packages.append('g++')
        header = 'import os, sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))'
        if not runs(environment.source, header):
            packages.append(f'python{version}-dev')
    if packages:
        raise SetupError(
            f'{environment.source} cannot build the environment: it lacks {", ".join(packages)}.\n'
            f'To mend it, on Debian and Ubuntu: apt-get install {" ".join(packages)}'
        )


def runs(python: str | Path, code: str) -> bool:
    """Tell whether an interpreter exists and runs some code."""
    if not Path(python).exists():
        return False
    command = [str(python), '-c', code]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def compiler_jobs() -> int:
    """Return how many compilers to run at once: one per core, as far as memory allows."""
    memory_gb = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9
    return max(1, min(len(os.sched_getaffinity(0)), int(memory_gb / COMPILER_GB)))


def build_wheel(environment: Environment, steps: Steps) -> None:
    """Compile mmcv into the folder of wheels, unless it is there."""
    if environment.mmcv_wheel() is not None:
        say(f'  compile mmcv: have {environment.mmcv_wheel()}')
        return
    variables = {
        'MMCV_WITH_OPS': '1',
        'MAX_JOBS': os.environ.get('MAX_JOBS') or str(compiler_jobs()),
        'FORCE_CUDA': str(int(environment.cuda_ops)),
    }
    if not environment.cuda_ops:
        # With a GPU in sight mmcv would want nvcc.
        variables['CUDA_VISIBLE_DEVICES'] = ''
    built = steps.temporary / 'wheel'
    # Without pip's cache: it may hold a wheel that was compiled against another torch.
    pip = [environment.base / 'bin/python', '-m', 'pip', 'wheel', '--verbose', '--no-cache-dir']
    pip += ['--no-deps', '--no-build-isolation', '--wheel-dir', built]
    title = f'compile mmcv, {variables["MAX_JOBS"]} files at a time (9 minutes on 2 cores)'
    steps.run(title, [*pip, '-r', REQUIREMENTS / 'mmcv.txt'], **variables)
    environment.wheels.mkdir(parents=True, exist_ok=True)
    for wheel in built.glob('*.whl'):
        wheel.replace(environment.wheels / wheel.name)


def build_base(environment: Environment, steps: Steps) -> None:
    """Make the virtual environment with all packages; goes on where an earlier build stopped."""
    others = [path.name for path in environment.root.glob('py*-*') if path != environment.home]
    if others:
        say(f'  other environments, to be removed when no longer used: {", ".join(others)}')
    python = environment.base / 'bin/python'
    if not runs(python, 'import pip'):
        shutil.rmtree(environment.base, ignore_errors=True)
        steps.run(
            f'create a virtual environment of Python {environment.version}',
            [environment.source, '-m', 'venv', environment.base],
        )
    # What comes as source is built with the pinned build tools, not with today's newest.
    install = [python, '-m', 'pip', 'install', '--no-deps', '--no-build-isolation']
    tools = [line for line in pins('environment.txt') if line.split('==')[0] in BUILD_TOOLS]
    steps.run('install the build tools', [*install, *tools])
    steps.run(
        f'install {len(pins("environment.txt"))} packages (about 3 GB to fetch the first time)',
        [*install, '-r', REQUIREMENTS / 'environment.txt'],
    )
    build_wheel(environment, steps)
    steps.run('install mmcv', [*install, environment.mmcv_wheel()])
    hosts = [*install, '-r', REQUIREMENTS / 'hosts.txt']
    steps.run('install mmpretrain, mmdet, mmseg, mmrotate and mim', hosts)
    steps.run('import them all', [python, '-c', IMPORTS])
    environment.base_stamp.touch()


def build_layer(environment: Environment, steps: Steps) -> None:
    """Make this checkout's virtual environment: base's packages and the checkout itself."""
    base, layer = environment.base, environment.layer
    if not runs(environment.python, ''):
        shutil.rmtree(layer, ignore_errors=True)
    # On an existing layer this keeps what is running in it alive.
    steps.run(
        'create the virtual environment of this checkout',
        [base / 'bin/python', '-m', 'venv', '--without-pip', layer],
    )
    base_packages = str(environment.site_packages(base))
    link = f'import site; site.addsitedir({base_packages!r})\n'
    (environment.site_packages(layer) / '_base.pth').write_text(link, encoding='utf-8')
    for tool in (base / 'bin').iterdir():
        link_tool(tool, base, layer)
    pip = [environment.python, '-m', 'pip', 'install', '--no-deps', '--no-build-isolation']
    stamp = installed_from()
    steps.run('install this checkout (editable)', [*pip, '--editable', CHECKOUT])
    environment.layer_stamp.write_text(stamp)


def link_tool(tool: Path, base: Path, layer: Path) -> None:
    """Offer a command of base in the layer: a script runs with the layer's interpreter."""
    target = layer / 'bin' / tool.name
    if not tool.is_file() or os.path.lexists(target) or tool.name.lower().startswith('activate'):
        return
    with tool.open('rb') as handle:
        is_script = handle.read(2) == b'#!'
    if is_script:
        target.write_text(tool.read_text().replace(f'{base}/bin/', f'{layer}/bin/'))
        target.chmod(0o755)
    else:
        target.symlink_to(tool)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Let one process at a time build under a folder."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / '.lock').open('w') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'another process is building under {root}; waiting for it ...')
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def ensure(environment: Environment) -> None:
    """Build what is missing of the environment.

    Raises:
        SetupError: something failed; the text says what and how to mend it.
    """
    if environment.base_is_complete() and environment.layer_is_current():
        return
    with locked(environment.root):
        steps = Steps(environment)
        if not environment.base_is_complete():
            say(f'Setting up the environment in {environment.home} (once; minutes)')
            check_machine(environment)
            build_base(environment, steps)
        if not environment.layer_is_current():
            say(f'Installing this checkout into {environment.layer}')
            build_layer(environment, steps)
        shutil.rmtree(steps.temporary, ignore_errors=True)


def run(environment: Environment, command: list[str]) -> None:
    """Replace this process by a command that sees the environment first on its PATH."""
    settings = variables_without_python()
    settings['PATH'] = f'{environment.layer / "bin"}{os.pathsep}{settings.get("PATH", "")}'
    settings['VIRTUAL_ENV'] = str(environment.layer)
    os.execvpe(command[0], command, settings)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('action', choices=['ensure', 'python', 'run'])
    parser.add_argument('command', nargs=argparse.REMAINDER, help='for run: program, arguments')
    args = parser.parse_args()
    if (args.action == 'run') != bool(args.command):
        parser.error('run, and only run, takes a command')
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        environment = Environment.of_this_checkout()
        ensure(environment)
    except SetupError as error:
        say(f'\n{error}')
        return 1
    except OSError as error:
        say(f'\nThe environment could not be set up: {error}')
        say('To mend it: name a folder that you can write to with MMDYNAMICVIS_ENV_ROOT.')
        return 1
    except KeyboardInterrupt:
        say('\nInterrupted; the next run goes on from here.')
        return 130
    if args.action == 'run':
        run(environment, args.command)
    print(environment.python if args.action == 'python' else environment.layer)
    return 0


if __name__ == '__main__':
    sys.exit(main())
