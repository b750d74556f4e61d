from __future__ import annotations

import resource
from multiprocessing import get_context

import numpy as np
import pytest

from mmdynamicvis.scenes import Scene
from mmdynamicvis.scenes.grid import Grid
from mmdynamicvis.scenes.rasters import Bands, write_raster
from mmdynamicvis.scenes.work_folder import WorkFolder

from .scenes import noise, write


def constant(box):
    return np.ones((1, *box.shape), np.uint8)


def write_constant(folder, scene, cog=False):
    grid = Grid(scene.height, scene.width, 64, 16)
    bands = Bands(['class'], 'uint8', 255, 'mode')
    with WorkFolder(folder / 'work', {}) as work:
        write_raster(folder / 'out.tif', scene, grid, bands, constant, work, cog)


@pytest.mark.parametrize('cog', [False, True])
def test_errors_that_gdal_meets_when_it_closes_a_file(tmp_path, cog):
    """A disk that fills up with the last bytes: the library says nothing then."""
    with Scene(write(tmp_path / 'scene.tif', noise(1100, 1100, bands=1))) as scene:

        def write_on_a_small_disk():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            with pytest.raises(OSError, match='Is the disk full'):
                write_constant(tmp_path, scene, cog)

        process = get_context('fork').Process(target=write_on_a_small_disk)
        process.start()
        process.join()
        assert process.exitcode == 0
        assert not (tmp_path / 'out.tif').exists()
        assert {path.name for path in tmp_path.iterdir()} == {'scene.tif', 'work'}
        write_constant(tmp_path, scene, cog)
        assert (tmp_path / 'out.tif').stat().st_size > 1000
