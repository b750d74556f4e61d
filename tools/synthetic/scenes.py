"""Synthetic aerial scenes, which are random but reproducible on every machine.

`make_scene` composes a scene of a category from the parts in `parts.py` and renders it. A scene has
its objects as polygons, from which boxes, rotated boxes and masks can be derived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthetic import parts
from synthetic.canvas import Array, Canvas, Frame, rectangle, strip

__all__ = ['CATEGORIES', 'Scene', 'SceneObject', 'make_scene']

_DRAW: dict[str, Callable[[Canvas, np.random.Generator, Frame, Array], Array]] = {
    'building': parts.draw_flat_roof,
    'car': parts.draw_car,
    'house': parts.draw_house,
    'ship': parts.draw_ship,
    'storage_tank': parts.draw_tank,
}


@dataclass(frozen=True)
class SceneObject:
    """An object in a scene. Pixel i spans i to i + 1; parts may be outside the picture.

    Attributes:
        name: 'building', 'car', 'house', 'ship' or 'storage_tank'.
        polygon: Outline, float32 (N, 2), pixels (x, y).
        corners: Rotated box, float32 (4, 2), pixels (x, y): front left, front right, rear right,
            rear left.
    """

    name: str
    polygon: NDArray[np.float32]
    corners: NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A synthetic aerial picture and its objects.

    Attributes:
        image: RGB, uint8 (size, size, 3).
        category: One of `CATEGORIES`.
        objects: All objects that are at least partly in the picture, in drawing order.
        gsd: Ground sample distance, m/px.
    """

    image: NDArray[np.uint8]
    category: str
    objects: list[SceneObject]
    gsd: float


@dataclass
class _Site:
    """A canvas with the objects that have been drawn on it so far."""

    canvas: Canvas
    rng: np.random.Generator
    objects: list[SceneObject] = field(default_factory=list)

    @property
    def reach(self) -> float:
        """Half the diagonal of the ground, meters; a line of this reach always crosses it."""
        return self.canvas.extent * 0.72

    def put(self, name: str, frame: Frame, size: tuple[float, float]) -> None:
        """Draw an object of `size` (length, width) in meters and keeps its outline."""
        # Each object has its own random stream, so its appearance does not affect later draws.
        own_rng = np.random.default_rng(self.rng.integers(2**63))
        outline = frame.to_ground(_DRAW[name](self.canvas, own_rng, frame, np.array(size)))
        if self.canvas.shows(outline):
            corners = self.canvas.to_pixels(frame.to_ground(rectangle(*size)))
            self.objects.append(SceneObject(name, self.canvas.to_pixels(outline), corners))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def angle(self) -> float:
        return float(self.rng.uniform(0, 2 * np.pi))

    def anywhere(self, margin: float = 0.0) -> Frame:
        """Return a frame of random position and heading, at least `margin` meters from the rim."""
        x, y = self.rng.uniform(margin, self.canvas.extent - margin, size=2)
        return Frame(float(x), float(y), self.angle())

    @staticmethod
    def apart(frames: list[Frame], gap: float) -> list[Frame]:
        """Return those frames that are more than `gap` meters from all earlier ones."""
        kept: list[Frame] = []
        for frame in frames:
            if all(np.hypot(frame.x - k.x, frame.y - k.y) > gap for k in kept):
                kept.append(frame)
        return kept

    def area(self, square_meters: float) -> int:
        """Return the number of objects on the ground at a density of one per `square_meters`."""
        return max(1, round(self.canvas.extent**2 / square_meters))


def _split_fields(
    site: _Site, low: Array, high: Array, smallest: float
) -> list[tuple[Array, Array]]:
    """Cut a rectangle at random into fields; return their (low, high) corners, meters."""
    size = high - low
    axis = int(size[1] > size[0])
    if size[axis] < 2 * smallest or (max(size) < 4 * smallest and site.chance(0.15)):
        return [(low, high)]
    cut = low[axis] + size[axis] * site.rng.uniform(0.35, 0.65)
    first_high, second_low = high.copy(), low.copy()
    first_high[axis] = second_low[axis] = cut
    return [
        *_split_fields(site, low, first_high, smallest),
        *_split_fields(site, second_low, high, smallest),
    ]


def _draw_farmland(site: _Site, cover: bool = True) -> None:
    """Fields; some with hedges, a track, a farmhouse."""
    canvas, rng = site.canvas, site.rng
    parts.draw_ground(canvas, rng, str(rng.choice(['grass', 'dry_grass', 'soil'])))
    frame = canvas.middle(site.angle())
    half = np.full(2, site.reach)
    margin = rng.uniform(0.5, 3)
    for low, high in _split_fields(site, -half, half, rng.uniform(14, 34)):
        middle, size = (low + high) / 2, high - low
        here = frame.at(*middle)
        parts.draw_field(canvas, rng, here, size - margin)
        if site.chance(0.25):
            corners = here.to_ground(rectangle(*size))
            parts.draw_tree_line(canvas, rng, corners[:2], rng.uniform(0.1, 0.4))
    if not cover:
        return
    if site.chance(0.35):
        surface = str(rng.choice(['soil', 'asphalt', 'sand']))
        line = parts.curve(rng, site.anywhere(), 2 * site.reach, rng.uniform(0, 8))
        parts.draw_road(canvas, rng, line, rng.uniform(3, 6), surface)
    if site.chance(0.2):
        site.put('house', site.anywhere(8), (rng.uniform(10, 18), rng.uniform(7, 10)))
    parts.draw_trees(canvas, rng, rng.integers(0, 6))


def _draw_forest(site: _Site) -> None:
    """Closed or open tree cover; some with a clearing or a track."""
    canvas, rng = site.canvas, site.rng
    parts.draw_ground(canvas, rng, str(rng.choice(['grass', 'dry_grass', 'soil'])))
    line = None
    if site.chance(0.35):
        line = parts.curve(rng, site.anywhere(), 2 * site.reach, rng.uniform(0, 12))
        width = rng.uniform(3, 6)
        parts.draw_road(canvas, rng, line, width, str(rng.choice(['soil', 'asphalt', 'sand'])))
    clearing = site.anywhere() if site.chance(0.3) else None
    colors = [parts.pick_color(rng, 'crown') for _ in range(3)]
    radius = rng.uniform(2.2, 5.0)
    step = radius * rng.uniform(1.15, 1.6)
    nodes = np.arange(-step, canvas.extent + step, step)
    places = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    places = places + rng.uniform(-0.45, 0.45, size=places.shape) * step
    for x, y in rng.permutation(places):
        if line is not None and np.hypot(*(line - [x, y]).T).min() < width / 2 + 0.5 * radius:
            continue
        if clearing is not None and np.hypot(x - clearing.x, y - clearing.y) < 0.2 * canvas.extent:
            continue
        color = colors[rng.choice(3, p=[0.6, 0.25, 0.15])] * rng.uniform(0.8, 1.2)
        frame = Frame(float(x), float(y))
        parts.draw_tree(canvas, rng, frame, radius * rng.uniform(0.7, 1.25), color)


def _draw_harbor(site: _Site) -> None:
    """A quay with piers, ships moored along them and ships under way."""
    canvas, rng, reach = site.canvas, site.rng, site.reach
    parts.draw_ground(canvas, rng, str(rng.choice(['concrete', 'asphalt', 'sand', 'soil'])))
    quay = canvas.middle(site.angle()).at(rng.uniform(-0.32, 0.05) * canvas.extent, 0)
    # Water lies ahead of the quay line (u > 0), land behind it.
    water = quay.at(1.5 * reach, 0).to_ground(rectangle(3 * reach, 4 * reach))
    parts.draw_water(canvas, rng, water, site.angle())
    edge = strip(quay.to_ground(np.array([[0, -2 * reach], [0, 2 * reach]])), 1.6)
    canvas.fill(edge, parts.pick_color(rng, 'concrete') * 0.75)
    places = rng.uniform([-8 - 0.7 * reach, -reach], [-8, reach], size=(site.area(400), 2))
    for place in site.apart([quay.at(*place) for place in places], 22):
        if site.chance(0.35):
            site.put('building', place, (rng.uniform(10, 16), rng.uniform(8, 22)))
            continue
        for row in range(rng.integers(1, 5)):
            box = place.at(0, 2.7 * row).to_ground(rectangle(rng.choice([6.1, 12.2]), 2.4))
            canvas.shadow(box, 2.6)
            canvas.fill(box, parts.pick_color(rng, 'container'))

    length = rng.uniform(10, 34)
    beam = length * rng.uniform(0.2, 0.3)
    spacing = rng.uniform(3.2, 4.5) * beam + 4
    deep = max(rng.uniform(0.35, 0.7) * canvas.extent, 1.2 * length + 2)
    mooring = rng.choice(['piers', 'quay', 'open'], p=[0.6, 0.25, 0.15])
    if mooring == 'piers':
        for v in np.arange(-reach + rng.uniform(0, spacing), reach, spacing):
            pier = quay.at(deep / 2, v)
            canvas.shadow(pier.to_ground(rectangle(deep, 2.4)), 1.5)
            canvas.fill(pier.to_ground(rectangle(deep, 2.4)), parts.pick_color(rng, 'concrete'))
            for side in (-1, 1):
                for u in np.arange(0.55 * length + 2, deep, 1.12 * length):
                    if site.chance(0.8):
                        turn = rng.choice([0, np.pi]) + rng.normal(0, 0.02)
                        berth = quay.at(u, v + side * (beam / 2 + 2.0), turn)
                        scale = rng.uniform(0.8, 1.0)
                        site.put('ship', berth, (scale * length, scale * beam))
    elif mooring == 'quay':
        for v in np.arange(-reach + rng.uniform(0, length), reach, 1.15 * length):
            if site.chance(0.8):
                berth = quay.at(beam / 2 + 1.6, v, rng.choice([-1, 1]) * np.pi / 2)
                site.put('ship', berth, (length, beam))
    first = (deep if mooring == 'piers' else 2 * beam) + 0.55 * length
    frames = [site.anywhere() for _ in range(8 * site.area(1500))]
    free = [frame for frame in frames if quay.to_local(frame)[0] > first]
    under_way = site.apart(free, length + 2)[: site.area(1500) + 2 * (mooring == 'open')]
    for frame in under_way:
        # Foam must not run over the quay or the piers.
        if quay.to_local(frame.at(-2.6 * length, 0))[0] > first - 0.55 * length:
            parts.draw_wake(canvas, frame, np.array([length, beam]))
    for frame in under_way:
        site.put('ship', frame, (length, beam))


def _draw_storage_tanks(site: _Site) -> None:
    """Round tanks in rows, with bunds, pipes and service roads."""
    canvas, rng, reach = site.canvas, site.rng, site.reach
    parts.draw_ground(canvas, rng)
    frame = canvas.middle(site.angle()).at(*rng.uniform(-10, 10, size=2))
    diameter = rng.uniform(9, 26)
    pitch = diameter * rng.uniform(1.25, 1.8)
    bund = parts.pick_color(rng, str(rng.choice(['concrete', 'soil', 'sand', 'grass'])))
    banked = site.chance(0.6)
    pipes = parts.pick_color(rng, 'tank')
    nodes = np.arange(-np.ceil(reach / pitch), np.ceil(reach / pitch) + 1) * pitch
    for u in nodes:
        line = np.array([[u + pitch / 2, -reach], [u + pitch / 2, reach]])
        if site.chance(0.5):
            canvas.fill(strip(frame.to_ground(line), 0.9), pipes * 0.85)
        for v in nodes:
            if site.chance(0.12):
                continue
            here = frame.at(u, v, rng.choice(4) * np.pi / 2)
            if banked:
                canvas.fill(here.to_ground(rectangle(0.96 * pitch, 0.96 * pitch)), bund * 1.15)
                inner = here.to_ground(rectangle(0.96 * pitch - 2, 0.96 * pitch - 2))
                canvas.fill(inner, bund * 0.9, grain=0.08)
            pipe = np.array([[0.0, 0.0], [pitch / 2, 0.0]])
            canvas.fill(strip(here.to_ground(pipe), 0.8), pipes * 0.9)
            own = diameter * rng.uniform(0.75, 1.0)
            site.put('storage_tank', here, (own, own))
    if site.chance(0.4):
        line = parts.curve(rng, frame.at(0, pitch / 2), 2 * reach, 0)
        parts.draw_road(canvas, rng, line, rng.uniform(3, 5))
    if site.chance(0.4):
        parts.draw_trees(canvas, rng, rng.integers(1, 6))


def _draw_residential(site: _Site) -> None:
    """Houses on plots along parallel streets, with gardens, trees and cars."""
    canvas, rng, reach = site.canvas, site.rng, site.reach
    parts.draw_ground(canvas, rng)
    frame = canvas.middle(site.angle()).at(0, rng.uniform(-20, 20))
    size = np.array([rng.uniform(9, 15), rng.uniform(7, 10)])
    pitch, depth = size[0] + rng.uniform(3, 10), size[1] + rng.uniform(6, 14)
    width = rng.uniform(4.5, 7)
    surface = str(rng.choice(['asphalt', 'asphalt', 'concrete', 'soil']))
    block = 2 * depth + width
    for street in np.arange(-reach - block, reach + block, block):
        line = parts.curve(rng, frame.at(0, street), 2 * reach, 0)
        parts.draw_road(canvas, rng, line, width, surface)
        for side in (-1, 1):
            for u in np.arange(-reach - rng.uniform(0, pitch), reach + pitch, pitch):
                v = street + side * (width + depth) / 2
                plot = frame.at(u, v)
                if site.chance(0.6):
                    lawn = plot.to_ground(rectangle(pitch - 0.8, depth - 0.8))
                    canvas.fill(lawn, parts.pick_color(rng, 'grass'), opacity=0.7, grain=0.12)
                if site.chance(0.12):
                    continue
                if site.chance(0.1):
                    pool = plot.at(0.3 * pitch, side * 0.36 * depth).to_ground(rectangle(5, 3))
                    canvas.fill(pool, np.array([0.35, 0.68, 0.76]))
                turn = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.04)
                own = size * rng.uniform(0.8, 1.05, size=2)
                shift = rng.uniform(-1, 1, size=2)
                site.put('house', plot.at(*shift, turn), (float(own[0]), float(own[1])))
        for u in rng.uniform(-reach, reach, size=4):
            place = frame.at(u, street + rng.choice([-1, 1]) * (width / 2 - 1.1))
            site.put('car', place, (4.5, 1.9))
    parts.draw_trees(canvas, rng, rng.integers(2, 5 + site.area(350)))


def _draw_surroundings(site: _Site) -> None:
    """Surroundings of a road or a river: fields, trees, houses or bare ground."""
    kind = site.rng.choice(['fields', 'trees', 'houses', 'bare'])
    if kind == 'fields':
        _draw_farmland(site, cover=False)
        return
    parts.draw_ground(site.canvas, site.rng)
    if kind == 'trees':
        parts.draw_trees(site.canvas, site.rng, site.rng.integers(1, 2) * site.area(120))
    if kind == 'houses':
        size = (site.rng.uniform(9, 16), site.rng.uniform(7, 11))
        frame = site.canvas.middle(site.angle())
        places = site.rng.uniform(-site.reach, site.reach, size=(site.area(300), 2))
        for place in site.apart([frame.at(*place) for place in places], size[0] + 3):
            site.put('house', place, size)


def _draw_crossroads(site: _Site) -> None:
    """Two roads that cross, or a roundabout, with cars."""
    canvas, rng, reach = site.canvas, site.rng, site.reach
    _draw_surroundings(site)
    center = canvas.middle(site.angle()).at(*rng.uniform(-0.15, 0.15, size=2) * canvas.extent)
    turn = np.pi / 2 + rng.uniform(-0.5, 0.5)
    widths = rng.uniform(7, 15, size=2)
    arms = [center, center.at(0, 0, turn)]
    color = parts.pick_color(rng, 'asphalt')
    for arm, width in zip(arms, widths, strict=True):
        parts.draw_road(canvas, rng, parts.curve(rng, arm, 2 * reach, 0), width)
    paint = np.array([0.86, 0.86, 0.82])
    radius = 0.62 * max(widths)
    if site.chance(0.3):
        radius = rng.uniform(12, 17)
        canvas.fill(center.to_ground(parts.disc(radius + 1)), paint * 0.8, opacity=0.6)
        canvas.fill(center.to_ground(parts.disc(radius)), color, grain=0.05)
        island = center.to_ground(parts.disc(radius * 0.5))
        canvas.fill(island, parts.pick_color(rng, str(rng.choice(parts.GROUNDS))), grain=0.1)
    else:
        canvas.fill(center.to_ground(parts.disc(radius)), color, grain=0.05)
    zebra = site.chance(0.6)
    for arm, width in zip(arms, widths, strict=True):
        for heading in (0, np.pi):
            half = arm.at(0, 0, heading)
            if zebra:
                for v in np.arange(-width / 2 + 0.8, width / 2 - 0.4, 1.2):
                    bar = half.at(radius + 2, v).to_ground(rectangle(2.6, 0.6))
                    canvas.fill(bar, paint, opacity=0.9)
            for u in radius + 6 + rng.uniform(0, reach, size=rng.integers(0, 5)):
                lane = half.at(u, width / 4 + rng.uniform(-0.3, 0.3))
                long = site.chance(0.12)
                site.put('car', lane, (10.5, 2.5) if long else (4.5, 1.9))
    if site.chance(0.5):
        for arm, width in zip(arms, widths, strict=True):
            line = parts.curve(rng, arm.at(0, width / 2 + 5), 2 * reach, 0)
            parts.draw_tree_line(canvas, rng, line, rng.uniform(0.02, 0.1))


def _draw_river(site: _Site) -> None:
    """A winding river with banks and trees; some with a bridge or a boat."""
    canvas, rng, reach = site.canvas, site.rng, site.reach
    _draw_surroundings(site)
    course = canvas.middle(site.angle()).at(0, rng.uniform(-0.2, 0.2) * canvas.extent)
    line = parts.curve(rng, course, 2 * reach, rng.uniform(3, 14))
    width = rng.uniform(9, 30) * (1 + 0.2 * np.sin(np.linspace(0, rng.uniform(6, 20), len(line))))
    bank = str(rng.choice(['sand', 'soil', 'grass', 'concrete']))
    canvas.fill(strip(line, width + rng.uniform(1.5, 7)), parts.pick_color(rng, bank), grain=0.15)
    parts.draw_water(canvas, rng, strip(line, width), course.angle + rng.uniform(-0.5, 0.5))
    if site.chance(0.25):
        frame = Frame(*line[len(line) // 2], course.angle)
        size = (rng.uniform(7, 16), rng.uniform(2.5, 4))
        parts.draw_wake(canvas, frame, np.array(size))
        site.put('ship', frame, size)
    for side in (-1, 1):
        if site.chance(0.65):
            rim = parts.parallel(line, side * (width.max() / 2 + 4))
            parts.draw_tree_line(canvas, rng, rim, rng.uniform(0.05, 0.35))
    if site.chance(0.3):
        bridge = course.at(rng.uniform(-0.3, 0.3) * canvas.extent, 0, np.pi / 2)
        road = parts.curve(rng, bridge, 2 * reach, 0)
        canvas.shadow(strip(road, 7), 3)
        parts.draw_road(canvas, rng, road, rng.uniform(4, 8))


def _draw_parking(site: _Site) -> None:
    """Rows of marked bays with cars; some beside a large building."""
    canvas, rng, reach = site.canvas, site.rng, site.reach
    parts.draw_ground(canvas, rng)
    frame = canvas.middle(site.angle())
    lot = np.array([rng.uniform(0.8, 1.5), rng.uniform(0.7, 1.4)]) * canvas.extent
    surface = str(rng.choice(['asphalt', 'asphalt', 'concrete', 'soil']))
    canvas.fill(frame.to_ground(rectangle(*lot)), parts.pick_color(rng, surface), grain=0.06)
    bay, stall = rng.uniform(2.5, 3.0), 5.2
    aisle = rng.uniform(5.5, 7.5)
    share = rng.uniform(0.25, 0.95)
    marked = surface != 'soil' or site.chance(0.3)
    paint = np.array([0.86, 0.86, 0.82])
    for v in np.arange(-lot[1] / 2 + stall, lot[1] / 2 - stall, 2 * stall + aisle):
        island = site.chance(0.25)
        for u in np.arange(-lot[0] / 2 + bay, lot[0] / 2 - bay, bay):
            for side in (-1, 1):
                place = frame.at(u, v + side * stall / 2, side * np.pi / 2)
                if marked:
                    line = place.at(0, bay / 2).to_ground(rectangle(stall, 0.3))
                    canvas.fill(line, paint, opacity=0.75)
                if site.chance(share):
                    turn = rng.choice([0, np.pi]) + rng.normal(0, 0.03)
                    size = (rng.uniform(3.9, 5.0), rng.uniform(1.7, 2.0))
                    site.put('car', place.at(rng.uniform(-0.3, 0.3), 0, turn), size)
        if island:
            ends = frame.to_ground(np.array([[-lot[0] / 2, v], [lot[0] / 2, v]]))
            parts.draw_tree_line(canvas, rng, ends, rng.uniform(0.04, 0.12))
    if site.chance(0.4):
        place = frame.at(0, rng.choice([-1, 1]) * (lot[1] / 2 + 8))
        site.put('building', place, (rng.uniform(0.5, 1.0) * reach, rng.uniform(16, 30)))
    parts.draw_trees(canvas, rng, rng.integers(0, 5))


_COMPOSE: dict[str, Callable[[_Site], None]] = {
    'crossroads': _draw_crossroads,
    'farmland': _draw_farmland,
    'forest': _draw_forest,
    'harbor': _draw_harbor,
    'parking': _draw_parking,
    'residential': _draw_residential,
    'river': _draw_river,
    'storage_tanks': _draw_storage_tanks,
}
CATEGORIES: tuple[str, ...] = tuple(_COMPOSE)


def make_scene(category: str, index: int, *, size: int = 128, seed: int = 0) -> Scene:
    """Create a scene; the same arguments always give the same scene.

    Args:
        category: One of `CATEGORIES`.
        index: Index of the scene within its category, from 0.
        size: Width and height of the picture, pixels, at least 32.
        seed: Seed of the whole collection, from 0.

    Raises:
        ValueError: The category is unknown, the size under 32, or a number negative.
    """
    if category not in _COMPOSE:
        raise ValueError(f'unknown category {category!r}; choose one of {", ".join(CATEGORIES)}')
    if size < 32:
        raise ValueError(f'size is {size} px; a scene needs at least 32')
    if index < 0 or seed < 0:
        raise ValueError(f'index and seed must not be negative, got index {index}, seed {seed}')
    # Layout and camera have separate random streams, so the same ground can be rendered twice.
    stream = np.random.SeedSequence([seed, CATEGORIES.index(category), index])
    layout_rng, camera_rng = (np.random.default_rng(child) for child in stream.spawn(2))
    gsd = float(layout_rng.uniform(0.5, 0.9))
    site = _Site(Canvas(size, gsd, layout_rng), layout_rng)
    _COMPOSE[category](site)
    return Scene(site.canvas.photograph(camera_rng), category, site.objects, gsd)
