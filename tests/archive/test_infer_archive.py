"""An archive of scenes on a real Ray cluster: outputs, index, failures and resumption."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

pytest.importorskip('ray')

from mmdynamicvis.archive import infer_archive
from mmdynamicvis.scenes import Pace, infer_scene

from ..scenes.scenes import noise, write
from ..scenes.test_infer_scene import BOXES, Trained

QUIET = Pace(progress=False)
WINDOWS = dict(tile=64, overlap=16)


def model(checkout: Path, config: str, folder: Path) -> tuple[str, Path]:
    """Write config and weights of a small model."""
    trained = Trained(checkout / 'configs' / config, folder)
    trained.cfg.dump(folder / 'config.py')
    return str(folder / 'config.py'), trained.checkpoint


def rows_of(folder: Path) -> dict[str, dict]:
    index = geopandas.read_parquet(folder / 'index.parquet')
    assert index.crs == 'EPSG:4326'
    return {row['source'].rpartition('/')[2]: row for row in index.to_dict('records')}


def objects_of(path: Path) -> bytes:
    """Return the rows of a GeoPackage, which also holds the time of writing."""
    return geopandas.read_file(path).to_wkb().to_csv().encode()


@pytest.mark.slow
def test_objects_with_failures_and_a_second_run(tmp_path, checkout, ray_cluster) -> None:
    config = model(checkout, BOXES, tmp_path)
    scenes = tmp_path / 'in'
    for folder in ('x', 'y'):
        (scenes / folder).mkdir(parents=True)
    pixels = noise(96, 160)
    for name, left in (('x/a', 0), ('y/a', 48), ('b', 400)):
        place = from_origin(600000 + left / 2, 5300000, 0.5, 0.5)
        write(scenes / f'{name}.tif', pixels[:, :, left % 200 : left % 200 + 96], transform=place)
    (scenes / 'broken.tif').write_text('no raster')
    write(scenes / 'nowhere.tif', noise(64, 64), crs=None)
    write(scenes / 'four.tif', noise(64, 64, bands=4))
    out = tmp_path / 'out'
    options = dict(WINDOWS, workers=1, min_score=0.0)
    made = infer_archive(scenes, out, *config, **options)
    assert made.done == 3
    rows = rows_of(out)
    assert len(rows) == 5  # two named a.tif
    reasons = {Path(source).stem: reason for source, reason in made.failed.items()}
    assert set(reasons) == {'broken', 'nowhere', 'four'}
    assert 'as a raster' in reasons['broken']
    assert 'no reference system' in reasons['nowhere']
    assert 'it has 4 bands and most scenes have 3' in reasons['four']
    assert {path.name for path in (out / 'scenes').iterdir()} == {'a.gpkg', 'y_a.gpkg', 'b.gpkg'}
    row = rows['b.tif']
    assert row['status'] == 'done'
    assert (row['height'], row['width'], row['bands'], row['windows']) == (96, 96, 3, 4)
    assert row['objects'] == len(geopandas.read_file(out / 'scenes/b.gpkg')) > 0
    with rasterio.open(scenes / 'b.tif') as file:
        left, bottom, right, top = rasterio.warp.transform_bounds(
            file.crs, 'EPSG:4326', *file.bounds
        )
    np.testing.assert_allclose(row['geometry'].bounds, (left, bottom, right, top), atol=1e-9)

    # each output is that of infer_scene, and the layer has no object twice
    for source, name in (('x/a', 'a'), ('y/a', 'y_a'), ('b', 'b')):
        alone = tmp_path / f'{name}.gpkg'
        infer_scene(
            scenes / f'{source}.tif',
            alone,
            *config,
            device='cpu',
            pace=QUIET,
            min_score=0.0,
            **WINDOWS,
        )
        assert objects_of(alone) == objects_of(out / f'scenes/{name}.gpkg')
    layer = geopandas.read_file(out / 'objects.gpkg')
    assert (
        0
        < len(layer)
        < sum(
            row['objects']
            for row in geopandas.read_parquet(out / 'index.parquet')
            .query('status == "done"')
            .to_dict('records')
        )
    )

    # the second run does what failed, and that alone
    before = {path: path.stat().st_mtime_ns for path in (out / 'scenes').iterdir()}
    write(scenes / 'broken.tif', noise(64, 64))
    made = infer_archive(scenes, out, *config, **options)
    assert made.done == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    write(scenes / 'b.tif', noise(96, 96))
    made = infer_archive(scenes, out, *config, **options)
    reasons = {Path(source).stem: reason for source, reason in made.failed.items()}
    assert 'changed since scenes/b.gpkg was made' in reasons['b']
    with pytest.raises(ValueError, match=r'results of another run: min_score was 0\.0 and is 0\.5'):
        infer_archive(scenes, out, *config, **{**options, 'min_score': 0.5})
