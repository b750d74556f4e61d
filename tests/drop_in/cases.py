"""Configs that the hosts ship, and the few lines that put DynamicVis into each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

from .tasks import BOXES, CHANGE, CLASSES, MASKS, ROTATED_BOXES, SEMANTIC, Task

BACKBONE = dict(_delete_=True, type='mmdynamicvis.DynamicVis', arch='tiny', img_size=64)
CHANNELS = [48, 96, 192, 384]

# Few proposals, and predictions from untrained weights: for the tests' sake, not the backbone's.
_FEW = dict(nms_pre=50, max_per_img=20)
_FEW_RESULTS = dict(score_thr=0.0, nms_pre=50, max_per_img=5)
_ONE_STAGE = dict(test_cfg=_FEW_RESULTS)
_TWO_STAGES = dict(
    train_cfg=dict(rpn_proposal=_FEW),
    test_cfg=dict(rpn=_FEW, rcnn=dict(score_thr=0.0, max_per_img=5)),
)


@dataclass(frozen=True)
class Case:
    """A host's config with our backbone.

    Attributes:
        host: Package that ships the config.
        config: Its path in the host's configs.
        model: What an inheriting config says about the model, so that it has our backbone.
        task: What the model is trained on.
        small: More about the model that only keeps the test quick.
        imports: The inheriting config's ``custom_imports``; open-cd alone needs one.
    """

    host: str
    config: str
    model: dict
    task: Task
    small: dict
    imports: str = ''

    def __str__(self) -> str:
        return f'{self.host}-{Path(self.config).stem}'

    def path(self) -> Path | None:
        """Where the host's config is: in the package, or beside it in a clone. None: nowhere."""
        spec = find_spec(self.host)
        if spec is None or spec.origin is None:  # no origin: a mere folder of that name
            return None
        package = Path(spec.origin).parent
        places = (package / '.mim/configs', package.parent / 'configs')
        return next((p / self.config for p in places if (p / self.config).is_file()), None)

    def load(self) -> Config:
        """Read the config that a user would write: it inherits the host's."""
        imports = f'custom_imports = dict(imports=[{self.imports!r}])\n' if self.imports else ''
        text = f'_base_ = {str(self.path())!r}\n{imports}model = {self.model!r}\n'
        cfg = Config.fromstring(text, '.py')
        cfg.merge_from_dict(dict(model=self.small))
        return cfg


CASES = (
    Case(
        'mmpretrain',
        'resnet/resnet50_8xb32_in1k.py',
        dict(backbone=dict(BACKBONE, out_indices=(3,)), head=dict(in_channels=CHANNELS[3])),
        CLASSES,
        small={},
    ),
    Case(
        'mmdet',
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        dict(backbone=BACKBONE, neck=dict(in_channels=CHANNELS)),
        BOXES,
        small=_TWO_STAGES,
    ),
    Case(
        'mmdet',
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        dict(backbone=BACKBONE, neck=dict(in_channels=CHANNELS)),
        BOXES,
        small=_ONE_STAGE,
    ),
    Case(
        'mmdet',
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        dict(backbone=BACKBONE, neck=dict(in_channels=CHANNELS)),
        MASKS,
        small=_TWO_STAGES,
    ),
    Case(
        'mmseg',
        'upernet/upernet_r50_4xb2-40k_cityscapes-512x1024.py',
        dict(
            pretrained=None,
            backbone=BACKBONE,
            decode_head=dict(in_channels=CHANNELS),
            auxiliary_head=dict(in_channels=CHANNELS[2]),
        ),
        SEMANTIC,
        small=dict(data_preprocessor=dict(size=(64, 96))),
    ),
    Case(
        'mmrotate',
        'oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota.py',
        dict(backbone=BACKBONE, neck=dict(in_channels=CHANNELS)),
        ROTATED_BOXES,
        small=_TWO_STAGES,
    ),
    Case(
        'mmrotate',
        'rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py',
        dict(backbone=BACKBONE, neck=dict(in_channels=CHANNELS)),
        ROTATED_BOXES,
        small=_ONE_STAGE,
    ),
    Case(
        'opencd',
        'changestar/changestar_upernet_1x96_256x256_40k_levircd.py',
        dict(
            backbone=BACKBONE,
            decode_head=dict(seg_head_cfg=dict(in_channels=CHANNELS)),
        ),
        CHANGE,
        small={},
        imports='mmdynamicvis.change_detection.opencd',
    ),
    Case(
        'opencd',
        'bit/bit_r18_256x256_40k_levircd.py',
        dict(
            pretrained=None,
            backbone=dict(BACKBONE, out_indices=(2,)),
            decode_head=dict(in_channels=CHANNELS[2]),
        ),
        CHANGE,
        small={},
        imports='mmdynamicvis.change_detection.opencd',
    ),
)
