"""Several maps of a pair: outputs, targets, missing labels, windows, and another backbone."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from mmdynamicvis.change_detection.multi_task import Output, class_maps
from mmdynamicvis.registry import MODELS

from .models import batch, semantic_batch, small_multi_task

RESNET = dict(type='mmseg.ResNet', depth=18, zero_init_residual=False)
NAMES = ['change', 'semantic_from', 'semantic_to']


def build(cfg: dict | None = None) -> torch.nn.Module:
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(small_multi_task() if cfg is None else cfg)
    model.init_weights()
    for head in model.decode_head.values():
        torch.nn.init.normal_(head.conv_seg.weight)
    return model.eval()


def losses_of(model: torch.nn.Module, data: dict) -> dict[str, torch.Tensor]:
    data = model.data_preprocessor(data, training=True)
    return model(**data, mode='loss')


def gradients(model: torch.nn.Module, losses: dict[str, torch.Tensor]) -> dict[str, bool]:
    """Return whether each part of the model has a gradient that is not 0."""
    model.zero_grad()
    model.parse_losses(losses)[0].backward()
    found: dict[str, bool] = {}
    for name, parameter in model.named_parameters():
        parts = name.split('.')
        part = '.'.join(parts[:2]) if parts[0] == 'decode_head' else parts[0]
        there = parameter.grad is not None and bool(parameter.grad.any())
        found[part] = found.get(part, False) or there
    return found


@pytest.mark.parametrize('backbone', [None, RESNET], ids=['dynamicvis', 'resnet18'])
def test_every_parameter_learns(backbone):
    model = build(small_multi_task(backbone)).train()
    losses = losses_of(model, semantic_batch())
    expected = {f'{name}.{what}' for name in NAMES for what in ('loss_ce', 'acc_seg')}
    assert set(losses) == expected | {'joint.loss_consistency', 'joint.loss_sek'}
    model.parse_losses(losses)[0].backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_experts_are_balanced_by_the_loss():
    model = build()
    assert 'loss_balance' not in losses_of(model, semantic_batch())
    model.backbone.balance_loss = torch.tensor(0.5)
    assert losses_of(model, semantic_batch())['loss_balance'] == 0.5


@pytest.mark.parametrize('size', [(64, 64), (65, 97)])
def test_maps_have_the_size_of_the_pair_and_classes_lie_within(size):
    model = build()
    (sample,) = model.test_step(batch(size, n=1))
    change = sample.pred_change.data
    assert 0 < change.float().mean() < 1
    for name in NAMES:
        assert sample.get(f'pred_{name}').data.shape == (1, *size)
        assert sample.get(f'{name}_logits').data.shape == (2 if name == 'change' else 3, *size)
    for date in ('from', 'to'):
        cover = sample.get(f'pred_semantic_{date}').data
        assert ((cover > 0) == (change > 0)).all()
        logits = sample.get(f'semantic_{date}_logits').data
        assert (cover[0] == (logits.argmax(0) + 1) * change[0]).all()
    torch.testing.assert_close(sample.pred_sem_seg.data, change)
    torch.testing.assert_close(sample.seg_logits.data, sample.change_logits.data)


def test_a_head_shared_by_the_dates_knows_nothing_of_their_order():
    model = build()
    first, second = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        there = model(torch.cat([first, second], 1), mode='tensor')
        back = model(torch.cat([second, first], 1), mode='tensor')
    torch.testing.assert_close(there['semantic_from'], back['semantic_to'], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(there['semantic_to'], back['semantic_from'], rtol=1e-4, atol=1e-4)
    assert (there['semantic_from'] - there['semantic_to']).abs().max() > 1e-3


def test_samples_are_optional():
    model = build()
    data = model.data_preprocessor(batch(n=2), training=False)
    with_samples = model(**data, mode='predict')
    without = model(data['inputs'], mode='predict')
    for one, other in zip(with_samples, without, strict=True):
        torch.testing.assert_close(one.pred_semantic_to.data, other.pred_semantic_to.data)


def test_sliding_windows_equal_the_whole_pair_that_fits():
    model = build()
    whole = model.test_step(batch(n=1))[0].semantic_to_logits.data.clone()
    model.test_cfg = ConfigDict(mode='slide', stride=(32, 32), crop_size=(64, 64))
    slid = model.test_step(batch(n=1))[0].semantic_to_logits.data
    torch.testing.assert_close(slid, whole, rtol=1e-5, atol=1e-5)
    assert model.test_step(batch((80, 112), n=1))[0].pred_change.data.shape == (1, 80, 112)


def test_test_time_augmentation_averages_probabilities():
    model = build()
    tta = MODELS.build(dict(type='mmdynamicvis.MultiTaskTTAModel', module=model)).eval()
    one, other = (model.test_step(batch(n=2))[i] for i in range(2))
    scores = {
        name: sum(s.get(f'{name}_logits').data.softmax(0) for s in (one, other)) / 2
        for name in NAMES
    }
    expected = class_maps(model.outputs, scores)
    (merged,) = tta.merge_preds([[one, other]])
    for name in NAMES:
        assert (merged.get(f'pred_{name}').data[0] == expected[name]).all()
    assert (merged.pred_sem_seg.data == merged.pred_change.data).all()


def test_heads_learn_nothing_about_pixels_outside():
    output = Output('damage', 'damage', within='location')
    labels = torch.tensor([0, 1, 4, 255])
    assert output.targets(labels).tolist() == [255, 0, 3, 255]
    assert Output('location', 'location').targets(labels) is labels


@pytest.mark.parametrize('missing', [['change'], ['semantic_from', 'semantic_to']])
def test_a_missing_label_has_no_gradient(missing):
    cfg = small_multi_task()
    cfg.joint_losses = []
    model = build(cfg).train()
    data = semantic_batch()
    for sample in data['data_samples']:
        for name in missing:
            sample.get(f'gt_{name}').data.fill_(255)
    losses = losses_of(model, data)
    assert all(losses[f'{name}.loss_ce'] == 0 for name in missing)
    found = gradients(model, losses)
    head = 'change' if missing == ['change'] else 'semantic'
    assert not found[f'decode_head.{head}']
    assert found['date_decoder'] == (head == 'change')
    assert all(there for part, there in found.items() if part[:4] not in ('deco', 'date'))


def test_a_missing_label_of_one_pair_leaves_the_loss_of_the_other():
    model = build()  # of running means: pairs do not depend on each other
    both = semantic_batch()
    expected = losses_of(model, {key: values[:1] for key, values in semantic_batch().items()})
    for name in NAMES:
        both['data_samples'][1].get(f'gt_{name}').data.fill_(255)
    losses = losses_of(model, both)
    for name in losses:
        if 'loss' in name:
            torch.testing.assert_close(losses[name], expected[name], rtol=1e-4, atol=1e-6)


def test_labels_are_padded_as_images_are():
    model = build()
    data = semantic_batch((48, 40))
    samples = model.data_preprocessor(data, training=True)['data_samples']
    labels = samples[0].gt_semantic_to.data
    assert labels.shape == (1, 64, 64)
    assert (labels[:, 48:] == 255).all()
    assert (labels[:, :, 40:] == 255).all()
    assert labels[:, :48, :40].max() == 3


def test_a_label_must_be_there():
    data = semantic_batch()
    del data['data_samples'][1].gt_semantic_to
    with pytest.raises(ValueError, match=r'has no gt_semantic_to\. Give it PixelData'):
        losses_of(build(), data)


def change(outputs=(), **more) -> ConfigDict:
    cfg = small_multi_task()
    for index, new in outputs:
        cfg.outputs[index].update(new)
    cfg.update(more)
    return cfg


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (change([(1, dict(of='before'))]), r"'semantic_from' is of 'before'; choose one of"),
        (change([(1, dict(name='change'))]), r"the outputs are \['change', 'change', "),
        (change([(0, dict(head='mask'))]), r"use the heads \['mask', 'semantic'\], and decode"),
        (change([(1, dict(within='water'))]), r"is within 'water'; give one of \['change'\]"),
        (change([(1, dict(within='semantic_to'))]), r"is within 'semantic_to'; give one of"),
    ],
)
def test_outputs_that_do_not_fit(cfg, message):
    with pytest.raises(ValueError, match=message):
        build(cfg)


def test_one_logit_is_not_enough():
    cfg = small_multi_task()
    cfg.decode_head.change.update(out_channels=1, threshold=0.5)
    with pytest.raises(ValueError, match="head 'change' has 1 logit: set out_channels"):
        build(cfg)


def test_a_pair_has_two_dates():
    model = build()
    with pytest.raises(ValueError, match='inputs have 3 dates, and outputs are of 2'):
        model(torch.randn(1, 9, 64, 64), mode='tensor')


def test_damage_needs_only_the_first_date():
    """And no features of the second date are computed for it."""
    cfg = small_multi_task()
    cfg.joint_losses = []
    cfg.outputs = [
        dict(name='location', head='change', of='from'),
        dict(name='damage', head='semantic', within='location'),
    ]
    model = build(cfg)
    seen = []
    model.date_decoder.register_forward_hook(lambda *args: seen.append(args[2][0].shape[0]))
    (sample,) = model.test_step(batch(n=1))
    assert seen == [1]
    assert ((sample.pred_damage.data > 0) == (sample.pred_location.data > 0)).all()
