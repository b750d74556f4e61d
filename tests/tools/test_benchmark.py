from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

TINY = ('--device', 'cpu', '--arch', 'tiny', '--repeats', '1', '--threads', '1')


@pytest.fixture
def load(checkout, monkeypatch):
    """Import a module of tools/benchmark, whose scripts import one another by bare name."""
    monkeypatch.syspath_prepend(str(checkout / 'tools/benchmark'))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def run(checkout, tmp_path):
    """Run a script; return the finished process and what it wrote."""

    def run(script: str, *arguments: object) -> tuple[subprocess.CompletedProcess, dict]:
        path = tmp_path / f'{script.removesuffix(".py")}_cpu.json'
        command = [sys.executable, str(checkout / 'tools/benchmark' / script)]
        done = subprocess.run(
            [*command, *map(str, arguments), '--out', str(path)], capture_output=True, text=True
        )
        assert 'Traceback' not in done.stderr, done.stderr
        assert not list(tmp_path.glob('*.tmp'))
        return done, json.loads(path.read_text()) if path.is_file() else {}

    return run


def assert_described(content: dict, script: str) -> None:
    assert f'tools/benchmark/{script}' in content['command']
    assert content['date']
    assert content['machine']['threads'] == 1
    assert content['machine']['torch'] == torch.__version__
    assert {'cpu', 'cores', 'python', 'mmdynamicvis'} <= content['machine'].keys()


@pytest.mark.exhaustive
def test_ops_times_every_op_at_every_stage(run):
    done, content = run('ops.py', *TINY, '--sizes', 64, '--seconds', 0.1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_described(content, 'ops.py')
    assert content['notes']['ceilings']['copy'] > 1e8
    timed = [row for row in content['rows'] if 'seconds' in row]
    ops = {'selective_scan', 'causal_conv1d', 'token_select', 'token_update'}
    for which in ('forward', 'forward+backward'):
        cases = {(r['op'], r['stage']) for r in timed if r['pass'] == which}
        assert cases == {(op, stage) for op in ops for stage in (1, 2, 3, 4)}
    for row in timed:
        assert row['ratio to fastest'] >= 1
        floor = max(row['floor'].values())
        assert row['percent of floor'] == pytest.approx(100 * floor / row['seconds'])
    skipped = {row['backend'] for row in content['rows'] if 'skipped' in row}
    assert torch.cuda.is_available() or 'triton' in skipped


@pytest.mark.exhaustive
def test_models_times_models_in_turns_and_fits_their_growth(run):
    models = ('--models', 'dynamicvis', 'published', 'vim')
    sizes = ('--sizes', 64, 96)
    done, content = run('models.py', *TINY, *models, *sizes, '--growth')
    assert done.returncode == 0, done.stdout + done.stderr
    assert_described(content, 'models.py')
    measured = {(row['model'], row['size']) for row in content['rows']}
    assert measured == {(m, s) for m in ('dynamicvis', 'published') for s in (64, 96)}
    for row in content['rows']:
        assert row['seconds'] > 0
        assert row['memory (MB)'] >= row['held (MB)'] > 10
    assert content['notes']['vim'].startswith('not available')
    assert 'differ from dynamicvis by' in content['notes']['published']
    assert content['notes'].keys() >= {'growth of dynamicvis in float32'}


@pytest.mark.exhaustive
def test_models_takes_training_steps_and_counts_images(run):
    options = ('--models', 'dynamicvis', '--sizes', 64, '--batch', 2, '--tasks', 'training_step')
    done, content = run('models.py', *TINY, *options, '--throughput', '--max-batch', 2)
    assert done.returncode == 0, done.stdout + done.stderr
    step, throughput = content['rows']
    assert step['task'] == 'training_step', step
    assert step['images/s'] == pytest.approx(2 / step['seconds'])
    assert throughput['batch'] == 2


@pytest.mark.exhaustive
def test_first_use_starts_with_empty_caches(run):
    done, content = run('first_use.py', *TINY, '--size', 64)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_described(content, 'first_use.py')
    assert [row['task'] for row in content['rows']] == ['forward', 'training_step']


@pytest.mark.exhaustive
def test_scan_candidates_are_checked_and_timed(run):
    options = ('--size', 64, '--stages', 4, '--candidates', 'numba', 'eager')
    done, content = run('cpu_scan_candidates.py', *TINY, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_described(content, 'cpu_scan_candidates.py')
    assert {row['candidate'] for row in content['rows']} == {'numba', 'eager'}
    started = [row for row in content['rows'] if 'cold start (s)' in row]
    assert started
    assert all(row['error'] < 1e-5 for row in started)


@pytest.mark.skipif(torch.cuda.is_available(), reason='is about machines without a GPU')
@pytest.mark.slow
def test_gpu_says_that_there_is_none(run):
    done, content = run('gpu.py')
    assert done.returncode == 2
    assert 'no GPU' in done.stdout
    assert content == {}


@pytest.mark.slow
def test_a_wrong_backend_is_not_timed(load, monkeypatch, tmp_path):
    ops = load('ops')
    token_select = importlib.import_module('mmdynamicvis.ops.token_select')
    backend = importlib.import_module('mmdynamicvis.ops.dispatch').Backend
    right = {backend.name: backend for backend in token_select.UPDATE_BACKENDS}

    def wrong(*args):
        return right['eager'].function(*args) * 1.001

    backends = (backend('cpu', wrong), right['eager'], right['naive'])
    monkeypatch.setattr(token_select, 'UPDATE_BACKENDS', backends)
    monkeypatch.setitem(ops.OPS, 'token_update', (backends, ops.OPS['token_update'][1]))
    path = tmp_path / 'ops.json'
    options = ('--sizes', '32', '--ops', 'token_update', '--out', str(path))
    monkeypatch.setattr(sys, 'argv', ['ops.py', *TINY, *options])
    ops.wrong.cache_clear()
    threads = torch.get_num_threads()
    try:
        assert ops.main() == 1
    finally:
        ops.wrong.cache_clear()
        torch.set_num_threads(threads)
    rows = json.loads(path.read_text())['rows']
    assert {row['backend'] for row in rows if 'seconds' in row} == {'eager'}
    assert all('WRONG' in row['skipped'] for row in rows if row['backend'] == 'cpu')


@pytest.mark.parametrize(
    ('arch', 'backend', 'seed'),
    [('tiny', 'auto', 0), ('tiny', 'eager', 0), *(('base', 'auto', seed) for seed in range(8))],
)
def test_published_scheme_equals_dynamicvis(load, arch, backend, seed):
    assert load('published').difference(arch, 'cpu', backend, seed) < 1e-5


def test_numbers_are_compared_without_tf32(load, monkeypatch):
    published = load('published')
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    seen = []

    def kernels(device):
        flags = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        seen.append(flags)
        raise RuntimeError

    monkeypatch.setattr(published, 'kernels', kernels)
    with pytest.raises(RuntimeError):
        published.difference('tiny', 'cpu')
    assert seen == [(False, False)]
    assert torch.backends.cudnn.allow_tf32


def test_published_scheme_is_not_trivially_equal(load, monkeypatch):
    published = load('published')

    def forward_twice(self, x):
        return published._mix_on_ours(self.unit.mixer, x, 'auto')

    monkeypatch.setattr(published.PublishedUnit, '_mix_both_ways', forward_twice)
    assert published.difference('tiny', 'cpu') > published.LIMIT


def test_training_step_moves_the_weights(load):
    contenders = load('contenders')
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 3)
    before = model.weight.detach().clone()
    step = contenders.training_step(model, torch.randn(1, 3, 8, 8))
    first = step()[0]
    assert not torch.equal(before, model.weight)
    assert step()[0] < first


class Net(nn.Module):
    """Stands for a model."""

    def __init__(self, error: str = '', value: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))
        self.error = error

    def forward(self, images):
        if self.error:
            raise RuntimeError(self.error)
        return self.weight * images


@pytest.fixture
def stand_ins(load, monkeypatch):
    """Contenders of which some fail, each in its way."""
    contenders, models = load('contenders'), load('models')
    nets = {
        'dynamicvis': lambda spec: Net(),
        'dense': lambda spec: Net(value=float('nan')),
        'without_reduction': lambda spec: Net('CUDA error: an illegal memory access'),
        'published': lambda spec: Net(),
        'resnet101': lambda spec: Net(),
    }
    for name, build in nets.items():
        monkeypatch.setitem(contenders.CONTENDERS, name, contenders.Contender(build))
    # not in a process of its own, which would know nothing of these
    monkeypatch.setattr(models, 'fresh', lambda function, *args: 1.0)
    return models


def test_contenders_that_fail_cost_their_rows_alone(stand_ins, monkeypatch, tmp_path):
    models, path = stand_ins, tmp_path / 'models.json'

    def check(name, *args):
        if name == 'published':
            raise ValueError('its maps are off')
        return ''

    monkeypatch.setattr(models, 'check', check)
    names = ['dense', 'without_reduction', 'published', 'dynamicvis']
    options = ('--models', *names, '--sizes', '8', '--out', str(path))
    monkeypatch.setattr(sys, 'argv', ['models.py', *TINY, *options])
    threads = torch.get_num_threads()
    try:
        assert models.main() == 0
    finally:
        torch.set_num_threads(threads)
    content = json.loads(path.read_text())
    rows = {row['model']: row for row in content['rows']}
    assert rows['dynamicvis']['seconds'] > 0 and rows['dynamicvis']['best']
    assert 'skipped' not in rows['dynamicvis']
    assert rows['dense']['skipped'] == 'ValueError: NaN or infinite values'
    assert 'illegal memory access' in rows['without_reduction']['skipped']
    assert 'published' not in rows
    assert content['notes']['published'] == 'left out: ValueError: its maps are off'


def test_on_a_gpu_another_process_goes_on_behind_an_error(stand_ins, load, monkeypatch, tmp_path):
    """With a CPU in its place: a row at a time, and the context is lost with the first error."""
    models, record = stand_ins, load('record')
    monkeypatch.setattr(models, 'timer_for', lambda device: load('measure').seconds)
    monkeypatch.setattr(models, 'release', lambda device: None)
    monkeypatch.setattr(record, 'gpu_is_lost', lambda: True)
    args = argparse.Namespace(device='cuda', repeats=1, seconds=1, batch=1, arch='tiny')
    names = ['dynamicvis', 'without_reduction', 'resnet101']
    specs = [models.Spec(name, 'tiny', 8, 'float32', 'cpu', 1, False, 'auto') for name in names]
    path = tmp_path / 'models.json'

    def process() -> dict:
        models.measure(specs, 'forward', ['eager'], args, record.Record(path, 'cpu', append=True))

    with pytest.raises(SystemExit) as end:
        process()
    assert end.value.code == record.LOST
    first = json.loads(path.read_text())['rows']
    assert [row['model'] for row in first] == names[:2]
    process()
    rows = json.loads(path.read_text())['rows']
    assert rows[:2] == first
    assert ['seconds' in row for row in rows] == [True, False, True]
    assert 'illegal memory access' in rows[1]['skipped']


@pytest.mark.parametrize('content', ['{"images": []}', '[]', 'no JSON'])
def test_only_results_are_replaced(load, tmp_path, content):
    record, path = load('record'), tmp_path / 'out.json'
    path.write_text(content)
    with pytest.raises(FileExistsError, match=r'out\.json is no result file'):
        record.Record(path, 'cpu')
    assert path.read_text() == content
    path.unlink()
    record.Record(path, 'cpu').add(model='a')
    record.Record(path, 'cpu').add(model='b')
    assert [row['model'] for row in json.loads(path.read_text())['rows']] == ['b']


CHILD = """
import os, signal, sys
from pathlib import Path
from record import Record
record = Record(Path(sys.argv[1]), 'cpu', append=True)
for name in 'abc':
    if record.has(model=name):
        continue
    row = record.begin(model=name)
    with record.guard(row):
        if name == 'b':
            os.kill(os.getpid(), signal.SIGKILL)
        row['seconds'] = 1.0
"""


def test_gpu_goes_on_behind_a_row_that_kills_its_process(load, checkout, monkeypatch, tmp_path):
    gpu, path = load('gpu'), tmp_path / 'models.json'
    (tmp_path / 'child.py').write_text(CHILD)
    monkeypatch.setenv('PYTHONPATH', f'{checkout}:{checkout / "tools/benchmark"}')
    command = [sys.executable, str(tmp_path / 'child.py'), str(path)]
    monkeypatch.setattr(gpu.Step, 'command', lambda self, path, rehearse: command)
    became = gpu.run(gpu.Step('a', 'models', 'x.py', '', 0), path, 300)
    assert became.startswith('exit status -9') and ', exit status 0' in became
    rows = json.loads(path.read_text())['rows']
    assert [row['model'] for row in rows] == ['a', 'b', 'c']
    assert ['seconds' in row for row in rows] == [True, False, True]
    assert rows[1]['skipped'] == load('record').UNFINISHED


def test_gpu_leaves_out_and_stops_what_takes_too_long(load, monkeypatch, tmp_path):
    gpu, path = load('gpu'), tmp_path / 'none.json'
    sleep = [sys.executable, '-c', 'import time; time.sleep(30)']
    monkeypatch.setattr(gpu.Step, 'command', lambda self, path, rehearse: sleep)
    assert gpu.run(gpu.Step('a', 'b', None, '', 9), path, 5).startswith('left out')
    assert gpu.run(gpu.Step('a', 'b', None, '', 0), path, 0.2).startswith('stopped')
    for code, ending in (('', 'exit status 0'), ('raise SystemExit(75)', 'exit status 75')):
        command = [sys.executable, '-c', code]
        monkeypatch.setattr(gpu.Step, 'command', lambda *_, command=command: command)
        # without a new row, another process would end as this one
        became = gpu.run(gpu.Step('a', 'b', None, '', 0), path, 60)
        assert became.startswith(ending) and ',' not in became


@pytest.mark.parametrize('rehearse', [False, True])
def test_commands_of_gpu_are_understood(load, checkout, monkeypatch, rehearse):
    gpu = load('gpu')
    parsed = []

    def parse(parser):
        parsed.append(parser.parse_args())
        raise SystemExit

    steps = [step for step in gpu.STEPS if step.script is not None]
    for step in steps:
        module = load(step.script.removesuffix('.py'))
        monkeypatch.setattr(module, 'parse', parse)
        monkeypatch.setattr(sys, 'argv', step.command(checkout / 'x.json', rehearse)[1:])
        with pytest.raises(SystemExit):
            module.main()
    assert {args.device for args in parsed} == {'cpu' if rehearse else 'cuda'}
    assert {args.arch for args in parsed} == {'tiny' if rehearse else 'base'}
    assert all(args.append for args in parsed) and len(parsed) == len(steps)
    # what counts most comes first, alone; no process measures two models or two ops
    assert (parsed[0].models, parsed[0].dtypes) == (['dynamicvis'], ['bfloat16'])
    assert parsed[0].modes == (['eager'] if rehearse else ['eager', 'graph'])
    for args in parsed:
        assert len(getattr(args, 'models', None) or ['']) == 1
        assert len(getattr(args, 'ops', [''])) == 1
    bars = load('bars')
    assert {step.file for step in steps} == set(bars.FILES)
    assert len({*bars.FILES, 'bars'}) <= 8


@pytest.mark.exhaustive
def test_gpu_rehearses_on_a_cpu(checkout, tmp_path):
    steps = ('dynamicvis-bfloat16', 'token_update', 'published-training', 'check')
    command = [sys.executable, str(checkout / 'tools/benchmark/gpu.py'), '--rehearse']
    command += ['--budget', '2000', '--out', str(tmp_path), '--steps', *steps]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f'{name}_cpu.json' for name in ('models', 'ops', 'training', 'bars')}
    bars = json.loads((tmp_path / 'bars_cpu.json').read_text())
    assert all(bars['notes'][step].startswith('exit status 0') for step in steps)
    assert {row['verdict'] for row in bars['rows']} == {'not measured'}
    (row,) = json.loads((tmp_path / 'training_cpu.json').read_text())['rows']
    assert row['kernels'] == 'mmdynamicvis' and row['seconds'] > 0


CARRIED = ('mmengine', 'addict', 'termcolor', 'rich')
"""What docs/performance.md says has to be carried to a machine without network."""


@pytest.mark.slow
@pytest.mark.exhaustive  # other tests run the same benchmark among the packages of the hosts
def test_models_are_timed_without_openmmlab_and_network(checkout, tmp_path):
    alone = [sys.executable, str(Path(__file__).with_name('on_a_bare_machine.py'))]
    script, out = str(checkout / 'tools/benchmark/models.py'), tmp_path / 'models.json'
    models = ('--models', 'dynamicvis', 'published', 'vit_b16', 'resnet101', '--sizes', '64')
    done = subprocess.run(
        [*alone, ','.join(CARRIED), script, *TINY, *models, '--out', str(out)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    assert content['notes']['resnet101'] == 'of timm'
    assert content['notes']['vit_b16'].startswith('of timm; its attention is torch')
    assert {row['model'] for row in content['rows'] if 'seconds' in row} == set(models[1:5])
    assert '`' + '`, `'.join(CARRIED) + '`' in (checkout / 'docs/performance.md').read_text()


def test_stages_have_the_sizes_of_the_model(load):
    found = load('op_cases').stages('base', 512)
    assert [stage.length for stage in found] == [128**2, 64**2, 32**2, 16**2]
    assert [stage.kept for stage in found] == [2048, 1024, 512, 256]
    assert [stage.mixed for stage in found] == [2176, 1088, 544, 272]


def test_exponent_of_a_power_law(load):
    points = [(x, 3 * x**1.5) for x in (1, 4, 9, 100)]
    assert load('measure').exponent(points) == pytest.approx(1.5)


def results(bars, kernels='mamba-ssm', **seconds):
    """Results in which the models take the given milliseconds and as many MB."""
    row = dict(size=2048, task='forward', mode='graph')
    found: dict[str, list] = {name: [] for name in bars.FILES}
    for model, value in seconds.items():
        for dtype in ('float32', 'bfloat16'):
            figures = {'seconds': value / 1e3, 'memory (MB)': value, 'model': model}
            if model == 'published':
                figures['kernels'] = kernels
            found['models'].append(row | figures | {'dtype': dtype})
    return found


def test_bars_are_met_missed_or_not_measured(load):
    bars = load('bars')
    found = results(bars, dynamicvis=5, published=20, vit_b16=49)
    found['first_use'] = [dict(dtype='bfloat16', seconds=s) for s in (15, 6)]
    of_floor = {'pass': 'forward', 'percent of floor': 61.0}
    scan = dict(op='selective_scan', backend='triton', size=2048, stage=2, dtype='bfloat16')
    found['ops'] = [scan | of_floor]
    grown = {'model': 'dynamicvis', 'dtype': 'bfloat16', 'mode': 'eager', 'allocated (MB)': 400}
    found['growth'] = [grown | {'size': size, 'seconds': size**2.2} for size in (1024, 2048)]
    table = {row['bar']: row for row in bars.table(found)}
    verdicts = {name: row['verdict'] for name, row in table.items()}
    assert verdicts['base, 2048, bfloat16, best mode'] == 'met'
    assert verdicts['against the published scheme, 2048, float32: faster'] == 'met'
    assert verdicts['against the published scheme, 2048, bfloat16: memory'] == 'met'
    assert verdicts['against ViT-B/16, 2048, float32: faster'] == 'NOT met'
    assert verdicts['compilation at first use, forward and training'] == 'NOT met'
    assert table['compilation at first use, forward and training']['measured'] == 21
    growth = table['time over pixels up to 10,240 x 10,240: exponent']
    assert growth['measured'] == pytest.approx(1.1)
    assert growth['verdict'] == 'NOT met'
    assert verdicts['selective_scan, 2048, stage 2, bfloat16: of the floor'] == 'met'
    assert verdicts['selective_scan, 2048, stage 1, bfloat16: of the floor'] == 'not measured'
    assert verdicts['training step, 1024, batch 4, bfloat16: faster'] == 'not measured'


def test_the_published_scheme_counts_on_its_own_kernels_alone(load):
    bars = load('bars')
    found = results(bars, 'mmdynamicvis', dynamicvis=5, published=20)
    step = dict(seconds=1.0, kernels='mmdynamicvis')
    found['training'] = [step | {'model': model} for model in ('dynamicvis', 'published')]
    for row in bars.table(found):
        if row['bar'].startswith(('against the published', 'training step')):
            assert row['verdict'] == 'not measured'


def test_memory_of_other_rows_is_compared_with_the_limit_too(load):
    bars = load('bars')
    found = results(bars, dynamicvis=5)
    alone = {'model': 'dynamicvis', 'dtype': 'bfloat16', 'size': 2048, 'allocated (MB)': 460}
    found['growth'] = [alone | {'seconds': 1}]
    verdicts = {row['bar']: row['verdict'] for row in bars.table(found)}
    assert verdicts['base, 2048, bfloat16, peak with weights'] == 'NOT met'


def test_plot_draws_what_there_is(load, monkeypatch, tmp_path, capsys):
    plot = load('plot')
    content = dict(date='2026-01-01', machine=dict(cpu='X', threads=1))
    models = [
        dict(task='forward', best=True, model='dynamicvis', dtype='float32', size=size)
        | {'seconds': size / 1e3, 'memory (MB)': size}
        for size in (64, 128)
    ]
    files = dict(models_x=models, ops_x=[], bars_x=[])
    paths = [tmp_path / f'{name}.json' for name in files]
    for path, rows in zip(paths, files.values(), strict=True):
        path.write_text(json.dumps(content | {'rows': rows}))
    out = tmp_path / 'images'
    monkeypatch.setattr(sys, 'argv', ['plot.py', *map(str, paths), '--out', str(out)])
    assert plot.main() == 0
    assert [path.name for path in out.iterdir()] == ['models_x.png']
    assert capsys.readouterr().out.count('nothing to draw') == 2


@pytest.mark.exhaustive
def test_loading_counts_samples_beside_decoding(run):
    arguments = ('--n-images', 2, '--samples', 16, '--workers', 1, '--batch-size', 2)
    done, content = run('loading.py', *arguments, '--repeats', 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_described(content, 'loading.py')
    assert content['figures']['samples / s'] > 0
    assert 0 < content['figures']['share of decoding'] < 1
