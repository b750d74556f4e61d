"""The scope mmdynamicvis: every component is found by its name, and needs no more than its host."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from pkgutil import walk_packages

import pytest
from mmengine.registry import Registry

import mmdynamicvis
from mmdynamicvis import registry

REGISTRIES = {name: value for name, value in vars(registry).items() if isinstance(value, Registry)}


def test_every_component_of_a_host_has_a_home():
    for needed in ('gradio', 'mmrotate', 'onnxruntime', 'onnxscript'):
        pytest.importorskip(needed)
    for package in walk_packages(mmdynamicvis.__path__, 'mmdynamicvis.'):
        if '.compat' not in package.name and '__main__' not in package.name:
            if package.name.startswith('mmdynamicvis.ops.') or package.name.endswith('.opencd'):
                continue  # optional kernels, open-cd
            import_module(package.name)
    for name, own in REGISTRIES.items():
        own.import_from_location()
        located = {
            key
            for key, component in own.module_dict.items()
            if any(component.__module__.startswith(location) for location in own._locations)
        }
        assert own.module_dict.keys() == located | own.homes.keys(), name


@pytest.mark.parametrize(
    ('kind', 'name', 'home'),
    [(k, n, home) for k, own in REGISTRIES.items() for n, home in own.homes.items()],
)
def test_components_are_found_where_they_are_said_to_be(kind, name, home):
    if home.endswith('rotated_detection'):
        pytest.importorskip('mmrotate')
    component = REGISTRIES[kind].get(name)
    assert component.__module__.startswith(home)
    assert getattr(import_module('mmengine.registry'), kind).get(f'mmdynamicvis.{name}') is (
        component
    )


ONLY_THE_BACKBONE = """
import sys
from mmengine.registry import MODELS
MODELS.get('mmdynamicvis.DynamicVis')
hosts = {'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmrotate', 'opencd'} & sys.modules.keys()
assert not hosts, hosts
"""


def test_the_backbone_imports_no_host():
    subprocess.run([sys.executable, '-c', ONLY_THE_BACKBONE], check=True)


class WithoutMMRotate(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == 'mmrotate':
            raise ModuleNotFoundError("No module named 'mmrotate'", name='mmrotate')


def test_a_missing_host_is_named(monkeypatch):
    home = registry.DATASETS.homes['NWPURotatedDataset']
    for module in [*sys.modules]:
        if module.startswith((home, 'mmrotate')):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, 'meta_path', [WithoutMMRotate(), *sys.meta_path])
    with pytest.raises(ImportError, match=r"pip install 'mmdynamicvis\[rotate\]'"):
        registry.DATASETS.get('mmdynamicvis.NWPURotatedDataset')
