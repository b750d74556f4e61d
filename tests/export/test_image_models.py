"""Models for export, before they are exported: as the host's own test on the same pixels."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config

from mmdynamicvis.engine.inputs import read_inputs
from mmdynamicvis.export import classifier, detector, segmentor, select_boxes
from mmdynamicvis.inference.trained_model import load_model

from .hosts import CHANGE, CLASSIFIER, FCOS, SEGMENTOR, images, made


def changed(settings: dict | Config, **changes) -> Config:
    """Return a config with some settings changed, by their dotted names."""
    cfg = copy.deepcopy(settings) if isinstance(settings, Config) else Config(settings)
    cfg.merge_from_dict({name.replace('__', '.'): value for name, value in changes.items()})
    return cfg


def on_host(config, weights, loaded: torch.Tensor):
    """Return the host's predictions for images as its loader returns them."""
    cfg = Config.fromfile(config)
    host = load_model(cfg, weights, 'cpu')
    if cfg.default_scope == 'mmdet':
        from mmdet.structures import DetDataSample as Sample
    elif cfg.default_scope == 'mmseg':
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmpretrain.structures import DataSample as Sample
    shape = tuple(loaded.shape[2:])
    about = dict(ori_shape=shape, img_shape=shape, scale_factor=(1.0, 1.0), batch_input_shape=shape)
    samples = [Sample(metainfo=about) for _ in loaded]
    with torch.no_grad():
        return host.test_step(dict(inputs=list(loaded.byte()), data_samples=samples))


def reverse(x_BCHW: torch.Tensor, dates: int = 1) -> torch.Tensor:
    return x_BCHW.unflatten(1, (dates, -1)).flip(2).flatten(1, 2)


@torch.no_grad()
def test_pixels_of_a_segmentor(tmp_path) -> None:
    config, weights = made(SEGMENTOR, tmp_path)
    model, x = segmentor(config, weights), images(2, 64, 64)
    (probabilities,) = model(x)
    expected = [
        sample.seg_logits.data.softmax(0) for sample in on_host(config, weights, reverse(x))
    ]
    torch.testing.assert_close(probabilities, torch.stack(expected), atol=1e-5, rtol=0)
    assert len(probabilities.argmax(1).unique()) > 1
    assert model.facts == dict(
        classes=['water', 'field', 'road'], bands=['red', 'green', 'blue'], dates=1
    )
    assert (model.size, model.smallest, model.step) == ((64, 64), 64, 1)


@torch.no_grad()
def test_two_classes_with_one_logit_and_a_threshold(tmp_path) -> None:
    settings = changed(
        SEGMENTOR,
        model__decode_head__num_classes=2,
        model__decode_head__out_channels=1,
        model__decode_head__threshold=0.4,
        model__decode_head__loss_decode__use_sigmoid=True,
        test_dataloader__dataset__metainfo__classes=['other', 'road'],
    )
    config, weights = made(settings, tmp_path)
    x = images(1, 64, 64)
    (probabilities,) = segmentor(config, weights)(x)
    (expected,) = on_host(config, weights, reverse(x))
    near = (expected.seg_logits.data[0] - 0.4).abs() < 1e-5
    classes = expected.pred_sem_seg.data[0]
    assert 0 < classes.float().mean() < 1
    assert ((probabilities[0].argmax(0) == classes) | near).all()


@torch.no_grad()
def test_changes_between_two_dates_whose_size_is_padded(tmp_path) -> None:
    config, weights = made(CHANGE, tmp_path)
    model, x = segmentor(config, weights), images(2, 70, 101, bands=6)
    (probabilities,) = model(x)
    found = on_host(config, weights, reverse(x, dates=2))
    expected = torch.stack([sample.seg_logits.data.softmax(0) for sample in found])
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=0)
    assert (model.bands, model.facts['dates'], model.step) == (6, 2, 64)


@torch.no_grad()
def test_boxes_of_fcos(tmp_path) -> None:
    config, weights = made(FCOS, tmp_path)
    model, x = detector(config, weights), images(2, 70, 101)
    boxes, scores, centerness = model(x)
    assert boxes.shape[:2] == scores.shape[:2] == centerness.shape
    for index, sample in enumerate(on_host(config, weights, reverse(x))):
        found = select_boxes(boxes[index], scores[index], centerness[index].numpy(), (70, 101))
        expected = sample.pred_instances
        assert len(expected) > 3
        torch.testing.assert_close(found[0], expected.bboxes, atol=1e-3, rtol=0)
        assert (found[1] == expected.labels).all()
        torch.testing.assert_close(found[2], expected.scores, atol=1e-5, rtol=0)
    assert (model.step, model.facts['test_cfg']['score_thr']) == (64, 0.05)


@torch.no_grad()
@pytest.mark.parametrize('turned', [True, False])
@pytest.mark.parametrize('settings', [CLASSIFIER, SEGMENTOR, CHANGE])
def test_colors_are_red_green_blue_whatever_the_network_takes(tmp_path, settings, turned) -> None:
    name = 'to_rgb' if settings is CLASSIFIER else 'bgr_to_rgb'
    config, weights = made(changed(settings, **{f'data_preprocessor__{name}': turned}), tmp_path)
    load = classifier if settings is CLASSIFIER else segmentor
    dates = 2 if settings is CHANGE else 1
    x = images(1, 64, 64, bands=3 * dates)
    (scores,) = load(config, weights)(x)
    (sample,) = on_host(config, weights, reverse(x, dates))
    expected = sample.pred_score if settings is CLASSIFIER else sample.seg_logits.data.softmax(0)
    torch.testing.assert_close(scores[0], expected, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize('turned', [True, False])
def test_bands_of_rasters_are_in_the_order_of_the_loader(tmp_path, turned) -> None:
    loader = dict(type='mmdynamicvis.LoadGeoTIFF', bands=[4, 2, 1])
    settings = changed(
        SEGMENTOR,
        data_preprocessor__bgr_to_rgb=turned,
        test_dataloader__dataset__pipeline=[loader, dict(type='PackSegInputs')],
    )
    config, weights = made(settings, tmp_path)
    model, x = segmentor(config, weights), images(1, 64, 64)
    (sample,) = on_host(config, weights, x)
    expected = sample.seg_logits.data.softmax(0)
    torch.testing.assert_close(model(x)[0][0], expected, atol=1e-5, rtol=0)
    assert model.facts['bands'] == [4, 2, 1]


@pytest.mark.parametrize(
    ('config', 'why'),
    [
        ('detection/faster-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py', 'its second stage crops'),
        ('detection/dino_dynamicvis-tiny_1xb4-12e_nwpu-256px.py', 'its head is DINOHead'),
        (
            'rotated_detection/rotated-fcos_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py',
            'rotated',
        ),
        ('segmentation/upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px.py', "scope is 'mmseg'"),
    ],
)
def test_detectors_that_are_refused(checkout, config, why) -> None:
    with pytest.raises(ValueError, match=f'is not exported: .*{why}'):
        detector(checkout / 'configs' / config, 'none.pth')


def test_segmentors_that_are_refused(tmp_path, checkout) -> None:
    config = checkout / 'configs/detection/fcos_dynamicvis-tiny_1xb4-12e_nwpu-256px.py'
    with pytest.raises(ValueError, match='not that of a segmentor or change detector'):
        segmentor(config, 'none.pth')
    config, weights = made(SEGMENTOR, tmp_path)
    names = dict(test_dataloader__dataset__metainfo__classes=['a', 'b'])
    bands = dict(type='mmdynamicvis.BandsDataPreprocessor', mean=[1.0, 2.0], std=[1.0, 1.0])
    for changes, message in (
        (names, '3 classes, and its dataset 2'),
        (dict(data_preprocessor__test_cfg=dict(size=(96, 96))), r'pads test images to \(96, 96\)'),
        (
            dict(data_preprocessor=dict(bands, _delete_=True)),
            'has 2 numbers, and the model',
        ),
    ):
        cfg = changed(Config.fromfile(config), **changes)
        with pytest.raises(ValueError, match=message):
            segmentor(cfg, weights)


def test_named_bands_of_a_backbone_are_counted(checkout) -> None:
    name = 'upernet_dynamicvis-base_1xb8-200e-scratch_naip-512px.py'
    inputs = read_inputs(Config.fromfile(checkout / 'configs/segmentation' / name))
    assert inputs.bands == ['red', 'green', 'blue', 'nir']
    assert len(inputs.mean) == len(inputs.std) == 4


@pytest.mark.parametrize('task', ['segmentation', 'classification'])
def test_several_modalities_are_refused(checkout, task: str) -> None:
    (path,) = (checkout / 'configs' / task).glob('*multimodal-*.py')
    with pytest.raises(ValueError, match=r'takes images of several modalities \(.*sentinel1'):
        read_inputs(Config.fromfile(path))
