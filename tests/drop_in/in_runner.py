"""Train and predict with one case as a user does, in a process that starts with mmengine alone.

Nothing of the host or of mmdynamicvis is imported by hand: the config's scopes must suffice.
"""

from __future__ import annotations

import sys

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from .cases import CASES, Case

_CASES = {str(case): case for case in CASES}


@DATASETS.register_module()
class MadeSamples(Dataset):
    """The samples of a case's training batch."""

    def __init__(self, case: str) -> None:
        batch = _CASES[case].task.train_batch()
        self._samples = [
            dict(inputs=image, data_samples=sample)
            for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True)
        ]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict:
        return self._samples[index]


def shorten(cfg: Config, case: Case, work_dir: str) -> None:
    """Keep one training step of the config, at its full learning rate, on made samples."""
    length = 'max_epochs' if 'max_epochs' in cfg.train_cfg else 'max_iters'
    cfg.train_cfg[length] = 1
    loader = dict(
        batch_size=2,
        num_workers=0,
        persistent_workers=False,
        batch_sampler=None,
        dataset=dict(_delete_=True, type='MadeSamples', case=str(case)),
    )
    left_out = ['param_scheduler']
    for loop in ('val', 'test'):
        left_out += [f'{loop}_cfg', f'{loop}_dataloader', f'{loop}_evaluator']
    cfg.merge_from_dict(dict(train_dataloader=loader, work_dir=work_dir, **dict.fromkeys(left_out)))
    cfg.default_hooks.checkpoint = None


def main(name: str, work_dir: str) -> None:
    case = _CASES[name]
    assert not {'mmdynamicvis', case.host} & sys.modules.keys()
    cfg = case.load()
    assert ('custom_imports' in cfg) == (case.host == 'opencd')
    shorten(cfg, case, work_dir)
    runner = Runner.from_cfg(cfg)
    backbone = runner.model.backbone
    assert type(backbone).__name__ == 'DynamicVis'
    before = {name: weight.clone() for name, weight in backbone.named_parameters()}
    runner.train()
    assert torch.tensor(runner.message_hub.get_scalar('train/loss').current()).isfinite()
    assert not [name for name, w in backbone.named_parameters() if torch.equal(w, before[name])]
    case.task.check_predictions(runner.model)


if __name__ == '__main__':
    main(*sys.argv[1:])
