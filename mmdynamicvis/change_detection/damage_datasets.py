"""Datasets of building damage: pairs of images, where buildings are, and how damaged they are."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdynamicvis.change_detection.labeled_pairs import BUILDINGS, LabeledPairs
from mmdynamicvis.registry import DATASETS

XBD_DAMAGE = dict(
    classes=('background', 'no-damage', 'minor-damage', 'major-damage', 'destroyed'),
    palette=[(0, 0, 0), (70, 172, 0), (253, 197, 0), (253, 120, 0), (200, 0, 40)],
)


@DATASETS.register_module()
class XBD(LabeledPairs):
    """xBD, the dataset of the xView2 challenge: pairs of 1024 x 1024 px before and after disasters.

    Published layout (https://xview2.org, https://arxiv.org/abs/1911.09296), with ``data_root`` a
    split: 2799 pairs of train, 6369 of tier3, 933 of test and 933 of hold, as
    ``images/NAME_{pre,post}_disaster.png``, ``labels/NAME_{pre,post}_disaster.json`` and, except in
    tier3, ``targets/NAME_{pre,post}_disaster_target.png``. The targets are read: ``location`` from
    that before the disaster, 1 for buildings, and ``damage`` from that after it, 1 to 4 for no
    damage, minor damage, major damage and destroyed. Both must lie in one folder or two.
    ``tools/prepare_data/xbd.py`` draws targets from labels, with 255 for buildings that are not
    classified: neither losses nor the metric count their damage.

    Args:
        data_prefix: Folders; without ``location`` and ``damage`` there are no labels.
        **kwargs: Further arguments of ``ChangeDataset``; ``ann_file`` lists names, as
            'guatemala-volcano_00000003'.

    Raises:
        FileNotFoundError: The list or a folder does not exist.
        ValueError: There are no pairs, or some lack an image or a target; the message names them.
    """

    METAINFO: ClassVar[dict] = dict(BUILDINGS, maps=dict(location=BUILDINGS, damage=XBD_DAMAGE))
    TARGETS: ClassVar[dict[str, str]] = dict(
        location='_pre_disaster_target.png', damage='_post_disaster_target.png'
    )

    def __init__(
        self,
        data_prefix: dict[str, str] = dict(
            img_path='images', img_path2='images', location='targets', damage='targets'
        ),
        img_suffix: str = '_pre_disaster.png',
        img_suffix2: str = '_post_disaster.png',
        **kwargs: Any,
    ) -> None:
        super().__init__(
            data_prefix=data_prefix, img_suffix=img_suffix, img_suffix2=img_suffix2, **kwargs
        )

    def _suffixes(self) -> dict[str, str]:
        return super()._suffixes() | self.TARGETS
