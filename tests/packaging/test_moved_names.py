"""Import paths of the releases before, which go on working with a warning."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from mmdynamicvis import apis

OLD_MODULES = {
    'mmdynamicvis.annotations.coco': 'check_coco',
    'mmdynamicvis.apis.embedder': 'Embedder',
    'mmdynamicvis.apis.export': 'export_model',
    'mmdynamicvis.apis.inferencers': 'load_inferencer',
    'mmdynamicvis.apis.prediction_files': 'write_coco',
    'mmdynamicvis.apis.scenes': 'infer_scene',
    'mmdynamicvis.apis.scenes.grid': 'Box',
    'mmdynamicvis.apis.vector_files': 'Embeddings',
    'mmdynamicvis.models.checkpoint': 'load_weights',
    'mmdynamicvis.transforms.geotiff': 'LoadGeoTIFF',
}
OLD_NAMES = [
    ('mmdynamicvis.apis', 'Embedder'),
    ('mmdynamicvis.apis', 'Embeddings'),
    ('mmdynamicvis.apis', 'infer_scene'),
    ('mmdynamicvis.apis', 'load_inferencer'),
    ('mmdynamicvis.annotations', 'check_coco'),
    ('mmdynamicvis.transforms', 'LoadIntactImage'),
]


@pytest.mark.parametrize(('package', 'name'), OLD_NAMES)
def test_names_of_packages_are_those_of_their_new_modules(package, name):
    with pytest.warns(DeprecationWarning, match=f'{package}.{name} has moved to'):
        component = getattr(import_module(package), name)
    assert component.__name__ == name
    assert not component.__module__.startswith(package)


@pytest.mark.parametrize(('module', 'name'), OLD_MODULES.items())
def test_old_modules_are_the_new_ones(module, name, monkeypatch):
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.warns(DeprecationWarning, match=f'{module} has moved to mmdynamicvis'):
        old = import_module(module)
    assert old is import_module(old.__name__)
    assert old.__name__ != module
    assert hasattr(old, name)


def test_an_unknown_name_is_said():
    with pytest.raises(AttributeError, match="has no attribute 'Embeder'"):
        _ = apis.Embeder
    with pytest.raises(ModuleNotFoundError, match=r'mmdynamicvis\.apis\.embeder'):
        import_module('mmdynamicvis.apis.embeder')
