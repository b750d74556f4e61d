from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from mmdynamicvis.pretraining.meta_embeddings import load_meta_embeddings, load_text_embeddings

open_clip = pytest.importorskip('open_clip')

TOOL = 'tools/text_meta_embeddings.py'
CLASSES = ['airport', 'car_dealership', 'oil_or_gas_facility', 'zoo']
# As small as open_clip builds it with its own vocabulary of 49408 words.
CONFIG = dict(
    embed_dim=24,
    vision_cfg=dict(image_size=16, layers=1, width=64, patch_size=16),
    text_cfg=dict(context_length=32, width=16, heads=2, layers=1),
)


@pytest.fixture(scope='module')
def tool(checkout):
    return runpy.run_path(str(checkout / TOOL))


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A folder with the configuration and random weights of a small CLIP model, and classes."""
    folder = tmp_path_factory.mktemp('clip')
    (folder / 'tiny.json').write_text(json.dumps(CONFIG))
    (folder / 'classes.txt').write_text('\n'.join(CLASSES))
    torch.manual_seed(0)
    model = open_clip.CLIP(**CONFIG)
    torch.save({'state_dict': model.state_dict(), 'epoch': 3}, folder / 'tiny.pt')
    save_file(model.state_dict(), folder / 'tiny.safetensors')
    return folder


@pytest.fixture(scope='module')
def run(checkout, files):
    def call(target, *arguments, **options):
        """Run the tool on the small model."""
        given = dict(
            classes=files / 'classes.txt',
            model=files / 'tiny.json',
            weights=files / 'tiny.pt',
            dim=32,
        )
        given.update(options)
        command = [sys.executable, str(checkout / TOOL), str(target), *arguments]
        for name, value in given.items():
            command += [f'--{name}', str(value)]
        # Any download fails at once.
        environment = os.environ | {'https_proxy': 'http://127.0.0.1:9', 'HF_HUB_OFFLINE': '1'}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return call


def clip_cosines(files, templates):
    """Cosines between classes, straight from open_clip's own classifier of names."""
    model = open_clip.CLIP(**CONFIG).eval()
    model.load_state_dict(torch.load(files / 'tiny.pt', weights_only=True)['state_dict'])
    names = [name.replace('_', ' ') for name in CLASSES]
    tokenize = open_clip.SimpleTokenizer(context_length=32)
    with torch.no_grad():
        unit_FC = open_clip.build_zero_shot_classifier(model, tokenize, names, templates)
    return unit_FC.T @ unit_FC


@pytest.mark.exhaustive
@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
def test_angles_are_those_of_the_text_features(run, tool, files, tmp_path, suffix):
    target = tmp_path / 'new_folder/text.safetensors'
    done = run(target, weights=files / f'tiny{suffix}')
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    embeddings_CE = load_meta_embeddings(target, CLASSES, 32)
    expected_CC = clip_cosines(files, tool['TEMPLATES'])
    torch.testing.assert_close(embeddings_CE @ embeddings_CE.T, expected_CC, rtol=0, atol=1e-5)

    change, nearest = done.stdout.splitlines()[-2:]
    assert float(change.split()[-1]) < 1e-5
    row, column = divmod((expected_CC - 2 * torch.eye(4)).argmax().item(), 4)
    assert f'{CLASSES[row]} and {CLASSES[column]}, cosine' in nearest
    assert float(nearest.split()[-1]) == pytest.approx(expected_CC[row, column].item(), abs=1e-4)

    other = ['airport', 'car_dealership', 'zoo']
    with pytest.raises(ValueError, match='oil_or_gas_facility'):
        load_meta_embeddings(target, other, 32)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_own_templates_and_the_printed_change(run, files, tmp_path):
    (tmp_path / 'prompts.txt').write_text('{} from orbit\n\nthe {} of a town\n')
    target = tmp_path / 'text.safetensors'
    target.write_text('old')
    # Two dimensions are too few for four classes.
    done = run(target, '--force', dim=2, templates=tmp_path / 'prompts.txt')
    assert done.returncode == 0, done.stderr
    embeddings_CE = load_meta_embeddings(target, CLASSES, 2)
    expected_CC = clip_cosines(files, ('{} from orbit', 'the {} of a town'))
    change = (embeddings_CE @ embeddings_CE.T - expected_CC).abs().max().item()
    assert change > 0.01
    assert float(done.stdout.splitlines()[-2].split()[-1]) == pytest.approx(change, rel=0.06)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['new.safetensors'], 'required: --weights'),
        (['new.safetensors', '--weights', 'laion2b'], 'laion2b is no local file'),
        (['new.safetensors', '--weights', 'https://a.org/clip.pt'], 'nothing is downloaded'),
        (['new.safetensors', '--weights', 'tiny.pt', '--dim', '0'], '--dim is 0'),
        (['new.pth', '--weights', 'tiny.pt'], 'must end with .safetensors'),
        (
            ['new.safetensors', '--weights', 'tiny.pt', '--dim', '9', '--no-projection'],
            'not allowed with argument --dim',
        ),
    ],
)
def test_wrong_arguments(tool, files, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(files)
    command = [TOOL, *arguments, '--classes', 'classes.txt', '--model', 'tiny.json']
    monkeypatch.setattr('sys.argv', command)
    with pytest.raises(SystemExit):
        tool['parse_args']()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('target', 'options', 'message'),
    [
        ('old.safetensors', [], 'pass --force'),
        ('tiny.safetensors', ['--force'], 'would be written over .*tiny.safetensors, which is'),
    ],
)
def test_nothing_is_overwritten(tool, files, monkeypatch, target, options, message):
    monkeypatch.chdir(files)
    (files / 'old.safetensors').write_text('mine')
    command = [TOOL, target, '--classes', 'classes.txt', '--model', 'tiny.json', *options]
    monkeypatch.setattr('sys.argv', [*command, '--weights', 'tiny.safetensors'])
    with pytest.raises((FileExistsError, ValueError), match=message):
        tool['main']()


def test_a_device_that_is_missing_is_refused_before_the_weights_are_read(tool, monkeypatch, files):
    monkeypatch.chdir(files)
    command = [TOOL, 'text.safetensors', '--classes', 'classes.txt', '--model', 'tiny.json']
    command += ['--weights', 'tiny.safetensors', '--device', 'cuda:99']
    monkeypatch.setattr('sys.argv', command)
    with pytest.raises(ValueError, match="device 'cuda:99' cannot be used on this machine"):
        tool['main']()
    assert not (files / 'text.safetensors').exists()


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), 'w'))


@pytest.mark.slow
def test_nothing_in_the_weights_is_executed(run, tmp_path):
    marker, weights = tmp_path / 'executed', tmp_path / 'malicious.pt'
    torch.save({'state_dict': {'a': torch.zeros(1)}, 'meta': Malicious(marker)}, weights)
    done = run(tmp_path / 'text.safetensors', weights=weights)
    assert done.returncode == 1
    assert 'could run code' in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ['malicious.pt']


@pytest.fixture
def tower():
    return open_clip.CLIP(**CONFIG)


def change(weights, name, value):
    return {**weights, name: value}


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (
            lambda w: {n: v for n, v in w.items() if n != 'ln_final.bias'},
            '1 missing: ln_final.bias',
        ),
        (lambda w: change(w, 'ln_extra.bias', torch.ones(3)), '1 unexpected: ln_extra.bias'),
        (lambda w: change(w, 'ln_final.bias', torch.ones(3)), 'another shape: ln_final.bias'),
    ],
)
def test_weights_of_another_text_tower(tool, tower, tmp_path, spoil, message):
    torch.save(spoil(tower.state_dict()), tmp_path / 'other.pt')
    with pytest.raises(ValueError, match=message):
        tool['load_text_weights'](tower, tmp_path / 'other.pt')


def test_image_tower_may_differ(tool, tower, tmp_path):
    text = {n: v + 1 for n, v in tower.state_dict().items() if not n.startswith('visual.')}
    torch.save(change(text, 'visual.proj', torch.ones(1)), tmp_path / 'text.pt')
    tool['load_text_weights'](tower, tmp_path / 'text.pt')
    assert torch.equal(tower.ln_final.bias, text['ln_final.bias'])


def test_positions_of_long_clip_are_joined(tool, tower, tmp_path):
    """The text features are those of a tower of all 60 positions, the first 20 of one tensor."""
    long = dict(CONFIG, text_cfg=dict(CONFIG['text_cfg'], context_length=60))
    long = open_clip.CLIP(**long).eval()
    with torch.no_grad():
        long.positional_embedding.normal_()
    weights = long.state_dict()
    exact = weights['positional_embedding']
    mask = (torch.arange(60) < 20)[:, None]
    weights['positional_embedding'] = torch.where(mask, exact, torch.randn(60, 16))
    weights['positional_embedding_res'] = torch.where(mask, torch.randn(60, 16), exact)
    weights |= dict(mask1=mask.float(), mask2=1 - mask.float())
    names = ['zoo', 'an airport that lies beside a very long runway ' * 3]  # 4 and 30 tokens
    with torch.no_grad():
        expected = long.encode_text(open_clip.SimpleTokenizer(context_length=60)(names))
        for content in (weights, dict(epoch=1, name='x', state_dict=weights)):
            torch.save(content, tmp_path / 'long.pt')
            tool['load_text_weights'](tower.eval(), tmp_path / 'long.pt')
            found = tower.encode_text(open_clip.SimpleTokenizer(context_length=32)(names))
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def run_here(tool, monkeypatch, files, target, *options):
    monkeypatch.chdir(files)
    command = [TOOL, target, '--classes', 'classes.txt', '--model', 'tiny.json', *options]
    monkeypatch.setattr('sys.argv', [str(part) for part in command])
    tool['main']()
    return load_text_embeddings(target)


def test_features_of_several_files_share_a_space(tool, files, monkeypatch, tmp_path, capsys):
    def run(name, *options):
        return run_here(tool, monkeypatch, files, tmp_path / name, '--no-projection', *options)

    first = run('a.safetensors', '--weights', 'tiny.pt')
    assert first.features.shape == (4, 24)
    cosines = torch.cosine_similarity(first.features[:, None], first.features, dim=-1)
    torch.testing.assert_close(cosines, clip_cosines(files, tool['TEMPLATES']), rtol=0, atol=1e-5)
    assert 'projection' not in capsys.readouterr().out
    # the space does not depend on the format of the weights, on the prompts or on the image tower
    (tmp_path / 'prompts.txt').write_text('{} from orbit')
    second = run(
        'b.safetensors', '--weights', 'tiny.safetensors', '--templates', tmp_path / 'prompts.txt'
    )
    assert second.space == first.space
    assert not torch.equal(second.features, first.features)
    weights = torch.load(files / 'tiny.pt', weights_only=True)['state_dict']
    weights['ln_final.bias'] = weights['ln_final.bias'] + 1e-3
    torch.save(weights, tmp_path / 'other.pt')
    assert run('c.safetensors', '--weights', tmp_path / 'other.pt').space != first.space


def test_projected_features_say_that_they_are(tool, files, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match='again with --no-projection'):
        run_here(tool, monkeypatch, files, tmp_path / 'a.safetensors', '--weights', 'tiny.pt')


def test_damaged_weights(tool, tower, files, tmp_path):
    damaged = tmp_path / 'damaged.pt'
    damaged.write_bytes((files / 'tiny.pt').read_bytes()[:-100])
    with pytest.raises(ValueError, match='truncated'):
        tool['load_text_weights'](tower, damaged)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ('ViT-B-33', 'open_clip has no model ViT-B-33'),
        ('hf-hub:someone/model', 'open_clip has no model'),
        ('ViT-B-16-SigLIP', 'from the network'),
        ('roberta-ViT-B-32', 'from the network'),
    ],
)
def test_models_that_cannot_be_used(tool, files, model, message):
    with pytest.raises(ValueError, match=message):
        tool['load_text_tower'](model, files / 'tiny.pt', 'cpu')


def test_missing_open_clip_names_its_package(tool, files, monkeypatch):
    monkeypatch.setitem(sys.modules, 'open_clip', None)
    with pytest.raises(ImportError, match='pip install open_clip_torch'):
        tool['load_text_tower']('ViT-B-32', files / 'tiny.pt', 'cpu')


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('classes.txt', ' airport\nzoo \n\n'),
        ('meta.json', json.dumps(dict(num_samples=3, classes=['airport', 'zoo']))),
        (
            'coco.json',
            json.dumps(dict(categories=[dict(id=7, name=n) for n in ('airport', 'zoo')])),
        ),
    ],
)
def test_where_names_come_from(tool, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    source = tmp_path if name == 'meta.json' else tmp_path / name
    assert tool['read_classes'](source) == ['airport', 'zoo']


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('classes.txt', '\n', 'named once'),
        ('classes.txt', 'zoo\nzoo', 'named once'),
        ('meta.json', '{"num_samples": 3}', 'use a text file'),
        ('coco.json', '[1]', 'use a text file'),
        ('coco.json', '{"categories', 'damaged or no JSON'),
    ],
)
def test_names_that_cannot_be_read(tool, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        tool['read_classes'](tmp_path / name)


@pytest.mark.parametrize('text', ['', 'a photo', '{} beside {}', 'a {0}'])
def test_templates_name_the_class_once(tool, tmp_path, text):
    (tmp_path / 'prompts.txt').write_text(text)
    with pytest.raises(ValueError, match='every prompt needs'):
        tool['read_templates'](tmp_path / 'prompts.txt')
