"""Errors that report many problems of a dataset at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log

from mmdynamicvis.data.image_files import find_names
from mmdynamicvis.fileio import shorten

SHOWN = 10


def raise_problems(path: str | Path, problems: Sequence[str], fix: str) -> None:
    """Raise one error for all problems of a file or folder; do nothing if there are none.

    Args:
        path: File or folder, for the message.
        problems: Descriptions of the problems; the message has the first ten and their number.
        fix: What the user can do, the last line of the message.

    Raises:
        ValueError: There are problems.
    """
    if not problems:
        return
    count = '1 problem' if len(problems) == 1 else f'{len(problems)} problems'
    more = f', the first {SHOWN} are' if len(problems) > SHOWN else ''
    raise ValueError('\n  '.join([f'{path}: {count}{more}', *problems[:SHOWN], fix]))


def warn_of_other_case(folder: str | Path, suffix: str) -> None:
    """Warn of files in a folder and below whose endings differ in case alone: hosts pass over them.

    Args:
        folder: An existing folder.
        suffix: The ending that counts, as '.png' or '/im1.png'.
    """
    names, ends = find_names(folder, ''), suffix.lower()
    others = [n for n in names if n.lower().endswith(ends) and not n.endswith(suffix)]
    if others:
        message = f'{folder}: left out, as they do not end with {suffix}: {shorten(others)}'
        print_log(message, logger='current', level=logging.WARNING)


def require_boxes(source: str | Path, data_list: Sequence[dict], classes: Sequence[str]) -> None:
    """Refuse a training set without any box, and warn about classes without boxes.

    Args:
        source: Annotation file or folder, for messages.
        data_list: Data list of a dataset of mmdet or mmrotate: per image ``instances``, each with
            ``bbox_label`` and ``ignore_flag``.
        classes: Names of the classes, in the order of their labels.

    Raises:
        ValueError: There is no box, or all boxes are ignored (crowds, difficult objects).
    """
    labels = {
        instance['bbox_label']
        for data in data_list
        for instance in data['instances']
        if not instance.get('ignore_flag')
    }
    if not labels:
        raise ValueError(
            f'{source} has no valid box of the classes {list(classes)} to train on: boxes narrower '
            'than a pixel, crowds, and images that filter_cfg leaves out do not count'
        )
    without = [name for label, name in enumerate(classes) if label not in labels]
    if without:
        message = f'{source} has no box to train on of the classes {", ".join(without)}'
        print_log(message, logger='current', level=logging.WARNING)


def require_images(source: str | Path, data_list: Sequence[dict]) -> None:
    """Refuse annotations of images that do not exist; URLs are not checked.

    Args:
        source: Annotation file or folder, for messages.
        data_list: Data list of a dataset of mmdet or mmrotate: per image its ``img_path``.

    Raises:
        ValueError: Images do not exist; the message names the first ten.
    """
    paths = [data['img_path'] for data in data_list if '://' not in data['img_path']]
    missing = [f'{path} does not exist' for path in paths if not Path(path).is_file()]
    fix = 'check data_root, data_prefix and img_suffix, or take these images out of the annotations'
    raise_problems(source, missing, fix)
