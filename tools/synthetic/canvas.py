"""Drawing surface of the synthetic scenes: the ground seen from above, and a camera.

Everything is drawn in meters (x to the right, y downward, origin in the upper left corner) and in
float64. Only the final picture is rounded to 8 bits, so that differences in the last bits of sines
or matrix products between processors do not affect the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ['Canvas', 'Frame', 'Rows', 'blob', 'disc', 'rectangle', 'strip']

Array = NDArray[np.float64]

# Antialiasing: drawing at twice the resolution with exact integer filling, then averaging 2 x 2.
_OVERSAMPLING = 2
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Frame:
    """A local coordinate system on the ground: u along the heading, v to the right of it.

    Attributes:
        x: Origin, meters.
        y: Origin, meters.
        angle: Heading in radians, from the x axis toward the y axis (clockwise in the picture).
    """

    x: float
    y: float
    angle: float = 0.0

    def to_ground(self, points: Array) -> Array:
        """Map local points (N, 2) in meters to ground points (N, 2) in meters."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.asarray(points, dtype=np.float64) @ [[cos, sin], [-sin, cos]] + [self.x, self.y]

    def to_local(self, other: Frame) -> Array:
        """Return the origin of another frame in coordinates of this one, (2,), meters."""
        dx, dy = other.x - self.x, other.y - self.y
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([cos * dx + sin * dy, cos * dy - sin * dx])

    def at(self, u: float, v: float, turn: float = 0.0) -> Frame:
        """Return the frame whose origin is the local point (u, v), turned by `turn` radians."""
        x, y = self.to_ground(np.array([[u, v]]))[0]
        return Frame(float(x), float(y), self.angle + turn)


@dataclass(frozen=True)
class Rows:
    """Parallel rows over a surface: furrows, tiles or waves.

    Attributes:
        period: Distance between two rows, meters.
        angle: Direction of the rows, radians.
        depth: Amplitude relative to the color.
        wobble: Displacement of the rows by noise, in periods.
    """

    period: float
    angle: float
    depth: float
    wobble: float = 0.0


def rectangle(length: float, width: float) -> Array:
    """Return corners (4, 2): front left, front right, rear right, rear left; u points forward."""
    u, v = length / 2, width / 2
    return np.array([[u, -v], [u, v], [-u, v], [-u, -v]])


def disc(radius: float, corners: int = 28) -> Array:
    """Return a circle as a polygon (corners, 2)."""
    phi = np.arange(corners) * (2 * np.pi / corners)
    return radius * np.stack([np.cos(phi), np.sin(phi)], axis=1)


def blob(rng: np.random.Generator, radius: float, roughness: float, corners: int = 14) -> Array:
    """Return a disc with an irregular rim (corners, 2), for a tree crown or a bush."""
    return disc(radius, corners) * (1 + roughness * (2 * rng.random((corners, 1)) - 1))


def strip(line: Array, width: float | Array) -> Array:
    """Return the polygon (2 N, 2) of a band along a line.

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
    """Square piece of ground on which surfaces, shadows and objects are drawn.

    Args:
        size: Width and height of the final picture, pixels.
        gsd: Ground sample distance of the final picture, m/px.
        rng: Random generator for the textures and the position of the sun.

    Attributes:
        extent: Width and height of the ground, meters.
        rgb: Current drawing, float64 (2 size, 2 size, 3), RGB in 0 to 1.
        away_from_sun: Unit vector (2,) in the direction of shadows.
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
        """Return smooth noise of unit variance, (2 size, 2 size); `period` is in meters."""
        pixels = len(self.rgb)
        nodes = int(np.ceil(self.extent / period)) + 2
        spread = _interpolation(pixels, nodes)
        # einsum instead of `@`: starting BLAS threads costs far more than these small sums.
        field = np.einsum('in,nm->im', spread, rng.standard_normal((nodes, nodes)))
        field = np.einsum('im,jm->ij', field, spread)
        return (field - field.mean()) / field.std()

    def middle(self, angle: float = 0.0) -> Frame:
        """Return the frame at the center of the ground with heading `angle` (radians)."""
        return Frame(self.extent / 2, self.extent / 2, angle)

    def to_pixels(self, points: Array) -> NDArray[np.float32]:
        """Map ground points to pixels of the final picture; pixel i spans i to i + 1."""
        return (np.asarray(points) / self.gsd).astype(np.float32)

    def shows(self, outline: Array) -> bool:
        """Return whether any part of an outline (N, 2) in meters is in the picture."""
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
        """Draw a filled polygon.

        Args:
            outline: Corners on the ground, (N, 2), meters; parts outside the picture are cut off.
            color: RGB in 0 to 1, (3,).
            opacity: 0 (invisible) to 1.
            grain: Amplitude of the ground's irregular texture relative to the color.
            dome: Brightness difference between the side facing the sun and the other side.
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
        """Draw a surface over the whole ground."""
        everything = self.middle().to_ground(rectangle(self.extent * 1.1, self.extent * 1.1))
        self.fill(everything, color, grain=grain, rows=rows)

    def shadow(self, outline: Array, height: float) -> None:
        """Darken the shadow of an object with an outline (N, 2) and a height in meters."""
        shift = self.away_from_sun * (height * self._shadow_per_meter)
        both = np.concatenate([outline, outline + shift]).astype(np.float32)
        region = self._rasterise(cv2.convexHull(both)[:, 0].astype(np.float64))
        if region is not None:
            window, mask = region
            self.rgb[window] *= 1 - (1 - self._shadow_light) * mask[..., None]

    def _rasterise(self, outline: Array) -> tuple[tuple[slice, slice], Array] | None:
        """Return the window of the outline and its mask (0 or 1), None if it is not visible."""
        # OpenCV's coordinates start at the center of a pixel.
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
        """Render the picture with random blur, haze, color cast, vignetting and noise.

        Args:
            rng: Random generator for light and camera. It differs from that of the drawing, so that
                the same ground can be photographed twice.

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
