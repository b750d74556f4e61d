"""Buildings and the change between two dates, where labels of either may be missing."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdynamicvis.change_detection.labeled_pairs import BUILDINGS, CHANGE, LabeledPairs
from mmdynamicvis.registry import DATASETS


@DATASETS.register_module()
class BuildingPairs(LabeledPairs):
    """Pairs, or single images, with any of the masks of change and of buildings at each date.

    For training extraction and change together, as RSBuilding does
    (https://arxiv.org/abs/2403.07564): concatenate one dataset with masks of change, such as
    LEVIR-CD, and one with masks of buildings in single images, such as WHU's. A map without a
    folder is missing: all its pixels are 255, which neither losses nor metrics count. A single
    image stands at both dates, and its change is missing, too: that nothing has changed between two
    copies of one image is no lesson. Augment the dates differently, by ``EachDate``.

    Masks have 0 and 1 or 0 and 255, as for ``LoadAnnotationsToBinary``.

    Args:
        data_prefix: Folders: ``img_path``, and ``img_path2`` for pairs; ``change``,
            ``buildings_from`` and ``buildings_to``, as far as there are masks. For single images,
            ``buildings_from`` alone.
        **kwargs: Further arguments of ``ChangeDataset``; ``seg_map_suffix`` is that of all masks.

    Raises:
        FileNotFoundError: The list or a folder does not exist.
        ValueError: There are no images; some lack a file; a key of ``data_prefix`` is unknown; or
            single images have ``change`` or ``buildings_to``. The message names what is wrong.
    """

    METAINFO: ClassVar[dict] = dict(
        CHANGE, maps=dict(change=CHANGE, buildings_from=BUILDINGS, buildings_to=BUILDINGS)
    )

    def __init__(self, data_prefix: dict[str, str], **kwargs: Any) -> None:
        data_prefix = dict(data_prefix)
        if 'img_path2' not in data_prefix:
            wrong = sorted({'change', 'buildings_to'} & set(data_prefix))
            if wrong:
                raise ValueError(
                    f'data_prefix has {wrong} and no img_path2: single images have masks of '
                    'buildings_from alone. Give the folder of the second images'
                )
            data_prefix['img_path2'] = data_prefix['img_path']
            if 'buildings_from' in data_prefix:
                data_prefix['buildings_to'] = data_prefix['buildings_from']
        super().__init__(data_prefix=data_prefix, **kwargs)

    def _labels(self, files: dict[str, str]) -> dict[str, dict]:
        return {
            name: dict(path=files[name], binary=True) if name in files else dict(missing=True)
            for name in self.METAINFO['maps']
        }
