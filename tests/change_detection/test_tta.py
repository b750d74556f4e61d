"""Test-time augmentation of pairs: the mean over the probabilities of all scales and flips."""

from __future__ import annotations

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from mmseg.structures import SegDataSample
from torch.nn.functional import interpolate

from mmdynamicvis.registry import TRANSFORMS

from .models import let_half_change, small_model
from .pairs import make_pair, write_pairs

CONFIG = 'configs/change_detection/siamese_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py'
SIZE = (64, 96)
RATIOS = (0.75, 1.0, 1.25)
FLIPS = ((), (1,), (0,))  # axes of height and width: none, horizontal, vertical


def logits_of(model: torch.nn.Module, image: np.ndarray) -> torch.Tensor:
    """Return the logits, (classes, H, W), of a stacked pair, (H, W, 6)."""
    sample = SegDataSample(metainfo=dict(img_shape=image.shape[:2], ori_shape=image.shape[:2]))
    inputs = torch.from_numpy(image.transpose(2, 0, 1).copy())
    (result,) = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
    return result.seg_logits.data


def test_all_scales_and_flips_are_merged(checkout, tmp_path):
    write_pairs(tmp_path, ['x'], SIZE)
    cfg = Config.fromfile(checkout / CONFIG)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    augmented = MODELS.build(dict(cfg.tta_model, module=small_model())).eval()
    let_half_change(augmented.module)
    results = dict(
        img_path=f'{tmp_path}/A/x.png',
        img_path2=f'{tmp_path}/B/x.png',
        seg_map_path=f'{tmp_path}/label/x.png',
        seg_fields=[],
        label_map=None,
        reduce_zero_label=False,
    )
    for transform in cfg.tta_pipeline:
        results = TRANSFORMS.build(transform)(results)
    assert len(results['inputs']) == len(RATIOS) * len(FLIPS)
    (merged,) = augmented.test_step(pseudo_collate([results]))

    before, after, mask = make_pair(SIZE, seed=0)
    pair = np.concatenate([before[..., ::-1], after[..., ::-1]], axis=2)
    views = []
    for ratio in RATIOS:
        height, width = (round(length * ratio) for length in SIZE)
        scaled = mmcv.imresize(pair, (width, height))
        for axes in FLIPS:
            logits = logits_of(augmented.module, np.flip(scaled, axes))
            logits = logits.flip([axis + 1 for axis in axes])
            views.append(interpolate(logits[None], SIZE, mode='bilinear')[0].softmax(0))
    expected = torch.stack(views).mean(0)
    certain = (expected[1] - 0.5).abs() > 1e-4
    assert (merged.pred_sem_seg.data[0] == expected.argmax(0))[certain].all()
    # the mean is not what one of the views says
    assert all((view.argmax(0) != expected.argmax(0)).any() for view in views)
    # the mask is compared as it is in the file
    assert (merged.gt_sem_seg.data[0].bool() == torch.from_numpy(mask)).all()
