"""What the middleware lets pass."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from mmdynamicvis.page.own_host import MAX_BODY, OwnHostOnly


@pytest.fixture(scope='module')
def client() -> TestClient:
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    routes = [Route('/{path:path}', echo, methods=['GET', 'POST'])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(OwnHostOnly)]))


def test_what_passes_is_unchanged(client: TestClient) -> None:
    file = dict(path='/elsewhere/a.png', url='http://127.0.0.1:7860/file=/elsewhere/a.png')
    for body in (b'', b'no JSON', json.dumps(dict(data=[file, 'http://text', 1])).encode()):
        answer = client.post('/queue/join', content=body)
        assert (answer.status_code, answer.content) == (200, body)
        assert answer.headers['content-security-policy'].startswith("default-src 'self'")
    # uploads have a limit of their own
    large = dict(files=b'a' * (MAX_BODY + 1))
    assert client.post('/upload', files=large).status_code == 200


@pytest.mark.parametrize('scheme', ['http', 'https', 'ftp'])
def test_addresses_are_refused(scheme: str, client: TestClient) -> None:
    address = f'{scheme}://example.org/a.png'
    for route in ('file', 'proxy'):
        assert client.get(f'/gradio_api/{route}={address}').status_code == 403
    body = json.dumps(dict(data=[[dict(path=address, meta={})]]))
    # the type is the sender's word
    for kind in ('application/json', 'text/plain', 'application/json; a=multipart/form-data'):
        answer = client.post('/queue/join', content=body, headers={'content-type': kind})
        assert answer.status_code == 403
    escaped = body.replace(':', '\\u003a').replace('"path"\\u003a', '"path":')
    escaped = escaped.replace('"data"\\u003a', '"data":').replace('"meta"\\u003a', '"meta":')
    assert client.post('/queue/join', content=escaped).status_code == 403


def test_large_messages_are_refused(client: TestClient) -> None:
    assert client.post('/', content=b' ' * MAX_BODY).status_code == 200
    assert client.post('/', content=b' ' * (MAX_BODY + 1)).status_code == 403
    # without a length
    assert client.post('/', content=(b' ' * 2**16 for _ in range(17))).status_code == 403
