from __future__ import annotations

import math

import pytest
import torch

from mmdynamicvis.pretraining import MILHead, mil_nce_loss
from mmdynamicvis.pretraining.meta_embeddings import save_meta_embeddings

CLASSES = ('airport', 'zoo', 'port')


def test_losses_are_smoothed_cross_entropy_and_weighted_mil_nce():
    head = MILHead(CLASSES, in_channels=8, label_smoothing=0.1, mil_weight=0.5)
    regions, labels = torch.randn(5, 8), torch.tensor([0, 1, 1, 2, 0])
    losses = head.loss(regions, labels)
    log_p = head(regions).log_softmax(-1)
    smoothed = 0.9 * -log_p[range(5), labels] - 0.1 * log_p.mean(-1)
    torch.testing.assert_close(losses['loss_cls'], smoothed.mean())
    expected = mil_nce_loss(regions, labels, head.meta_embeddings, torch.tensor(1 / 0.07))
    torch.testing.assert_close(losses['loss_mil'], 0.5 * expected)


def test_without_weight_there_are_no_meta_embeddings():
    head = MILHead(CLASSES, in_channels=8, mil_weight=0)
    assert set(head.state_dict()) == {'fc.weight', 'fc.bias'}
    assert set(head.loss(torch.randn(2, 8), torch.tensor([0, 2]))) == {'loss_cls'}


def test_scale_is_kept_below_100_and_can_come_back():
    head = MILHead(CLASSES, in_channels=8)
    with torch.no_grad():
        head.log_scale.fill_(9.0)
    losses = head.loss(torch.randn(6, 8), torch.tensor([0, 1, 2, 0, 1, 2]))
    losses['loss_mil'].backward()
    assert head.log_scale.item() == pytest.approx(math.log(100))
    assert head.log_scale.grad.item() > 0  # random regions: a smaller scale is better


def test_no_regions_at_all():
    head = MILHead(CLASSES, in_channels=8)
    losses = head.loss(torch.zeros(0, 8), torch.zeros(0, dtype=torch.long))
    sum(losses.values()).backward()
    assert all(loss.item() == 0 for loss in losses.values())
    assert all((p.grad == 0).all() for p in head.parameters())


def test_starts_from_a_file_of_meta_embeddings(tmp_path):
    file = tmp_path / 'meta.safetensors'
    embeddings = torch.randn(3, 8)
    save_meta_embeddings(file, embeddings, CLASSES)
    head = MILHead(CLASSES, in_channels=8, meta_embeddings=file)
    head.init_weights()
    assert torch.equal(head.meta_embeddings, embeddings)
    with pytest.raises(ValueError, match='harbor'):
        MILHead(('airport', 'zoo', 'harbor'), in_channels=8, meta_embeddings=file)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(classes=()), 'every category once'),
        (dict(classes=('a', 'a')), 'every category once'),
        (dict(classes=CLASSES, label_smoothing=1.0), 'label_smoothing is 1.0'),
        (dict(classes=CLASSES, mil_weight=-1), 'mil_weight is -1'),
        (dict(classes=CLASSES, mil_weight=0, meta_embeddings='x.safetensors'), 'go unused'),
    ],
    ids=lambda value: '' if isinstance(value, dict) else value,
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MILHead(**arguments)
