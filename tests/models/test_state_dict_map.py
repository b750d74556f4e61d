"""Published parameter names and ours."""

from __future__ import annotations

import torch

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.state_dict_map import convert_layout, to_ours, to_published


def test_every_name_has_one_counterpart():
    model = DynamicVis(
        dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 2, 1)),
        published=True,
        scan_mode='gate',
        out_type='avg_featmap',
    )
    ours = list(model.state_dict())
    published = [to_published(name) for name in ours]
    assert len(set(published)) == len(ours)
    assert [to_ours(name) for name in published] == ours
    changed = [o for o, p in zip(ours, published, strict=True) if o == p]
    assert changed == ['pos_embed']


def test_parts_of_a_published_pretraining_are_renamed():
    published = {
        'backbone.pos_embed': torch.rand(1, 6, 8),
        'pre_neck.lateral_convs.0.conv.weight': torch.rand(1),
        'neck.post_module.conv.weight': torch.rand(1),
        'head.fc.weight': torch.rand(1),
        'head.category_embedding.weight': torch.rand(3, 8),
        'head.logit_scale': torch.rand(()),
    }
    ours = convert_layout(published, 'ours', grid=(2, 3))
    assert list(ours) == [
        'backbone.pos_embed',
        'neck.lateral_convs.0.conv.weight',
        'roi_extractor.post_module.conv.weight',
        'head.fc.weight',
        'head.meta_embeddings',
        'head.log_scale',
    ]
    assert convert_layout(ours, 'ours').keys() == ours.keys()
    back = convert_layout(ours, 'published')
    assert list(back) == list(published)
    assert all(torch.equal(back[name], published[name]) for name in published)


def test_a_neck_of_any_other_model_stays():
    name = 'neck.fpn_convs.0.conv.bias'
    detector = {'backbone.pos_embed': torch.rand(1, 4, 8), name: torch.rand(1)}
    assert list(convert_layout(detector, 'ours'))[1] == name
