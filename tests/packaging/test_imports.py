"""Import rules that import-linter has no words for; its contracts are in pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

HOSTS = {'mmdet', 'mmseg', 'mmpretrain', 'mmrotate', 'opencd'}


def imported_packages(path: Path) -> set[str]:
    packages = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.split('.')[0])
    return packages


def test_a_file_imports_one_host_at_most(checkout: Path) -> None:
    files = {path: imported_packages(path) for path in checkout.glob('mmdynamicvis/**/*.py')}
    assert any('mmpretrain' in packages for packages in files.values())
    crowded = {str(path): packages & HOSTS for path, packages in files.items()}
    assert {path: hosts for path, hosts in crowded.items() if len(hosts) > 1} == {}


def test_backbone_needs_torch_and_mmengine_alone() -> None:
    hosts = sorted(HOSTS | {'mmcv'})
    code = (
        'import sys, mmdynamicvis, mmdynamicvis.registry; mmdynamicvis.DynamicVis; '
        f'print(*sys.modules.keys() & {hosts})'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ''
