"""Write a copy of a COCO annotation file without invalid annotations.

    python tools/prepare_data/clean_coco.py annotations/train.json annotations/train_clean.json

Completed: missing `area` (from the mask or the box) and `iscrowd`, and ids that are strings or not
unique. Left out and printed: annotations that lack a key or belong to no image or category; boxes
that are not finite, have no area, are in relative coordinates (0 to 1) or lie entirely outside
their image; polygons with fewer than three points or outside their box; and run lengths that do not
match the image. With --masks also annotations without a mask, for instance segmentation. Images and
categories are not changed.

Nothing is written if no annotations would be left in the file or in one of its categories.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from detection_splits import print_counts, refuse_to_empty, summary
from outputs import refuse_existing, write_text

from mmdynamicvis.data.coco import (
    annotation_problems,
    completed,
    incomplete_annotations,
    load_coco,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='annotation file')
    parser.add_argument('target', type=Path, help='the copy')
    parser.add_argument('--masks', action='store_true', help='every annotation needs a mask')
    parser.add_argument('--force', action='store_true', help='overwrite the copy')
    return parser.parse_args()


def count_categories(content: dict, annotations: list) -> Counter[str]:
    """Return the number of annotations of each category of the file."""
    names = {category['id']: category['name'] for category in content['categories']}
    ids = [
        annotation.get('category_id') for annotation in annotations if isinstance(annotation, dict)
    ]
    return Counter(names[i] for i in ids if not isinstance(i, list | dict) and i in names)


def main() -> None:
    args = parse_args()
    refuse_existing([args.target], args.force, [args.source])
    content = load_coco(args.source)
    incomplete = Counter(problem.reason for problem in incomplete_annotations(content).values())
    content = completed(content)
    problems = annotation_problems(content, args.masks)
    kept = [a for i, a in enumerate(content['annotations']) if i not in problems]
    for problem in problems.values():
        print(f'left out: {problem.message}')
    reasons = Counter(problem.reason for problem in problems.values())
    after = count_categories(content, kept)
    refuse_to_empty(args.source, count_categories(content, content['annotations']), after, reasons)
    write_text(args.target, json.dumps({**content, 'annotations': kept}))
    print_counts({'kept': after})
    print(f'completed: {summary(incomplete) or "nothing"}')
    total = len(content['annotations'])
    print(f'{len(problems)} of {total} annotations left out: {summary(reasons) or "none"}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
