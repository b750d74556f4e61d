"""Shipped configs that cannot take DynamicVis by a changed backbone and neck alone, and why."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from typing import NamedTuple

from mmengine.config import ConfigDict

from .shipped import Shipped


class Unfit(NamedTuple):
    """Why some configs cannot.

    Attributes:
        patterns: Which, e.g. ``mmdet/ssd/*``.
        reason: For the reader.
        error: Part of what trying each of them raises, as ``described`` says it; None where it is
            not tried.
        shown: Whether a model's config shows the reason, where it is not tried.
        anyway: Whether they fail with their own backbone, too, with the same error.
    """

    patterns: tuple[str, ...]
    reason: str
    error: str | None = None
    shown: Callable[[ConfigDict], bool] | None = None
    anyway: bool = False

    def __contains__(self, shipped: Shipped) -> bool:
        return any(fnmatch(str(shipped), pattern) for pattern in self.patterns)


_NO_CPU_OP = 'implementation for device cpu not found'
_HANDED_ON = "the neck hands the backbone's maps on: it and the head name their channels once more"
_OWN_KIND = 'the neck or head takes the outputs of its own kind of backbone'
_NAMES = "learning rates go by the names of another backbone's layers; fit with the usual optimizer"
_NOT_SHIPPED = 'inherit from files that are not shipped'
_BROKEN = 'the host does not build or train it as shipped, with any backbone'
_UNREADABLE = 'cannot be read'

UNFIT = (
    # not tried
    Unfit(
        ('mmdet/glip/*', 'mmdet/grounding_dino/*', 'mmdet/mm_grounding_dino/*'),
        'train on texts, by a language model that is downloaded',
        shown=lambda model: 'language_model' in model,
    ),
    Unfit(
        ('mmdet/lad/*', 'mmdet/ld/*'),
        'learn from a trained teacher that is downloaded',
        shown=lambda model: 'teacher_ckpt' in model,
    ),
    Unfit(
        ('mmdet/rtmdet/*_p6_*',),
        'take maps of strides 8 to 64; a step on those of DynamicVis, 4 to 32, would prove nothing',
        shown=lambda model: model.bbox_head.anchor_generator.strides == [8, 16, 32, 64],
    ),
    # tied to another backbone
    Unfit(('mmdet/ssd/*', 'mmdet/*/ssd*'), _HANDED_ON, 'necks/ssd_neck.py'),
    Unfit(('mmseg/fastfcn/*',), _HANDED_ON, 'weight of size [256, 1024, 3, 3]'),
    Unfit(('mmseg/cgnet/*',), _HANDED_ON, 'decode_heads/fcn_head.py'),
    Unfit(('opencd/*changestar_farseg_*',), _HANDED_ON, 'weight of size [256, 512, 1, 1]'),
    Unfit(
        ('mmdet/detectors/*rfp*', 'mmdet/detectors/detectors_*'),
        "the neck takes the image, too, and feeds it to a second backbone with the first's maps",
        'necks/rfp.py',
    ),
    Unfit(('mmseg/dpt/*',), _OWN_KIND, 'decode_heads/dpt_head.py'),
    Unfit(('mmseg/setr/*mla_*',), _OWN_KIND, 'necks/mla_neck.py'),
    Unfit(('mmseg/pidnet/*',), _OWN_KIND, 'decode_heads/pid_head.py'),
    Unfit(('mmseg/ddrnet/*',), _OWN_KIND, 'decode_heads/ddr_head.py'),
    Unfit(('mmpretrain/conformer/*',), _OWN_KIND, 'heads/conformer_head.py'),
    Unfit(('mmpretrain/deit/*distilled*',), _OWN_KIND, 'tuple index out of range'),
    Unfit(
        ('mmdet/convnext/*', 'mmseg/beit/*', 'mmseg/convnext/*', 'mmseg/mae/*'),
        _NAMES,
        'optimizers/layer_decay_optimizer_constructor.py',
    ),
    Unfit(
        ('mmseg/ocrnet/ocrnet_r101-d8_*',),
        'two heads combine maps of strides 16 and 32 as if of one size, as in a dilated ResNet',
        'Expected size for first two dimensions',
    ),
    Unfit(
        ('mmdet/rtmdet/rtmdet_l_convnext_b_*', 'mmdet/rtmdet/rtmdet_l_swin_b_4xb*'),
        "the neck has a norm of 32 groups, which do not divide tiny's 48 channels; base fits",
        'must be divisible by num_groups',
    ),
    # the same with any backbone
    Unfit(
        ('mmdet/carafe/*', 'mmdet/dcn/*_dpool_*', 'mmdet/dcnv2/*_mdpool_*'),
        'mmcv has CARAFE and deformable RoI pooling for GPUs alone',
        _NO_CPU_OP,
        anyway=True,
    ),
    Unfit(
        (
            'mmrotate/rotated_atss/*',
            'mmrotate/rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota.py',
            'mmrotate/rotated_fcos/rotated-fcos-le90_r50_fpn_rr-6x_hrsc.py',
            'mmrotate/rotated_rtmdet/*',
        ),
        'mmcv has the gradient of rotated IoU for GPUs alone',
        _NO_CPU_OP,
        anyway=True,
    ),
    Unfit(
        ('mmrotate/cfa/*', 'mmrotate/*_reppoints/*'),
        'mmcv has the IoU of convex hulls for GPUs alone',
        _NO_CPU_OP,
        anyway=True,
    ),
    Unfit(
        ('mmrotate/redet/*',),
        'need e2cnn: backbone and neck are rotation-equivariant together',
        'install e2cnn',
        anyway=True,
    ),
    Unfit(
        ('mmdet/paa/*',),
        'need scikit-learn, which mmdet does not install',
        'install sklearn',
        anyway=True,
    ),
    Unfit(
        ('mmdet/clrnet/*',),
        'detects lanes, on samples that hold lines',
        'lines_array',
        anyway=True,
    ),
    Unfit(
        (
            'mmdet/bytetrack/bytetrack_*-amp-80e_*-mot17halftrain_test-mot17test.py',
            'mmdet/sort/faster-rcnn_*_mot17train_test-mot17train.py',
            'mmdet/sort/faster-rcnn_*_mot20*.py',
            'mmrotate/gwd/rotated-retinanet-rbox-le135_r50_fpn_gwd_1x_dota.py',
            'opencd/mtkd/step1/initial-changeformer_mit-b1_*',
            'opencd/mtkd/step1/initial-changer_ex_mit-b1_*',
            'opencd/mtkd/step1/initial-changer_ex_s101_*',
            'opencd/mtkd/step3/mtkd-stanet_base_*',
        ),
        _NOT_SHIPPED,
        'FileNotFoundError',
        anyway=True,
    ),
    Unfit(
        ('mmrotate/s2anet/s2anet-le135_r50_fpn_3x_hrsc.py',),
        'names a detector that mmrotate has no more',
        'S2ANet is not in the',
        anyway=True,
    ),
    Unfit(('mmpretrain/replknet/*31B*',), _UNREADABLE, 'config/config.py', anyway=True),
    Unfit(
        ('mmpretrain/swin_transformer_v2/swinv2-*_in21k-192px.py',),
        _UNREADABLE,
        "KeyError: 'test_pipeline'",
        anyway=True,
    ),
    Unfit(
        ('mmrotate/convnext/*',),
        'import mmcls, which mmpretrain has replaced',
        'mmcls.models',
        anyway=True,
    ),
    Unfit(
        ('mmdet/cascade_rpn/cascade-rpn_r50-*',),
        _BROKEN,
        "missing 1 required positional argument: 'num_classes'",
        anyway=True,
    ),
    Unfit(('mmdet/v3det/fcos_swinb_*',), _BROKEN, 'force_grad_on_level', anyway=True),
    Unfit(('mmrotate/rotated_fcos/*_kld_*',), _BROKEN, 'the loss is not finite', anyway=True),
    Unfit(
        (
            'mmseg/bisenetv2/bisenetv2_fcn_4xb4-ohem-*',
            'mmseg/upernet/upernet_r18_4xb4-*0k_ade20k-*',
            'mmseg/upernet/upernet_r18_4xb4-*0k_voc12aug-*',
        ),
        _BROKEN,
        'only one of size and size_divisor should be valid',
        anyway=True,
    ),
    Unfit(
        ('mmseg/swin/swin-tiny-patch4-window7_upernet_1xb8-20k_levir-256x256.py',),
        _BROKEN,
        '`mean` should have 1 or 3 values',
        anyway=True,
    ),
    Unfit(
        ('mmseg/unet/unet-s5-d16_fcn_4xb4-160k_hsidrive-192x384.py',),
        _BROKEN,
        '`bgr_to_rgb` should be a boolean',
        anyway=True,
    ),
    Unfit(
        ('mmpretrain/efficientformer/*', 'mmpretrain/levit/levit-*'),
        _BROKEN,
        "MMPretrain doesn't support",
        anyway=True,
    ),
    Unfit(('mmpretrain/levit/deploy/*',), _BROKEN, 'switch_to_deploy', anyway=True),
    Unfit(('mmpretrain/mae/*-ds-*',), _BROKEN, 'DeepSpeedOptimWrapper', anyway=True),
    Unfit(
        ('mmpretrain/resnet/resnet50_8xb32-cutmix_in1k.py',),
        _BROKEN,
        'is not in the',
        anyway=True,
    ),
    Unfit(
        ('mmpretrain/vision_transformer/vit-base-p16_4xb544-ipu_in1k.py',),
        _BROKEN,
        "no attribute 'optim_wrapper'",
        anyway=True,
    ),
)
