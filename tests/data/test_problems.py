"""Messages about files that hosts pass over."""

from __future__ import annotations

import pytest

from mmdynamicvis.data import problems


@pytest.mark.parametrize(
    ('suffix', 'expected'), [('.png', 'b.PNG, c/d.Png'), ('/im1.png', 'e/IM1.png'), ('.tif', '')]
)
def test_endings_that_differ_in_case_are_told(tmp_path, monkeypatch, suffix, expected):
    shown = ('a.png', 'b.PNG', 'c/d.Png', 'e/IM1.png', 'e/im1.png', 'g.pngw')
    for name in (*shown, 'c/._f.PNG', '.h/i.PNG'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    said = []
    monkeypatch.setattr(problems, 'print_log', lambda message, **_: said.append(message))
    problems.warn_of_other_case(tmp_path, suffix)
    told = [f'{tmp_path}: left out, as they do not end with {suffix}: {expected}']
    assert said == (told if expected else [])
