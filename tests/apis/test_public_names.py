from __future__ import annotations

import subprocess
import sys

import pytest

from mmdynamicvis import apis


@pytest.mark.parametrize('name', apis.__all__)
def test_public_names_are_there(name: str) -> None:
    assert getattr(apis, name).__name__ == name


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Embeder'"):
        _ = apis.Embeder


def test_vectors_need_no_raster_library_and_no_host() -> None:
    code = 'import sys; from mmdynamicvis.apis import Embedder; print(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    hosts = {'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmrotate', 'rasterio', 'geopandas'}
    assert not hosts & set(done.stdout.split())
