from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from synthetic import CATEGORIES, make_scene
from synthetic.canvas import Canvas, Frame, Rows, blob, disc, rectangle, strip

# Mean of R, G and B of scene 3 at 64 px, seed 0. They tell whether another machine, NumPy or OpenCV
# makes the same scenes. Who changes the pictures on purpose raises `_REVISION` in
# classification.py.
GOLDEN = {
    'crossroads': (108.11, 112.74, 95.61),
    'farmland': (142.79, 144.02, 88.83),
    'forest': (55.06, 57.40, 48.85),
    'harbor': (125.08, 135.10, 134.78),
    'parking': (99.87, 105.88, 101.05),
    'residential': (101.21, 97.80, 84.58),
    'river': (69.89, 75.24, 61.24),
    'storage_tanks': (164.82, 183.58, 122.57),
}


def digest(category: str) -> str:
    return hashlib.sha256(make_scene(category, 3, size=64).image.tobytes()).hexdigest()


@pytest.mark.parametrize('category', CATEGORIES)
def test_scenes_are_the_known_ones(category):
    mean = make_scene(category, 3, size=64).image.mean(axis=(0, 1))
    np.testing.assert_allclose(mean, GOLDEN[category], atol=0.05)


def test_another_process_with_another_number_of_threads_makes_the_same_bytes(checkout):
    code = (
        'import hashlib, cv2; cv2.setNumThreads(1); cv2.setUseOptimized(False)\n'
        'from synthetic import CATEGORIES, make_scene\n'
        'for name in reversed(CATEGORIES):\n'
        '    image = make_scene(name, 3, size=64).image\n'
        '    print(name, hashlib.sha256(image.tobytes()).hexdigest())\n'
    )
    environment = {**os.environ, 'OPENBLAS_NUM_THREADS': '1', 'PYTHONHASHSEED': '5'}
    environment['PYTHONPATH'] = str(checkout / 'tools')
    # No AVX2 or AVX512 in NumPy: another processor, as far as this one can play it.
    environment['NPY_DISABLE_CPU_FEATURES'] = 'AVX2 FMA3 AVX512F AVX512_SKX'
    output = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert dict(line.split() for line in output.splitlines()) == {c: digest(c) for c in CATEGORIES}


def test_index_seed_and_size_make_other_scenes():
    scenes = [
        make_scene('harbor', 0, size=64),
        make_scene('harbor', 1, size=64),
        make_scene('harbor', 0, size=64, seed=1),
    ]
    for i, one in enumerate(scenes):
        for other in scenes[:i]:
            assert np.abs(one.image.astype(int) - other.image).mean() > 5
    assert make_scene('harbor', 0, size=65).image.shape == (65, 65, 3)


@pytest.mark.parametrize('category', CATEGORIES)
@pytest.mark.parametrize('size', [32, 97])
def test_image_and_objects_are_well_formed(category, size):
    for index in range(3):
        scene = make_scene(category, index, size=size)
        assert scene.category == category
        assert 0.5 <= scene.gsd <= 0.9
        assert scene.image.shape == (size, size, 3)
        assert scene.image.dtype == np.uint8
        assert scene.image.std() > 4
        for thing in scene.objects:
            assert thing.polygon.dtype == thing.corners.dtype == np.float32
            assert thing.polygon.shape[0] >= 4
            assert thing.corners.shape == (4, 2)
            # The box holds the outline, and a part of it is in the picture.
            grown = thing.corners + 0.01 * (thing.corners - thing.corners.mean(axis=0))
            assert all(cv2.pointPolygonTest(grown, p.tolist(), False) > 0 for p in thing.polygon)
            assert (thing.polygon.max(axis=0) > 0).all()
            assert (thing.polygon.min(axis=0) < size).all()


@pytest.mark.parametrize(
    ('category', 'name', 'smallest', 'largest'),
    [
        ('harbor', 'ship', 8, 34),
        ('parking', 'car', 3.9, 5.0),
        ('residential', 'house', 7, 16),
        ('storage_tanks', 'storage_tank', 6, 26),
    ],
)
def test_objects_have_their_real_size(category, name, smallest, largest):
    for index in range(8):
        scene = make_scene(category, index)
        things = [thing for thing in scene.objects if thing.name == name]
        assert things, f'{category} {index} has no {name}'
        for thing in things:
            front_left, _, _, rear_left = thing.corners * scene.gsd
            assert smallest <= np.linalg.norm(front_left - rear_left) <= largest + 1e-3


def test_a_polygon_lies_where_the_object_is_drawn():
    """White roofs and hulls apart, water is smooth: the ship differs from the water around it."""
    differences = []
    for index in range(10):
        scene = make_scene('harbor', index)
        image = scene.image.astype(float)
        for thing in scene.objects:
            center = thing.corners.mean(axis=0)
            if thing.name != 'ship' or (np.abs(center - 64) > 45).any():
                continue
            inside, far = (np.zeros(image.shape[:2], np.uint8) for _ in range(2))
            cv2.fillPoly(inside, [np.round(thing.polygon - 0.5).astype(np.int32)], 1)
            # The same shape, a ship's beam to the side.
            side = 1.3 * (thing.corners[1] - thing.corners[0])
            cv2.fillPoly(far, [np.round(thing.polygon + side - 0.5).astype(np.int32)], 1)
            differences.append(image[inside > 0].std() - image[far > 0].std())
    assert len(differences) > 20
    assert np.mean(np.array(differences) > 0) > 0.8


def test_fill_covers_exactly_its_meters():
    canvas = Canvas(64, 0.5, np.random.default_rng(0))
    canvas.fill(Frame(15, 10).to_ground(rectangle(10, 6)), np.array([1.0, 0.5, 0.0]))
    red = canvas.rgb.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))[..., 0]
    rows, columns = np.nonzero(red > 0.9)
    # x 10 to 20 m, y 7 to 13 m, at 0.5 m/px.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (14, 25, 20, 39)
    assert (red > 0.9).sum() == 12 * 20
    # OpenCV draws half a sub-pixel wider at most.
    assert (red > 0).sum() <= 14 * 22
    outline = canvas.to_pixels(Frame(15, 10).to_ground(rectangle(10, 6)))
    np.testing.assert_array_equal(outline, [[40, 14], [40, 26], [20, 26], [20, 14]])


def test_what_is_out_of_sight_changes_nothing():
    canvas = Canvas(32, 1.0, np.random.default_rng(0))
    away = Frame(100, 100).to_ground(disc(10))
    canvas.fill(away, np.ones(3))
    canvas.shadow(away, 5)
    assert not canvas.shows(away)
    assert canvas.shows(Frame(-3, 10).to_ground(disc(5)))
    assert not canvas.rgb.any()


def test_shadow_falls_away_from_the_sun():
    canvas = Canvas(64, 1.0, np.random.default_rng(0))
    canvas.rgb[:] = 1
    canvas.shadow(Frame(32, 32).to_ground(disc(4)), 10)
    dark = np.argwhere(canvas.rgb[..., 0] < 1)[:, ::-1].mean(axis=0) / 2
    along = (dark - 32) @ canvas.away_from_sun
    assert along > 1.5
    assert np.linalg.norm(dark - 32 - along * canvas.away_from_sun) < 0.5


def test_frames_turn_clockwise_and_back():
    frame = Frame(10, 20, np.pi / 2)
    np.testing.assert_allclose(frame.to_ground(np.array([[3.0, 0], [0, 2]])), [[10, 23], [8, 20]])
    inner = frame.at(3, 0, np.pi / 2)
    np.testing.assert_allclose([inner.x, inner.y, inner.angle], [10, 23, np.pi])
    np.testing.assert_allclose(frame.to_local(inner), [3, 0], atol=1e-12)


def test_strip_has_its_width():
    band = strip(np.array([[0.0, 0], [10, 0], [20, 0]]), 4)
    assert cv2.contourArea(band.astype(np.float32)) == pytest.approx(80)
    assert np.ptp(band[:, 1]) == 4


def test_rows_have_their_period():
    canvas = Canvas(64, 0.5, np.random.default_rng(0))
    canvas.cover(np.full(3, 0.5), rows=Rows(period=4.0, angle=0.0, depth=0.2))
    profile = canvas.rgb[:, 0, 0]
    spectrum = np.abs(np.fft.rfft(profile - profile.mean()))
    # 32 m with a row each 4 m.
    assert spectrum.argmax() == 8


def test_blob_stays_within_its_roughness():
    radii = np.linalg.norm(blob(np.random.default_rng(0), 5, 0.2, corners=200), axis=1)
    assert 4 <= radii.min() < 4.2
    assert 5.8 < radii.max() <= 6


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(category='airport', index=0), "unknown category 'airport'.*crossroads"),
        (dict(category='forest', index=0, size=31), 'size is 31 px.*at least 32'),
        (dict(category='forest', index=-1), 'index -1'),
        (dict(category='forest', index=0, seed=-2), 'seed -2'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_scene(**arguments)
