"""Published names for scene classification, in mmpretrain's scope."""

from __future__ import annotations

from mmpretrain.models import LinearClsHead
from mmpretrain.registry import DATASETS, MODELS

from mmdynamicvis.classification import AID, SceneDataset, UCMerced
from mmdynamicvis.compat.models import DynamicVisBackbone

MODELS.register_module(module=DynamicVisBackbone)


@MODELS.register_module()
class DynamicVisClsHead(LinearClsHead):
    """mmpretrain's linear head, with the same parameter names (``fc``).

    Args:
        load_balancing_loss_cfg: Must be None or have ``val`` 0; the published implementation of
            this loss cannot run.
        init_cfg: As published.
        **kwargs: Arguments of ``LinearClsHead``.

    Raises:
        ValueError: A load-balancing loss is requested.
    """

    def __init__(
        self,
        load_balancing_loss_cfg: dict | None = None,
        init_cfg: dict = dict(type='Normal', layer='Linear', std=0.01),
        **kwargs,
    ) -> None:
        if load_balancing_loss_cfg and load_balancing_loss_cfg.get('val'):
            raise ValueError(
                f'load_balancing_loss_cfg is {load_balancing_loss_cfg}; there is no such loss: '
                'leave it out'
            )
        super().__init__(init_cfg=init_cfg, **kwargs)


@DATASETS.register_module()
class RSClsDataset(SceneDataset):
    """:class:`SceneDataset` with the classes chosen by name.

    Args:
        data_name: 'AID', 'UC' or 'UCMerced'.
        load_to_memory: Has no effect: the system's file cache serves the same purpose.
        **kwargs: Arguments of :class:`SceneDataset`.

    Raises:
        ValueError: The name is unknown.
    """

    def __init__(self, data_name: str = 'AID', load_to_memory: bool = False, **kwargs) -> None:
        sources = {'AID': AID, 'UC': UCMerced, 'UCMerced': UCMerced}
        if data_name not in sources:
            raise ValueError(f'data_name is {data_name!r}; choose one of {sorted(sources)}')
        kwargs.setdefault('metainfo', {'classes': sources[data_name].METAINFO['classes']})
        super().__init__(**kwargs)
