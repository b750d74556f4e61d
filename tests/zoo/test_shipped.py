"""Every model that ships: its card is true, its file loads, its example runs, its metric holds."""

from __future__ import annotations

import importlib
import tarfile
from collections import defaultdict

import numpy as np
import pytest

from mmdynamicvis import DynamicVis, zoo
from mmdynamicvis.embedding import Embedder
from mmdynamicvis.engine import config as configs
from mmdynamicvis.inference import load_inferencer
from mmdynamicvis.inference.inferencers import find_model

EUROSAT = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'
MAX_BYTES = 8_000_000
shipped = pytest.mark.parametrize(
    'name', [name for name, card in zoo.cards().items() if '://' not in card.source]
)


@shipped
def test_card_and_config_agree(name):
    card = zoo.find(name)
    assert card.sha256 is not None
    assert (zoo.FOLDER / card.source).stat().st_size <= MAX_BYTES
    assert len(card.bands) == len(card.mean) == len(card.std)
    config, weights = find_model(card.config)
    assert weights == zoo.SCHEME + name
    cfg = configs.load_config_file(config)
    configs.use_scope(cfg)
    assert card.classes == list(configs.metainfo_of(cfg, configs.test_dataset(cfg))['classes'])
    preprocessor = configs.preprocessor_of(cfg)
    assert (card.mean, card.std) == (preprocessor['mean'], preprocessor['std'])
    # images are loaded in the order of OpenCV
    assert configs.turns_channels(preprocessor) == (card.bands == ['red', 'green', 'blue'])


@shipped
def test_it_loads_by_its_name_alone(name):
    image = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    (result,) = load_inferencer(name, device='cpu')(image)
    assert result['pred_class'] in zoo.find(name).classes
    backbone = DynamicVis.from_pretrained(name)
    assert Embedder(name, device='cpu')([image]).shape == (1, backbone.embed_dims[-1])


@pytest.mark.slow
@pytest.mark.shared_data
def test_accuracy_on_every_twentieth_test_image(shared_data, checkout, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / 'tools/prepare_data'))
    split = importlib.import_module('split_classification').split
    with tarfile.open(shared_data / 'eurosat/eurosat_rgb.tar.xz') as archive:
        by_class = defaultdict(list)
        for member in archive.getmembers():
            if member.isfile():
                label, name = member.name.split('/')[-2:]
                by_class[label].append(f'{label}/{name}')
        _, test = split({label: sorted(names) for label, names in by_class.items()}, 0.8, 0)
        chosen = set(sorted(test)[::20])
        for member in archive:
            if '/'.join(member.name.split('/')[-2:]) in chosen:
                archive.extract(member, tmp_path, filter='data')
    files = sorted(tmp_path.rglob('*.jpg'))
    assert len(files) == len(chosen)
    results = load_inferencer(EUROSAT, device='cpu')([str(x) for x in files], batch_size=32)
    hits = [x['pred_class'] == file.parent.name for x, file in zip(results, files, strict=True)]
    (expected,) = zoo.find(EUROSAT).metrics.values()
    standard_error = (expected * (100 - expected) / len(hits)) ** 0.5
    assert abs(100 * np.mean(hits) - expected) <= 4 * standard_error
