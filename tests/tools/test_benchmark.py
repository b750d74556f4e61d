from __future__ import annotations

import importlib
import json
import subprocess
import sys
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


@pytest.mark.slow
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


@pytest.mark.parametrize('backend', ['auto', 'eager'])
def test_published_scheme_equals_dynamicvis(load, backend):
    assert load('published').difference('tiny', 'cpu', backend) < 1e-5


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


def test_gpu_leaves_out_and_stops_what_takes_too_long(load, monkeypatch, tmp_path):
    gpu = load('gpu')
    sleep = [sys.executable, '-c', 'import time; time.sleep(30)']
    monkeypatch.setattr(gpu.Step, 'command', lambda self, path: sleep)
    assert gpu.run(gpu.Step('a', None, '', 9), tmp_path, 5).startswith('left out')
    assert gpu.run(gpu.Step('a', None, '', 0), tmp_path, 0.2).startswith('stopped')
    monkeypatch.setattr(gpu.Step, 'command', lambda self, path: [sys.executable, '-c', ''])
    assert gpu.run(gpu.Step('a', None, '', 0), tmp_path, 20).startswith('exit status 0')


def test_commands_of_gpu_are_understood(load, checkout, monkeypatch):
    gpu = load('gpu')
    parsed = []

    def parse(parser):
        parsed.append(parser.parse_args())
        raise SystemExit

    for step in gpu.STEPS[1:]:
        module = load(step.script.removesuffix('.py'))
        monkeypatch.setattr(module, 'parse', parse)
        monkeypatch.setattr(sys, 'argv', step.command(checkout / 'x.json')[1:])
        with pytest.raises(SystemExit):
            module.main()
    assert [args.device for args in parsed] == ['cuda'] * (len(gpu.STEPS) - 1)


def test_stages_have_the_sizes_of_the_model(load):
    found = load('op_cases').stages('base', 512)
    assert [stage.length for stage in found] == [128**2, 64**2, 32**2, 16**2]
    assert [stage.kept for stage in found] == [2048, 1024, 512, 256]
    assert [stage.mixed for stage in found] == [2176, 1088, 544, 272]


def test_exponent_of_a_power_law(load):
    points = [(x, 3 * x**1.5) for x in (1, 4, 9, 100)]
    assert load('models').exponent(points) == pytest.approx(1.5)


def results(bars, **seconds):
    """Results in which the models take the given milliseconds and as many MB."""
    row = dict(size=2048, task='forward', mode='graph')
    found: dict[str, list] = {name: [] for name in bars.FILES}
    for model, value in seconds.items():
        for dtype in ('float32', 'bfloat16'):
            figures = {'seconds': value / 1e3, 'memory (MB)': value, 'model': model}
            found['models'].append(row | figures | {'dtype': dtype})
    return found


def test_bars_are_met_missed_or_not_measured(load):
    bars = load('bars')
    found = results(bars, dynamicvis=5, published=20, vit_b16=49)
    found['first_use'] = [dict(dtype='bfloat16', seconds=s) for s in (15, 6)]
    of_floor = {'pass': 'forward', 'percent of floor': 61.0}
    scan = dict(op='selective_scan', backend='triton', size=2048, stage=2, dtype='bfloat16')
    found['ops'] = [scan | of_floor]
    table = {row['bar']: row for row in bars.table(found)}
    verdicts = {name: row['verdict'] for name, row in table.items()}
    assert verdicts['base, 2048, bfloat16, best mode'] == 'met'
    assert verdicts['against the published scheme, 2048, float32: faster'] == 'met'
    assert verdicts['against the published scheme, 2048, bfloat16: memory'] == 'met'
    assert verdicts['against ViT-B/16, 2048, float32: faster'] == 'NOT met'
    assert verdicts['compilation at first use, forward and training'] == 'NOT met'
    assert table['compilation at first use, forward and training']['measured'] == 21
    assert verdicts['selective_scan, 2048, stage 2, bfloat16: of the floor'] == 'met'
    assert verdicts['selective_scan, 2048, stage 1, bfloat16: of the floor'] == 'not measured'
    assert verdicts['training step, 1024, batch 4, bfloat16: faster'] == 'not measured'


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
