"""Writes tiny detection datasets in the layouts in which they are published."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 64, 48
# corners of a slanted rectangle, clockwise from the left
CORNERS = [(10, 20), (30, 10), (35, 20), (15, 30)]
IN_PIXELS = (
    '<mbox_cx>22.5</mbox_cx><mbox_cy>20.0</mbox_cy><mbox_w>22.4</mbox_w><mbox_h>11.2</mbox_h>'
)
"""The box in a label file of HRSC2016."""
RELATIVE = re.sub(r'>(\d+)\.(\d)<', r'>0.\1\2<', IN_PIXELS)


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(path), noise)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_coco(ann_file: Path, images: Path, classes: list[str], suffix: str = '.jpg') -> dict:
    """Write two images with an object per class, and one without any."""
    polygon = [value for corner in CORNERS for value in corner]
    content = dict(
        images=[dict(id=i, file_name=f'{i}{suffix}', width=WIDTH, height=HEIGHT) for i in range(3)],
        categories=[dict(id=i, name=name) for i, name in enumerate(classes, start=1)],
        annotations=[
            dict(
                id=len(classes) * image + category,
                image_id=image,
                category_id=category,
                bbox=[10, 10, 25, 20],
                area=250,
                iscrowd=0,
                segmentation=[polygon],
            )
            for image in range(2)
            for category in range(1, len(classes) + 1)
        ],
    )
    write_text(ann_file, json.dumps(content))
    for image in content['images']:
        write_image(images / image['file_name'])
    return content


def write_levir_ship_coco(root: Path) -> None:
    for split in ('train', 'val', 'test'):
        ann_file = root / f'annotations/instances_{split}2017.json'
        write_coco(ann_file, root / f'images/{split}2017', ['ship'], '.png')


def write_levir_ship_yolo(root: Path) -> None:
    """Write a tile with two ships and one with none per split; ``degrade`` is published, too."""
    for split in ('train', 'val', 'test'):
        write_text(
            root / split / 'labels/a.txt', '0 0.5 0.25 0.125 0.25\n0 0.25 0.5 0.0625 0.0625\n'
        )
        write_text(root / split / 'labels/b.txt', '')
        for name in ('images/a', 'images/b', 'degrade/a', 'degrade/b'):
            write_image(root / split / f'{name}.png')


def write_instances(root: Path, prefix: str, classes: list[str]) -> None:
    """Write NWPU VHR-10 or SSDD: both splits in one folder of images."""
    for split in ('train', 'val'):
        ann_file = root / f'annotations/{prefix}_instances_{split}.json'
        write_coco(ann_file, root / 'imgs', classes)


def write_dota(root: Path) -> None:
    """Write an image with a plane and a ship, and one with none, per split; test has no labels."""
    corners = ' '.join(f'{x} {y}' for x, y in CORNERS)
    header = 'imagesource:GoogleEarth\r\ngsd:0.25\r\n'
    for split in ('train', 'val', 'test'):
        for name, objects in (('P1', ('plane 0', 'ship 1')), ('P2', ())):
            write_image(root / split / f'images/{split}{name}.png')
            if split != 'test':
                lines = ''.join(f'{corners} {rest}\r\n' for rest in objects)
                write_text(root / split / f'labelTxt/{split}{name}.txt', header + lines)


def write_dior_r(root: Path) -> None:
    sides = ('left_top', 'right_top', 'right_bottom', 'left_bottom')
    corners = ''.join(
        f'<x_{side}>{x}</x_{side}><y_{side}>{y}</y_{side}>'
        for side, (x, y) in zip(sides, CORNERS, strict=True)
    )
    for number, split in enumerate(('train', 'val', 'test')):
        objects = ''.join(
            f'<object><name>{name}</name><difficult>0</difficult><type>robndbox</type>'
            f'<robndbox>{corners}</robndbox><angle>0</angle></object>'
            for name in ('airplane', 'Expressway-Service-area')
        )
        size = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>'
        labels = root / f'Annotations/Oriented Bounding Boxes/{number:05}.xml'
        write_text(labels, f'<annotation>{size}{objects}</annotation>')
        write_text(root / f'ImageSets/Main/{split}.txt', f'{number:05}\n')
        folder = 'JPEGImages-test' if split == 'test' else 'JPEGImages-trainval'
        write_image(root / folder / f'{number:05}.jpg')


def write_hrsc2016(root: Path) -> None:
    numbers = dict(
        mbox_cx=22.5,
        mbox_cy=20.0,
        mbox_w=22.4,
        mbox_h=11.2,
        mbox_ang=-0.46,
        header_x=30,
        header_y=10,
    )
    values = ''.join(f'<{name}>{value}</{name}>' for name, value in numbers.items())
    for number, split in enumerate(('train', 'val', 'test'), start=100000001):
        objects = (
            '<HRSC_Object><Class_ID>100000013</Class_ID><difficult>0</difficult>'
            f'{values}</HRSC_Object>'
        )
        size = f'<Img_SizeWidth>{WIDTH}</Img_SizeWidth><Img_SizeHeight>{HEIGHT}</Img_SizeHeight>'
        labels = root / f'FullDataSet/Annotations/{number}.xml'
        text = f'<HRSC_Image>{size}<HRSC_Objects>{objects}</HRSC_Objects></HRSC_Image>'
        write_text(labels, text)
        write_text(root / f'ImageSets/{split}.txt', f'{number}\n')
        write_image(root / f'FullDataSet/AllImages/{number}.bmp')
