"""Validation of objects in the XML label files of DIOR-R and HRSC2016."""

from __future__ import annotations

import math
from collections.abc import Set
from xml.etree.ElementTree import Element

from mmdynamicvis.data.dota import line_problem

DIOR_CORNERS = [
    f'robndbox/{axis}_{corner}'
    for corner in ('left_top', 'right_top', 'right_bottom', 'left_bottom')
    for axis in 'xy'
]
HRSC_NUMBERS = ('mbox_cx', 'mbox_cy', 'mbox_w', 'mbox_h', 'mbox_ang', 'header_x', 'header_y')
HRSC_OBJECTS = 'HRSC_Objects/HRSC_Object'
"""XPath of the objects in a label file of HRSC2016."""


def dior_class(element: Element) -> str:
    """Return the category of an object; mmrotate, too, compares names in lower case."""
    return str(element.findtext('name')).lower()


def dior_problem(element: Element, known: Set[str]) -> str:
    """Return the problem of an object of DIOR-R, or an empty string.

    Args:
        element: The object.
        known: The known categories, in lower case.
    """
    corners = [str(element.findtext(corner)) for corner in DIOR_CORNERS]
    name = dior_class(element)
    if name not in known:
        return f'the category {name} is none of {", ".join(sorted(known))}'
    return line_problem(' '.join([*corners, 'object', '0']), frozenset(['object']))


def hrsc_problem(element: Element) -> str:
    """Return the problem of an object of HRSC2016, or an empty string."""
    numbers = {name: _to_number(element.findtext(name)) for name in HRSC_NUMBERS}
    absent = [name for name, number in numbers.items() if not math.isfinite(number)]
    if absent:
        return f'{", ".join(absent)}: no finite number'
    x, y, width, height = list(numbers.values())[:4]
    if min(width, height) <= 0:
        return f'its box is {width} x {height}'
    if min(x, y) >= 0 and max(x, y, width, height) <= 1:
        return f'its box of {width} x {height} at {x}, {y} is from 0 to 1; it must be in pixels'
    return ''


def _to_number(text: str | None) -> float:
    try:
        return float(text or 'nan')
    except ValueError:
        return math.nan
