r"""Name boxes of any detector by text: any names, without training on them.

    python tools/name_regions.py IMAGES detections.json names.safetensors CONFIG CHECKPOINT \
        --out named.json --pictures named

IMAGES is the folder of the images, or a single image. The detections are a COCO file with images,
categories and annotations, or a list of COCO results, for which --images gives the COCO file of the
images. The names are of tools/text_meta_embeddings.py --no-projection, with the text model that the
model of CONFIG and CHECKPOINT (with a TextHead) was trained with.

The output is a COCO file whose categories are the names. Of each annotation, `category_id` is the
best name, `name_score` its probability among the names, and `detected_as` the detector's category;
everything else, such as the detector's `score`, is as it was.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import torch

from mmdynamicvis.data.problems import raise_problems
from mmdynamicvis.embedding.images import read_image
from mmdynamicvis.fileio import OutputNames, refuse_to_overwrite, replacing
from mmdynamicvis.inference import RegionNamer, read_detections
from mmdynamicvis.visualization import as_picture, write_picture
from mmdynamicvis.visualization.pictures import Picture


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', metavar='IMAGES', type=Path, help='folder of images, or an image')
    parser.add_argument('detections', type=Path, help='COCO file or list of COCO results')
    parser.add_argument('text_embeddings', type=Path, help='.safetensors file of names')
    parser.add_argument('config', type=Path, help='config of a pretraining with a TextHead')
    parser.add_argument('checkpoint', type=Path, help='its weights')
    parser.add_argument('--out', type=Path, required=True, help='COCO file to write')
    parser.add_argument('--images', type=Path, help='COCO file of the images of a list of results')
    parser.add_argument('--names', nargs='+', help='names to choose from (default: all)')
    parser.add_argument(
        '--min-score', type=float, default=0.0, help="leave out boxes of a lower detector's score"
    )
    parser.add_argument('--pictures', type=Path, help='folder for pictures of the named boxes')
    parser.add_argument('--device')
    parser.add_argument('--force', action='store_true', help='overwrite outputs that exist')
    return parser.parse_args()


def find_images(source: Path, content: dict[str, Any]) -> dict[Any, Path]:
    """Return id -> file of the images that have boxes.

    Raises:
        FileNotFoundError: IMAGES does not exist.
        ValueError: An image does not exist, or there are boxes of other images than the one given.
    """
    used = {annotation['image_id'] for annotation in content['annotations']}
    names = {image['id']: image['file_name'] for image in content['images'] if image['id'] in used}
    if source.is_file():
        others = [name for name in names.values() if Path(name).name != source.name]
        fix = f'give the folder of the images in place of {source}'
        raise_problems(source, [f'there are boxes of {name}' for name in others], fix)
        return dict.fromkeys(names, source)
    if not source.is_dir():
        raise FileNotFoundError(f'{source} does not exist')
    files = {number: source / name for number, name in names.items()}
    missing = [f'{file} does not exist' for file in files.values() if not file.is_file()]
    raise_problems(source, missing, 'give the folder that the file names are relative to')
    return files


def corners(box: list[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y + height]


def name_all(namer: RegionNamer, content: dict[str, Any], files: dict[Any, Path]) -> dict[str, Any]:
    """Return a COCO file's content with the names as categories."""
    detected = {category['id']: category['name'] for category in content['categories']}
    of_image = defaultdict(list)
    for annotation in content['annotations']:
        of_image[annotation['image_id']].append(annotation)
    named = []
    for number, boxes_of in of_image.items():
        boxes = [corners(annotation['bbox']) for annotation in boxes_of]
        found = namer(files[number], boxes)
        scored = zip(boxes_of, found.names, found.scores.tolist(), strict=True)
        for annotation, name, score in scored:
            before = annotation.get('category_id')
            named.append(
                dict(
                    annotation,
                    category_id=namer.names.index(name) + 1,
                    name_score=round(score, 6),
                    detected_as=detected.get(before, before),
                )
            )
    categories = [dict(id=i, name=name) for i, name in enumerate(namer.names, start=1)]
    return dict(content, categories=categories, annotations=named)


def draw(image: Picture, annotations: list[dict[str, Any]], names: list[str]) -> Picture:
    """Return the picture of an image with its named boxes, by mmdet's visualizer."""
    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer
    from mmengine.structures import InstanceData

    sample = DetDataSample(
        pred_instances=InstanceData(
            bboxes=torch.tensor([corners(one['bbox']) for one in annotations]),
            labels=torch.tensor([one['category_id'] - 1 for one in annotations]),
            scores=torch.tensor([one['name_score'] for one in annotations]),
        )
    )
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dict(classes=names)
    visualizer.add_datasample('named', image, sample, draw_gt=False, pred_score_thr=0.0)
    return visualizer.get_image()


def main() -> None:
    args = parse_args()
    inputs = [args.detections, args.images, args.text_embeddings, args.config, args.checkpoint]
    refuse_to_overwrite([args.out], [*inputs, args.source], args.force)
    content = read_detections(args.detections, args.images)
    kept = [one for one in content['annotations'] if one.get('score', 1) >= args.min_score]
    if not kept:
        raise ValueError(f'{args.detections} has no box with a score from {args.min_score}')
    content = dict(content, annotations=kept)
    files = find_images(args.source, content)
    pictures = {}
    if args.pictures:
        names = OutputNames()
        pictures = {number: args.pictures / f'{names(file)}.png' for number, file in files.items()}
        refuse_to_overwrite(pictures.values(), [*inputs, *files.values()], args.force)
    namer = RegionNamer(args.config, args.checkpoint, args.text_embeddings, args.names, args.device)
    named = name_all(namer, content, files)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(args.out) as temporary:
        temporary.write_text(json.dumps(named))
    for number, path in pictures.items():
        boxes = [one for one in named['annotations'] if one['image_id'] == number]
        image = as_picture(read_image(files[number]).numpy())
        write_picture(draw(image, boxes, namer.names), path)
    counts = Counter(namer.names[one['category_id'] - 1] for one in named['annotations'])
    print(f'{args.out}: {len(named["annotations"])} boxes in {len(files)} images')
    for name, count in counts.most_common():
        print(f'{count:6d}  {name}')


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
