"""Tiles of change detection data, from made files in the layouts of the real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from change_detection.disasters import make_disaster, write_bright, write_disasters
from change_detection.pairs import make_cover, make_pair, write_pairs, write_second
from PIL import Image
from running import run_tool

rasterio = pytest.importorskip('rasterio')


def run(checkout: Path, tool: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    return run_tool(checkout / f'tools/prepare_data/{tool}.py', *arguments)


def write(path: Path, image_CHW: np.ndarray, **profile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = image_CHW.shape
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        height=height,
        width=width,
        count=count,
        dtype=image_CHW.dtype,
        **profile,
    ) as file:
        file.write(image_CHW)


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    before, after, mask = make_pair((70, 100), 0)
    files = [tmp_path / name for name in ('before.tif', 'after.tif', 'change.tif')]
    write(files[0], before.transpose(2, 0, 1))
    write(files[1], after.transpose(2, 0, 1))
    write(files[2], mask[None].astype(np.uint8) * 255)
    return files


def names(folder: Path, part: str) -> list[str]:
    return (folder / f'list/{part}.txt').read_text().split()


def test_whu_cd_tiles_are_pieces_of_the_images(checkout, scenes, tmp_path):
    target = tmp_path / 'tiles'
    result = run(checkout, 'whu_cd', *scenes, target, '--size', '16')
    assert result.returncode == 0, result.stderr
    parts = {part: names(target, part) for part in ('train', 'val', 'test')}
    assert {part: len(chosen) for part, chosen in parts.items()} == dict(train=20, val=2, test=2)
    everything = sorted(name for chosen in parts.values() for name in chosen)
    assert everything == sorted(
        f'{y:05}_{x:05}' for y in range(0, 64, 16) for x in range(0, 96, 16)
    )
    before, after, mask = make_pair((70, 100), 0)
    for name in everything:
        y, x = map(int, name.split('_'))
        area = np.s_[y : y + 16, x : x + 16]
        for part, image in (('A', before), ('B', after), ('label', mask * 255)):
            tile = np.asarray(Image.open(target / f'{part}/{name}.png'))
            np.testing.assert_array_equal(tile, image[area])


def test_whu_cd_is_drawn_the_same_way_again_and_not_overwritten(checkout, scenes, tmp_path):
    targets = [tmp_path / name for name in ('one', 'two')]
    for target in targets:
        assert run(checkout, 'whu_cd', *scenes, target, '--size', '16').returncode == 0
    assert names(targets[0], 'test') == names(targets[1], 'test')
    again = run(checkout, 'whu_cd', *scenes, targets[0], '--size', '16')
    assert again.returncode == 1
    assert '--force' in again.stderr


def test_whu_cd_covers_the_edges_when_asked(checkout, scenes, tmp_path):
    target = tmp_path / 'tiles'
    assert run(checkout, 'whu_cd', *scenes, target, '--size', '16', '--cover').returncode == 0
    assert (target / 'A/00054_00084.png').is_file()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (np.full((1, 70, 99), 255, np.uint8), 'is of 100 x 70 px, .*change.tif of 99 x 70'),
        (np.full((1, 70, 100), 7, np.uint8), 'change.tif has the values 7, not only 255 and 0'),
    ],
    ids=['size', 'values'],
)
def test_whu_cd_refuses_masks_that_do_not_fit(checkout, scenes, tmp_path, change, message):
    write(scenes[2], change)
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', '--size', '16')
    assert result.returncode == 1
    assert_in(message, result.stderr)
    assert not (tmp_path / 'tiles').exists()


@pytest.mark.parametrize(
    'place',
    [
        rasterio.transform.from_origin(5e5 + 500, 53e5, 10, 10),
        rasterio.transform.from_origin(5e5, 53e5, 20, 20),
        rasterio.Affine(10, 0, 5e5, 0, 10, 53e5 - 700),
    ],
    ids=['shifted', 'half_resolution', 'south_up'],
)
@pytest.mark.parametrize('which', [1, 2])
def test_whu_cd_refuses_files_of_other_places(checkout, scenes, tmp_path, place, which):
    for i, path in enumerate(scenes):
        with rasterio.open(path, 'r+') as file:
            file.crs = 'EPSG:32633'
            file.transform = rasterio.transform.from_origin(5e5, 53e5, 10, 10)
            if i == which:
                file.transform = place
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', '--size', '16')
    assert result.returncode == 1
    assert_in(
        rf'{scenes[which].name} is shifted by \d+\.0 pixels against .*before\.tif', result.stderr
    )


@pytest.mark.parametrize(
    'image', [np.ones((3, 70, 100), np.uint16), np.ones((1, 70, 100), np.uint8)]
)
def test_whu_cd_refuses_what_is_no_rgb_of_8_bits(checkout, scenes, tmp_path, image):
    for path in scenes[:2]:
        write(path, image)
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', '--size', '16')
    assert result.returncode == 1
    assert f'has {len(image)} bands of {image.dtype}; R, G and B of uint8' in result.stderr
    assert 'Traceback' not in result.stderr


def test_whu_cd_refuses_dates_of_other_offsets(checkout, scenes, tmp_path):
    with rasterio.open(scenes[1], 'r+') as file:
        file.offsets = [-1000] * 3
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', '--size', '16')
    assert result.returncode == 1
    assert_in(r'before\.tif has the scales .*after\.tif .*-1000', result.stderr)


def test_whu_cd_refuses_dates_of_other_points(checkout, scenes, tmp_path):
    for path, shift in zip(scenes[:2], (0, 9), strict=True):
        corners = [(0, 0), (0, 100), (70, 0), (70, 100)]
        gcps = [
            rasterio.control.GroundControlPoint(row, column, 5e5 + column + shift, 53e5 - row)
            for row, column in corners
        ]
        write(path, np.ones((3, 70, 100), np.uint8), gcps=gcps, crs='EPSG:32633')
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', '--size', '16')
    assert result.returncode == 1
    assert_in(r'before\.tif and .*after\.tif are placed by points or RPCs that', result.stderr)


def test_whu_cd_takes_the_colors_that_files_name(checkout, scenes, tmp_path):
    before, after, _ = make_pair((70, 100), 0)
    colors = [rasterio.enums.ColorInterp[name] for name in ('undefined', 'blue', 'green', 'red')]
    other = np.full((70, 100, 1), 7, np.uint8)
    for path, image in zip(scenes[:2], (before, after), strict=True):
        write(path, np.dstack([other, image[..., ::-1]]).transpose(2, 0, 1))
        with rasterio.open(path, 'r+') as file:
            file.colorinterp = colors
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', '--size', '64')
    assert result.returncode == 0, result.stderr
    for part, image in (('A', before), ('B', after)):
        tile = np.asarray(Image.open(tmp_path / f'tiles/{part}/00000_00000.png'))
        np.testing.assert_array_equal(tile, image[:64, :64])


@pytest.mark.parametrize('size', ['0', '-1'])
def test_whu_cd_needs_tiles_of_some_size(checkout, scenes, tmp_path, size):
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', '--size', size)
    assert result.returncode == 2
    assert f'{size} is less than one pixel' in result.stderr


@pytest.mark.parametrize(
    ('high', 'profile'),
    [(1, dict(photometric='MINISWHITE', nbits=1)), (255, dict(photometric='MINISWHITE'))],
)
def test_whu_cd_takes_masks_in_which_white_is_zero(checkout, scenes, tmp_path, high, profile):
    mask = make_pair((70, 100), 0)[2]
    write(scenes[2], high * (~mask)[None].astype(np.uint8), **profile)
    options = ('--size', '64', '--changed', str(high))
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', *options)
    assert result.returncode == 0, result.stderr
    label = np.asarray(Image.open(tmp_path / 'tiles/label/00000_00000.png'))
    np.testing.assert_array_equal(label, mask[:64, :64] * 255)


def test_whu_cd_takes_palettes_of_grays_and_refuses_colors(checkout, scenes, tmp_path):
    mask = make_pair((70, 100), 0)[2]
    image = Image.fromarray((~mask).astype(np.uint8))
    image.putpalette([255] * 3 + [0] * 3)
    scenes[2] = tmp_path / 'change.png'
    image.save(scenes[2])
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'tiles', '--size', '64')
    assert result.returncode == 0, result.stderr
    label = np.asarray(Image.open(tmp_path / 'tiles/label/00000_00000.png'))
    np.testing.assert_array_equal(label, mask[:64, :64] * 255)
    Image.fromarray(np.dstack([mask, ~mask, mask]).astype(np.uint8) * 255).save(scenes[2])
    result = run(checkout, 'whu_cd', *scenes, tmp_path / 'other', '--size', '64')
    assert result.returncode == 1
    assert 'change.png is colored' in result.stderr


def assert_in(pattern: str, text: str) -> None:
    with pytest.raises(RuntimeError, match=pattern):
        raise RuntimeError(text)


BANDS = ['B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B10', 'B11', 'B12']
RESOLUTION = dict.fromkeys(BANDS, 20) | dict.fromkeys(('B02', 'B03', 'B04', 'B08'), 10)
RESOLUTION |= dict.fromkeys(('B01', 'B09', 'B10'), 60)


@pytest.fixture
def oscd(tmp_path: Path) -> Path:
    """A city of 60 x 90 pixels of 10 m; band b is 100 b, and 1000 + 100 b at the second date."""
    root, shape = tmp_path / 'oscd', (60, 90)
    before, after, mask = make_pair(shape, 0)
    for date, image in ((1, before), (2, after)):
        (root / 'images/rennes/pair').mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / f'images/rennes/pair/img{date}.png')
        for number, band in enumerate(BANDS, start=1):
            step = RESOLUTION[band] // 10
            height, width = shape[0] // step, shape[1] // step
            values = np.full((1, height, width), 1000 * (date - 1) + 100 * number, np.uint16)
            write(
                root / f'images/rennes/imgs_{date}/S2_{band}.tif',
                values,
                crs='EPSG:32630',
                transform=rasterio.transform.from_origin(6e5, 5.3e6, 10 * step, 10 * step),
            )
    labels = np.where(mask, 2, 1).astype(np.uint8)[None]
    write(root / 'train_labels/rennes/cm/rennes-cm.tif', labels)
    return root


def test_oscd_in_colors(checkout, oscd, tmp_path):
    target = tmp_path / 'tiles'
    result = run(checkout, 'oscd', oscd, target, '--size', '32', '--stride', '16')
    assert result.returncode == 0, result.stderr
    before, after, mask = make_pair((60, 90), 0)
    chosen = names(target, 'train')
    # the last row and column of tiles are moved back to the edge
    rows, columns = (0, 16, 28), (0, 16, 32, 48, 58)
    assert chosen == [f'rennes_{y:04}_{x:04}' for y in rows for x in columns]
    for part, image in (('A', before), ('B', after), ('label', mask * 255)):
        tile = np.asarray(Image.open(target / f'{part}/rennes_0028_0058.png'))
        np.testing.assert_array_equal(tile, image[28:60, 58:90])


def test_oscd_in_all_bands_on_one_grid(checkout, oscd, tmp_path):
    target = tmp_path / 'tiles'
    options = ('--size', '32', '--stride', '32', '--bands', 'all')
    result = run(checkout, 'oscd', oscd, target, *options)
    assert result.returncode == 0, result.stderr
    for part, offset in (('A', 0), ('B', 1000)):
        with rasterio.open(target / f'{part}/rennes_0028_0058.tif') as file:
            assert file.dtypes == ('uint16',) * 13
            assert file.crs == 'EPSG:32630'
            assert file.transform * (0, 0) == (6e5 + 580, 5.3e6 - 280)
            values = file.read()
        assert values.shape == (13, 32, 32)
        for number in range(13):
            assert (values[number] == offset + 100 * (number + 1)).all()


def test_oscd_with_each_band_at_its_resolution(checkout, oscd, tmp_path):
    target = tmp_path / 'tiles'
    options = ('--size', '36', '--stride', '24', '--bands', 'resolutions')
    result = run(checkout, 'oscd', oscd, target, *options)
    assert result.returncode == 0, result.stderr
    rows, columns = (0, 24), (0, 24, 48, 54)
    assert names(target, 'train') == [f'rennes_{y:04}_{x:04}' for y in rows for x in columns]
    for folder, step, bands in (('10m', 1, 4), ('20m', 2, 6), ('60m', 6, 3)):
        numbers = [i for i, band in enumerate(BANDS, start=1) if RESOLUTION[band] == 10 * step]
        for date, offset in ((1, 0), (2, 1000)):
            with rasterio.open(target / f'{folder}/rennes_0024_0054/{date}.tif') as file:
                assert file.shape == (36 // step, 36 // step) and file.count == bands
                assert file.transform * (0, 0) == (6e5 + 540, 5.3e6 - 240)
                assert file.transform.a == 10 * step
                values = file.read()
            for value, number in zip(values, numbers, strict=True):
                assert (value == offset + 100 * number).all()
    _, _, mask = make_pair((60, 90), 0)
    label = np.asarray(Image.open(target / 'label/rennes_0024_0054.png'))
    np.testing.assert_array_equal(label, mask[24:60, 54:90] * 255)
    options = ('--size', '32', '--bands', 'resolutions')
    result = run(checkout, 'oscd', oscd, tmp_path / 'other', *options)
    assert result.returncode == 2
    assert '--size 32 and --stride 128 must be multiples of 6' in result.stderr


def test_oscd_misses_no_band(checkout, oscd, tmp_path):
    (oscd / 'images/rennes/imgs_2/S2_B8A.tif').unlink()
    result = run(checkout, 'oscd', oscd, tmp_path / 'tiles', '--bands', 'all', '--size', '32')
    assert result.returncode == 1
    assert 'imgs_2 must have one file per band; B8A: 0 files' in result.stderr


def test_oscd_refuses_dates_in_different_reference_systems(checkout, oscd, tmp_path):
    path = oscd / 'images/rennes/imgs_2/S2_B05.tif'
    write(path, np.ones((1, 30, 45), np.uint16), crs='EPSG:4326')
    result = run(checkout, 'oscd', oscd, tmp_path / 'tiles', '--bands', 'all', '--size', '32')
    assert result.returncode == 1
    assert_in('reference system EPSG:32630, .*imgs_2/S2_B05.tif EPSG:4326', result.stderr)


def test_oscd_keeps_offsets_and_refuses_dates_of_others(checkout, oscd, tmp_path):
    options = ('--bands', 'all', '--size', '60')
    for date in (1, 2):
        for path in (oscd / f'images/rennes/imgs_{date}').iterdir():
            with rasterio.open(path, 'r+') as file:
                file.offsets = [-1000]
        result = run(checkout, 'oscd', oscd, tmp_path / f'tiles{date}', *options)
        assert result.returncode == 2 - date
        if date == 1:
            assert_in(r'imgs_1/S2_B02\.tif has the scales .*-1000.*imgs_2/S2_B', result.stderr)
    with rasterio.open(tmp_path / 'tiles2/B/rennes_0000_0000.tif') as file:
        assert set(file.offsets) == {-1000}


def test_oscd_refuses_bands_placed_by_points(checkout, oscd, tmp_path):
    path = oscd / 'images/rennes/imgs_1/S2_B02.tif'
    gcps = [
        rasterio.control.GroundControlPoint(row, column, 6e5 + 10 * column, 53e5 - 10 * row)
        for row, column in [(0, 0), (0, 90), (60, 0), (60, 90)]
    ]
    write(path, np.ones((1, 60, 90), np.uint16), gcps=gcps, crs='EPSG:32630')
    result = run(checkout, 'oscd', oscd, tmp_path / 'tiles', '--bands', 'all', '--size', '32')
    assert result.returncode == 1
    assert_in(r'S2_B02\.tif is placed by 4 ground control points alone', result.stderr)


def test_oscd_refuses_bands_of_another_place(checkout, oscd, tmp_path):
    path = oscd / 'images/rennes/imgs_2/S2_B05.tif'
    with rasterio.open(path, 'r+') as file:
        file.transform = rasterio.transform.from_origin(6e5 + 100, 5.3e6, 20, 20)
    result = run(checkout, 'oscd', oscd, tmp_path / 'tiles', '--bands', 'all', '--size', '32')
    assert result.returncode == 1
    assert_in(r'S2_B05\.tif is shifted by 5\.0 pixels against .*imgs_1/S2_B02\.tif', result.stderr)


def test_oscd_refuses_unexpected_labels(checkout, oscd, tmp_path):
    write(oscd / 'train_labels/rennes/cm/rennes-cm.tif', np.zeros((1, 60, 90), np.uint8))
    result = run(checkout, 'oscd', oscd, tmp_path / 'tiles', '--size', '32')
    assert result.returncode == 1
    assert 'has the values 0, not only 2 and 1' in result.stderr


def test_check_counts_change(checkout, tmp_path):
    write_pairs(tmp_path, ['x', 'y'], high=1)
    result = run(checkout, 'check_change', 'pairs', tmp_path)
    assert result.returncode == 0, result.stderr
    changed = [make_pair((64, 64), seed)[2].mean() for seed in (0, 1)]
    assert f'all: 2 pairs, {np.mean(changed):.2%} of the pixels changed' in result.stdout


def test_check_names_what_is_wrong(checkout, tmp_path):
    write_pairs(tmp_path, ['x', 'y', 'z'])
    Image.new('RGB', (60, 64)).save(tmp_path / 'B/x.png')
    Image.new('L', (64, 64), 130).save(tmp_path / 'label/y.png')
    content = (tmp_path / 'A/z.png').read_bytes()
    (tmp_path / 'A/z.png').write_bytes(content[: len(content) // 2])
    result = run(checkout, 'check_change', 'pairs', tmp_path)
    assert result.returncode == 1
    assert '3 problems' in result.stderr
    assert_in(r'A/x\.png is of 64 x 64 px, .*B/x\.png of 60 x 64', result.stderr)
    assert_in(r'label/y\.png has the values 130, not only 255 and 0', result.stderr)
    assert_in(r'one of .*A/z\.png.* is truncated', result.stderr)


def test_check_counts_classes_of_semantic_change(checkout, tmp_path):
    write_second(tmp_path / 'train', ['x', 'y'], None, classes=5)
    result = run(checkout, 'check_change', 'second', tmp_path, '--splits', 'train')
    assert result.returncode == 0, result.stderr
    changed = [make_pair((64, 64), seed)[2].mean() for seed in (0, 1)]
    assert 'train: 2 pairs (2968 published)\n' in result.stdout
    assert_in(rf'change: unchanged .*, changed {np.mean(changed):.2%}\n', result.stdout)
    water = [(make_cover((64, 64), seed, 5)[1] == 1).mean() for seed in (0, 1)]
    assert_in(
        rf'semantic_to: unchanged .*, water {np.mean(water):.2%}, .*, building 0', result.stdout
    )


@pytest.mark.parametrize('name', ['xbd', 'bright'])
def test_check_counts_levels_of_damage(checkout, tmp_path, name):
    """A truncated image of either date is named, and so is a level that does not exist."""
    if name == 'xbd':
        split, folder, images = 'hold', tmp_path / 'hold', 'hold/images/b_post_disaster.png'
        write_disasters(folder, ['a', 'b', 'c'])
        drawn = run(checkout, 'xbd', folder / 'labels', folder / 'targets')
        assert drawn.returncode == 0, drawn.stderr
        target = folder / 'targets/c_post_disaster_target.png'
    else:
        split, images = 'val', 'post-event/b_post_disaster.tif'
        write_bright(tmp_path, dict(val=['a', 'b', 'c']))
        target = tmp_path / 'target/c_building_damage.tif'
    result = run(checkout, 'check_change', name, tmp_path, '--splits', split)
    assert result.returncode == 0, result.stderr
    areas = np.zeros(4)
    for seed in range(3):
        for left, top, right, bottom, level in make_disaster(64, seed)[2]:
            areas[level - 1] += (right - left + 1) * (bottom - top + 1)
    if name == 'bright':
        areas = np.array([*areas[:2], areas[2:].sum()])
    assert f'{split}: 3 pairs' in result.stdout
    levels = ', '.join(rf'[a-z-]+ {area / (3 * 64 * 64):.2%}' for area in areas)
    assert_in(rf'damage: background [0-9.]+%, {levels}\n', result.stdout)
    assert_in(rf'location: .*, building {areas.sum() / (3 * 64 * 64):.2%}\n', result.stdout)
    content = (tmp_path / images).read_bytes()
    (tmp_path / images).write_bytes(content[: len(content) // 2])
    Image.new('L', (64, 64), 7).save(target)
    result = run(checkout, 'check_change', name, tmp_path, '--splits', split)
    assert result.returncode == 1
    assert_in(rf'2 problems.*{Path(images).name}.*{target.name}', result.stderr.replace('\n', ' '))


def test_check_names_labels_that_disagree(checkout, tmp_path):
    write_second(tmp_path / 'train', ['x', 'y'], None)
    Image.new('L', (64, 64), 3).save(tmp_path / 'train/label2/y.png')
    result = run(checkout, 'check_change', 'second', tmp_path, '--splits', 'train')
    assert result.returncode == 1
    assert_in(r'1 problem\n.*label1/y\.png and .*label2/y\.png disagree', result.stderr)


def test_landsat_scd_is_split_without_augmented_copies(checkout, tmp_path):
    names = [f'{i}{part}' for i in range(11) for part in ('', '_rotate90')]
    for folder in ('A', 'B', 'label'):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new('L', (4, 4)).save(tmp_path / folder / f'{name}.png')
    result = run(checkout, 'landsat_scd', tmp_path)
    assert result.returncode == 0, result.stderr
    lists = [(tmp_path / f'{part}_list.txt').read_text() for part in ('train', 'val', 'test')]
    assert [len(text.split()) for text in lists] == [7, 2, 2]
    assert sorted(' '.join(lists).split()) == sorted(f'{i}.png' for i in range(11))
    assert run(checkout, 'landsat_scd', tmp_path).returncode == 1
    assert run(checkout, 'landsat_scd', tmp_path, '--force').returncode == 0
    assert (tmp_path / 'val_list.txt').read_text() == lists[1]
