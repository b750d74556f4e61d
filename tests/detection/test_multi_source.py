"""One backbone and a head per source: aerial images and SAR images in the same batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

CONFIG = 'configs/detection/multi-source-fcos_dynamicvis-tiny_1xb4-12e_nwpu-ssdd-256px.py'
FCOS = 'configs/detection/fcos_dynamicvis-tiny_1xb4-12e_nwpu-256px.py'


@pytest.fixture
def cfg(checkout) -> Config:
    cfg = Config.fromfile(checkout / CONFIG)
    cfg.model.backbone.update(arch=dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1)))
    cfg.model.neck.in_channels = [8, 16, 24, 32]
    cfg.model.data_preprocessor = cfg.data_preprocessor
    return cfg


def build(cfg: Config) -> torch.nn.Module:
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.eval()


def samples(*sources: str | None) -> list[DetDataSample]:
    """Return samples of 64 px with a box of the last class of their source."""
    found = []
    for source in sources:
        meta = dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0), source=source)
        boxes = torch.tensor([[8.0, 8.0, 24.0, 30.0]])
        labels = torch.tensor([9 if source == 'rgb' else 0])
        instances = InstanceData(bboxes=boxes, labels=labels)
        found.append(DetDataSample(metainfo=meta, gt_instances=instances))
    return found


def test_an_image_has_the_losses_and_boxes_that_it_has_alone(cfg):
    cfg.model.data_preprocessor = None
    model = build(cfg)
    images = torch.randn(3, 3, 64, 64)
    both = model.loss(images, samples('sar', 'rgb', 'sar'))
    assert {name.split('.')[0] for name in both} == {'rgb', 'sar'}
    alone = model.loss(images[1:2], samples('rgb'))
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        together = model.predict(images, samples('sar', 'rgb', 'sar'))
        for i, source in enumerate(('sar', 'rgb', 'sar')):
            (expected,) = model.predict(images[i : i + 1], samples(source))
            got = together[i].pred_instances
            torch.testing.assert_close(
                got.scores, expected.pred_instances.scores, rtol=1e-4, atol=1e-6
            )
            assert (got.labels == expected.pred_instances.labels).all()
            assert source == 'rgb' or not got.labels.any()


def test_every_parameter_learns_from_its_source_alone(cfg):
    model = build(cfg).train()
    losses = model.loss(torch.randn(2, 3, 64, 64), samples('rgb', 'rgb'))
    model.parse_losses(losses)[0].backward()
    heads = dict(model.bbox_heads.named_parameters())
    assert all(p.grad is None for name, p in heads.items() if name.startswith('sar.'))
    rest = [p for name, p in model.named_parameters() if not name.startswith('bbox_heads.sar')]
    assert all(p.grad is not None for p in rest)


@pytest.mark.parametrize('source', [None, 'infrared'])
def test_a_source_without_a_head_is_an_error(cfg, source):
    model = build(cfg)
    with pytest.raises(ValueError, match=rf"the source {source!r}, .* \['rgb', 'sar'\]"):
        model.predict(torch.randn(1, 3, 64, 64), samples(source))
    cfg.model.bbox_heads = {}
    with pytest.raises(ValueError, match='bbox_heads is empty'):
        build(cfg)


def test_a_detector_of_one_source_takes_its_weights(cfg, checkout, tmp_path):
    """As the README of the configs says."""
    cfg.model.data_preprocessor = None
    model = build(cfg)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'both.pth')
    one = Config.fromfile(checkout / FCOS)
    one.model.backbone.update(cfg.model.backbone)
    one.model.neck.update(cfg.model.neck)
    one.model.bbox_head.num_classes = 1
    for part, prefix in dict(
        backbone='backbone.', neck='neck.', bbox_head='bbox_heads.sar.'
    ).items():
        one.model[part].init_cfg = dict(
            type='Pretrained', checkpoint=str(tmp_path / 'both.pth'), prefix=prefix
        )
    fcos = MODELS.build(one.model)
    fcos.init_weights()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        (expected,) = model.predict(images, samples('sar'))
        (got,) = fcos.eval().predict(images, samples('sar'))
    torch.testing.assert_close(got.pred_instances.scores, expected.pred_instances.scores)


def write_few(source: Path, target: Path, name: str, count: int) -> None:
    """Write annotations of the first images that are at hand, for training and validation."""
    whole = json.loads((source / f'annotations/{name}_train.json').read_text())
    there = [i for i in whole['images'] if (source / 'imgs' / i['file_name']).exists()][:count]
    kept = {image['id'] for image in there}
    boxes = [box for box in whole['annotations'] if box['image_id'] in kept]
    (target / 'annotations').mkdir(parents=True)
    (target / 'imgs').symlink_to(source / 'imgs')
    for split in ('train', 'val'):
        text = json.dumps(dict(whole, images=there, annotations=boxes))
        (target / f'annotations/{name}_{split}.json').write_text(text)


@pytest.mark.shared_data
def test_from_training_to_metrics_of_both_sources(cfg, shared_data, tmp_path):
    """Aerial images of NWPU VHR-10, and images of SSDD."""
    names = dict(nwpu_vhr10='NWPU_instances', ssdd='SSDD_instances')
    for folder, name in names.items():
        write_few(shared_data / folder, tmp_path / folder, name, 4)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        for dataset, folder in zip(loader.dataset.datasets, names, strict=True):
            dataset.data_root = str(tmp_path / folder)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        for metric, (folder, name) in zip(evaluator.metrics, names.items(), strict=True):
            metric.ann_file = str(tmp_path / folder / f'annotations/{name}_val.json')
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler = None
    cfg.work_dir = str(tmp_path / 'work')
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert {'rgb/coco/bbox_mAP', 'sar/coco/bbox_mAP'} <= metrics.keys()
    (log,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    logged = Path(log).read_text()
    assert 'rgb.loss_cls' in logged and 'sar.loss_cls' in logged
