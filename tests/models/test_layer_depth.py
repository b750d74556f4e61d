"""Depths for layer-wise learning rates, as mmpretrain's constructor asks for them."""

from __future__ import annotations

from mmdynamicvis import DynamicVis


def test_depths_follow_the_forward_pass() -> None:
    model = DynamicVis(
        dict(embed_dims=(8, 12), depths=(1, 2)),
        **{
            'patch_sizes': (7, 3),
            'strides': (4, 2),
            'reduction_ratios': (0.5, 0.5),
            'img_size': 64,
        },
    )
    depths = {
        name: model.get_layer_depth(f'backbone.{name}', 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert {count for _, count in depths.values()} == {5}
    expected = {
        'pos_embed': 0,
        'stages.0.merger.projection.weight': 0,
        'stages.0.units.0.mixer.D': 1,
        'stages.0.norm.weight': 1,
        'stages.1.merger.projection.weight': 2,
        'stages.1.units.0.mixer.D': 2,
        'stages.1.units.1.scorer.weight': 3,
        'stages.1.norm.bias': 3,
    }
    assert {name: depths[name][0] for name in expected} == expected
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (4, 5)
