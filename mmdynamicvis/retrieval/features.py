"""A model for mmengine's Runner that returns feature vectors."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class PooledFeatures(BaseModel):
    """Returns the spatial mean of a backbone's last map as the vector of an image; not trainable.

    Of a checkpoint, only the weights of the backbone are used.

    Args:
        backbone: Config of a backbone that returns maps (B, C, H, W).
        data_preprocessor: As in mmengine.
        init_cfg: As in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        # the public register_load_state_dict_pre_hook needs torch 2.5
        self._register_load_state_dict_pre_hook(_leave_backbone)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Return the vectors (B, C); with mode 'predict' the samples, with a ``feature`` (C,) each.

        Args:
            inputs: Normalized images (B, C, H, W).
            data_samples: Samples of the images, for mode 'predict'.
            mode: 'tensor' or 'predict'.

        Raises:
            NotImplementedError: The mode is another one, such as 'loss'.
        """
        vectors_BC = self.backbone(inputs)[-1].mean((2, 3))
        if mode == 'tensor':
            return vectors_BC
        if mode != 'predict':
            raise NotImplementedError(f'mode is {mode!r}: PooledFeatures is not trained')
        for sample, vector in zip(data_samples, vectors_BC, strict=True):
            sample.set_field(vector, 'feature')
        return data_samples


def _leave_backbone(state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Remove the other parts of the model that a checkpoint is of, such as a head."""
    for name in [name for name in state_dict if name.startswith(prefix)]:
        if not name.startswith(f'{prefix}backbone.'):
            del state_dict[name]
