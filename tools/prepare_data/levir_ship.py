"""Convert the YOLO version of LEVIR-Ship to the layout of its COCO version.

    python tools/prepare_data/levir_ship.py data/levir_ship_yolo data/levir_ship

The source has {train,val,test}/{images,labels}: 2320, 788 and 788 tiles of 512 x 512 px as .png,
each with a .txt of the same name, which is empty if there is no ship. The tool writes
annotations/instances_{train,val,test}2017.json, and images/{train,val,test}2017 as links to the
folders of the source. The publishers' COCO version needs no conversion; its boxes are truncated to
whole pixels, whereas here they keep their fractions.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from pathlib import Path

from detection_splits import print_counts
from outputs import refuse_existing, write_text
from PIL import Image
from tqdm import tqdm

from mmdynamicvis.data.problems import raise_problems

SPLITS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='folder of the YOLO download')
    parser.add_argument('target', type=Path, help='folder to write to')
    parser.add_argument('--force', action='store_true', help='overwrite annotation files and links')
    return parser.parse_args()


def find_tiles(folder: Path) -> list[str]:
    """Return the names of tiles, which must have both an image and a label file.

    Raises:
        FileNotFoundError: There are no images.
        ValueError: Some images have no labels, or vice versa.
    """
    images = {path.stem for path in (folder / 'images').glob('[!.]*.png')}
    if not images:
        raise FileNotFoundError(f'{folder}/images has no .png files; see --help for the layout')
    labels = {path.stem for path in (folder / 'labels').glob('[!.]*.txt')}
    problems = [f'{n} has no {"image" if n in labels else "labels"}' for n in images ^ labels]
    raise_problems(folder, sorted(problems), 'unpack all images and all labels')
    return sorted(images)


def read_box(line: str, width: int, height: int) -> list[float]:
    """Return the box in a line of a label file: x, y (upper left), width and height in pixels.

    Raises:
        ValueError: The line does not have five fields, its class is not 0, or a value is outside 0
            to 1.
    """
    fields = line.split()
    if len(fields) != 5 or fields[0] != '0':
        raise ValueError(f'{line!r} is not: 0 x_center y_center width height')
    x, y, w, h = map(float, fields[1:])
    if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w <= 1 and 0 < h <= 1):
        raise ValueError(f'{line!r} has a value outside 0 to 1, or an empty box')
    return [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]


def to_coco(folder: Path) -> dict:
    """Return the content of a COCO file for a split.

    Raises:
        ValueError: A line is invalid; the message has its file and number.
    """
    images, annotations, problems = [], [], []
    for image_id, name in enumerate(tqdm(find_tiles(folder), desc=folder.name)):
        with Image.open(folder / f'images/{name}.png') as image:
            width, height = image.size
        images.append(dict(id=image_id, file_name=f'{name}.png', width=width, height=height))
        path = folder / f'labels/{name}.txt'
        for number, line in enumerate(path.read_text(encoding='utf-8-sig').splitlines(), start=1):
            try:
                box = read_box(line, width, height)
            except ValueError as error:
                problems.append(f'{path}, line {number}: {error}')
                continue
            annotations.append(
                dict(
                    id=len(annotations) + 1,  # COCO's evaluation treats id 0 as no match
                    image_id=image_id,
                    category_id=1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=0,
                )
            )
    raise_problems(folder, problems, 'download the labels again')
    return dict(images=images, annotations=annotations, categories=[dict(id=1, name='ship')])


def link(target: Path, source: Path) -> None:
    """Make ``target`` a relative link to ``source``, so that both can be moved together."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    where = os.path.relpath(source.resolve(), target.parent.resolve())
    target.symlink_to(where, target_is_directory=True)


def main() -> None:
    args = parse_args()
    files = {split: args.target / f'annotations/instances_{split}2017.json' for split in SPLITS}
    links = {split: args.target / f'images/{split}2017' for split in SPLITS}
    sources = [args.source / split for split in SPLITS]
    refuse_existing([*files.values(), *links.values()], args.force, sources)
    folders = [str(path) for path in links.values() if path.exists() and not path.is_symlink()]
    if folders:
        raise FileExistsError(f'{", ".join(folders)} are no links: give another target')
    contents = {split: to_coco(args.source / split) for split in SPLITS}
    for split, content in contents.items():
        write_text(files[split], json.dumps(content))
        link(links[split], args.source / f'{split}/images')
        print(f'{split}: {len(content["images"])} images')
    print_counts({s: Counter(ship=len(c['annotations'])) for s, c in contents.items()})


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
