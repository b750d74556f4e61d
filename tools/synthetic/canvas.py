"""The drawing surface of the synthetic scenes: ground seen from above, and the camera over it.

Everything is drawn in meters (x to the right, y downwards, origin in the upper left corner) and in
float64. Only the finished picture is rounded to 8 bits, so that the last bit of a sine or of a
matrix product, which differs between processors, does not reach the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ['Canvas', 'Frame', 'Rows', 'blob', 'disc', 'rectangle', 'strip']

Array = NDArray[np.float64]

# Drawing at twice the resolution and averaging 2 x 2 gives smooth edges from exact integer filling.
_OVERSAMPLING = 2
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Frame:
    """A local coordinate system on the ground: u along its heading, v to the right of it.

    Attributes:
        x: Origin, meters.
        y: Origin, meters.
        angle: Heading in radians, from the x axis towards the y axis (clockwise in the picture).
    """

    x: float
    y: float
    angle: float = 0.0

    def to_ground(self, points: Array) -> Array:
        """Maps local points (N, 2) in meters to ground points (N, 2) in meters."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.asarray(points, dtype=np.float64) @ [[cos, sin], [-sin, cos]] + [self.x, self.y]

    def to_local(self, other: Frame) -> Array:
        """Returns the origin of another frame in this one, (2,), meters."""
        dx, dy = other.x - self.x, other.y - self.y
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([cos * dx + sin * dy, cos * dy - sin * dx])

    def at(self, u: float, v: float, turn: float = 0.0) -> Frame:
        """Returns the frame whose origin is the local point (u, v), turned by `turn` radians."""
        x, y = self.to_ground(np.array([[u, v]]))[0]
        return Frame(float(x), float(y), self.angle + turn)


@dataclass(frozen=True)
class Rows:
    """Parallel rows over a surface: furrows, tiles or waves.

    Attributes:
        period: Distance between two rows, meters.
        angle: Direction in which they run, radians.
        depth: Amplitude relative to the color.
        wobble: How far noise bends the rows, in periods.
    """

    period: float
    angle: float
    depth: float
    wobble: float = 0.0


def rectangle(length: float, width: float) -> Array:
    """Returns corners (4, 2): front left, front right, rear right, rear left of the heading u."""
    u, v = length / 2, width / 2
    return np.array([[u, -v], [u, v], [-u, v], [-u, -v]])


def disc(radius: float, corners: int = 28) -> Array:
    """Returns a circle as a polygon (corners, 2)."""
    phi = np.arange(corners) * (2 * np.pi / corners)
    return radius * np.stack([np.cos(phi), np.sin(phi)], axis=1)


def blob(rng: np.random.Generator, radius: float, roughness: float, corners: int = 14) -> Array:
    """Returns a disc with a ragged rim (corners, 2), such as a tree crown or a bush."""
    return disc(radius, corners) * (1 + roughness * (2 * rng.random((corners, 1)) - 1))


def strip(line: Array, width: float | Array) -> Array:
    """Returns the polygon (2 N, 2) of a band along a line.

    Args:
        line: Points of the middle line, (N, 2), meters.
        width: Width in meters, one number or one per point (N,).
    """
    line = np.asarray(line, dtype=np.float64)
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    half = across * np.broadcast_to(np.asarray(width, dtype=np.float64) / 2, len(line))[:, None]
    return np.concatenate([line + half, (line - half)[::-1]])


@lru_cache(maxsize=64)
def _interpolation(size: int, nodes: int) -> Array:
    """Matrix (size, nodes) that spreads node values smoothly over `size` pixels."""
    position = np.linspace(0, nodes - 1, size)[:, None]
    weight = np.exp(-2 * (position - np.arange(nodes)) ** 2)
    return weight / weight.sum(axis=1, keepdims=True)


def _blur(image: Array, sigma: float) -> Array:
    """Gaussian blur of an image (H, W, C) by a sigma of at most one pixel; the rim is repeated."""
    taps = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        margin = [(3, 3) if axis == i else (0, 0) for i in range(3)]
        padded = np.pad(image, margin, mode='edge')
        shifted = (padded.take(range(i, i + image.shape[axis]), axis) for i in range(7))
        image = sum(tap * part for tap, part in zip(taps, shifted, strict=True))
    return image


class Canvas:
    """Square piece of ground on which surfaces, shadows and things are drawn one over the other.

    Args:
        size: Width and height of the finished picture, pixels.
        gsd: Ground sample distance of the finished picture, m/px.
        rng: Source of the textures and of the sun's position.

    Attributes:
        extent: Width and height of the ground, meters.
        rgb: What is drawn so far, float64 (2 size, 2 size, 3), RGB in 0 to 1.
        away_from_sun: Unit vector (2,) in which shadows fall.
    """

    def __init__(self, size: int, gsd: float, rng: np.random.Generator) -> None:
        self.size = size
        self.gsd = gsd
        self.extent = size * gsd
        pixels = size * _OVERSAMPLING
        self.rgb = np.zeros((pixels, pixels, 3))
        azimuth = rng.uniform(0, 2 * np.pi)
        self.away_from_sun = np.array([np.cos(azimuth), np.sin(azimuth)])
        self._shadow_per_meter = rng.uniform(0.4, 1.3)
        self._shadow_light = rng.uniform(0.38, 0.6)
        fine = rng.standard_normal((size, size)).repeat(_OVERSAMPLING, 0).repeat(_OVERSAMPLING, 1)
        self._bend = self._smooth_noise(rng, period=9.0)
        self._grain = 0.5 * fine + 0.35 * self._bend

    def _smooth_noise(self, rng: np.random.Generator, period: float) -> Array:
        """Returns smooth noise of unit variance, (2 size, 2 size); `period` is in meters."""
        pixels = len(self.rgb)
        nodes = int(np.ceil(self.extent / period)) + 2
        spread = _interpolation(pixels, nodes)
        # Not `@`: waking BLAS threads costs far more than these small sums.
        field = np.einsum('in,nm->im', spread, rng.standard_normal((nodes, nodes)))
        field = np.einsum('im,jm->ij', field, spread)
        return (field - field.mean()) / field.std()

    def middle(self, angle: float = 0.0) -> Frame:
        """Returns the frame at the center of the ground with heading `angle` (radians)."""
        return Frame(self.extent / 2, self.extent / 2, angle)

    def to_pixels(self, points: Array) -> NDArray[np.float32]:
        """Maps ground points to the finished picture; pixel i spans i to i + 1."""
        return (np.asarray(points) / self.gsd).astype(np.float32)

    def shows(self, outline: Array) -> bool:
        """Says whether any part of an outline (N, 2) in meters is in the picture."""
        region = self._rasterise(outline)
        return region is not None and bool(region[1].any())

    def fill(
        self,
        outline: Array,
        color: Array,
        *,
        opacity: float = 1.0,
        grain: float = 0.0,
        dome: float = 0.0,
        rows: Rows | None = None,
    ) -> None:
        """Draws a filled polygon.

        Args:
            outline: Corners on the ground, (N, 2), meters; parts outside the picture are cut off.
            color: RGB in 0 to 1, (3,).
            opacity: 0 (invisible) to 1.
            grain: Amplitude of the ground's irregular texture relative to the color.
            dome: How much the side towards the sun is brighter and the other one darker.
            rows: Parallel rows over the surface.
        """
        region = self._rasterise(outline)
        if region is None:
            return
        window, mask = region
        light = np.ones(mask.shape)
        if grain:
            light += grain * self._grain[window]
        if dome or rows is not None:
            y, x = (
                np.arange(side.start, side.stop) * (self.gsd / _OVERSAMPLING) for side in window
            )
            y = y[:, None]
            if dome:
                reach = np.linalg.norm(np.ptp(outline, axis=0)) / 2
                center = (outline.max(axis=0) + outline.min(axis=0)) / 2
                towards = self.away_from_sun * (dome / reach)
                light -= (x - center[0]) * towards[0] + (y - center[1]) * towards[1]
            if rows is not None:
                across = y * np.cos(rows.angle) - x * np.sin(rows.angle)
                phase = across / rows.period + rows.wobble * self._bend[window]
                light += rows.depth * np.sin(2 * np.pi * phase)
        mask = mask[..., None] * opacity
        target = self.rgb[window]
        target += mask * (light[..., None] * color - target)

    def cover(self, color: Array, *, grain: float = 0.0, rows: Rows | None = None) -> None:
        """Draws a surface over the whole ground."""
        everything = self.middle().to_ground(rectangle(self.extent * 1.1, self.extent * 1.1))
        self.fill(everything, color, grain=grain, rows=rows)

    def shadow(self, outline: Array, height: float) -> None:
        """Darkens what an outline (N, 2) of this height, meters, keeps from the sun."""
        shift = self.away_from_sun * (height * self._shadow_per_meter)
        both = np.concatenate([outline, outline + shift]).astype(np.float32)
        region = self._rasterise(cv2.convexHull(both)[:, 0].astype(np.float64))
        if region is not None:
            window, mask = region
            self.rgb[window] *= 1 - (1 - self._shadow_light) * mask[..., None]

    def _rasterise(self, outline: Array) -> tuple[tuple[slice, slice], Array] | None:
        """Returns the window of the outline and its mask (0 or 1), None if it is out of sight."""
        # OpenCV counts from the middle of a pixel.
        points = outline * (_OVERSAMPLING / self.gsd) - 0.5
        corners = np.rint(points * 2**_SUBPIXEL_BITS).astype(np.int32)
        left, top, width, height = cv2.boundingRect(corners)
        x, y = (max(start >> _SUBPIXEL_BITS, 0) for start in (left, top))
        x_stop, y_stop = (
            min((stop >> _SUBPIXEL_BITS) + 2, len(self.rgb))
            for stop in (left + width, top + height)
        )
        if x >= x_stop or y >= y_stop:
            return None
        mask = np.zeros((y_stop - y, x_stop - x), np.uint8)
        corners -= np.array([x, y], np.int32) << _SUBPIXEL_BITS
        cv2.fillPoly(mask, [corners], 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
        return (slice(y, y_stop), slice(x, x_stop)), mask.astype(np.float64)

    def photograph(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Takes the picture under random light: blur, haze, color cast, vignetting and noise.

        Args:
            rng: Source of the light and of the camera's faults. It is another one than that of the
                drawing, so that the same ground can be photographed twice.

        Returns:
            RGB picture, uint8 (size, size, 3).
        """
        shape = (self.size, _OVERSAMPLING, self.size, _OVERSAMPLING, 3)
        image = self.rgb.clip(0, 1).reshape(shape).mean(axis=(1, 3))
        image = _blur(image, rng.uniform(0.25, 0.9))
        image = image ** rng.uniform(0.75, 1.3)
        gain = rng.uniform(0.7, 1.22) * rng.uniform(0.88, 1.12, size=3)
        slope = rng.uniform(-0.12, 0.12, size=2)
        ramp = np.linspace(-1, 1, self.size)
        image = image * gain * (1 + slope[0] * ramp[:, None] + slope[1] * ramp)[..., None]
        haze = rng.uniform(0, 0.22)
        image = image * (1 - haze) + haze * rng.uniform(0.55, 0.8)
        gray = image.mean(axis=2, keepdims=True)
        image = gray + rng.uniform(0.45, 1.15) * (image - gray)
        image = image + rng.uniform(0, 0.03) * rng.standard_normal(image.shape)
        return np.round(image.clip(0, 1) * 255).astype(np.uint8)
