"""Parts of synthetic scenes: surfaces, vegetation, roads, buildings, tanks, ships, cars.

Sizes are in meters. Each function draws one part on a canvas; functions for labeled objects return
the outline in the frame of the object.
"""

from __future__ import annotations

import numpy as np

from synthetic.canvas import Array, Canvas, Frame, Rows, blob, disc, rectangle, strip

# RGB 0-255 of surfaces seen from the air; a color is mixed from two entries and jittered.
PALETTE: dict[str, list[tuple[int, int, int]]] = {
    'grass': [(92, 110, 62), (112, 122, 72), (76, 96, 54)],
    'dry_grass': [(154, 142, 98), (136, 126, 84)],
    'soil': [(146, 116, 86), (170, 138, 104), (112, 90, 70)],
    'sand': [(198, 180, 142), (182, 164, 130)],
    'concrete': [(172, 170, 162), (150, 150, 146)],
    'asphalt': [(92, 92, 94), (74, 76, 80), (114, 112, 110)],
    'crop': [(98, 126, 56), (132, 142, 66), (182, 166, 98), (70, 98, 48), (156, 126, 86)],
    'water': [(46, 74, 84), (64, 92, 82), (36, 60, 88), (92, 102, 82), (100, 96, 72)],
    'crown': [(46, 70, 36), (62, 86, 42), (80, 96, 46), (112, 92, 44), (54, 76, 52)],
    'roof': [(158, 84, 66), (122, 112, 106), (180, 172, 160), (90, 74, 68), (96, 108, 122)],
    'flat_roof': [(190, 188, 182), (146, 146, 148), (118, 116, 114), (206, 204, 200)],
    'tank': [(226, 226, 222), (204, 202, 194), (168, 168, 166), (164, 138, 116)],
    'deck': [(186, 182, 172), (146, 74, 60), (84, 92, 100), (120, 130, 112)],
    'hull': [(40, 44, 54), (110, 50, 44), (214, 214, 212), (48, 70, 66)],
    'car': [(236, 236, 234), (40, 42, 46), (164, 168, 172), (160, 48, 44), (52, 78, 130)],
    'container': [(172, 70, 52), (52, 92, 140), (186, 150, 66), (88, 118, 88), (190, 190, 188)],
}
GROUNDS = ('grass', 'dry_grass', 'soil', 'concrete', 'asphalt', 'sand', 'crop')


def pick_color(rng: np.random.Generator, surface: str) -> Array:
    """Return a random color of a surface, RGB in 0 to 1, (3,)."""
    colors = np.array(PALETTE[surface]) / 255
    first, second = colors[rng.integers(len(colors), size=2)]
    mixed = first + rng.random() * (second - first)
    return mixed * rng.uniform(0.86, 1.14) * rng.uniform(0.95, 1.05, size=3)


def curve(rng: np.random.Generator, frame: Frame, reach: float, bend: float) -> Array:
    """Return a smooth line (48, 2) on the ground through the frame, `reach` to both sides.

    Args:
        rng: Random generator for the shape.
        frame: Frame of the line, which runs along its heading.
        reach: Half the length, meters.
        bend: Amplitude of the bends, meters; 0 gives a straight line.
    """
    u = np.linspace(-reach, reach, 48)
    waves = rng.uniform(0.6, 1.4, size=2) * np.array([1.0, 2.2]) * np.pi / reach
    phases = rng.uniform(0, 2 * np.pi, size=2)
    v = bend * (np.sin(waves[0] * u + phases[0]) + 0.4 * np.sin(waves[1] * u + phases[1]))
    return frame.to_ground(np.stack([u, v], axis=1))


def draw_ground(canvas: Canvas, rng: np.random.Generator, surface: str | None = None) -> str:
    """Cover the ground with one surface, by default a random one, and return its name."""
    surface = surface or str(rng.choice(GROUNDS))
    rows = None
    if surface == 'crop':
        rows = Rows(rng.uniform(1.5, 4), rng.uniform(0, np.pi), rng.uniform(0.04, 0.12), 0.1)
    canvas.cover(pick_color(rng, surface), grain=rng.uniform(0.05, 0.14), rows=rows)
    # Patches of another shade, so that the ground is not uniform.
    other = pick_color(rng, surface)
    for _ in range(rng.integers(2, 6)):
        spot = Frame(*rng.uniform(0, canvas.extent, size=2))
        patch = spot.to_ground(blob(rng, rng.uniform(0.06, 0.2) * canvas.extent, 0.4))
        canvas.fill(patch, other, opacity=0.35, grain=0.1)
    return surface


def draw_field(canvas: Canvas, rng: np.random.Generator, frame: Frame, size: Array) -> None:
    """Draw one field: a crop or bare soil with furrows along its longer side."""
    surface = rng.choice(['crop', 'soil', 'grass', 'dry_grass'], p=[0.55, 0.2, 0.15, 0.1])
    along = frame.angle + (np.pi / 2 if size[1] > size[0] else 0.0)
    depth = rng.uniform(0.03, 0.2) if surface in ('crop', 'soil') else 0.02
    rows = Rows(rng.uniform(1.6, 4.5), along, depth, rng.uniform(0, 0.15))
    outline = frame.to_ground(rectangle(*size))
    canvas.fill(outline, pick_color(rng, str(surface)), grain=rng.uniform(0.04, 0.12), rows=rows)


def draw_tree(
    canvas: Canvas, rng: np.random.Generator, frame: Frame, radius: float, color: Array
) -> None:
    """Draw a crown with its shadow: a ragged dark rim, a lighter body, a bright lit cap."""
    outline = frame.to_ground(blob(rng, radius, 0.22))
    canvas.shadow(outline, 1.3 * radius)
    canvas.fill(outline, color * 0.82, dome=0.5, grain=0.18)
    middle = np.array([frame.x, frame.y])
    canvas.fill(middle + 0.62 * (outline - middle), color * 1.18, dome=0.6, grain=0.2)


def draw_trees(canvas: Canvas, rng: np.random.Generator, count: int) -> None:
    """Scatter single trees over the whole ground."""
    color = pick_color(rng, 'crown')
    for _ in range(count):
        frame = Frame(*rng.uniform(0, canvas.extent, size=2))
        draw_tree(canvas, rng, frame, rng.uniform(1.6, 4.0), color * rng.uniform(0.85, 1.15))


def draw_tree_line(canvas: Canvas, rng: np.random.Generator, line: Array, density: float) -> None:
    """Draw trees along a line (N, 2); `density` is their number per meter."""
    color = pick_color(rng, 'crown')
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    length = np.concatenate([[0], np.cumsum(steps)])
    for place in np.sort(rng.uniform(0, length[-1], size=round(density * length[-1]))):
        x, y = (np.interp(place, length, line[:, i]) + rng.uniform(-1.5, 1.5) for i in (0, 1))
        draw_tree(canvas, rng, Frame(x, y), rng.uniform(1.4, 3.4), color * rng.uniform(0.85, 1.15))


def draw_road(
    canvas: Canvas, rng: np.random.Generator, line: Array, width: float, surface: str = 'asphalt'
) -> None:
    """Draw a road along a line (N, 2); wide asphalt roads have verges and lane markings."""
    verge = pick_color(rng, 'concrete') * 0.8
    canvas.fill(strip(line, width + 2.4), verge, opacity=0.5, grain=0.1)
    canvas.fill(strip(line, width), pick_color(rng, surface), grain=0.05)
    if surface != 'asphalt' or width < 5.5:
        return
    paint = np.array([0.86, 0.86, 0.82])
    for side in (-1, 1):
        edge = parallel(line, side * (width / 2 - 0.5))
        canvas.fill(strip(edge, 0.3), paint, opacity=0.6)
    distance = np.linalg.norm(line[-1] - line[0])
    t = np.linspace(0, 1, max(2, round(distance / 4.5)))
    dense = np.stack([np.interp(t, np.linspace(0, 1, len(line)), line[:, i]) for i in (0, 1)], 1)
    for start, end in zip(dense[:-1:2], dense[1::2], strict=False):
        canvas.fill(strip(np.stack([start, end]), 0.4), paint, opacity=0.85)


def parallel(line: Array, offset: float) -> Array:
    """Move a line (N, 2) sideways by `offset` meters."""
    # The moved line is one side of a strip of twice the offset.
    return strip(line, 2 * offset)[: len(line)]


def draw_water(canvas: Canvas, rng: np.random.Generator, outline: Array, angle: float) -> None:
    """Draw water with waves across the direction `angle` (radians)."""
    color = pick_color(rng, 'water')
    depth = rng.uniform(0.02, 0.09)
    canvas.fill(outline, color, grain=rng.uniform(0.03, 0.09))
    canvas.fill(outline, color, opacity=0.6, rows=Rows(rng.uniform(2, 5), angle, depth, 0.5))
    canvas.fill(outline, color * 1.05, opacity=0.4, rows=Rows(1.7, angle + 0.7, depth, 0.8))


def draw_house(canvas: Canvas, rng: np.random.Generator, frame: Frame, size: Array) -> Array:
    """Draw a house with a gable, hip or flat roof; return its outline (4, 2) in its frame."""
    length, width = size
    outline = rectangle(length, width)
    ground = frame.to_ground(outline)
    canvas.shadow(ground, rng.uniform(4, 8))
    color = pick_color(rng, 'roof')
    kind = rng.choice(['gable', 'hip', 'flat'], p=[0.5, 0.3, 0.2])
    if kind == 'flat':
        draw_flat_roof(canvas, rng, frame, size)
        return outline
    tiles = Rows(0.9, frame.angle, 0.05)
    canvas.fill(ground, color, grain=0.05, rows=tiles)
    inset = width / 2 if kind == 'hip' else 0.0
    ridge = np.array([[length / 2 - inset, 0], [-length / 2 + inset, 0]])
    front_left, front_right, rear_right, rear_left = outline
    faces = [
        np.stack([front_left, ridge[0], ridge[1], rear_left]),
        np.stack([front_right, ridge[0], ridge[1], rear_right]),
        np.stack([front_left, ridge[0], front_right]),
        np.stack([rear_left, ridge[1], rear_right]),
    ]
    normals = [(0, -1), (0, 1), (1, 0), (-1, 0)]
    for face, normal in zip(faces, normals, strict=True):
        if np.linalg.norm(np.ptp(face, axis=0)) > 0 and (kind == 'hip' or normal[0] == 0):
            towards = frame.to_ground(np.array([normal])) - [frame.x, frame.y]
            light = 1 - 0.28 * float(towards[0] @ canvas.away_from_sun)
            canvas.fill(frame.to_ground(face), color * light, grain=0.05, rows=tiles)
    canvas.fill(strip(frame.to_ground(ridge), 0.4), color * 1.3, opacity=0.7)
    if rng.random() < 0.4:
        chimney = frame.at(rng.uniform(-0.3, 0.3) * length, rng.uniform(-0.3, 0.3) * width)
        canvas.fill(chimney.to_ground(rectangle(1, 1)), color * 0.5)
    return outline


def draw_flat_roof(canvas: Canvas, rng: np.random.Generator, frame: Frame, size: Array) -> Array:
    """Draw a flat roof with parapet, seams and vents; return its outline (4, 2) in its frame."""
    length, width = size
    outline = rectangle(length, width)
    ground = frame.to_ground(outline)
    canvas.shadow(ground, rng.uniform(5, 10))
    color = pick_color(rng, 'flat_roof')
    canvas.fill(ground, color * 1.1)
    inner = frame.to_ground(rectangle(length - 1.2, width - 1.2))
    canvas.fill(inner, color * 0.93, grain=0.04, rows=Rows(3.0, frame.angle, 0.02))
    for _ in range(rng.integers(1, 3 + round(length * width / 120))):
        u, v = rng.uniform(-0.38, 0.38, size=2) * size
        vent = frame.at(u, v).to_ground(rectangle(*rng.uniform(0.9, 2.4, size=2)))
        canvas.shadow(vent, 1.0)
        canvas.fill(vent, color * rng.choice([0.6, 1.2]))
    return outline


def draw_tank(canvas: Canvas, rng: np.random.Generator, frame: Frame, size: Array) -> Array:
    """Draw a storage tank, fixed or floating roof; return its outline (28, 2) in its frame."""
    radius = size[0] / 2
    outline = disc(radius)
    ground = frame.to_ground(outline)
    color = pick_color(rng, 'tank')
    canvas.shadow(ground, rng.uniform(0.5, 0.9) * radius + 3)
    canvas.fill(ground, color * 1.06)
    if rng.random() < 0.4:
        # The roof floats below the rim, so the wall casts a shadow onto it.
        canvas.fill(frame.to_ground(disc(radius * 0.92)), color * 0.55)
        lit = frame.to_ground(disc(radius * 0.78)) + 0.12 * radius * canvas.away_from_sun
        canvas.fill(lit, color * 0.8, grain=0.05)
    else:
        canvas.fill(frame.to_ground(disc(radius * 0.94)), color * 0.93, dome=0.22)
        canvas.fill(frame.to_ground(disc(radius * 0.12)), color * 0.7)
    stairs = frame.at(radius * 0.5, 0).to_ground(rectangle(radius * 0.9, 0.6))
    canvas.fill(stairs, color * 0.6)
    return outline


def draw_ship(canvas: Canvas, rng: np.random.Generator, frame: Frame, size: Array) -> Array:
    """Draw a ship heading along u; return its outline (8, 2) in its frame."""
    length, beam = size
    bow = np.array([[0.5, 0.0], [0.43, 0.26], [0.3, 0.45], [0.1, 0.5], [-0.46, 0.5], [-0.5, 0.36]])
    outline = np.concatenate([bow, (bow[1:] * [1, -1])[::-1]]) * size
    ground = frame.to_ground(outline)
    canvas.shadow(ground, rng.uniform(1, 3))
    deck = pick_color(rng, 'deck')
    canvas.fill(ground, pick_color(rng, 'hull'))
    canvas.fill(frame.to_ground(outline * [0.95, 0.8]), deck, grain=0.05)
    if length > 18 and rng.random() < 0.7:
        hold = rng.uniform(0.1, 0.16) * length
        for u in np.arange(-0.18 * length, 0.32 * length, hold * 1.15):
            hatch = frame.at(u, 0).to_ground(rectangle(hold, 0.58 * beam))
            cargo = pick_color(rng, 'container') if rng.random() < 0.5 else deck * 0.72
            canvas.fill(hatch, cargo, grain=0.05)
    bridge = frame.at(-0.34 * length, 0).to_ground(rectangle(0.14 * length, 0.66 * beam))
    canvas.shadow(bridge, 0.5 * beam)
    canvas.fill(bridge, np.array([0.9, 0.9, 0.88]) * rng.uniform(0.85, 1.05))
    return outline


def draw_wake(canvas: Canvas, frame: Frame, size: Array) -> None:
    """Draw the foam behind a moving ship: a fading streak and the two arms of its bow wave."""
    length, beam = size
    foam = np.array([0.86, 0.89, 0.9])
    for part in range(6):
        u = -0.5 * length - (part + 0.5) * 0.35 * length
        streak = frame.at(u, 0).to_ground(rectangle(0.36 * length, beam * (0.7 + 0.12 * part)))
        canvas.fill(streak, foam, opacity=0.5 * 0.72**part, grain=0.25)
    for side in (-1, 1):
        arm = np.array([[0.35 * length, side * 0.4 * beam], [-1.0 * length, side * 2.4 * beam]])
        canvas.fill(strip(frame.to_ground(arm), 0.16 * beam), foam, opacity=0.3, grain=0.3)


def draw_car(canvas: Canvas, rng: np.random.Generator, frame: Frame, size: Array) -> Array:
    """Draw a car heading along u; return its outline (4, 2) in its frame."""
    length, width = size
    outline = rectangle(length, width)
    ground = frame.to_ground(outline)
    color = pick_color(rng, 'car')
    canvas.shadow(ground, 1.5)
    canvas.fill(ground, color)
    for u, share in ((0.14, 0.16), (-0.3, 0.12)):
        glass = frame.at(u * length, 0).to_ground(rectangle(share * length, 0.8 * width))
        canvas.fill(glass, np.array([0.16, 0.19, 0.22]))
    return outline
