"""What tools/test.py makes of a config and its options."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdynamicvis.engine.config import leaf_datasets, type_name

CONCATENATED = sorted(
    Path(__file__).resolve().parents[2].glob('configs/change_detection/siamese*levir-sztaki*.py')
)


@pytest.fixture
def merged(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Return the config that a command line tests."""
    tool = runpy.run_path(str(checkout / 'tools/test.py'))

    def merged(config: Path, *options: str) -> Config:
        monkeypatch.setattr(sys, 'argv', ['test.py', str(config), 'none.pth', *options])
        args = tool['parse_args']()
        cfg = tool['load_config'](args)
        tool['merge_test_args'](cfg, args)
        return cfg

    return merged


@pytest.mark.parametrize('path', CONCATENATED, ids=lambda path: path.stem)
def test_every_part_of_a_concatenation_is_augmented(merged: Callable, path: Path) -> None:
    cfg = merged(path, '--tta')
    leaves = list(leaf_datasets(cfg.test_dataloader.dataset))
    assert len(leaves) == 2
    assert all('TestTimeAug' in map(type_name, leaf.pipeline) for leaf in leaves)
    assert cfg.model.module.type == Config.fromfile(path).model.type


def test_parts_with_pipelines_of_their_own_keep_them(merged: Callable, tmp_path: Path) -> None:
    path = tmp_path / 'config.py'
    path.write_text(
        "default_scope = 'mmpretrain'\n"
        'model = dict(type="ImageClassifier", head=dict(type="LinearClsHead"))\n'
        'steps = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]\n'
        'parts = [dict(type="AID", pipeline=steps), dict(type="AID", pipeline=steps[-1:])]\n'
        'test_dataloader = dict(dataset=dict(type="ConcatDataset", datasets=parts))\n'
    )
    cfg = merged(path, '--tta')
    first, second = leaf_datasets(cfg.test_dataloader.dataset)
    assert [type_name(step) for step in first.pipeline] == ['LoadImageFromFile', 'TestTimeAug']
    assert [type_name(step) for step in second.pipeline] == ['TestTimeAug']
    assert cfg.model.type == 'mmpretrain.AverageClsScoreTTA'


def test_vectors_are_not_averaged_as_scores(merged: Callable, checkout: Path) -> None:
    path = checkout / 'configs/retrieval/pooled_dynamicvis-tiny_1xb32-zeroshot_aid150-128px.py'
    with pytest.raises(ValueError, match=r'PooledFeatures .* has no head .* leave --tta out'):
        merged(path, '--tta')


def test_predictions_replace_no_file_without_force(merged: Callable, tmp_path: Path) -> None:
    annotations = tmp_path / 'annotations.json'
    annotations.write_text('{}')
    options = ['--out', str(annotations), '--out-item', 'metrics']
    with pytest.raises(FileExistsError, match=r'annotations\.json exists; pass --force'):
        merged(CONCATENATED[0], *options)
    merged(CONCATENATED[0], *options, '--force')
