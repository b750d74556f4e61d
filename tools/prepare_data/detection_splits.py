"""Readers for the splits of detection datasets.

A split is a dict: path of an image -> class names of its objects. Each reader raises a ValueError
that names invalid files, or a FileNotFoundError.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from mmdynamicvis.data.coco import check_coco, load_coco
from mmdynamicvis.data.dota import HEADERS, check_dota
from mmdynamicvis.data.image_files import open_image, orientation_problem, size_problem
from mmdynamicvis.data.problems import raise_problems
from mmdynamicvis.data.xml_objects import HRSC_OBJECTS, dior_class, dior_problem, hrsc_problem
from mmdynamicvis.registry import DATASETS

Split = dict[Path, list[str]]


def classes_of(data_set: str) -> tuple[str, ...]:
    """Return the classes of a registered dataset.

    Raises:
        ValueError: The dataset is not registered, because its host is not installed.
    """
    registered = DATASETS.get(data_set)
    if registered is None:
        raise ValueError(f'{data_set} needs its host: pip install mmdynamicvis[det,rotate]')
    return registered.METAINFO['classes']


def read_coco(ann_file: Path, images: Path, classes: Sequence[str], masks: bool = False) -> Split:
    """Read an annotation file in COCO format, and check that its images exist."""
    check_coco(ann_file, classes, masks)
    content = load_coco(ann_file)
    names = {category['id']: category['name'] for category in content['categories']}
    paths = {image['id']: images / image['file_name'] for image in content['images']}
    split = {path: [] for path in paths.values()}
    for annotation in content['annotations']:
        split[paths[annotation['image_id']]].append(names[annotation['category_id']])
    sizes = {paths[image['id']]: (image['width'], image['height']) for image in content['images']}
    return _with_images(split, ann_file, sizes)


def read_dota(folder: Path, classes: Sequence[str], labeled: bool = True) -> Split:
    """Read ``images`` and ``labelTxt`` of a DOTA split; both folders must have the same names."""
    images = sorted((folder / 'images').glob('[!.]*.png'))
    if not images:
        raise FileNotFoundError(f'{folder}/images has no .png files')
    if not labeled:
        return _with_images({image: [] for image in images}, folder)
    check_dota(folder / 'labelTxt', classes, headers=True)
    labels = {path.stem: path for path in (folder / 'labelTxt').glob('[!.]*.txt')}
    odd = sorted(labels.keys() ^ {image.stem for image in images})
    problems = [f'{name} has no {"image" if name in labels else "labels"}' for name in odd]
    raise_problems(folder, problems, 'unpack all images and all labels')
    split = {image: _dota_classes(labels[image.stem]) for image in images}
    return _with_images(split, folder)


def read_dior(root: Path, split: str, classes: Sequence[str]) -> Split:
    """Read a split of DIOR-R, from ``Annotations/Oriented Bounding Boxes``."""
    images = root / ('JPEGImages-test' if split == 'test' else 'JPEGImages-trainval')
    labels = root / 'Annotations/Oriented Bounding Boxes'
    source = root / f'ImageSets/Main/{split}.txt'
    files = {images / f'{n}.jpg': labels / f'{n}.xml' for n in _read_list(source)}
    known = frozenset(classes)

    def read(element: ET.Element) -> tuple[str, str]:
        return dior_class(element), dior_problem(element, known)

    return _read_xml(source, files, 'object', read)


def read_hrsc(root: Path, split: str) -> Split:
    """Read a split of HRSC2016, from ``FullDataSet``; all ships are one class."""
    images, labels = root / 'FullDataSet/AllImages', root / 'FullDataSet/Annotations'
    source = root / f'ImageSets/{split}.txt'
    files = {images / f'{n}.bmp': labels / f'{n}.xml' for n in _read_list(source)}

    def read(element: ET.Element) -> tuple[str, str]:
        return 'ship', hrsc_problem(element)

    return _read_xml(source, files, HRSC_OBJECTS, read)


def print_splits(splits: dict[str, Split], published: dict[str, int]) -> None:
    """Print the number of images per split, with the published number, and objects per class."""
    for name, split in splits.items():
        empty = sum(not objects for objects in split.values())
        print(f'{name}: {len(split)} images ({published[name]} published), {empty} without objects')
    print_counts({name: Counter(chain(*split.values())) for name, split in splits.items()})


def print_counts(counts: dict[str, Counter[str]]) -> None:
    """Print a table of the numbers of objects: a row per class, a column per split."""
    classes = sorted(set().union(*counts.values()))
    width = max(map(len, ['class', *classes]))
    print(f'{"class":{width}}', *(f'{name:>12}' for name in counts))
    for name in classes:
        print(f'{name:{width}}', *(f'{column[name]:12}' for column in counts.values()))
    print(f'{"all":{width}}', *(f'{sum(column.values()):12}' for column in counts.values()))


def refuse_to_empty(path: Path, before: Counter, after: Counter, reasons: Counter[str]) -> None:
    """Refuse to drop all annotations of a file or of one of its categories.

    Args:
        path: The file.
        before: Number of annotations of each category.
        after: Number of annotations of each category that would be left.
        reasons: Reason to leave out annotations -> their number.

    Raises:
        ValueError: All annotations of a category would be left out; the message says why.
    """
    emptied = [str(name) for name, count in before.items() if count and not after[name]]
    if not reasons or (after and not emptied):
        return
    what = f'all annotations of {", ".join(emptied)}' if after else 'all annotations'
    raise ValueError(
        f'{path}: {what} would be left out, so nothing is written. Left out would be: '
        f'{summary(reasons)}. Correct these annotations, or what wrote the file'
    )


def summary(reasons: Counter[str]) -> str:
    """Return the reasons as text, the most common first."""
    return ', '.join(f'{count} x {reason}' for reason, count in reasons.most_common())


def _with_images(
    split: Split, source: Path, sizes: Mapping[Path, tuple[int, int]] | None = None
) -> Split:
    """Check from their headers that images exist and have the annotated sizes; return the split."""
    absent = [f'{path} is missing' for path in split if not path.is_file()]
    raise_problems(source, absent, 'unpack all images to where the configs look for them')
    problems = []
    for path in tqdm(split, desc=f'images of {source.stem}'):
        try:
            with open_image(path) as image:
                # for a PNG, Pillow would decode all pixels to look for EXIF data after them
                has_exif = image.format != 'PNG' or 'exif' in image.info
                problem = orientation_problem(image) if has_exif else ''
                annotated = (sizes or {}).get(path, (None, None))
                problem = problem or size_problem(image.size, annotated)
        except OSError as error:
            problem = f'cannot be read: {error}'
        if problem:
            problems.append(f'{path} {problem}')
    raise_problems(source, problems, 'boxes must lie on their objects')
    return split


def _dota_classes(path: Path) -> list[str]:
    lines = path.read_text(encoding='utf-8-sig').splitlines()
    return [line.split()[8] for line in lines if not line.startswith(HEADERS)]


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing; it lists the images of a split')
    return path.read_text(encoding='utf-8-sig').split()


def _read_xml(
    source: Path,
    files: dict[Path, Path],
    objects: str,
    read: Callable[[ET.Element], tuple[str, str]],
) -> Split:
    """Read the XML label files of images.

    Args:
        source: List of the images, for messages.
        files: Image -> label file.
        objects: XPath of the objects in a label file.
        read: Function that returns the class of an object, and its problem or an empty string.
    """
    split, problems = {}, []
    for image, path in tqdm(files.items(), desc=f'labels of {source.stem}'):
        split[image] = []
        try:
            elements = ET.parse(path).findall(objects)
        except FileNotFoundError:
            problems.append(f'{path} is missing')
            continue
        except ET.ParseError as error:
            problems.append(f'{path} is not XML: {error}')
            continue
        for number, element in enumerate(elements, start=1):
            name, problem = read(element)
            split[image].append(name)
            if problem:
                problems.append(f'{path}, object {number}: {problem}')
    raise_problems(source, problems, 'unpack the labels again, or take images out of this list')
    return _with_images(split, source)
