"""Spellings of the names of bands."""

from __future__ import annotations

import re

_SYNONYMS = {'r': 'red', 'g': 'green', 'b': 'blue', 'n': 'nir', 'nearinfrared': 'nir'}


def spelling(name: str) -> str:
    """Return the form in which names of bands are compared.

    Case, spaces, hyphens, underscores, zeros after B, and what follows a comma or a parenthesis do
    not count, and R, G, B, N and 'near infrared' are the bands 'red', 'green', 'blue' and 'nir'.

    Examples:
        >>> spelling('B04, central wavelength 665 nm'), spelling('Red Edge'), spelling('R')
        ('b4', 'rededge', 'red')
    """
    text = re.sub(r'[\s_-]+', '', re.split(r'[,(]', name)[0]).lower()
    text = re.sub(r'^b0+(?=\d)', 'b', text)
    return _SYNONYMS.get(text, text)
