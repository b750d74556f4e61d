"""The model that returns vectors, and the weights that it takes."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from mmdynamicvis.inference.trained_model import load_all
from mmdynamicvis.models.weights import Checkpoint
from mmdynamicvis.retrieval import PooledFeatures

BACKBONE = dict(
    type='mmdynamicvis.DynamicVis',
    arch=dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1)),
    img_size=64,
)


def test_weights_of_any_model_with_the_backbone() -> None:
    torch.manual_seed(0)
    trained, model = PooledFeatures(BACKBONE), PooledFeatures(BACKBONE)
    weights = dict(trained.state_dict(), **{'head.fc.weight': torch.ones(3, 20)})
    load_all(model, Checkpoint('classifier.pth', weights, []), Config(dict(model={})))
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.eval()(images), trained.eval()(images))
    del weights['backbone.pos_embed']
    with pytest.raises(ValueError, match=r'classifier\.pth is not .*: backbone\.pos_embed is miss'):
        load_all(model, Checkpoint('classifier.pth', weights, []), Config(dict(model={})))
