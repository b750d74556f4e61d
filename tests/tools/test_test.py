"""What tools/test.py makes of a config and its options."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from running import run_tool

from mmdynamicvis.engine.config import leaf_datasets, type_name

from ..classification.makers import write_scenes

CONCATENATED = sorted(
    Path(__file__).resolve().parents[2].glob('configs/change_detection/siamese*levir-sztaki*.py')
)


@pytest.fixture
def tool(checkout: Path) -> dict:
    return runpy.run_path(str(checkout / 'tools/test.py'))


@pytest.fixture
def merged(tool: dict, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Return the config that a command line tests."""

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


def test_several_modalities_are_not_flipped_as_one_image(merged: Callable, checkout: Path) -> None:
    name = 'multimodal-dynamicvis-tiny_1xb64-10e_bigearthnet-120px.py'
    with pytest.raises(ValueError, match='several modalities: leave it out'):
        merged(checkout / 'configs/classification' / name, '--tta')


def test_predictions_replace_no_file_without_force(merged: Callable, tmp_path: Path) -> None:
    annotations = tmp_path / 'annotations.json'
    annotations.write_text('{}')
    options = ['--out', str(annotations), '--out-item', 'metrics']
    with pytest.raises(FileExistsError, match=r'annotations\.json exists; pass --force'):
        merged(CONCATENATED[0], *options)
    merged(CONCATENATED[0], *options, '--force')


class Images:
    """A dataset of images, as far as their paths are concerned."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict[str, str]:
        return dict(img_path=str(self.paths[index]))


def of_images(tmp_path: Path, hook: dict, *images: Path) -> SimpleNamespace:
    """Return what a Runner tells of a test on images that draws with a hook."""
    return SimpleNamespace(
        cfg=Config(dict(default_hooks=dict(visualization=hook))),
        work_dir=str(tmp_path / 'work'),
        timestamp='20260101',
        test_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=Images(*images))),
    )


@pytest.mark.parametrize(
    ('kind', 'picture'), [('Det', 'a.png'), ('mmdet.Det', 'a.png'), ('', 'a.png_0.png')]
)
def test_pictures_replace_neither_images_nor_other_files(
    tool: dict, tmp_path: Path, kind: str, picture: str
) -> None:
    check = tool['refuse_to_draw_over']
    images, labels = tmp_path / 'images', tmp_path / 'labels'
    for folder in (images, labels):
        folder.mkdir()
        (folder / picture).write_text('mine')
    switch, out = ('draw', 'test_out_dir') if kind else ('enable', 'out_dir')
    hook = {'type': f'{kind}VisualizationHook', switch: True}
    tested = images / 'a.png'
    runner = of_images(tmp_path, {**hook, out: str(labels)}, tested)
    with pytest.raises(FileExistsError, match=rf'labels/{picture} exists; pass --force'):
        check(runner, force=False)
    check(runner, force=True)
    check(of_images(tmp_path, {**hook, out: str(labels), switch: False}, tested), force=False)
    check(of_images(tmp_path, {**hook, out: str(tmp_path / 'new')}, tested), force=False)
    check(of_images(tmp_path, hook, tested), force=False)
    if not kind:
        return
    (tmp_path / 'work/20260101').mkdir(parents=True)
    for folder in (str(images), '../../images'):
        with pytest.raises(ValueError, match=r'images/a\.png would be written over'):
            check(of_images(tmp_path, {**hook, out: folder}, tested), force=True)


def test_a_hook_that_is_a_class(merged: Callable, tmp_path: Path) -> None:
    path = tmp_path / 'config.py'
    path.write_text(
        'from mmdet.engine import DetVisualizationHook\n'
        'from mmdet.models import FasterRCNN\n'
        'model = dict(type=FasterRCNN)\n'
        'default_hooks = dict(visualization=dict(type=DetVisualizationHook))\n'
    )
    hook = merged(path, '--show-dir', 'seen').default_hooks.visualization
    assert (hook.draw, hook.test_out_dir) == (True, 'seen')


def test_weights_that_an_inferencer_refuses(checkout: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / 'data', ('Airport', 'Beach'), per_class=1)
    config, checkpoint = tmp_path / 'small.py', tmp_path / 'weights.pth'
    base = checkout / 'configs/classification/dynamicvis_tiny_1xb32-10e_aid150-128px.py'
    cfg = Config.fromfile(base)
    arch = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))
    cfg.model.backbone.update(arch=arch, img_size=64)
    cfg.model.head.update(in_channels=20, num_classes=2)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.metainfo = dict(classes=('Airport', 'Beach'))
    cfg.dump(config)
    init_default_scope('mmpretrain')
    weights = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).state_dict()
    head = [name for name in weights if name.startswith('head.')]
    broken = dict(weights, **{head[0]: weights[head[0]] + float('nan')})
    headless = {name: weight for name, weight in weights.items() if name not in head}
    turned = dict(dataset_meta=dict(classes=['Beach', 'Airport']))
    for content, meta, message, *augment in (
        (weights, {}, None),
        (weights, {}, None, '--tta'),
        (broken, {}, 'weights.pth has weights that are NaN'),
        (headless, {}, f'{head[0]} is missing'),
        (weights, turned, 'classes Beach, Airport, and .*small.py has them in another order'),
    ):
        torch.save(dict(state_dict=content, meta=meta), checkpoint)
        options = [
            *augment,
            '--work-dir',
            tmp_path / 'work',
            '--cfg-options',
            f'data_root={tmp_path}/data',
        ]
        done = run_tool(checkout / 'tools/test.py', config, checkpoint, *options)
        assert done.returncode == int(message is not None), done.stderr
        assert message is None or re.search(message, done.stderr), done.stderr
