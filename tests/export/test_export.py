from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmdynamicvis import DynamicVis
from mmdynamicvis.export import backbone, classifier, export_model
from mmdynamicvis.inference.trained_model import load_model
from mmdynamicvis.models.weights import save_weights

ARCH = dict(embed_dims=[16, 16, 32, 32], depths=[1, 1, 1, 1])
SIZES = [(1, 64, 96), (3, 64, 96), (2, 101, 70)]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    model = DynamicVis(ARCH, img_size=(64, 96))
    torch.manual_seed(0)
    model.init_weights()
    # so that scores of tokens differ by more than rounding does
    for unit in (unit for stage in model.stages for unit in stage.units):
        torch.nn.init.normal_(unit.scorer.weight)
    save_weights(model.state_dict(), tmp_path / 'backbone.safetensors')
    return tmp_path / 'backbone.safetensors'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / 'config.py'
    path.write_text(
        f"""
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmdynamicvis.DynamicVis', arch={ARCH}, img_size=64, out_type='avg_featmap'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=32))
data_preprocessor = dict(mean=[10, 20, 30], std=[40, 50, 60], to_rgb=True, num_classes=5)
test_dataloader = dict(dataset=dict(
    type='CustomDataset', metainfo=dict(classes=['a', 'b', 'c', 'd', 'e'])))
"""
    )
    return path


@pytest.fixture
def classifier_weights(config: Path, tmp_path: Path) -> Path:
    cfg = Config.fromfile(config)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    save_weights(model.state_dict(), tmp_path / 'classifier.safetensors')
    return tmp_path / 'classifier.safetensors'


def images(number: int, height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(number, 3, 6, 6, generator=torch.Generator().manual_seed(7))
    return 255 * torch.nn.functional.interpolate(coarse, (height, width), mode='bicubic').clamp(0)


@pytest.mark.exhaustive
def test_onnx_of_the_backbone_takes_images_of_any_size(weights: Path, tmp_path: Path) -> None:
    model, target = backbone(weights), tmp_path / 'backbone.onnx'
    assert export_model(model, target, dynamic=True) < 1e-4
    session = onnxruntime.InferenceSession(target, providers=['CPUExecutionProvider'])
    assert [output.name for output in session.get_outputs()] == [
        'stride4',
        'stride8',
        'stride16',
        'stride32',
    ]
    for shape in SIZES:
        x = images(*shape)
        with torch.no_grad():
            expected = model(x)
        for ours, theirs in zip(expected, session.run(None, dict(images=x.numpy())), strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=0)
    assert not onnx.load(target).functions


@pytest.mark.exhaustive
def test_onnx_of_a_classifier(config: Path, classifier_weights: Path, tmp_path: Path) -> None:
    model, target = classifier(config, classifier_weights), tmp_path / 'classifier.onnx'
    assert model.size == (64, 64)
    export_model(model, target)
    session = onnxruntime.InferenceSession(target, providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape[1:] == [3, 64, 64]

    # what the host itself predicts for an image whose colors it gets as B, G, R
    host = load_model(Config.fromfile(config), classifier_weights, 'cpu')
    x = images(2, 64, 64)
    batch = host.data_preprocessor(dict(inputs=list(x.flip(1))))
    with torch.no_grad():
        predictions = host(batch['inputs'], mode='predict')
    expected = torch.stack([sample.pred_score for sample in predictions])
    (scores,) = session.run(['scores'], dict(images=x.numpy()))
    torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-4, rtol=0)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts['classes']) == ['a', 'b', 'c', 'd', 'e']


@pytest.mark.exhaustive
def test_pt2_runs_in_a_process_that_knows_the_ops(weights: Path, tmp_path: Path) -> None:
    model, target = backbone(weights, scan_mode='forward'), tmp_path / 'backbone.pt2'
    assert export_model(model, target, dynamic=True) < 1e-4
    torch.save(images(2, 101, 70), tmp_path / 'images.pt')
    code = (
        'import sys, torch, mmdynamicvis.ops\n'
        'program = torch.export.load(sys.argv[1])\n'
        'torch.save(program.module()(torch.load(sys.argv[2])), sys.argv[3])\n'
    )
    files = [tmp_path / name for name in ('backbone.pt2', 'images.pt', 'maps.pt')]
    subprocess.run([sys.executable, '-c', code, *files], check=True)
    with torch.no_grad():
        expected = model(images(2, 101, 70))
    torch.testing.assert_close(torch.load(files[2]), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_nothing_is_written_when_outputs_differ(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r'more than tolerance=-1'):
        export_model(backbone(weights), tmp_path / 'backbone.pt2', tolerance=-1)
    assert not list(tmp_path.glob('*.pt2'))


@pytest.mark.exhaustive
def test_weights_beside_the_file_are_refused(weights: Path, tmp_path: Path, monkeypatch) -> None:
    """As torch writes them from 1.5 GB on."""
    from torch.onnx import ONNXProgram

    save = ONNXProgram.save
    monkeypatch.setattr(
        ONNXProgram, 'save', lambda self, path: save(self, path, external_data=True)
    )
    target = tmp_path / 'old.onnx'
    target.write_text('old')
    with pytest.raises(RuntimeError, match=r'old\.onnx: the weights, .* GB, are more .*\.pt2'):
        export_model(backbone(weights), target)
    assert target.read_text() == 'old'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['backbone.safetensors', 'old.onnx']


@pytest.mark.exhaustive
def test_nan_is_a_difference(weights: Path, tmp_path: Path) -> None:
    """In one map of several, too."""
    model = backbone(weights)
    model.network.stages[1].norm.weight.data[0] = torch.nan
    with pytest.raises(RuntimeError, match='differ by up to nan'):
        export_model(model, tmp_path / 'backbone.pt2')
    assert not list(tmp_path.glob('*.pt2'))


@pytest.mark.parametrize(
    ('name', 'size', 'message'),
    [('a.trt', None, 'must end with one of .onnx, .pt2'), ('a.onnx', (32, 64), 'from 64 pixels')],
)
def test_refuses_targets_and_sizes(weights: Path, tmp_path: Path, name, size, message) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(backbone(weights), tmp_path / name, size, dynamic=True)


def test_refuses_weights_of_another_model(config: Path, weights: Path) -> None:
    with pytest.raises(ValueError, match='is not of the model'):
        classifier(config, weights)


def test_refuses_configs_of_other_hosts(config: Path, classifier_weights: Path) -> None:
    cfg = Config.fromfile(config)
    cfg.default_scope = 'mmseg'
    with pytest.raises(ValueError, match='not that of a classifier of mmpretrain'):
        classifier(cfg, classifier_weights)


def test_command_says_what_is_missing(config: Path, checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, checkout / 'tools/export_model.py', config, tmp_path / 'a.onnx']
    run = subprocess.run([*command, '--classifier'], capture_output=True, text=True)
    assert run.returncode == 2
    assert '--classifier needs a config and --checkpoint FILE' in run.stderr


@pytest.mark.parametrize('name', ['onnxscript', 'onnxruntime'])
def test_what_is_missing_is_said_at_once(weights: Path, tmp_path: Path, monkeypatch, name) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, 'mmdynamicvis.export.onnx_files', raising=False)
    with pytest.raises(ImportError, match=r"pip install 'mmdynamicvis\[export\]'"):
        export_model(backbone(weights), tmp_path / 'backbone.onnx')
