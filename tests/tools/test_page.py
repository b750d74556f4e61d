"""The page as a program: in a browser, with the demo's model, and what it refuses to start with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import torch
from mmengine.config import Config
from mmpretrain.apis import get_model
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from mmdynamicvis.embedding import Embeddings

from ..inference.test_inferencers import CLASSES, MASKS, SCENES
from ..page.pages import free_port
from ..page.test_models import make
from ..page.test_nearest import write_index

# two busy cores take their time
expect.set_options(timeout=60_000)
DEMO = 'configs/classification/dynamicvis_tiny_1xb16-demo_synthetic-128px.py'


@contextmanager
def serving(checkout: Path, folder: Path, *arguments: object) -> Iterator[str]:
    """Run the tool and give the address of its page; it leaves no file behind."""
    places = {name: folder / name for name in ('cwd', 'tmp')}
    for place in places.values():
        place.mkdir()
    options = ('--port', free_port(), '--device', 'cpu', *arguments)
    with subprocess.Popen(
        [sys.executable, str(checkout / 'tools/page.py'), *map(str, options)],
        cwd=places['cwd'],
        env={**os.environ, 'TMPDIR': str(places['tmp'])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if started := re.match(r'the page is at (\S+) until Ctrl\+C', line):
                break
        assert lines and started, ''.join(lines)
        try:
            yield started[1]
        finally:
            server.terminate()
            rest = server.communicate(timeout=60)[0]
    assert server.returncode == 0, rest
    # gradio leaves an empty folder
    assert [path for place in places.values() for path in place.rglob('*') if path.is_file()] == []


@pytest.fixture
def browser() -> Iterator[Browser]:
    path = shutil.which('chromium') or shutil.which('chromium-browser')
    if path is None:
        pytest.skip('no chromium')
    with sync_playwright() as playwright:
        # its sandbox needs more rights than a container has
        running = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield running
        running.close()


def upload(page: Page, path: Path) -> None:
    remove = page.get_by_label('Remove Image')
    if remove.count():
        remove.click()
    page.locator('input[accept="image/*"]').set_input_files(path)


@pytest.mark.slow
def test_in_a_browser(checkout: Path, tmp_path: Path, browser: Browser) -> None:
    folders = [tmp_path / name for name in ('scenes', 'objects', 'served')]
    for folder in folders:
        folder.mkdir()
    make(SCENES, folders[0], tuple(f'class {i}' for i in range(30)))
    make(MASKS, folders[1], CLASSES)
    index, images = write_index(tmp_path)
    text, disguised, large = (tmp_path / name for name in ('a.txt', 'b.png', 'c.png'))
    text.write_text('hello')
    disguised.write_text('hello')
    large.write_bytes(os.urandom(2**20 + 1))

    arguments = ['--index', index, tmp_path / 'images', '--samples', tmp_path / 'images']
    for folder, name in zip(folders, (SCENES, MASKS), strict=False):
        arguments += ['--model', folder / f'{name}.py', folder / 'random.pth']
    with serving(checkout, folders[2], *arguments, '--max-upload-mb', 1) as url:
        page = browser.new_page()
        addresses: list[str] = []
        page.on('request', lambda request: addresses.append(request.url))
        page.goto(url)

        upload(page, images[3])
        expect(page.get_by_role('gridcell', name=re.compile(r'^class \d+'))).to_have_count(5)
        tokens = page.get_by_alt_text('selected tokens')
        first = tokens.get_attribute('src')
        page.get_by_role('slider').press('ArrowRight')
        expect(tokens).not_to_have_attribute('src', first)
        second = tokens.get_attribute('src')
        contents = [page.request.get(source).body() for source in (first, second)]
        assert contents[0] != contents[1]
        expect(page.get_by_alt_text('0.000 3.png')).to_be_visible()
        expect(page.get_by_label(re.compile('^Thumbnail'))).to_have_count(5)

        # another model, at the same stage
        page.get_by_label('instance masks').check()
        expect(page.get_by_role('gridcell', name='airplane')).to_be_visible()
        expect(page.get_by_alt_text('predictions')).to_be_visible()
        assert page.get_by_role('slider').input_value() == '2'

        for path, message in (
            (text, 'Invalid file type: a.txt'),
            (disguised, 'b.png is no image (BMP, JPEG, PNG, WEBP)'),
            (large, 'maximum allowed size of 1.0 Mb'),
        ):
            upload(page, path)
            expect(page.get_by_text(message)).to_be_visible()
            expect(page.get_by_role('gridcell', name='airplane')).to_have_count(0)
        page.locator('#samples button').nth(1).click()
        expect(page.get_by_role('gridcell', name='airplane')).to_be_visible()
        expect(page.get_by_alt_text('0.000 1.png')).to_be_visible()

        # on a telephone
        page.set_viewport_size(dict(width=400, height=800))
        assert page.evaluate('document.documentElement.scrollWidth') <= 400

        hosts = {urlsplit(address).netloc for address in addresses}
        assert hosts - {''} == {urlsplit(url).netloc}


@pytest.mark.exhaustive
def test_model_of_the_demo(checkout: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = get_model(Config.fromfile(checkout / DEMO))
    demo = tmp_path / 'demo'
    (demo / 'data/forest').mkdir(parents=True)
    torch.save(dict(state_dict=model.state_dict()), demo / 'weights.pth')
    (demo / 'last_checkpoint').write_text(f'{demo}/weights.pth')
    for i, split in enumerate(('train', 'val')):
        Image.new('RGB', (128, 128), (90, 100 * i, 30)).save(demo / f'data/forest/{i}.png')
        (demo / f'data/{split}.txt').write_text(f'forest/{i}.png 2\n')

    index = demo / 'index.safetensors'
    Embeddings(['of another model'], torch.zeros(1, 4)).save(index)

    with serving(checkout, tmp_path, '--demo', demo) as url:
        assert '/samples/1_0.png' in httpx.get(url, trust_env=False).text
    assert Embeddings.load(index).names == [str(demo / 'data/forest/0.png')]


@pytest.mark.exhaustive
def test_without_a_model(checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(checkout / 'tools/page.py'), '--demo', str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f'error: there is no {tmp_path}/last_checkpoint: run `make demo`, or name a model with '
        '--model CONFIG CHECKPOINT'
    )
