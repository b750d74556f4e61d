"""Draw the label maps of xBD (xView2) from its polygons.

    python tools/prepare_data/xbd.py data/xbd/tier3/labels data/xbd/tier3/targets

The source has NAME_pre_disaster.json and NAME_post_disaster.json with WKT polygons in pixels and,
after the disaster, the damage as ``subtype``. For each, the tool writes a label map as in the
targets folder of the published splits train, test and hold, which tier3 lacks:
NAME_pre_disaster_target.png with 1 for buildings, and NAME_post_disaster_target.png with 1 (no
damage) to 4 (destroyed), and 255 for buildings that are not classified. Published targets do not
have this value. Corners are rounded to pixels and edges belong to a building, as in solutions of
the challenge. Where buildings overlap, the one that is listed last counts.

Requires shapely, which the extra geo installs.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from outputs import fresh_folder
from PIL import Image
from shapely import wkt
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry
from tqdm import tqdm

from mmdynamicvis.data.problems import raise_problems

DATES = ('pre', 'post')
LEVELS = {
    'no-damage': 1,
    'minor-damage': 2,
    'major-damage': 3,
    'destroyed': 4,
    'un-classified': 255,
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('labels', type=Path, help='folder of the .json files')
    parser.add_argument('targets', type=Path, help='folder to write the .png files to')
    parser.add_argument('--force', action='store_true', help='replace what an earlier run wrote')
    return parser.parse_args()


def find_pairs(folder: Path) -> list[str]:
    """Return the names of the pairs.

    Raises:
        FileNotFoundError: There are no labels.
        ValueError: A date of a pair is missing.
    """
    found = {
        date: {path.name.removesuffix(f'_{date}_disaster.json') for path in paths}
        for date in DATES
        for paths in [folder.glob(f'[!.]*_{date}_disaster.json')]
    }
    if not any(found.values()):
        raise FileNotFoundError(f'{folder} has no *_pre_disaster.json; see --help for the layout')
    alone = [
        f'{name} has no labels {"after" if name in found["pre"] else "before"} the disaster'
        for name in sorted(found['pre'] ^ found['post'])
    ]
    raise_problems(folder, alone, 'unpack all labels')
    return sorted(found['pre'])


def read_labels(path: Path) -> tuple[tuple[int, int], list[tuple[BaseGeometry, str]]]:
    """Return (height, width) and the buildings, each a geometry in pixels and its subtype.

    The subtype is '' before the disaster.

    Raises:
        ValueError: The file is not JSON, lacks an entry, or has a geometry that is no polygon or a
            subtype that is unknown; the message names the file.
    """
    try:
        content = json.loads(path.read_bytes())
        size = int(content['metadata']['height']), int(content['metadata']['width'])
        entries = [(f['wkt'], f['properties']) for f in content['features']['xy']]
        buildings = [(wkt.loads(text), properties) for text, properties in entries]
        after = path.stem.endswith('_post_disaster')
        subtypes = [properties['subtype'] if after else '' for _, properties in buildings]
    except KeyError as error:
        raise ValueError(f'{path} lacks {error}: it is not a label file of xBD') from error
    except (TypeError, ValueError, ShapelyError) as error:
        raise ValueError(f'{path} is not a label file of xBD ({error})') from error
    shapes = [geometry for geometry, _ in buildings]
    kinds = {shape.geom_type for shape in shapes} - {'Polygon', 'MultiPolygon'}
    unknown = set(subtypes) - {'', *LEVELS}
    if kinds or unknown:
        what = f'geometries {sorted(kinds)}' if kinds else f'subtypes {sorted(unknown)}'
        raise ValueError(f'{path} has {what}; known are polygons and {", ".join(LEVELS)}')
    return size, list(zip(shapes, subtypes, strict=True))


def draw(size: tuple[int, int], buildings: list[tuple[BaseGeometry, str]]) -> np.ndarray:
    """Return the label map of buildings, (H, W) uint8."""
    labels = np.zeros(size, np.uint8)
    for shape, subtype in buildings:
        for polygon in getattr(shape, 'geoms', [shape]):
            if polygon.is_empty:
                continue
            rings = [polygon.exterior, *polygon.interiors]
            corners = [np.array(ring.coords)[:, :2].round().astype(np.int32) for ring in rings]
            cv2.fillPoly(labels, corners, LEVELS.get(subtype, 1))
    return labels


def main() -> None:
    args = parse_args()
    names, counts, problems = find_pairs(args.labels), Counter(), []
    with fresh_folder(args.targets, args.force, [args.labels]) as folder:
        folder.mkdir()
        for name in tqdm(names):
            for date in DATES:
                try:
                    size, buildings = read_labels(args.labels / f'{name}_{date}_disaster.json')
                except ValueError as error:
                    problems.append(str(error))
                    continue
                counts.update(subtype or 'buildings' for _, subtype in buildings)
                path = folder / f'{name}_{date}_disaster_target.png'
                Image.fromarray(draw(size, buildings)).save(path)
        raise_problems(args.labels, problems, 'Download these files again')
    shares = ', '.join(f'{counts[kind]} {kind}' for kind in ('buildings', *LEVELS))
    print(f'{len(names)} pairs: {shares}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
