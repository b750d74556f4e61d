from __future__ import annotations

import math

import pytest
import torch
from mmengine.runner import load_checkpoint
from torch.nn.functional import cross_entropy, normalize

from mmdynamicvis.pretraining import TextHead
from mmdynamicvis.pretraining.meta_embeddings import (
    load_text_embeddings,
    project_keeping_cosines,
    save_meta_embeddings,
)

from .text_makers import WIDTH, write_text

CLASSES = ('airport', 'zoo', 'port', 'lake')


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path / 'text.safetensors', CLASSES)


def oracle(head, regions, labels, seen):
    """MIL-NCE between projected regions and the seen names alone, term by term in float64."""
    weight, bias = (p.detach().double() for p in head.projection.parameters())
    regions = normalize(regions.double() @ weight.t() + bias, dim=1)
    names = load_text_embeddings(head.source).of([CLASSES[i] for i in seen]).double()
    logits = head.log_scale.detach().double().exp() * regions @ normalize(names, dim=1).t()
    own = torch.tensor([seen.index(label) for label in labels.tolist()])
    to_names = cross_entropy(logits, own)
    to_regions = [
        logits[:, c].logsumexp(0) - logits[own == c, c].logsumexp(0) for c in own.unique().tolist()
    ]
    return (to_names + sum(to_regions) / len(to_regions)) / 2


@pytest.mark.parametrize('held_out', [(), ('zoo',), ('lake', 'airport')])
def test_loss_and_gradients_are_of_the_seen_names(text, held_out):
    torch.manual_seed(0)
    head = TextHead(CLASSES, text, in_channels=6, held_out=held_out)
    head.init_weights()
    seen = [i for i, name in enumerate(CLASSES) if name not in held_out]
    labels = torch.tensor(seen)[torch.arange(7) % len(seen)]
    regions = torch.randn(7, 6, dtype=torch.float64)
    given = regions.float().requires_grad_()
    loss = head.loss(given, labels)['loss_text']
    loss.backward()
    exact = regions.requires_grad_()
    expected = oracle(head, exact, labels, seen)
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(given.grad.double(), exact.grad, rtol=1e-4, atol=1e-6)


def test_logits_are_scaled_cosines_of_all_names(text):
    head = TextHead(CLASSES, text, in_channels=6, held_out=['zoo'])
    head.init_weights()
    regions = torch.randn(5, 6)
    names = load_text_embeddings(text).features
    expected = torch.cosine_similarity(head.projection(regions)[:, None], names[None], dim=-1)
    torch.testing.assert_close(head(regions), expected / 0.07, rtol=1e-5, atol=1e-5)


def test_the_names_are_frozen_and_no_part_of_the_weights(text):
    head = TextHead(CLASSES, text, in_channels=6)
    assert set(dict(head.named_parameters())) == {
        'log_scale',
        'projection.weight',
        'projection.bias',
    }
    assert set(head.state_dict()) - set(dict(head.named_parameters())) == {'text_space'}


def test_a_held_out_region_in_the_loss_is_an_error(text):
    head = TextHead(CLASSES, text, in_channels=6, held_out=['zoo', 'port'])
    with pytest.raises(ValueError, match=r'in the loss: port\. Give the training dataset held_out'):
        head.loss(torch.randn(3, 6), torch.tensor([0, 2, 3]))


def test_no_regions_at_all(text):
    head = TextHead(CLASSES, text, in_channels=6, held_out=['zoo'])
    loss = head.loss(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long))['loss_text']
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in head.parameters())


def test_scale_is_kept_below_100(text):
    head = TextHead(CLASSES, text, in_channels=6)
    with torch.no_grad():
        head.log_scale.fill_(9.0)
    head.loss(torch.randn(4, 6), torch.arange(4))
    assert head.log_scale.item() == pytest.approx(math.log(100))


def test_trained_weights_take_other_names_of_the_text_model(text, tmp_path):
    trained = TextHead(CLASSES, text, in_channels=6)
    other = write_text(tmp_path / 'other.safetensors', ['dam', 'zoo', 'barn'])
    head = TextHead(['zoo', 'dam'], other, in_channels=6)
    head.load_state_dict(trained.state_dict())
    regions = torch.randn(3, 6)
    torch.testing.assert_close(head(regions)[:, 0], trained(regions)[:, 1])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(space='another'), "another text model than 'another', which made .*new.safetensors"),
        (dict(width=WIDTH + 1), f'to {WIDTH} dimensions, but .*new.safetensors have {WIDTH + 1}'),
    ],
)
@pytest.mark.parametrize('by_mmengine', [False, True])
def test_weights_of_another_text_model(text, tmp_path, changes, message, by_mmengine):
    weights = TextHead(CLASSES, text, in_channels=6).state_dict()
    head = TextHead(
        CLASSES, write_text(tmp_path / 'new.safetensors', CLASSES, **changes), in_channels=6
    )
    with pytest.raises(ValueError, match=message):
        if by_mmengine:  # which only warns of weights that do not fit
            torch.save(dict(state_dict=weights), tmp_path / 'trained.pth')
            load_checkpoint(head, str(tmp_path / 'trained.pth'))
        else:
            head.load_state_dict(weights)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(classes=()), 'every category once'),
        (dict(classes=('zoo', 'zoo')), 'every category once'),
        (dict(classes=('zoo', 'harbor', 'mine')), 'no text embeddings of harbor, mine, but of'),
        (dict(held_out=['harbor']), r"\['harbor'\] are none; give some of the classes"),
        (dict(held_out=['zoo', 'zoo']), 'a name is repeated'),
        (dict(held_out=CLASSES), 'all 4 classes: leave some'),
    ],
    ids=str,
)
def test_wrong_arguments(text, arguments, message):
    with pytest.raises(ValueError, match=message):
        TextHead(**dict(dict(classes=CLASSES, text_embeddings=text), **arguments))


def test_projected_embeddings_are_refused(tmp_path):
    path = tmp_path / 'projected.safetensors'
    save_meta_embeddings(path, project_keeping_cosines(torch.randn(4, 20), 10), CLASSES)
    with pytest.raises(ValueError, match='again with --no-projection'):
        TextHead(CLASSES, path)
    with pytest.raises(FileNotFoundError, match=r'tools/text_meta_embeddings\.py'):
        TextHead(CLASSES, tmp_path / 'none.safetensors')
