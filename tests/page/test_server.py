"""The page by real requests: what it shows, and what it keeps to itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from mmdynamicvis.page.nearest import NearestImages
from mmdynamicvis.page.server import serve_page

from ..inference.test_inferencers import SCENES
from .pages import Visitor, free_port
from .test_models import make, make_pairs
from .test_nearest import write_index


class Served(NamedTuple):
    visitor: Visitor
    model: str
    pairs: str
    files: Path
    """Models, index and images."""
    cache: Path


@pytest.fixture(scope='module')
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    files = tmp_path_factory.mktemp('files')
    model = make(SCENES, files, tuple(f'class {i}' for i in range(30)))
    index, images = write_index(files)
    nearest = NearestImages(index, files / 'images', 'cpu')
    pairs = make_pairs(files)
    options = dict(port=free_port(), max_upload_mb=1)
    with serve_page([model, pairs], images[:2], nearest, **options) as page:
        cache = Path(os.environ['GRADIO_TEMP_DIR'])
        yield Served(Visitor(page.local_url), model.name, pairs.name, files, cache)
    assert not cache.exists()
    assert 'GRADIO_TEMP_DIR' not in os.environ


def test_an_upload_is_looked_at(served: Served) -> None:
    visitor = served.visitor
    content = (served.files / 'images/3.png').read_bytes()
    (path,) = visitor.upload('mine.png', content).json()
    assert Path(path).is_relative_to(served.cache)
    predictions, table, _, slider, tokens, similar = visitor.look(path, served.model)['data']
    assert table['headers'] == ['class', 'score'] and len(table['data']) == 5
    assert (slider['maximum'], slider['value'], slider['visible']) == (3, 1, True)
    assert similar[0]['caption'] == '0.000 3.png' and len(similar) == 5
    for picture in (predictions, tokens, similar[0]['image']):
        answer = visitor.client.get(picture['url'])
        assert answer.headers['content-type'] == 'image/png'
        assert Path(picture['path']).is_relative_to(served.cache)


def test_a_pair_is_looked_at_once_it_is_complete(served: Served) -> None:
    visitor = served.visitor
    before, after = (
        visitor.upload(name, (served.files / f'images/{name}').read_bytes()).json()[0]
        for name in ('0.png', '1.png')
    )
    assert visitor.look(before, served.pairs)['data'][0] is None
    predictions, table, *_ = visitor.look(before, served.pairs, later=after)['data']
    assert {row[0] for row in table['data']} == {'change', 'semantic_from', 'semantic_to'}
    assert visitor.client.get(predictions['url']).headers['content-type'] == 'image/png'
    elsewhere = served.files / 'images/1.png'
    assert set(visitor.look(before, served.pairs, later=elsewhere)) == {'error'}


def test_the_page_is_whole_without_other_hosts(served: Served) -> None:
    page = served.visitor.client.get('/')
    assert page.headers['content-security-policy'].startswith("default-src 'self'")
    style = served.visitor.client.get('theme.css').text
    assert 'system-ui' in style and '@import' not in style and '//fonts.' not in style
    config = served.visitor.client.get('config').json()
    assert config['analytics_enabled'] is False


def test_files_elsewhere_are_not_served(served: Served) -> None:
    client = served.visitor.client
    samples = sorted((served.cache / 'samples').iterdir())
    assert [path.name for path in samples] == ['0_0.png', '1_1.png']
    assert client.get(f'gradio_api/file={samples[0]}').status_code == 200
    for path in (
        '/etc/passwd',
        served.files / 'random.pth',
        served.files / 'images/0.png',
        f'{served.cache}/../{served.files.name}/random.pth',
        f'{samples[0]}/../../../../../../etc/passwd',
        f'{served.cache}/%2e%2e/%2e%2e/etc/passwd',
        'pyproject.toml',
        served.cache,
        'http://127.0.0.1/a.png',
    ):
        for route in ('gradio_api/file=', 'gradio_api/file/', 'gradio_api/proxy=', 'static/'):
            assert client.get(f'{route}{path}').status_code in (400, 403, 404), f'{route}{path}'


def test_files_elsewhere_are_not_looked_at(served: Served) -> None:
    for path in (served.files / 'images/0.png', f'{served.cache}/../../etc/passwd', '/etc/passwd'):
        for meta in (dict(_type='gradio.FileData'), dict(), None):
            output = served.visitor.look(path, served.model, meta=meta)
            assert set(output) == {'error'}, (path, meta)


def test_names_of_other_sites_are_refused(served: Served) -> None:
    assert served.visitor.client.get('/', headers=dict(host='elsewhere.org')).status_code == 400


def test_the_server_fetches_no_address(served: Served) -> None:
    answer = served.visitor.client.post(
        'gradio_api/queue/join',
        json=dict(data=[dict(path='http://127.0.0.1/a.png', meta={})]),
    )
    assert answer.status_code == 403


def test_what_is_no_image_is_said(served: Served) -> None:
    visitor = served.visitor
    (path,) = visitor.upload('notes.png', b'hello').json()
    assert visitor.look(path, served.model)['error'] == (
        'notes.png is no image (BMP, JPEG, PNG, WEBP)'
    )
    assert visitor.upload('large.png', b'0' * (2**20 + 1)).status_code == 413
    # and the server goes on
    (path,) = visitor.upload('a.png', (served.files / 'images/0.png').read_bytes()).json()
    assert 'data' in visitor.look(path, served.model)


def test_models_and_samples_are_checked(served: Served, tmp_path: Path) -> None:
    model = make(SCENES, tmp_path, tuple(f'class {i}' for i in range(30)))
    for models in ([], [model, model]):
        with (
            pytest.raises(ValueError, match='give one or more different models'),
            serve_page(models),
        ):
            pass
    sample = tmp_path / 'sample.png'
    sample.write_bytes(b'')
    with pytest.raises(ValueError, match='is no image'), serve_page([model], [sample]):
        pass
    Image.new('RGB', (8, 8)).save(sample)
    port = served.visitor.client.base_url.port
    with (
        pytest.raises(OSError, match=f'cannot listen on port {port} of 127.0.0.1'),
        serve_page([model], [sample], port=port),
    ):
        pass


def test_without_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'gradio', None)
    monkeypatch.delitem(sys.modules, 'mmdynamicvis.page.server')
    with pytest.raises(ImportError, match=r"pip install 'mmdynamicvis\[page\]'"):
        import mmdynamicvis.page.server  # noqa: F401
