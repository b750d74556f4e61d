"""The pages are complete and build without a warning, and the notebooks run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((CHECKOUT / 'docs/tutorials').glob('*.ipynb'))


def code_cells(notebook: Path) -> list[dict]:
    cells = json.loads(notebook.read_text())['cells']
    return [cell for cell in cells if cell['cell_type'] == 'code']


def run(*command: object, folder: Path) -> None:
    environment = os.environ | {'PYTHONPATH': str(CHECKOUT), 'MPLBACKEND': 'Agg'}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_every_page_is_in_the_table_of_contents() -> None:
    docs = CHECKOUT / 'docs'
    listed = set()
    for page in docs.glob('*.md'):
        for lines in re.findall(r'```\{toctree\}\n(.*?)```', page.read_text(), re.DOTALL):
            entries = [line for line in lines.splitlines() if line and not line.startswith(':')]
            paths = [entry.rpartition('<')[2].rstrip('>') for entry in entries]
            listed |= {os.path.normpath(docs / path) for path in paths}
    pages = {*docs.glob('*.md'), *CHECKOUT.glob('configs/*/README.md'), *NOTEBOOKS}
    pages |= set(CHECKOUT.glob('mmdynamicvis/zoo/*.md'))
    expected = {str(page.with_suffix('')) for page in pages - {docs / 'index.md'}}
    expected |= {str(CHECKOUT / name) for name in ('CONTRIBUTING', 'CHANGELOG', 'docs/api/*')}
    assert listed == expected


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(notebook: Path) -> None:
    cells = code_cells(notebook)
    assert cells
    assert all(cell['outputs'] == [] and cell['execution_count'] is None for cell in cells)


@pytest.mark.exhaustive
@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    """As a script in a process of its own, which needs no Jupyter."""
    script = tmp_path / 'cells.py'
    script.write_text('\n'.join(''.join(cell['source']) for cell in code_cells(notebook)))
    run(sys.executable, script, folder=tmp_path)


@pytest.mark.exhaustive
def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip('sphinx', reason='`make docs` installs what builds the documentation')
    pytest.importorskip('myst_nb', reason='`make docs` installs what builds the documentation')
    options = ('--fail-on-warning', '--keep-going', '-D', 'nb_execution_mode=off')
    run(sys.executable, '-m', 'sphinx', '-c', 'docs', *options, '.', tmp_path, folder=CHECKOUT)
    assert 'infer_scene' in (tmp_path / 'docs/api/mmdynamicvis.scenes.html').read_text()
    assert (tmp_path / 'index.html').is_file()
