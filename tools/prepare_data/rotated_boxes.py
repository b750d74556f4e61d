r"""Derive rotated boxes from instance masks: the minimum-area rectangle around each mask.

    for split in train val; do
        python tools/prepare_data/rotated_boxes.py \
            data/nwpu_vhr10/annotations/NWPU_instances_$split.json \
            data/nwpu_vhr10/labelTxt_derived_minarearect/$split
    done

The source is in COCO format, with polygons or run lengths as masks; all parts of an instance are
enclosed by one rectangle. The tool writes a text file in DOTA's format per image, empty if there is
no object, with categories spelled with hyphens as in DOTA. Crowds and masks without area are left
out and printed; nothing is written if a category would have no boxes left.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
from detection_splits import print_counts, refuse_to_empty
from outputs import fresh_folder, written_earlier
from pycocotools import mask as run_lengths
from tqdm import tqdm

from mmdynamicvis.data.coco import check_coco, load_coco
from mmdynamicvis.data.dota import line_problem
from mmdynamicvis.data.problems import raise_problems


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='annotation file in COCO format, with masks')
    parser.add_argument('target', type=Path, help='folder for the text files')
    parser.add_argument('--force', action='store_true', help='replace what an earlier run wrote')
    return parser.parse_args()


def outline(mask: list[list[float]] | dict) -> np.ndarray:
    """Return points, (N, 2) float32 x, y in pixels, with the same convex hull as the mask.

    Pixel i of a run-length mask extends from i to i + 1, as in COCO's boxes.
    """
    if isinstance(mask, list):
        return np.concatenate([np.asarray(polygon, np.float32) for polygon in mask]).reshape(-1, 2)
    if isinstance(mask['counts'], list):
        mask = run_lengths.frPyObjects(mask, *mask['size'])
    rows, columns = np.nonzero(run_lengths.decode(mask))
    pixels = np.stack([columns, rows], axis=1)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    return (pixels[:, None] + corners).reshape(-1, 2).astype(np.float32)


def least_rectangle(points: np.ndarray) -> np.ndarray:
    """Return the corners, (4, 2) x, y, of the minimum-area rectangle around points."""
    return cv2.boxPoints(cv2.minAreaRect(points))


def to_line(annotation: dict, category: str) -> str:
    """Return an annotation as a line in DOTA's format, rounded to 0.01 pixels.

    Raises:
        ValueError: The annotation has no box, because it is a crowd or its mask has no area.
    """
    if annotation.get('iscrowd'):
        raise ValueError('a crowd')
    corners = least_rectangle(outline(annotation['segmentation'])).ravel()
    line = ' '.join([*(f'{value:.2f}' for value in corners), category, '0'])
    problem = line_problem(line, {category})
    if problem:
        raise ValueError(problem)
    return line


def main() -> None:
    args = parse_args()
    written_earlier(args.target, args.force, [args.source])  # refuse before the work begins
    content = load_coco(args.source)
    check_coco(args.source, [category['name'] for category in content['categories']], masks=True)
    names = {
        category['id']: category['name'].replace('_', '-').replace(' ', '-')
        for category in content['categories']
    }
    files = {image['id']: f'{Path(image["file_name"]).stem}.txt' for image in content['images']}
    twice = [name for name, count in Counter(files.values()).items() if count > 1]
    raise_problems(args.source, [f'{n} would hold two images' for n in twice], 'rename the images')
    lines, before, counts, reasons = defaultdict(list), Counter(), Counter(), Counter()
    for annotation in tqdm(content['annotations'], desc='masks'):
        category = names[annotation['category_id']]
        before[category] += not annotation.get('iscrowd')
        try:
            line = to_line(annotation, category)
        except ValueError as error:
            tqdm.write(f'left out: annotation {annotation["id"]}, {error}')
            reasons['a crowd' if annotation.get('iscrowd') else 'no box around its mask'] += 1
            continue
        lines[annotation['image_id']].append(f'{line}\n')
        counts[category] += 1
    refuse_to_empty(args.source, before, counts, reasons)
    with fresh_folder(args.target, args.force, [args.source]) as folder:
        folder.mkdir()
        for image_id, name in files.items():
            (folder / name).write_text(''.join(lines[image_id]), encoding='utf-8')
    print(f'{len(files)} files in {args.target}')
    print_counts({args.target.name: counts})


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
