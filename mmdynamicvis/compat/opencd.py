"""Published names for change detection, in open-cd's scope. Importing this imports open-cd."""

from __future__ import annotations

from typing import Any

import mmdynamicvis.change_detection.opencd  # noqa: F401 -- before open-cd itself

# isort: split
from opencd.datasets import _BaseCDDataset
from opencd.registry import DATASETS, MODELS

from mmdynamicvis.compat.change_detection import DualInputsFPN, DualInputsSimpleFusionNeck

MODELS.register_module(module=DualInputsFPN)
MODELS.register_module(module=DualInputsSimpleFusionNeck)


@DATASETS.register_module()
class OSCD_CD_Dataset(_BaseCDDataset):  # noqa: N801 -- published
    """open-cd's dataset of pairs, for OSCD: lists have whole file names, masks 0 and 1.

    Args:
        img_suffix: Suffix of the images.
        seg_map_suffix: Suffix of the masks.
        **kwargs: Arguments of open-cd's datasets; ``format_seg_map='to_binary'`` reads masks of 0
            and 255.
    """

    METAINFO = dict(classes=('unchanged', 'changed'), palette=[[0, 0, 0], [255, 255, 255]])

    def __init__(self, img_suffix: str = '', seg_map_suffix: str = '', **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
