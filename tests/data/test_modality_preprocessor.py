from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample

from mmdynamicvis.data.modalities import ModalitySample, Reading
from mmdynamicvis.data.modality_preprocessor import ModalityPreprocessor

MODALITIES = dict(
    optical=dict(mean=[10.0, 20.0], std=[1.0, 2.0], unit='stored', bands=('B04', 'B08')),
    radar=dict(mean=[-10.0], std=[5.0], unit='dB'),
)
READINGS = dict(optical=Reading(10.0, 'stored'), radar=Reading(20.0, 'dB'))


def sample(readings=READINGS, **images):
    return ModalitySample(images, {name: readings[name] for name in images})


def optical(value=0.0, size=4):
    return torch.tensor([10.0, 20]).view(2, 1, 1).expand(2, size, size) + value


def radar(value):
    return torch.full((1, 2, 2), value)


def process(*samples, **options):
    return ModalityPreprocessor(MODALITIES, **options)(dict(inputs=list(samples)))['inputs']


def test_rows_belong_to_samples():
    batch = process(
        sample(optical=[optical(2)], radar=[radar(-10.0), radar(0.0)]),
        sample(optical=[optical()]),
        sample(radar=[radar(5.0)]),
    )
    assert batch.size == 3
    assert list(batch.images) == ['optical', 'radar']
    images = batch.images['optical']
    assert images.pixels.dtype == torch.float32 and images.samples.dtype == torch.int64
    assert images.samples.tolist() == [0, 1]
    assert images.pixels[:, :, 0, 0].tolist() == [[2, 1], [0, 0]]
    assert (images.gsd, images.bands) == (10.0, None)
    assert batch.images['radar'].samples.tolist() == [0, 0, 2]
    assert batch.images['radar'].pixels[:, 0, 0, 0].tolist() == [0, 2, 3]
    assert batch.images['radar'].gsd == 20


def test_a_modality_that_nobody_has_is_left_out():
    assert list(process(sample(radar=[radar(0.0)])).images) == ['radar']


@pytest.mark.parametrize('nothing', [float('nan'), float('inf'), -float('inf')])
def test_pixels_without_data_become_the_mean(nothing):
    image = optical(1).clone()
    image[:, 1, 2] = nothing
    (pixels,) = process(sample(optical=[image])).images['optical'].pixels
    assert pixels[:, 1, 2].tolist() == [0, 0]
    assert pixels[:, 0, 0].tolist() == [1, 0.5]


def test_statistics_of_named_bands():
    readings = dict(optical=Reading(10.0, 'stored', ('b8', 'B4')))
    turned = process(sample(readings, optical=[optical(2).flip(0)])).images['optical']
    assert turned.pixels[0, :, 0, 0].tolist() == [1, 2]
    assert turned.bands == ('b8', 'B4')
    readings = dict(optical=Reading(10.0, 'stored', ('B08',)))
    one = process(sample(readings, optical=[optical(2)[1:]])).images['optical']
    assert one.pixels[0, :, 0, 0].tolist() == [1]
    readings = dict(optical=Reading(10.0, 'stored', ('B04', 'B11')))
    with pytest.raises(ValueError, match=r"mean and std of optical .*not of \['B11'\]"):
        process(sample(readings, optical=[optical()]))


def test_what_does_not_fit_is_refused():
    first = sample(optical=[optical()])
    other = dict(optical=Reading(10.2, 'stored'))
    with pytest.raises(ValueError, match=r'images of optical at 10 and 10\.2 m per pixel'):
        process(first, sample(other, optical=[optical()]))
    other = dict(optical=Reading(10.05, 'stored'))
    assert process(first, sample(other, optical=[optical()])).images['optical'].gsd == 10
    with pytest.raises(ValueError, match=r'sizes \[\(2, 4, 4\), \(2, 5, 5\)\]'):
        process(first, sample(optical=[optical(size=5)]))
    other = dict(optical=Reading(10.0, 'stored', ('B04', 'B08')))
    with pytest.raises(ValueError, match='a batch has the bands None and'):
        process(first, sample(other, optical=[optical()]))
    with pytest.raises(ValueError, match=r"mean and std of radar are in 'dB', .* in 'linear'"):
        process(sample(dict(radar=Reading(20.0, 'linear')), radar=[radar(0.0)]))
    with pytest.raises(ValueError, match='images of optical have 1 bands, its mean and std 2'):
        process(sample(optical=[optical()[:1]]))
    with pytest.raises(ValueError, match=r"images are of \['heat'\]"):
        process(sample(dict(heat=Reading(1.0, 'stored')), heat=[radar(0.0)]))
    with pytest.raises(TypeError, match='pipelines end with PackModalities'):
        process(optical())


@pytest.mark.parametrize(
    ('statistics', 'message'),
    [
        (dict(mean=[1.0], std=[1.0, 2.0]), 'one value per band'),
        (dict(mean=[1.0], std=[1.0], bands=('a', 'b')), 'one value per band'),
        (dict(mean=[float('nan')], std=[1.0]), 'one value per band'),
        (dict(mean=[1.0], std=[0.0]), 'must be positive'),
    ],
)
def test_statistics_that_make_no_sense(statistics, message):
    with pytest.raises(ValueError, match=message):
        ModalityPreprocessor(dict(radar=dict(unit='dB', **statistics)))


def test_as_hosts_build_and_move_it():
    config = dict(type='mmdynamicvis.ModalityPreprocessor', modalities=MODALITIES)
    # as mmpretrain builds it
    preprocessor = MODELS.build(dict(config, batch_augments=None))
    assert preprocessor.state_dict() == {}
    with pytest.raises(ValueError, match='batch_augments'):
        MODELS.build(dict(config, batch_augments=dict(augments=[])))
    preprocessor.to('meta')
    label = DataSample().set_gt_label(torch.tensor([1]))
    data = dict(inputs=[sample(radar=[radar(0.0)])], data_samples=[label])
    result = preprocessor(data, training=True)
    images = result['inputs'].images['radar']
    assert images.pixels.device.type == images.samples.device.type == 'meta'
    assert result['data_samples'][0].gt_label.device.type == 'meta'
    assert data['inputs'][0].images['radar'][0].device.type == 'cpu'
