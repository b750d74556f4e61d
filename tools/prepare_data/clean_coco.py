"""Write a copy of an annotation file in COCO's format without the annotations that are wrong.

    python tools/prepare_data/clean_coco.py annotations/train.json annotations/train_clean.json

Left out and printed: annotations that lack a key, repeat an id, or belong to no image or category;
boxes that are not finite, have no area or lie wholly outside their image; polygons with fewer than
three points. With --masks also annotations without a mask, for instance segmentation. Images and
categories stay as they are.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from detection_splits import print_counts
from outputs import refuse_existing, write_text

from mmdynamicvis.data.coco import annotation_problems, load_coco


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='annotation file')
    parser.add_argument('target', type=Path, help='the copy')
    parser.add_argument('--masks', action='store_true', help='every annotation needs a mask')
    parser.add_argument('--force', action='store_true', help='overwrite the copy')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    refuse_existing([args.target], args.force, [args.source])
    content = load_coco(args.source)
    problems = annotation_problems(content, args.masks)
    kept = [a for i, a in enumerate(content['annotations']) if i not in problems]
    write_text(args.target, json.dumps({**content, 'annotations': kept}))
    for problem in problems.values():
        print(f'left out: {problem}')
    names = {category['id']: category['name'] for category in content['categories']}
    print_counts({'kept': Counter(names[annotation['category_id']] for annotation in kept)})
    print(f'{len(problems)} of {len(content["annotations"])} annotations left out')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
