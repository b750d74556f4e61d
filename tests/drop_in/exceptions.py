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
        error: Part of what trying one of them raises; None where that would download.
        shown: Whether a model's config shows the reason, where trying does not.
    """

    patterns: tuple[str, ...]
    reason: str
    error: str | None = None
    shown: Callable[[ConfigDict], bool] | None = None

    def __contains__(self, shipped: Shipped) -> bool:
        return any(fnmatch(str(shipped), pattern) for pattern in self.patterns)


UNFIT = (
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
        'take maps of strides 8 to 64; DynamicVis has 4 to 32',
        shown=lambda model: model.bbox_head.anchor_generator.strides == [8, 16, 32, 64],
    ),
    Unfit(
        ('mmdet/ssd/*', 'mmdet/*/ssd*', 'mmseg/fastfcn/*'),
        "the neck hands the backbone's maps on: it and the head name their channels once more",
        error='Error',
    ),
    Unfit(
        ('mmdet/detectors/*rfp*', 'mmdet/detectors/detectors_*'),
        "the neck takes the image, too, and feeds it to a second backbone with the first's maps",
        shown=lambda model: 'rfp_backbone' in model.neck,
    ),
    Unfit(
        ('mmdet/carafe/*', 'mmdet/dcn/*_dpool_*', 'mmdet/dcnv2/*_mdpool_*'),
        'mmcv has CARAFE and deformable RoI pooling for GPUs alone',
        error='implementation for device cpu not found',
    ),
    Unfit(
        (
            'mmrotate/rotated_atss/*',
            'mmrotate/rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota.py',
            'mmrotate/rotated_fcos/rotated-fcos-le90_r50_fpn_rr-6x_hrsc.py',
            'mmrotate/rotated_rtmdet/*',
        ),
        'mmcv has the gradient of rotated IoU for GPUs alone',
        error='implementation for device cpu not found',
    ),
    Unfit(
        ('mmrotate/cfa/*', 'mmrotate/*_reppoints/*'),
        'mmcv has the IoU of convex hulls for GPUs alone',
        error='implementation for device cpu not found',
    ),
    Unfit(
        ('mmrotate/redet/*',),
        'need e2cnn: backbone and neck are rotation-equivariant together',
        error='install e2cnn',
    ),
    Unfit(
        (
            'mmdet/convnext/*',
            'mmseg/beit/*',
            'mmseg/convnext/*',
            'mmseg/mae/*',
        ),
        "learning rates go by the names of another backbone's layers; fit with the usual optimizer",
        error='NotImplementedError',
    ),
    Unfit(
        ('mmdet/paa/*',),
        'need scikit-learn, which mmdet does not install',
        error='install sklearn',
    ),
    Unfit(
        ('mmdet/clrnet/*',),
        'detects lanes, on samples that hold lines',
        error='lines_array',
    ),
    Unfit(
        (
            'mmdet/bytetrack/bytetrack_*-amp-80e_*-mot17halftrain_test-mot17test.py',
            'mmdet/sort/faster-rcnn_*_mot17train_test-mot17train.py',
            'mmdet/sort/faster-rcnn_*_mot20*.py',
            'mmrotate/gwd/rotated-retinanet-rbox-le135_r50_fpn_gwd_1x_dota.py',
        ),
        'inherit from files that are not shipped',
        error='FileNotFoundError',
    ),
    Unfit(
        ('mmrotate/s2anet/s2anet-le135_r50_fpn_3x_hrsc.py',),
        'names a detector that mmrotate has no more',
        error='S2ANet is not in the',
    ),
    Unfit(
        ('mmdet/rtmdet/rtmdet_l_convnext_b_*', 'mmdet/rtmdet/rtmdet_l_swin_b_*'),
        "the neck has a norm of 32 groups, which do not divide tiny's 48 channels; base fits",
        error='must be divisible by num_groups',
    ),
    Unfit(
        (
            'mmseg/dpt/*',
            'mmseg/cgnet/*',
            'mmseg/setr/*mla_*',
            'mmseg/vpd/*',
            'mmseg/pidnet/*',
            'mmseg/ddrnet/*',
            'mmpretrain/conformer/*',
            'mmpretrain/deit/*distilled*',
        ),
        'the neck or head takes the outputs of its own kind of backbone',
        error='Error',
    ),
    Unfit(
        ('mmseg/ocrnet/ocrnet_r101-d8_*',),
        'two heads combine maps of strides 16 and 32 as if of one size, as in a dilated ResNet',
        error='Expected size for first two dimensions',
    ),
    Unfit(
        (
            'mmdet/cascade_rpn/cascade-rpn_*',
            'mmdet/v3det/fcos_*',
            'mmrotate/rotated_fcos/*_kld_*',
            'mmseg/bisenetv2/bisenetv2_fcn_4xb4-ohem-*',
            'mmseg/upernet/upernet_r18_4xb4-*0k_ade20k-*',
            'mmseg/upernet/upernet_r18_4xb4-*0k_voc12aug-*',
            'mmseg/swin/swin-tiny-patch4-window7_upernet_1xb8-20k_levir-256x256.py',
            'mmseg/unet/unet-s5-d16_fcn_4xb4-160k_hsidrive-192x384.py',
            'mmpretrain/efficientformer/*',
            'mmpretrain/levit/*',
            'mmpretrain/mae/*-ds-*',
            'mmpretrain/resnet/resnet50_8xb32-cutmix_in1k.py',
            'mmpretrain/vision_transformer/vit-base-p16_4xb544-ipu_in1k.py',
        ),
        'the host does not build or train it as shipped, with any backbone',
        error='Error',
    ),
    Unfit(
        ('mmpretrain/replknet/*', 'mmpretrain/swin_transformer_v2/swinv2-*_in21k-192px.py'),
        'cannot be read',
        error='Error',
    ),
    Unfit(
        ('mmrotate/convnext/*',),
        'import mmcls, which mmpretrain has replaced',
        error='mmcls.models',
    ),
)
