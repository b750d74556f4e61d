from __future__ import annotations

import copy
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import METRICS, MODELS, TRANSFORMS, init_default_scope
from mmengine.utils import digit_version

from mmdynamicvis.registry import DATASETS

from .training import once_per_model, shrink, training_step

CHECKOUT = Path(__file__).resolve().parents[2]
# of several sources: tests/detection/test_multi_source.py
DETECTION = [
    path
    for path in sorted((CHECKOUT / 'configs/detection').glob('*.py'))
    if not path.stem.startswith('multi-source')
]
INSTANCES = sorted((CHECKOUT / 'configs/instance_segmentation').glob('*.py'))
CONFIGS = [*DETECTION, *INSTANCES]
DINO_TINY = 'dino_dynamicvis-tiny_1xb4-12e_nwpu-256px'

each_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def load(path: Path) -> Config:
    """Read the config, its model small and without weights from files."""
    cfg = Config.fromfile(path)
    for part in pretrained_parts(cfg.model):
        part.init_cfg = None
    shrink(cfg)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    return cfg


def pretrained_parts(model: dict) -> list[dict]:
    """Return the parts of a model that load weights from a file."""
    found = [model] if (model.get('init_cfg') or {}).get('type') == 'Pretrained' else []
    for value in model.values():
        if isinstance(value, dict):
            found += pretrained_parts(value)
    return found


def batch(cfg: Config, size: int = 64) -> dict:
    """Return two made images with 2 boxes and 1, with masks if the model has them."""
    data = demo_mm_inputs(
        batch_size=2,
        image_shapes=[(3, size, size)] * 2,
        num_items=[2, 1],
        num_classes=80,
        with_mask=cfg.model.type == 'MaskRCNN',
        use_box_type=True,
    )
    for sample in data['data_samples']:
        sample.gt_instances.labels %= n_classes(cfg.train_dataloader.dataset.type)
    return data


def n_classes(dataset: str) -> int:
    return len(DATASETS.get(dataset).METAINFO['classes'])


@each_config
def test_config_trains_a_step_and_predicts(path):
    cfg = load(path)
    if path.stem == DINO_TINY and digit_version(mmdet.__version__) < digit_version('3.5'):
        pytest.skip("mmdet's own DINO has 256 channels, onedl-mmdetection's any number")
    data = batch(cfg)
    losses = training_step(cfg, data)
    assert 0 < losses['loss'] < 100  # DINO adds those of all layers
    assert ('loss_mask' in losses) == (path in INSTANCES)
    results = predictions(cfg, data)
    assert len(results) == len(data['inputs'])
    for result in results:
        assert len(result.pred_instances) <= cfg.tta_model.tta_cfg.max_per_img
        assert result.pred_instances.bboxes.isfinite().all()


@once_per_model
@torch.no_grad()
def predictions(cfg: Config, data: dict) -> list[DetDataSample]:
    model = MODELS.build(dict(cfg.tta_model, module=cfg.model))
    model.module.init_weights()
    return model.eval().test_step(flipped_views(data))


def flipped_views(data: dict) -> dict:
    """Return what TestTimeAug makes of a batch: each image as it is and mirrored."""
    views = []
    for flip, direction in ((False, None), (True, 'horizontal')):
        samples = copy.deepcopy(data['data_samples'])
        for sample in samples:
            sample.set_metainfo(dict(flip=flip, flip_direction=direction))
        images = [image.flip(-1) if flip else image for image in data['inputs']]
        views.append((images, samples))
    images, samples = zip(*views, strict=True)
    return dict(inputs=list(images), data_samples=list(samples))


@each_config
def test_config_is_complete_and_what_its_name_says(path):
    cfg = Config.fromfile(path)
    check_pipelines_and_evaluators(cfg, masks=path in INSTANCES)
    head, model, settings, data = path.stem.split('_', 3)
    assert cfg.model.type.lower() == head.replace('-', '')
    check_backbone(cfg, model)
    check_schedule(cfg, settings)
    check_pretraining(
        cfg, expected='tiny' not in model and 'dyn' in model and 'scratch' not in settings
    )
    size = int(data.rsplit('-', 1)[1].removesuffix('px'))
    assert cfg.model.backbone.get('img_size', size) == size
    heads = [cfg.model.get('bbox_head'), *cfg.model.get('roi_head', {}).values()]
    counts = {
        part.num_classes for part in heads if isinstance(part, dict) and 'num_classes' in part
    }
    assert counts == {n_classes(cfg.train_dataloader.dataset.type)}
    header = path.read_text().split('\n_base_')[0]
    assert f'mim train mmdynamicvis {path.name}' in header
    assert 'Ours: ' in header


def check_pipelines_and_evaluators(cfg: Config, masks: bool) -> None:
    init_default_scope(cfg.default_scope)
    pipelines = [cfg[f'{loop}_dataloader'].dataset.pipeline for loop in ('train', 'val', 'test')]
    for transform in [*cfg.tta_pipeline, *(t for pipeline in pipelines for t in pipeline)]:
        TRANSFORMS.build(transform)
    for loop in ('val', 'test'):
        dataset, evaluator = cfg[f'{loop}_dataloader'].dataset, cfg[f'{loop}_evaluator']
        assert evaluator.ann_file == dataset.data_root + dataset.ann_file
        metric = METRICS.build(dict(evaluator, ann_file=None))
        assert metric.metrics == (['bbox', 'segm'] if masks else ['bbox'])
    assert [hook.type for hook in cfg.custom_hooks] == ['NumClassCheckHook']
    assert cfg.default_hooks.visualization.draw


def check_backbone(cfg: Config, name: str) -> None:
    if name == 'resnet18':
        assert (cfg.model.backbone.type, cfg.model.backbone.depth) == ('ResNet', 18)
        return
    assert cfg.model.backbone.arch == name.split('-')[1]


def check_schedule(cfg: Config, settings: str) -> None:
    batches, epochs, *_ = settings.split('-')
    gpus, batch_size = batches.split('xb')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
    assert cfg.train_cfg.max_epochs == int(epochs.removesuffix('e'))


def check_pretraining(cfg: Config, expected: bool) -> None:
    prefixes = [part.init_cfg.prefix for part in pretrained_parts(cfg.model)]
    if not expected:
        assert prefixes == []
    elif cfg.model.type == 'DINO':
        assert prefixes == ['backbone.']
    else:
        extractors = dict(FCOS=0, FasterRCNN=1, MaskRCNN=2)[cfg.model.type]
        assert prefixes == ['backbone.', 'neck.'] + ['roi_extractor.'] * extractors


def test_fcos_levels_are_the_published_ones():
    cfg = Config.fromfile(CHECKOUT / 'configs/_base_/models/fcos.py')
    assert cfg.model.bbox_head.strides == [4, 8, 16, 32, 64]
    ranges = ((0, 20), (16, 40), (32, 80), (64, 160), (128, 1024))
    assert cfg.model.bbox_head.regress_ranges == ranges


def test_instance_segmentation_trains_in_bf16():
    """As AmpOptimWrapper does on a GPU, with gradient checkpointing."""
    name = 'mask-rcnn_dynamicvis-base_1xb8-800e-scratch_nwpu-1024px.py'
    cfg = load(CHECKOUT / 'configs/instance_segmentation' / name)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    cfg.model.backbone.with_cp = True
    cfg.model.train_cfg.rcnn.sampler.num = 4
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.init_weights()
    data = model.data_preprocessor(batch(cfg), training=True)
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(**data, mode='loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    gradients = [p.grad for p in model.backbone.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
