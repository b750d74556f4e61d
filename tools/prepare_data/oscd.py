"""Cut OSCD into tiles: R, G, B in 8 bits, or all 13 bands on the 10 m grid or on their own grids.

    python tools/prepare_data/oscd.py data/oscd data/oscd_tiles
    python tools/prepare_data/oscd.py data/oscd data/oscd_tiles13 --bands all
    python tools/prepare_data/oscd.py data/oscd data/oscd_resolutions --bands resolutions \
        --size 192 --stride 96

The source has images/CITY/{pair/img1.png,pair/img2.png,imgs_1/*BNN.tif,imgs_2/*BNN.tif} and
{train,test}_labels/CITY/cm/CITY-cm.tif (1 unchanged, 2 changed). The tool writes A/, B/ (.png, or
.tif with 13 bands of 16 bits), label/ (0 and 255) and list/{train,test}.txt, with tiles named
CITY_ROW_COLUMN. Bands of 20 m and 60 m, and a second date of another size, are resampled bilinearly
to the grid of B02 of the first date; all files of a city must cover the same area.

With --bands resolutions, bands of 20 m and 60 m keep their grids: the tiles are
{10m,20m,60m}/CITY_ROW_COLUMN/{1,2}.tif, of one footprint each. Sizes and strides are then multiples
of 6 pixels of 10 m, and rows and columns of a city beyond the last multiple of 6 are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rasterio
from outputs import fresh_folder, write_text
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.windows import Window
from tiles import (
    Pair,
    at_least_one,
    check_pair,
    read_change,
    rgb_bands,
    windows,
    write_mask,
    write_rgb,
)
from tqdm import tqdm

from mmdynamicvis.data.grids import check_encodings, check_places, encoding_of, place_of

BANDS = ['B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B10', 'B11', 'B12']
RESOLUTIONS = {
    '10m': (1, ['B02', 'B03', 'B04', 'B08']),
    '20m': (2, ['B05', 'B06', 'B07', 'B8A', 'B11', 'B12']),
    '60m': (6, ['B01', 'B09', 'B10']),
}
"""Folder -> pixels of 10 m along an edge, and bands."""
ALIGNED = 6
"""Pixels of 10 m after which pixels of all resolutions begin."""
# values of changed and unchanged pixels
VALUES = (2, 1)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder of the dataset')
    parser.add_argument('target', type=Path, help='folder to write')
    parser.add_argument('--bands', choices=('rgb', 'all', 'resolutions'), default='rgb')
    parser.add_argument('--size', type=at_least_one, default=256, help='pixels of a tile (256)')
    parser.add_argument('--stride', type=at_least_one, default=128, help='from tile to tile (128)')
    parser.add_argument('--force', action='store_true', help='replace what an earlier run wrote')
    args = parser.parse_args()
    if args.bands == 'resolutions' and (args.size % ALIGNED or args.stride % ALIGNED):
        parser.error(
            f'--size {args.size} and --stride {args.stride} must be multiples of {ALIGNED} for '
            '--bands resolutions, such as 192 and 96'
        )
    return args


def cities(root: Path) -> dict[str, list[str]]:
    """Return the cities with labels in each part.

    Raises:
        FileNotFoundError: There are no labels.
    """
    masks = {part: root.glob(f'{part}_labels/*/cm/[!.]*-cm.tif') for part in ('train', 'test')}
    parts = {part: sorted(path.parents[1].name for path in found) for part, found in masks.items()}
    if not any(parts.values()):
        raise FileNotFoundError(f'{root} has no {{train,test}}_labels/CITY/cm/CITY-cm.tif')
    return parts


def band_files(folder: Path) -> list[Path]:
    """Return the files of the 13 bands, in order.

    Raises:
        FileNotFoundError: A band has no file or several files.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith('.')]
    found = {band: [f for f in files if f.name.endswith(f'{band}.tif')] for band in BANDS}
    odd = [f'{band}: {len(files)} files' for band, files in found.items() if len(files) != 1]
    if odd:
        raise FileNotFoundError(f'{folder} must have one file per band; {", ".join(odd)}')
    return [files[0] for files in found.values()]


@contextmanager
def stack_bands(
    files: list[Path], grid: rasterio.DatasetReader
) -> Iterator[rasterio.DatasetReader]:
    """Open an in-memory file with all bands, resampled bilinearly to one grid.

    Raises:
        ValueError: A band differs from the grid in dtype, scale or offset, or covers another area;
            or the grid is placed by points, which tiles would lose.
    """
    place, encoding = place_of(grid), encoding_of(grid)
    if place.points is not None:
        raise ValueError(
            f'{grid.name} is placed by {place.points} alone, which tiles would lose. Bring all '
            'bands to a grid first, by gdalwarp for example'
        )
    profile = dict(
        driver='GTiff',
        height=grid.height,
        width=grid.width,
        count=len(files),
        dtype=grid.dtypes[0],
        crs=grid.crs,
        transform=grid.transform,
    )
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.scales, file.offsets = grid.scales * len(files), grid.offsets * len(files)
            for number, path in enumerate(files, start=1):
                with rasterio.open(path) as band:
                    check_places(place, place_of(band))
                    check_encodings(encoding, encoding_of(band))
                    image = band.read(1, out_shape=grid.shape, resampling=Resampling.bilinear)
                file.write(image, number)
        with memory.open() as file:
            yield file


def write_geotiff(path: Path, date: rasterio.DatasetReader, window: Window) -> None:
    """Write a window of all bands with georeferencing, scales and offsets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = place_of(date).transform and date.window_transform(window)
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        height=window.height,
        width=window.width,
        count=date.count,
        dtype=date.dtypes[0],
        compress='deflate',
        crs=date.crs,
        transform=transform,
    ) as file:
        file.scales, file.offsets = date.scales, date.offsets
        file.write(date.read(window=window))


@contextmanager
def open_city(root: Path, part: str, city: str, bands: str) -> Iterator[dict[str, Pair]]:
    """Open both dates of a city and its mask: one pair, or one per resolution by its folder."""
    images = root / f'images/{city}'
    with ExitStack() as stack:
        mask = stack.enter_context(rasterio.open(root / f'{part}_labels/{city}/cm/{city}-cm.tif'))
        if bands == 'rgb':
            paths = [images / f'pair/img{date}.png' for date in (1, 2)]
            yield {'': Pair(*[stack.enter_context(rasterio.open(path)) for path in paths], mask)}
            return
        chosen = {'': BANDS} if bands == 'all' else {n: b for n, (_, b) in RESOLUTIONS.items()}
        dates = [dict(zip(BANDS, band_files(images / f'imgs_{i}'), strict=True)) for i in (1, 2)]
        pairs = {}
        for folder, of_folder in chosen.items():
            grid_band = 'B02' if bands == 'all' else of_folder[0]
            grid = stack.enter_context(rasterio.open(dates[0][grid_band]))
            files = [[date[band] for band in of_folder] for date in dates]
            stacks = [stack.enter_context(stack_bands(of_date, grid)) for of_date in files]
            pairs[folder] = Pair(*stacks, mask)
        yield pairs


def cut(pair: Pair, city: str, folder: Path, size: int, stride: int, bands: str) -> list[str]:
    """Write the tiles of a city and return their names."""
    check_pair(pair)
    dates = dict(A=pair.first, B=pair.second)
    rgb = {part: rgb_bands(date) for part, date in dates.items() if bands == 'rgb'}
    names = []
    for window in windows(*pair.first.shape, size, stride):
        name = name_of(city, window)
        for part, date in dates.items():
            if rgb:
                write_rgb(folder / f'{part}/{name}.png', date.read(rgb[part], window=window))
            else:
                write_geotiff(folder / f'{part}/{name}.tif', date, window)
        write_mask(folder / f'label/{name}.png', read_change(pair.mask, window, VALUES))
        names.append(name)
    return names


def cut_resolutions(
    pairs: dict[str, Pair], city: str, folder: Path, size: int, stride: int
) -> list[str]:
    """Write the tiles of a city, with a file per resolution and date, and return their names.

    Raises:
        ValueError: The resolutions of a city do not cover one area.
    """
    finest = pairs['10m']
    check_pair(finest)
    for pair in pairs.values():
        check_places(place_of(finest.first), place_of(pair.first))
    shape = (length // ALIGNED * ALIGNED for length in finest.first.shape)
    names = []
    for window in windows(*shape, size, stride):
        name = name_of(city, window)
        for resolution, (step, _) in RESOLUTIONS.items():
            own = Window(*(value // step for value in window.flatten()))
            for date, file in enumerate(pairs[resolution][:2], start=1):
                write_geotiff(folder / f'{resolution}/{name}/{date}.tif', file, own)
        write_mask(folder / f'label/{name}.png', read_change(finest.mask, window, VALUES))
        names.append(name)
    return names


def name_of(city: str, window: Window) -> str:
    """Return the name of a tile."""
    return f'{city}_{window.row_off:04}_{window.col_off:04}'


def main() -> None:
    args = parse_args()
    sources = [args.root / name for name in ('images', 'train_labels', 'test_labels')]
    with fresh_folder(args.target, args.force, sources) as folder:
        for part, places in cities(args.root).items():
            names = []
            for city in tqdm(places, desc=part):
                with open_city(args.root, part, city, args.bands) as pairs:
                    if args.bands == 'resolutions':
                        names += cut_resolutions(pairs, city, folder, args.size, args.stride)
                    else:
                        names += cut(pairs[''], city, folder, args.size, args.stride, args.bands)
            write_text(folder / f'list/{part}.txt', '\n'.join([*names, '']))
            print(f'{part}: {len(names)} pairs from {len(places)} cities')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
