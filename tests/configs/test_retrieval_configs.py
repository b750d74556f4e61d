from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdynamicvis.classification import AID
from mmdynamicvis.engine.launch import move_data_root

from ..classification.makers import write_scenes
from ..retrieval.makers import write_bigearthnet, write_forestnet

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((CHECKOUT / 'configs/retrieval').glob('*.py'))
# channels that divide into 64 groups
ARCH = dict(embed_dims=(8, 12, 16, 64), depths=(1, 1, 1, 1))


def write_data(dataset: str, root: Path) -> Path:
    if dataset.startswith('bigearthnet'):
        labels = {'A': ['Pastures'], 'B': ['Mixed forest', 'Pastures']}
        patches = {
            split: {f'{split}_{name}': own for name, own in labels.items()}
            for split in ('val.csv', 'test.csv')
        }
        return write_bigearthnet(root, patches)
    if dataset.startswith('forestnet'):
        rows = [('Mining', 'Other'), ('Grassland shrubland', 'Grassland shrubland')]
        return write_forestnet(root, {'val.csv': rows, 'test.csv': rows})
    return write_scenes(root, AID.METAINFO['classes'], per_class=1)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_is_tested_by_a_runner(path: Path, tmp_path: Path) -> None:
    dataset = path.stem.split('_')[3]
    cfg = move_data_root(Config.fromfile(path), str(write_data(dataset, tmp_path / 'data')))
    name = path.stem.split('_')[1]
    if name != 'resnet18':
        assert cfg.model.backbone.arch == name.removeprefix('dynamicvis-')
        cfg.model.backbone.arch = ARCH
    loader = cfg.test_dataloader
    loader.num_workers = 0
    for step in loader.dataset.queries.pipeline + loader.dataset.database.pipeline:
        if step.type == 'Resize':
            step.scale = (64, 64)
    cfg.work_dir = str(tmp_path)
    metrics = Runner.from_cfg(cfg).test()
    assert {f'retrieval/mAP@20_{code}' for code in ('float', 'binary', 'hash64')} < set(metrics)
    assert all(0 <= value <= 100 for value in metrics.values())
    header = path.read_text().split('\n_base_')[0]
    assert f'mim test mmdynamicvis {path.name}' in header
    assert 'Ours: ' in header
