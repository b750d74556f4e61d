"""Weights by name: cards, digests, and every way in which a name is taken."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
import yaml
from mmengine.runner import CheckpointLoader

from mmdynamicvis import DynamicVis, zoo
from mmdynamicvis.fileio import digest
from mmdynamicvis.models.state_dict_map import convert_layout
from mmdynamicvis.models.weights import load_weights, local_file, save_weights

ARCH = dict(embed_dims=(16, 24, 32, 48), depths=(1, 1, 1, 1))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Weights in a folder of cards of its own."""
    monkeypatch.setattr(zoo, 'FOLDER', tmp_path)
    model = DynamicVis(ARCH, img_size=64)
    model.init_weights()
    half = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_weights(half, tmp_path / 'small.safetensors')
    card = zoo.Weights(
        name='small',
        source='small.safetensors',
        sha256=digest(tmp_path / 'small.safetensors'),
        task='backbone',
        arch='small',
        bands=['red', 'green', 'blue'],
        units='uint8',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        size=64,
        ground_sampling_distance=10.0,
        classes=[],
        config=None,
        data='none',
        license='Apache-2.0',
        metrics={},
        commit=None,
    )
    (tmp_path / 'small.md').write_text(f'---\n{yaml.safe_dump(asdict(card))}---\n\n# small\n')
    zoo.cards.cache_clear()
    yield half
    zoo.cards.cache_clear()


def test_a_name_loads_everywhere(weights):
    model = DynamicVis.from_pretrained('small')
    assert not model.training
    in_config = DynamicVis(
        ARCH, img_size=64, init_cfg=dict(type='Pretrained', checkpoint='mmdynamicvis://small')
    )
    in_config.init_weights()
    by_mmengine = CheckpointLoader.load_checkpoint('mmdynamicvis://small')
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name].to(tensor.dtype))
        assert torch.equal(tensor, in_config.state_dict()[name])
        assert torch.equal(weights[name], by_mmengine[name])


def test_an_unknown_name_names_similar_ones(weights):
    with pytest.raises(ValueError, match=r"no weights 'smal'; there are small"):
        DynamicVis.from_pretrained('smal')


def test_another_file_is_refused(weights):
    save_weights({'a': torch.zeros(1)}, zoo.FOLDER / 'small.safetensors')
    with pytest.raises(
        ValueError, match=r'small\.safetensors is not the file of the weights small'
    ):
        load_weights('mmdynamicvis://small')


def test_a_card_of_other_fields_is_named(weights):
    (zoo.FOLDER / 'wrong.md').write_text('---\nname: wrong\n---\n')
    zoo.cards.cache_clear()
    with pytest.raises(ValueError, match=r'wrong\.md: fields .*sha256'):
        zoo.find('small')


def test_the_hub_is_asked_for_its_file(weights, monkeypatch, tmp_path):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(
        huggingface_hub, 'hf_hub_download', lambda *args: asked.append(args) or str(tmp_path / 'f')
    )
    assert local_file('hf://KyanChen/DynamicVis/folder/file.pth') == str(tmp_path / 'f')
    assert asked == [('KyanChen/DynamicVis', 'folder/file.pth')]


def test_the_authors_file_loads_by_its_name(monkeypatch, tmp_path):
    import huggingface_hub

    model = DynamicVis(ARCH, img_size=64, published=True)
    model.init_weights()
    state_dict = {f'backbone.{name}': tensor for name, tensor in model.state_dict().items()}
    torch.save(dict(state_dict=convert_layout(state_dict, 'published'), meta={}), tmp_path / 'f')
    files = {'pretrain_dynamicvis_b_bf16_mamba_epoch_200.pth': str(tmp_path / 'f')}
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', lambda _, name: files[name])
    told = []
    monkeypatch.setattr(zoo, 'print_log', lambda message, logger: told.append(message))
    loaded = DynamicVis.from_pretrained('dynamicvis_base_fmow')
    assert loaded.published
    assert all(torch.equal(loaded.state_dict()[n], x) for n, x in model.state_dict().items())
    assert told == [
        'dynamicvis_base_fmow: nobody has verified this file yet; its SHA-256 is '
        + digest(tmp_path / 'f')
    ]


def test_no_network_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(OSError, match=r'hf://a/b/c\.pth is not in the cache'):
        local_file('hf://a/b/c.pth')
    with pytest.raises(ValueError, match=r'is not hf://OWNER/REPOSITORY/FILE'):
        local_file('hf://a/b')
