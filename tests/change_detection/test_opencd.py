"""open-cd is imported beside any version of its hosts, and nothing else changes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PRINT_VERSIONS = 'import mmcv, mmseg; print(mmcv.__version__, mmseg.__version__)'
MODULE = Path(__file__).resolve().parents[2] / 'mmdynamicvis/change_detection/opencd.py'
# the file alone: its package imports mmseg, which some tests here put a stand-in for
IMPORT = f'import runpy; runpy.run_path({str(MODULE)!r})'


def run_python(code: str, *first_on_path: Path) -> subprocess.CompletedProcess:
    paths = [*map(str, first_on_path), *filter(None, sys.path)]
    return subprocess.run(
        [sys.executable, '-c', code],
        env=os.environ | {'PYTHONPATH': os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def packages(tmp_path: Path):
    """Write modules that stand for versions of the hosts, and one that asserts as open-cd does."""

    def write(mmcv: str, mmseg: str, opencd_ends_with: str = '') -> Path:
        for name, version in dict(mmcv=mmcv, mmdet='3.3.0', mmseg=mmseg).items():
            (tmp_path / f'{name}.py').write_text(f'__version__ = {version!r}\n')
        (tmp_path / 'opencd.py').write_text(
            f'{PRINT_VERSIONS}\n'
            'assert tuple(map(int, mmcv.__version__.split("."))) < (2, 2, 0)\n'
            'assert tuple(map(int, mmseg.__version__.split("."))) < (1, 3, 0)\n'
            f'{opencd_ends_with}\n'
        )
        return tmp_path

    return write


@pytest.mark.parametrize(
    ('mmcv', 'mmseg', 'seen'),
    [
        ('2.3.6', '1.4.2', '2.1.0 1.2.2'),
        ('2.2.0', '1.2.1', '2.1.0 1.2.1'),
        ('2.0.1', '1.1.0', '2.0.1 1.1.0'),
    ],
)
def test_only_versions_beyond_the_bound_read_lower(packages, mmcv: str, mmseg: str, seen: str):
    folder = packages(mmcv, mmseg)
    result = run_python(f'{IMPORT}; {PRINT_VERSIONS}', folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [seen, f'{mmcv} {mmseg}']


def test_versions_are_restored_when_the_import_fails(packages) -> None:
    folder = packages('2.3.6', '1.4.2', opencd_ends_with='raise RuntimeError("inside open-cd")')
    code = f'try:\n    {IMPORT}\nexcept RuntimeError as error:\n    print(error); {PRINT_VERSIONS}'
    result = run_python(code, folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ['2.1.0 1.2.2', 'inside open-cd', '2.3.6 1.4.2']


@pytest.mark.exhaustive
def test_without_opencd_the_error_says_how_to_get_it() -> None:
    # None in sys.modules: Python's own mark of a module that cannot be imported
    code = 'import sys; sys.modules["opencd"] = None; import mmdynamicvis.change_detection.opencd'
    result = run_python(code)
    assert result.returncode == 1
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith('ImportError: open-cd is not installed')
    assert 'pip install --no-deps' in last_line


@pytest.mark.opencd
@pytest.mark.slow
def test_opencd_registers_its_components() -> None:
    if find_spec('opencd') is None:
        pytest.skip('open-cd is not installed')
    code = (
        f'{PRINT_VERSIONS}\n'
        'import mmdynamicvis.change_detection.opencd\n'
        f'{PRINT_VERSIONS}\n'
        'from opencd.registry import DATASETS, MODELS\n'
        'found = MODELS.get("SiamEncoderDecoder"), DATASETS.get("LEVIR_CD_Dataset")\n'
        'print(*[component.__name__ for component in found])'
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    before, *_, after, names = result.stdout.splitlines()  # mmseg prints, too
    assert before == after
    assert names == 'SiamEncoderDecoder LEVIR_CD_Dataset'
