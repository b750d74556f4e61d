"""Tiling of a scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class Box(NamedTuple):
    """Rectangle of pixels; ``bottom`` and ``right`` are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    def __str__(self) -> str:
        return f'rows {self.top} to {self.bottom}, columns {self.left} to {self.right}'

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def overlaps(self, other: Box) -> bool:
        """Whether both boxes share a pixel."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def shared_with(self, other: Box) -> Box:
        """Return the intersection, which must not be empty."""
        return Box(*map(max, self[:2], other[:2]), *map(min, self[2:], other[2:]))

    def inside(self, outer: Box) -> tuple[slice, slice]:
        """Return the rows and columns of this box in an array that covers ``outer``."""
        rows = slice(self.top - outer.top, self.bottom - outer.top)
        return rows, slice(self.left - outer.left, self.right - outer.left)


@dataclass(frozen=True)
class Grid:
    """Overlapping tiles that cover a scene, indexed row by row.

    The last tile of each row and column is aligned with the edge of the scene, so it may overlap
    its neighbor by more. Along a side shorter than a tile, the tile is as long as the scene.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        tile: Rows and columns of a tile.
        overlap: Number of pixels shared by neighboring tiles.
        step: Rows and columns of which the edges of tiles are multiples, divisors of the height and
            width; see :attr:`ModalityScene.step`.

    Raises:
        ValueError: ``tile`` is not positive, ``overlap`` is not between 0 and half of it, or there
            are several tiles and they are not multiples of ``step``.
    """

    height: int
    width: int
    tile: int
    overlap: int
    step: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if not isinstance(self.tile, int) or self.tile < 1:
            raise ValueError(f'tile is {self.tile}; give the pixels of its side, 512 for example')
        if not isinstance(self.overlap, int) or not 0 <= self.overlap <= self.tile // 2:
            raise ValueError(
                f'overlap is {self.overlap}; give 0 to {self.tile // 2}, half of tile={self.tile}'
            )
        for length, step in zip((self.height, self.width), self.step, strict=True):
            if self.tile < length and (self.tile % step or self.overlap % step):
                raise ValueError(
                    f'tile is {self.tile} and overlap {self.overlap}, but pixels of all rasters '
                    f'begin together only every {step} pixels: give multiples of {step}, a tile '
                    f'of the whole scene, {max(self.height, self.width)} pixels, or resample the '
                    'modalities that do not fit'
                )

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def __getitem__(self, index: int) -> Box:
        row, column = divmod(index, len(self.lefts))
        return self._box(self.tops[row], self.lefts[column], self.tile)

    @cached_property
    def tops(self) -> list[int]:
        """The first row of each row of tiles."""
        return self._starts(self.height)

    @cached_property
    def lefts(self) -> list[int]:
        """The first column of each column of tiles."""
        return self._starts(self.width)

    def over(self, box: Box) -> list[int]:
        """Return the indices of the tiles that overlap ``box``."""
        rows, columns = (
            [i for i, start in enumerate(starts) if start < end and start + self.tile > begin]
            for starts, begin, end in (
                (self.tops, box.top, box.bottom),
                (self.lefts, box.left, box.right),
            )
        )
        return [row * len(self.lefts) + column for row in rows for column in columns]

    def block_rows(self, side: int) -> Iterator[list[Box]]:
        """Yield the rows of a partition of the scene into blocks of ``side`` x ``side`` pixels."""
        for top in range(0, self.height, side):
            yield [self._box(top, left, side) for left in range(0, self.width, side)]

    def _box(self, top: int, left: int, side: int) -> Box:
        return Box(top, left, min(top + side, self.height), min(left + side, self.width))

    def _starts(self, length: int) -> list[int]:
        if length <= self.tile:
            return [0]
        last = length - self.tile
        return [*range(0, last, self.tile - self.overlap), last]
