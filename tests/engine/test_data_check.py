"""Heads whose outputs are not the classes of the data are refused; shipped configs are not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmdynamicvis.engine import SeededDataset
from mmdynamicvis.engine.config import leaf_datasets, metainfo_of
from mmdynamicvis.engine.hooks.data_check import check_bands, check_classes, require_a_box

from ..drop_in.shipped import Shipped, installed_hosts


class Head(nn.Module):
    def __init__(self, num_classes: int | None) -> None:
        super().__init__()
        self.num_classes = num_classes


def model(**heads: nn.Module | int) -> nn.Module:
    whole = nn.Module()
    for name, head in heads.items():
        setattr(whole, name, Head(head) if isinstance(head, int) else head)
    return whole


CASCADE = nn.ModuleList([Head(2), Head(4)])


def data(*classes: str, **more: tuple) -> SimpleNamespace:
    return SimpleNamespace(metainfo=dict(classes=classes, **more))


@pytest.mark.parametrize(
    ('wrong', 'name'),
    [
        (model(head=3), 'head'),
        (model(head=1), 'head'),
        (model(bbox_head=2, mask_head=5), 'mask_head'),
        (
            model(roi_head=model(bbox_head=nn.ModuleList([Head(2), Head(4)]))),
            'roi_head.bbox_head.1',
        ),
        (model(module=model(decode_head=3)), 'decode_head'),
        (model(auxiliary_head=9), 'auxiliary_head'),
        (model(backbone=10), 'backbone'),
    ],
)
def test_both_numbers_and_the_setting_are_named(wrong: nn.Module, name: str) -> None:
    with pytest.raises(ValueError, match=r'SimpleNamespace of train_dataloader has 2 ') as error:
        check_classes(wrong, data('ship', 'plane'), 'train_dataloader')
    number = wrong.get_submodule(name if hasattr(wrong, name.split('.')[0]) else f'module.{name}')
    assert f'model.{name} has num_classes={number.num_classes}, and' in str(error.value)
    assert f'(ship, plane): set model.{name}.num_classes=2,' in str(error.value)


@pytest.mark.parametrize(
    ('fine', 'dataset'),
    [
        (model(head=2), data('ship', 'plane')),
        (model(rpn_head=1, bbox_head=2), data('ship', 'plane')),
        (model(detector=model(bbox_head=1), reid=model(head=380)), data('ship', 'plane')),
        (model(backbone=-1, head=Head(None)), data('ship', 'plane')),
        (model(head=3), SimpleNamespace(metainfo={})),
        (model(head=3), SimpleNamespace()),
        (model(language_model=nn.Linear(1, 1), bbox_head=256), data('ship', 'plane')),
        (
            model(bbox_head=1, panoptic_head=2),
            data('ship', 'sea', thing_classes=('ship',), stuff_classes=('sea',)),
        ),
    ],
)
def test_what_fits_and_what_cannot_be_told_is_left_alone(
    fine: nn.Module, dataset: SimpleNamespace
) -> None:
    check_classes(fine, dataset, 'train_dataloader')


def test_classes_that_are_a_text() -> None:
    with pytest.raises(ValueError, match=r"are the text 'ship'; of one class, give \('ship',\)"):
        check_classes(model(head=4), SimpleNamespace(metainfo=dict(classes='ship')), 'here')


def bands_config(taken: list[str], turned: bool, **loader: object) -> Config:
    step = {**dict(type='mmdynamicvis.LoadGeoTIFF', unit='stored'), **loader}
    dataset = dict(type='Wrapper', dataset=dict(type='Any', pipeline=[dict(type='Other'), step]))
    return Config(
        dict(
            model=dict(backbone=dict(type='DynamicVis', bands=taken)),
            data_preprocessor=dict(bgr_to_rgb=turned),
            val_dataloader=dict(dataset=dataset),
        )
    )


@pytest.mark.parametrize(
    ('taken', 'turned', 'loader'),
    [
        (['red', 'nir'], False, dict(bands=['nir', 'red'])),
        (['red', 'nir'], True, dict(bands=['red', 'nir'])),
        (['red', 'nir'], False, dict(bands=['B04', 'B8A'], sensor='sentinel2')),
        (['red', 'nir'], False, dict(bands=['R', 'N', 'B'])),
    ],
)
def test_bands_of_another_order_are_refused(taken, turned, loader) -> None:
    cfg = bands_config(taken, turned, **loader)
    with pytest.raises(ValueError, match=r"bands is \['red', 'nir'\], and LoadGeoTIFF of val_data"):
        check_bands(cfg, 'val_dataloader')
    check_bands(cfg, 'test_dataloader')


IMAGE = dict(type='mmdynamicvis.LoadIntactImage')
FILES = dict(type='mmdynamicvis.LoadBandFiles', bands=['B04', 'B03', 'B02'])


@pytest.mark.parametrize('loader', [IMAGE, FILES], ids=lambda loader: loader['type'])
def test_loaders_of_colors(loader) -> None:
    colors, turned = ['red', 'green', 'blue'], loader is IMAGE
    check_bands(bands_config(colors, turned, **loader), 'val_dataloader')
    for wrong in (
        bands_config(colors, not turned, **loader),
        bands_config(colors[::-1], turned, **loader),
    ):
        with pytest.raises(ValueError, match='give both the same bands in the same order'):
            check_bands(wrong, 'val_dataloader')


@pytest.mark.parametrize(
    ('taken', 'turned', 'loader'),
    [
        (['red', 'nir'], False, dict(bands=['R', 'N'])),
        (['red', 'nir'], True, dict(bands=['nir', 'red'])),
        (['red', 'nir'], False, dict(bands=['B04', 'B08'], sensor='sentinel2')),
        (['red', 'nir'], False, dict(bands=[4, 8])),
        (['red', 'nir'], False, {}),
        (None, False, dict(bands=['nir', 'red'])),
    ],
)
def test_bands_that_are_the_same_or_unnamed_are_left_alone(taken, turned, loader) -> None:
    check_bands(bands_config(taken, turned, **loader), 'val_dataloader')


class Boxes:
    """A dataset of which each image has the boxes with these flags."""

    def __init__(self, *flags: list[int]) -> None:
        self.infos = [dict(instances=[dict(ignore_flag=flag) for flag in image]) for image in flags]

    def __len__(self) -> int:
        return len(self.infos)

    def get_data_info(self, index: int) -> dict:
        return self.infos[index]


@pytest.mark.parametrize('dataset', [Boxes(), Boxes([], []), Boxes([1, 1], [])])
def test_training_on_no_box_is_refused(dataset: Boxes) -> None:
    message = rf'the {len(dataset)} images of Boxes, of train_dataloader, have no box to train on'
    with pytest.raises(ValueError, match=message):
        require_a_box(dataset)
    with pytest.raises(ValueError, match='have no box to train on'):
        require_a_box(SeededDataset(dataset))


def test_one_box_will_do_and_classifiers_need_none() -> None:
    require_a_box(Boxes([], [1], [1, 0]))
    scenes = Boxes([])
    del scenes.infos[0]['instances']
    require_a_box(scenes)
    require_a_box(SimpleNamespace())


SHIPPED = [
    ('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'),
    ('mmdet', 'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py'),
    ('mmdet', 'htc/htc_r50_fpn_1x_coco.py'),
    ('mmdet', 'pascal_voc/ssd300_voc0712.py'),
    ('mmdet', 'rpn/rpn_r50_fpn_1x_coco.py'),
    ('mmrotate', 'oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota.py'),
    ('mmseg', 'stdc/stdc1_4xb12-80k_cityscapes-512x1024.py'),
    ('mmseg', 'unet/unet-s5-d16_fcn_4xb4-ce-1.0-dice-3.0-40k_drive-64x64.py'),
    ('mmpretrain', 'vgg/vgg11_8xb32_in1k.py'),
    ('mmpretrain', 'mobilenet_v2/mobilenet-v2_8xb32_in1k.py'),
]  # fmt: skip


@pytest.mark.parametrize(('host', 'config'), SHIPPED)
def test_shipped_configs_fit_their_data(host: str, config: str) -> None:
    if host not in installed_hosts():
        pytest.skip(f'{host} is not installed with its configs')
    cfg = Shipped(host, config).load()
    with DefaultScope.overwrite_default_scope(host), torch.device('meta'):
        whole = MODELS.build({**cfg.model, **dict.fromkeys(['pretrained'] * (host == 'mmseg'))})
        dataset = next(leaf_datasets(cfg.train_dataloader.dataset))
        metainfo = metainfo_of(cfg, dataset)
    check_classes(whole, SimpleNamespace(metainfo=metainfo), 'train_dataloader')
