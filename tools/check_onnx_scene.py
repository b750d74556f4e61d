r"""Run an exported segmentor on a scene by the rules of Deepness, and compare with infer_scene.

    python tools/check_onnx_scene.py roads.onnx scene.tif CONFIG CHECKPOINT
    python tools/check_onnx_scene.py change.onnx before.tif after.tif CONFIG CHECKPOINT

The tile size, the overlap, the standardization and the classes are read from the file as the QGIS
plugin Deepness reads them, and onnxruntime runs the file. Joined as infer_scene joins tiles, the
probabilities must be those of infer_scene with the same tiles. The plugin itself joins tiles
without blending; the command also says how many pixels then have the class of infer_scene.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
import rasterio

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.export import TOLERANCE
from mmdynamicvis.scenes import Pace, SceneModel, infer_scene
from mmdynamicvis.scenes.dense import segment_scene
from mmdynamicvis.scenes.grid import Box
from mmdynamicvis.scenes.reading import Scene, Window

KEYS = (
    'model_type',
    'class_names',
    'resolution',
    'tile_size',
    'tiles_overlap',
    'standardization_mean',
    'standardization_std',
    'seg_thresh',
)
"""Metadata that Deepness reads of a segmentor."""
SAME_RESOLUTION = 0.01
"""Largest relative difference of resolutions that are taken to be one."""


class PluginFile:
    """An ONNX file with what Deepness knows of it.

    Args:
        path: The file.
        loaded: Bands of a window as they are read; None for all.

    Raises:
        ValueError: The plugin could not run the file as a segmentor.
    """

    def __init__(self, path: Path, loaded: Sequence[int | str] | None) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
        texts = self.session.get_modelmeta().custom_metadata_map
        facts = {name: json.loads(text) for name, text in texts.items()}
        missing = [key for key in KEYS if key not in facts]
        if missing:
            raise ValueError(
                f'{path} lacks the metadata {", ".join(missing)}: export it with --resolution'
            )
        inputs = self.session.get_inputs()
        self.tile = facts['tile_size']
        if len(inputs) != 1 or inputs[0].shape[2:] != [self.tile, self.tile]:
            shapes = [image.shape for image in inputs]
            raise ValueError(f'{path} takes {shapes}, not one image of tile_size={self.tile}')
        if str(facts['model_type']).capitalize() != 'Segmentor':
            raise ValueError(f'{path} has model_type {facts["model_type"]}, not Segmentor')
        self.input = inputs[0].name
        names = sorted(facts['class_names'].items(), key=lambda item: int(item[0]))
        self.classes = [name for _, name in names]
        self.resolution = facts['resolution']
        self.overlap = int(self.tile * facts['tiles_overlap'] / 100 * 2) // 2
        self.threshold = facts['seg_thresh']
        self.mean, self.std = (
            np.float32(facts[f'standardization_{name}']) for name in ('mean', 'std')
        )
        wanted = facts.get('bands')
        self.order = None if wanted is None or loaded is None else list(map(loaded.index, wanted))

    def run(self, windows: Sequence[Window]) -> np.ndarray:
        """Return the outputs for windows, (B, classes, H, W)."""
        if self.order is not None:
            windows = [[date[..., self.order] for date in window] for window in windows]
        images_BHWC = np.stack([np.concatenate(window, axis=-1) for window in windows])
        scaled = (np.float32(images_BHWC / 255) - self.mean) / self.std
        return self.session.run(None, {self.input: scaled.transpose(0, 3, 1, 2)})[0]

    def logits(self, windows: Sequence[Window]) -> list[np.ndarray]:
        """Return what segment_scene blends: logarithms of the probabilities."""
        return list(np.log(self.run(windows).clip(np.finfo(np.float32).tiny)))

    def joined(self, scene: Scene) -> np.ndarray:
        """Return the classes of a scene, (H, W) uint8, from the middles of tiles."""
        classes_HW = np.zeros((scene.height, scene.width), np.uint8)
        stride, margin = self.tile - self.overlap, self.overlap // 2
        tops, lefts = (
            range(0, max(side - self.tile, 0) + stride, stride) for side in classes_HW.shape
        )
        for top in tops:
            for left in lefts:
                bottom, right = (
                    min(top + self.tile, scene.height),
                    min(left + self.tile, scene.width),
                )
                images, _ = scene.read(Box(top, left, bottom, right))
                beyond = (0, top + self.tile - bottom), (0, left + self.tile - right), (0, 0)
                scores_KHW = self.run([[np.pad(image, beyond) for image in images]])[0]
                scores_KHW[scores_KHW < self.threshold] = 0
                # the margin at the end of a tile is overwritten by the next
                row, column = (margin if start else 0 for start in (top, left))
                found_HW = scores_KHW.argmax(0)[row : bottom - top, column : right - left]
                classes_HW[top + row : bottom, left + column : right] = found_HW
        return classes_HW


def check_resolution(scene: Scene, resolution: float) -> None:
    """Raise a ValueError if Deepness would resample a scene."""
    if scene.crs is None or not scene.crs.is_projected:
        raise ValueError(
            f'{scene.paths[0]} has no projected reference system, in which pixels have a size in '
            'meters: reproject it by gdalwarp'
        )
    size = 100 * abs(scene.transform.a) * scene.crs.linear_units_factor[1]
    if abs(size / resolution - 1) > SAME_RESOLUTION:
        raise ValueError(
            f'{scene.paths[0]} has pixels of {size:g} cm, and the file is for {resolution:g} cm: '
            'Deepness would resample it. Resample it by gdalwarp first'
        )


def compare(model_tif: Path, file_tif: Path, joined_HW: np.ndarray) -> tuple[float, int, float]:
    """Return the largest difference, the pixels of another class, and the share joined alike."""
    with rasterio.open(model_tif) as model_file, rasterio.open(file_tif) as own_file:
        largest, other, alike, pixels = 0.0, 0, 0, 0
        for _, window in model_file.block_windows(1):
            expected, found = (file.read(window=window) for file in (model_file, own_file))
            if (np.isnan(expected) != np.isnan(found)).any():
                return np.nan, other, np.nan
            there_HW = ~np.isnan(expected[0])
            if not there_HW.any():
                continue
            expected, found = expected[:, there_HW], found[:, there_HW]
            largest = max(largest, float(np.abs(expected - found).max()))
            other += int((expected.argmax(0) != found.argmax(0)).sum())
            classes = joined_HW[window.toslices()][there_HW]
            alike += int((expected.argmax(0) == classes).sum())
            pixels += int(there_HW.sum())
    return largest, other, alike / max(pixels, 1)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('file', type=Path, help='ONNX file, exported with --resolution')
    parser.add_argument('scene', nargs='+', help='raster, or rasters of two dates')
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--tolerance',
        type=float,
        default=TOLERANCE,
        help='largest difference of a probability (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    model = SceneModel(args.config, args.checkpoint, 'cpu')
    reading, pace = model.reading(), Pace(progress=False)
    file = PluginFile(args.file, reading.get('bands'))
    if file.classes != model.classes:
        raise ValueError(f'{args.file} has the classes {file.classes}, not {model.classes}')
    grid = dict(tile=file.tile, overlap=file.overlap, probabilities=True, pace=pace)
    with (
        TemporaryDirectory() as folder,
        Scene(args.scene, LoadGeoTIFF(**reading)) as scene,
    ):
        check_resolution(scene, file.resolution)
        if min(scene.height, scene.width) < file.tile:
            raise ValueError(
                f'{args.scene[0]} has {scene.width} x {scene.height} pixels, less than a tile of '
                f'{file.tile}, to which Deepness pads it and infer_scene does not'
            )
        outputs = Path(folder, 'model.tif'), Path(folder, 'file.tif')
        infer_scene(args.scene, outputs[0], args.config, args.checkpoint, device='cpu', **grid)
        segment_scene(scene, file.logits, outputs[1], file.classes, **grid)
        largest, other, alike = compare(*outputs, file.joined(scene))
    print(
        f'{args.file}: {", ".join(file.classes)}; tiles of {file.tile} pixels, overlap '
        f'{file.overlap}, {file.resolution:g} cm per pixel'
    )
    print(
        f'probabilities differ from infer_scene by at most {largest:.1e}, and {other} pixels have '
        'another class'
    )
    print(f'tiles joined as by Deepness: {alike:.2%} of pixels have the class of infer_scene')
    if not largest <= args.tolerance:
        raise ValueError(f'probabilities differ by more than tolerance={args.tolerance:g}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
