from __future__ import annotations

import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer
from running import run_tool

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.state_dict_map import convert_layout
from mmdynamicvis.models.weights import load_weights

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 2, 1))


@pytest.fixture
def published(tmp_path):
    """A file as mmengine writes it: weights in several dtypes beside histories."""
    model = DynamicVis(
        ARCH, published=True, img_size=(64, 96), scan_mode='gate', out_type='avg_featmap'
    )
    weights = convert_layout(model.state_dict(), 'published')
    weights = {f'backbone.{name}': torch.randn_like(value) for name, value in weights.items()}
    weights['head.fc.weight'] = torch.randn(3, 20).bfloat16()
    history = HistoryBuffer()
    history.update(0.5)
    content = dict(
        state_dict=weights,
        meta=dict(seed=1),
        message_hub=dict(log_scalars={'loss': history}, runtime_info={}, resumed_keys={}),
    )
    path = tmp_path / 'published.pth'
    torch.save(content, path)
    return path


def convert(checkout, *arguments):
    return run_tool(checkout / 'tools/convert_checkpoint.py', *arguments)


def test_round_trip_is_bit_exact(checkout, published, tmp_path):
    ours, back = tmp_path / 'ours.safetensors', tmp_path / 'back.pth'
    size = ('--img-size', 64, 96)
    done = convert(checkout, published, ours, '--layout', 'ours', *size)
    assert done.returncode == 0, done.stderr
    done = convert(checkout, ours, back, '--layout', 'published')
    assert done.returncode == 0, done.stderr
    before, after = load_weights(published), load_weights(back)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert value.dtype == after[name].dtype
        assert torch.equal(value, after[name])

    model = DynamicVis(
        ARCH, published=True, img_size=(64, 96), scan_mode='gate', out_type='avg_featmap'
    )
    model.load_state_dict(load_weights(ours, prefix='backbone.'), strict=True)
    expected = before['backbone.layers.0.0.projection.weight']
    assert torch.equal(model.stages[0].merger.projection.weight, expected)


def test_target_is_not_overwritten(checkout, published, tmp_path):
    target = tmp_path / 'target.safetensors'
    target.write_text('precious')
    done = convert(checkout, published, target)
    assert done.returncode == 1
    assert '--force' in done.stderr
    assert target.read_text() == 'precious'


def test_the_source_is_kept_even_by_force(checkout, published):
    before = published.read_bytes()
    done = convert(checkout, published, published, '--force')
    assert done.returncode == 1
    assert f'{published} would be written over {published}, which is read' in done.stderr
    assert published.read_bytes() == before


def test_unclear_position_embedding_is_refused(checkout, published, tmp_path):
    done = convert(checkout, published, tmp_path / 'ours.pth', '--layout', 'ours')
    assert done.returncode == 1
    assert '384 tokens' in done.stderr
    assert not (tmp_path / 'ours.pth').exists()


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), 'w'))


@pytest.mark.parametrize('zip_format', [True, False])
def test_nothing_in_a_file_is_executed(checkout, tmp_path, zip_format):
    marker, source = tmp_path / 'executed', tmp_path / 'malicious.pth'
    content = dict(state_dict={'a': torch.zeros(1)}, meta=Malicious(marker))
    if zip_format:
        torch.save(content, source)
    else:
        source.write_bytes(pickle.dumps(content))
    done = convert(checkout, source, tmp_path / 'out.pth')
    assert done.returncode == 1
    assert str(source) in done.stderr
    assert not marker.exists()
    assert not (tmp_path / 'out.pth').exists()


def test_half_precision(checkout, tmp_path):
    source, target = tmp_path / 'source.pth', tmp_path / 'half.safetensors'
    weights = {'a': torch.tensor([1.0, 2049.0]), 'steps': torch.tensor(3)}
    torch.save(weights, source)
    convert(checkout, source, target, '--half')
    written = load_weights(target)
    assert written['a'].dtype == torch.float16
    assert written['a'].tolist() == [1.0, 2048.0]
    assert written['steps'].dtype == torch.int64
    torch.save({'a': torch.tensor([1e6])}, source)
    assert (
        'a does not fit into float16'
        in convert(checkout, source, target, '--half', '--force').stderr
    )


def test_parts_of_a_published_pretraining_have_their_names_in_the_target(checkout, tmp_path):
    """The published names call the FPN ``pre_neck`` and the region extractor ``neck``."""
    weights = {'backbone.pos_embed': torch.zeros(1, 4, 8)}
    weights |= {'pre_neck.a': torch.ones(1), 'neck.a': torch.full((1,), 2.0)}
    torch.save(weights, tmp_path / 'a.pth')
    options = ('--layout', 'ours', '--parts', 'backbone', 'neck')
    done = convert(checkout, tmp_path / 'a.pth', tmp_path / 'b.pth', *options)
    assert done.returncode == 0, done.stderr
    written = load_weights(tmp_path / 'b.pth')
    assert written.keys() == {'backbone.pos_embed', 'neck.a'} and written['neck.a'] == 1
    done = convert(checkout, tmp_path / 'a.pth', tmp_path / 'c.pth', '--parts', 'roi_extractor')
    assert "no part 'roi_extractor', but ['backbone', 'neck', 'pre_neck']" in done.stderr
