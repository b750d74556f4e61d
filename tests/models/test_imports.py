"""The backbone in a project that has no OpenMMLab package but mmengine."""

from __future__ import annotations

import subprocess
import sys

# Modules of these names cannot be found, as if they were not installed.
HIDE_HOSTS = """
import sys
class Hidden:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmrotate', 'opencd'):
            return None
        return self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hidden(finder) for finder in sys.meta_path]
"""
ARCH = 'dict(embed_dims=(16, 24, 32, 48), depths=(1, 1, 1, 1))'


def run(code: str) -> list[str]:
    command = [sys.executable, '-c', HIDE_HOSTS + code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_registry_finds_the_backbone_without_custom_imports() -> None:
    code = f"""
import torch
from mmengine.registry import MODELS
backbone = MODELS.build(dict(type='mmdynamicvis.DynamicVis', arch={ARCH}, img_size=32)).eval()
print(*[tuple(x.shape) for x in backbone(torch.zeros(1, 3, 32, 32))])
print(*(sys.modules.keys() & {{'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmrotate'}}))
"""
    assert run(code) == ['(1, 16, 8, 8) (1, 24, 4, 4) (1, 32, 2, 2) (1, 48, 1, 1)', '']


def test_public_name() -> None:
    code = """
import mmdynamicvis
from mmdynamicvis import DynamicVis
print(mmdynamicvis.__version__, DynamicVis.__module__, 'DynamicVis' in dir(mmdynamicvis))
try:
    mmdynamicvis.DynamicViz
except AttributeError as error:
    print(error)
"""
    version, *rest = ' '.join(run(code)).split(' ', 1)
    assert version[0].isdecimal()
    assert rest == [
        "mmdynamicvis.models.dynamicvis True module 'mmdynamicvis' has no attribute 'DynamicViz'"
    ]


def test_hidden_hosts_are_hidden() -> None:
    code = """
from importlib.util import find_spec
print(find_spec('mmcv'), find_spec('mmpretrain'), find_spec('mmengine') is not None)
"""
    assert run(code) == ['None None True']
