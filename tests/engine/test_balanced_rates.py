"""Learning rates balanced between losses, by hand and through a real Runner, also resumed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mmdynamicvis.engine import BalancedLearningRateHook

PARTS = {'heads.sar': ['sar.loss'], 'heads.rgb': ['rgb.loss_box', 'rgb.loss_class']}
RATE, STEPS = 0.1, 6


class Numbers(Dataset):
    def __len__(self) -> int:
        return 2 * STEPS

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([1.0 + index % 5, 2.0 - index % 3])


class Later(Numbers):
    """The numbers from the third batch on."""

    def __getitem__(self, index: int) -> torch.Tensor:
        return super().__getitem__((index + 4) % (2 * STEPS))


class TwoSources(BaseModel):
    """A model with two heads and three losses, all positive."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(2, 2)
        self.heads = nn.ModuleDict(dict(sar=nn.Linear(2, 1), rgb=nn.Linear(2, 2)))
        for number, parameter in enumerate(self.parameters()):
            nn.init.constant_(parameter, 0.1 * (number + 1))

    def forward(self, inputs, data_samples=None, mode='loss'):
        features = self.backbone(torch.stack(inputs) if isinstance(inputs, list) else inputs)
        sar, rgb = self.heads['sar'](features), self.heads['rgb'](features)
        box, classes = rgb.square().mean(0)
        return {'sar.loss': sar.square().mean(), 'rgb.loss_box': box, 'rgb.loss_class': classes}

    def train_step(self, data, optim_wrapper):
        with optim_wrapper.optim_context(self):
            losses = self(data)
        total, logs = self.parse_losses(losses)
        optim_wrapper.update_params(total)
        return logs


class Recorder(Hook):
    """Keeps the losses of each step, and the learning rates that its optimizer step used."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.losses, self.used, self.scheduled = [], [], []

    def before_train(self, runner) -> None:
        wrapper, update = runner.optim_wrapper, runner.optim_wrapper.step

        def step(*args, **kwargs):
            self.used.append([group['lr'] for group in wrapper.optimizer.param_groups])
            return update(*args, **kwargs)

        wrapper.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(
            {name: float(outputs[name]) for names in PARTS.values() for name in names}
        )
        self.scheduled.append(
            [group['lr'] for group in runner.optim_wrapper.optimizer.param_groups]
        )


def build(
    work_dir: Path, recorder: Recorder, resume: bool = False, data: Dataset | None = None, **options
) -> Runner:
    hook = dict(type='mmdynamicvis.BalancedLearningRateHook', parts=PARTS, momentum=0.25)
    keys = {name: dict(lr_mult=1.0) for name in ('heads.sar', 'heads.rgb')}
    return Runner(
        TwoSources(),
        str(work_dir),
        train_dataloader=dict(
            dataset=data or Numbers(),
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=RATE, momentum=0.9),
            paramwise_cfg=dict(custom_keys=keys),
        ),
        param_scheduler=dict(type='ExponentialLR', gamma=0.8, by_epoch=False),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)),
        custom_hooks=[dict(hook, **options), recorder],
        resume=resume,
        log_level='ERROR',
        experiment_name=f'{work_dir.name}_{resume}',
    )


def factors(history: list[dict[str, float]]) -> dict[str, float]:
    """Return the factors after steps with these losses, by the formulas with plain floats."""
    averages = dict(history[0])
    for losses in history[1:-1]:
        averages = {k: 0.75 * averages[k] + 0.25 * losses[k] for k in losses}
    current, n, t = history[-1], len(history[-1]), 3.0
    powers = {k: math.exp(averages[k] / current[k] / t) for k in current}
    weights = {k: n * power / sum(powers.values()) for k, power in powers.items()}
    h = {k: math.exp(averages[k]) for k in current}
    c = {k: math.exp(current[k]) for k in current}
    h = {k: value / sum(h.values()) for k, value in h.items()}
    c = {k: value / sum(c.values()) for k, value in c.items()}
    divergence = sum(h[k] * math.log(h[k] / c[k]) for k in h) / n
    return {
        'heads.sar': weights['sar.loss'],
        'heads.rgb': (weights['rgb.loss_box'] + weights['rgb.loss_class']) / 2,
        'shared': 2 / (1 + math.exp(-(1 - divergence - 0.4) * t)),
    }


def test_hand_made_case():
    """Averages 2 and 2, losses 1 and 4: weights softmax(2 / 3, 1 / 6) times 2."""
    hook = BalancedLearningRateHook(parts={'a': ['loss_a'], 'b': ['loss_b']})
    hook.averages = dict(loss_a=2.0, loss_b=2.0)
    found = hook._factors(dict(loss_a=1.0, loss_b=4.0))
    first, second = math.exp(2 / 3), math.exp(1 / 6)
    assert found['a'] == pytest.approx(2 * first / (first + second))
    assert found['a'] + found['b'] == pytest.approx(2)
    # h is 1/2, 1/2; c is softmax(1, 4)
    c = [1 / (1 + math.exp(3)), 1 / (1 + math.exp(-3))]
    divergence = sum(math.log(0.5 / value) / 2 for value in c) / 2
    expected = 2 / (1 + math.exp(-3 * (1 - divergence - 0.4)))
    assert found['shared'] == pytest.approx(expected)
    # as torch computes what the published code calls
    kl = nn.functional.kl_div(
        torch.tensor([1.0, 4.0]).softmax(0).log(), torch.tensor([0.5, 0.5]), reduction='batchmean'
    )
    assert divergence == pytest.approx(kl.item(), rel=1e-6)


def test_learning_rates_of_each_step(tmp_path):
    recorder = Recorder()
    runner = build(tmp_path, recorder)
    runner.train()
    names = [name for name, _ in runner.model.named_parameters()]
    assert len(recorder.used) == STEPS
    for step in range(STEPS):
        scheduled = RATE * 0.8**step
        scales = dict.fromkeys(['heads.sar', 'heads.rgb', 'shared'], 1.0)
        if step:
            scales = factors(recorder.losses[:step])
        for name, used in zip(names, recorder.used[step], strict=True):
            part = '.'.join(name.split('.')[:2]) if name.startswith('heads') else 'shared'
            assert used == pytest.approx(scheduled * scales[part], rel=1e-5), (step, name)
        # what schedulers and checkpoints see is not scaled
        assert recorder.scheduled[step] == pytest.approx(
            [RATE * 0.8 ** min(step + 1, STEPS - 1)] * len(names)
        )
    scalars = runner.message_hub.log_scalars
    assert scalars['train/balance/heads.sar'].current() == pytest.approx(
        factors(recorder.losses)['heads.sar'], rel=1e-5
    )


def test_a_resumed_training_is_the_same(tmp_path):
    whole, first, second = Recorder(), Recorder(), Recorder()
    build(tmp_path / 'whole', whole).train()
    build(tmp_path / 'parts', first).train()
    (tmp_path / 'parts/last_checkpoint').write_text(str(tmp_path / 'parts/iter_2.pth'))
    build(tmp_path / 'parts', second, resume=True, data=Later()).train()
    assert second.used[: STEPS - 2] == whole.used[2:]
    assert second.losses[: STEPS - 2] == whole.losses[2:]


def test_the_first_steps_are_not_scaled(tmp_path):
    recorder = Recorder()
    build(tmp_path, recorder, begin=3).train()
    for step, used in enumerate(recorder.used):
        assert (used == pytest.approx([RATE * 0.8**step] * len(used))) == (step < 3)


def test_losses_that_do_not_count():
    hook = BalancedLearningRateHook(parts={'a': ['loss_a'], 'b': ['loss_b']}, partial=True)
    for losses in (dict(loss_a=torch.tensor(2.0)), dict(loss_a=torch.tensor(2.0), loss_b=0.0)):
        assert hook._losses(losses) == dict(loss_a=2.0)
    assert hook._losses(dict(loss_a=torch.tensor(math.nan), loss_b=torch.tensor(math.inf))) == {}
    found = hook._factors(dict(loss_a=2.0))
    assert (found['a'], found['b']) == (1, 1)
    assert hook._factors({}) == dict(a=1, b=1, shared=1)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(parts={}), r'parts is \{\}; give losses of every part'),
        (dict(parts={'a': []}), 'give losses of every part'),
        (dict(parts={'a': ['loss'], 'b': ['loss']}), 'a loss belongs to one part'),
        (dict(parts=PARTS, temperature=0), 'temperature 0 must be positive'),
        (dict(parts=PARTS, momentum=0), 'momentum 0 in'),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        BalancedLearningRateHook(**options)


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        ({'heads.ir': ['sar.loss']}, r"no parameters of \['heads.ir'\]"),
        ({'heads': ['sar.loss'], 'heads.rgb': ['rgb.loss_box']}, 'parts must not overlap'),
        ({'heads.sar': ['sar.loss_x']}, r"no loss \['sar.loss_x'\]; it has \['loss', 'sar.loss'"),
    ],
)
def test_parts_that_do_not_fit_the_model(tmp_path, parts, message):
    with pytest.raises(ValueError, match=message):
        build(tmp_path, Recorder(), parts=parts).train()


def test_groups_of_several_parts_are_an_error(tmp_path):
    runner = build(tmp_path, Recorder())
    runner.optim_wrapper.pop('paramwise_cfg')
    with pytest.raises(ValueError, match=r'paramwise_cfg=dict\(custom_keys='):
        runner.train()


def test_a_checkpoint_of_a_training_without_the_hook(tmp_path):
    build(tmp_path, Recorder()).train()
    checkpoint = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    del checkpoint['balanced_rates']
    torch.save(checkpoint, tmp_path / 'iter_2.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    with pytest.raises(RuntimeError, match='has no averages of the losses'):
        build(tmp_path, Recorder(), resume=True).train()


def test_losses_are_averaged_over_the_processes_that_have_them(monkeypatch):
    """Another process has a loss of 6 of the first, and no image of the second source."""
    other = torch.tensor([[6.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    monkeypatch.setattr(
        'mmdynamicvis.engine.hooks.balanced_rates.all_reduce', lambda totals: totals.add_(other)
    )
    hook = BalancedLearningRateHook(parts={'a': ['loss_a'], 'b': ['loss_b']}, partial=True)
    assert hook._losses(dict(loss_a=2.0, loss_b=3.0)) == dict(loss_a=4.0, loss_b=3.0)
    assert hook._losses(dict(loss_b=3.0)) == dict(loss_a=6.0, loss_b=3.0)
