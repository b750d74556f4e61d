"""Metadata of ONNX files for Deepness, a plugin of QGIS that runs models on raster layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdynamicvis.export.image_models import ImageModel
from mmdynamicvis.export.segmentation import PROBABILITIES


@dataclass(frozen=True)
class Deepness:
    """What Deepness has to know of a segmentor besides the model.

    Args:
        resolution: Size of a pixel in centimeters, as in the training images; Deepness resamples
            the layer to it.
        overlap: Percentage of a tile that neighboring tiles share.

    Raises:
        ValueError: A number is out of range.
    """

    resolution: float
    overlap: int = 25

    def __post_init__(self) -> None:
        if not 0 < self.resolution < float('inf'):
            raise ValueError(
                f'resolution is {self.resolution}; give the centimeters of a pixel, above 0'
            )
        if not 0 <= self.overlap <= 50:
            raise ValueError(f'overlap is {self.overlap}; give 0 to 50 percent of a tile')

    def metadata(
        self, model: ImageModel, target: Path, size: tuple[int, int], dynamic: bool
    ) -> dict[str, Any]:
        """Return the metadata of a file.

        Deepness divides pixels by 255 and standardizes them. Files of this project normalize the
        pixels themselves, so the standardization multiplies by 255 again.

        Args:
            model: The model in the file.
            target: The file.
            size: (height, width) of the images in pixels.
            dynamic: Whether the size is open.

        Raises:
            ValueError: Deepness cannot use the file: it is no ONNX file of a segmentor, its size
                is open or not square, or the classes have no names.
        """
        for wrong, why in (
            (target.suffix != '.onnx', 'it reads ONNX files'),
            (model.outputs != [PROBABILITIES], 'of the models of this project it runs segmentors'),
            (dynamic, 'it takes the size of its tiles from the file, which must not be open'),
            (size[0] != size[1], f'its tiles are square, and the size is {size}'),
            (not model.facts.get('classes'), 'the config names no classes'),
        ):
            if wrong:
                raise ValueError(f'{target} cannot be used with Deepness: {why}')
        classes = model.facts['classes']
        return dict(
            model_type='Segmentor',
            class_names=dict(enumerate(classes)),
            resolution=self.resolution,
            tile_size=size[0],
            tiles_overlap=self.overlap,
            standardization_mean=[0.0] * model.bands,
            standardization_std=[1 / 255] * model.bands,
            # the most probable class, however probable, and no filter
            seg_thresh=0.0,
            seg_small_segment=0,
        )
