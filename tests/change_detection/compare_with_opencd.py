"""Compares our segmentor with open-cd's on equal weights and data; prints 'equal', or raises."""

from __future__ import annotations

import copy

import torch
from change_detection.models import batch, small_model
from mmengine.registry import init_default_scope

import mmdynamicvis.change_detection.opencd  # noqa: F401
from mmdynamicvis.registry import MODELS

OPENCD_PREPROCESSOR = dict(
    type='DualInputSegDataPreProcessor',
    mean=[123.675, 116.28, 103.53] * 2,
    std=[58.395, 57.12, 57.375] * 2,
    bgr_to_rgb=True,
    size_divisor=32,
)


def models(mode: str) -> list[torch.nn.Module]:
    """Return ours and open-cd's, with the weights of ours."""
    ours = small_model(mode)
    theirs = copy.deepcopy(ours)
    theirs.type = 'opencd.SiamEncoderDecoder'
    theirs.data_preprocessor = OPENCD_PREPROCESSOR  # update() would merge it into ours
    init_default_scope('mmseg')
    torch.manual_seed(0)
    ours = MODELS.build(ours)
    ours.init_weights()
    init_default_scope('opencd')
    theirs = MODELS.build(theirs)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return [ours, theirs]


def main() -> None:
    for mode in ('concat', 'difference'):
        both = models(mode)
        # by running means: those of a batch of both dates and of two batches differ
        losses = []
        for model in both:
            model.eval()
            data = model.data_preprocessor(batch(), training=True)
            losses.append(model(**data, mode='loss'))
            sum(value for name, value in losses[-1].items() if 'loss' in name).backward()
        assert losses[0].keys() == losses[1].keys()
        for name in losses[0]:
            torch.testing.assert_close(losses[0][name], losses[1][name])
        for (name, ours), theirs in zip(
            both[0].named_parameters(), both[1].parameters(), strict=True
        ):
            torch.testing.assert_close(
                ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f'{n}: {m}'
            )
        results = [model.test_step(batch(n=1))[0].seg_logits.data for model in both]
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
    print('equal')


if __name__ == '__main__':
    main()
