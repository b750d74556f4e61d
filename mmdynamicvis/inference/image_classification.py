"""mmpretrain's inferencer for classification, with the loading that trainings use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmpretrain.apis import ImageClassificationInferencer

from mmdynamicvis.data.loading import LoadIntactImage


class IntactImageInferencer(ImageClassificationInferencer):
    """mmpretrain's inferencer, which refuses the files that ``LoadIntactImage`` refuses.

    mmpretrain decodes files before the pipeline: 16-bit images would be nearly black, and truncated
    ones may be read in part.
    """

    def preprocess(
        self, inputs: Sequence[str | np.ndarray], batch_size: int = 1
    ) -> Iterator[dict[str, Any]]:
        """Yield batches of images; the argument may have paths and arrays (H, W, 3), B, G, R.

        Raises:
            OSError: A file is missing, truncated or not an image.
            ValueError: An image has more than 8 bits per band.
        """
        load = LoadIntactImage()
        images = (
            image if isinstance(image, np.ndarray) else load(dict(img_path=str(image)))['img']
            for image in inputs
        )
        yield from super().preprocess(images, batch_size)
