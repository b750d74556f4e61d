"""Alignment with text by a real Runner, and what leaves a trace of held-out categories."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner import Runner

from .coco_makers import content, write_coco
from .text_makers import config, write_text

HELD_OUT = ['b']


def runner(folder, name, **changes):
    cfg = config(folder, write_text(folder / 'text.safetensors'), held_out=HELD_OUT)
    cfg.merge_from_dict(
        dict(
            work_dir=str(folder / name),
            train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=4),
            val_cfg=dict(),
            test_cfg=dict(),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=3e-3)),
            val_evaluator=dict(type='mmdynamicvis.ZeroShotMetric', held_out=HELD_OUT),
            test_evaluator=dict(type='mmdynamicvis.ZeroShotMetric', held_out=HELD_OUT),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=4)),
            custom_hooks=[dict(type='NumClassCheckHook')],
            randomness=dict(seed=0, deterministic=False),
            experiment_name=f'{folder.name}-{name}',
            **changes,
        )
    )
    return Runner.from_cfg(cfg)


@pytest.mark.exhaustive
def test_it_learns_the_trained_names_and_reports_the_held_out_ones(tmp_path):
    write_coco(tmp_path, content(n_images=8))
    training = runner(tmp_path, 'run')
    training.train()
    found = runner(tmp_path, 'test', load_from=str(tmp_path / 'run/epoch_4.pth')).test()
    assert found['zero-shot/chance'] == 100
    assert found['zero-shot/accuracy'] == 100  # of one name
    # categories are colors, which chance gets right in a quarter of the regions
    assert found['zero-shot/seen'] > 60


def test_the_labels_of_held_out_boxes_leave_no_trace_in_the_weights(tmp_path):
    """Other boxes of the held-out category, same images: the same weights, bit for bit."""
    weights = []
    for name in ('one', 'other'):
        coco = content(n_images=4)
        folder = tmp_path / name
        write_coco(folder, coco)
        if name == 'other':
            for annotation in coco['annotations']:
                if annotation['category_id'] == 2:
                    annotation['bbox'] = [1, 1, 12, 12]
            images = {p.name: p.read_bytes() for p in (tmp_path / 'one/imgs').iterdir()}
            write_coco(folder, coco)
            for file, pixels in images.items():
                (folder / 'imgs' / file).write_bytes(pixels)
        training = runner(folder, 'run')
        training.train()
        weights.append(training.model.state_dict())
    assert any(a['category_id'] == 2 for a in coco['annotations'])
    first, second = weights
    assert all(torch.equal(first[key], second[key]) for key in first)
