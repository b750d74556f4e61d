"""Scenes behind URLs, from a server on this machine that serves ranges and breaks connections."""

from __future__ import annotations

import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mmdynamicvis.scenes import Scene, remote
from mmdynamicvis.scenes.grid import Box, Grid

from .scenes import noise, write

SIDE = 1024


class Server(ThreadingHTTPServer):
    """Serves the content of one raster under each path that ends in .tif."""

    def __init__(self, content: bytes) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.content = content
        self.faults: list[str] = []  # of the next requests of content
        self.sent = 0
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f'127.0.0.1:{self.server_port}'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(len(self.server.content), b'')

    def do_GET(self) -> None:
        fault = self.server.faults.pop(0) if self.server.faults else ''
        self.server.requests.append(self.path)
        if fault == 'drop':
            self._hang_up()
        elif fault == 'busy' or not self.path.endswith('.tif'):
            self.send_response(503 if fault else 404)
            self.send_header('Content-Length', '0')
            self.end_headers()
        else:
            asked = re.fullmatch(r'bytes=(\d+)-(\d+)', self.headers.get('Range', ''))
            part = self.server.content[int(asked[1]) : int(asked[2]) + 1]
            half = part[: len(part) // 2] if fault == 'half' else part
            self._answer(len(part), half, 206, int(asked[1]))
            self.server.sent += len(half)
            if fault == 'half':
                self.wfile.flush()
                self._hang_up()

    def _answer(self, length: int, body: bytes, code: int = 200, start: int = 0) -> None:
        self.send_response(code)
        self.send_header('Accept-Ranges', 'bytes')
        self.send_header('Content-Length', str(length))
        if code == 206:
            total = len(self.server.content)
            self.send_header('Content-Range', f'bytes {start}-{start + length - 1}/{total}')
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return write(tmp_path / 'here.tif', noise(SIDE, SIDE))


@pytest.fixture
def server(raster: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('GDAL_HTTP_RETRY_DELAY', '0.05')
    monkeypatch.setattr(remote, 'DELAYS', (0.0, 0.05))
    with Server(raster.read_bytes()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def windows(path: str | Path) -> list[np.ndarray]:
    """Return all windows of a scene, which overlap."""
    with Scene(path) as scene:
        grid = Grid(scene.height, scene.width, 256, 64)
        return [scene.read(grid[index])[0][0] for index in range(len(grid))]


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, left, right))


def test_each_byte_is_read_once(server: Server, raster: Path) -> None:
    assert same(windows(f'http://{server.address}/once.tif'), windows(raster))
    # without a cache, overlapping windows would be 1.8 times the file; ranges begin at 16 KB
    assert len(server.content) * 0.9 < server.sent < len(server.content) * 1.25
    assert {*server.requests} == {'/once.tif'}  # no files next to it


@pytest.mark.parametrize(
    ('opened', 'faults'),
    [
        (False, ['busy', 'busy']),
        (False, ['drop']),
        (True, ['busy', 'busy']),
        (True, ['drop']),
        (True, ['half']),
        (True, ['half', 'half', 'drop']),
    ],
)
def test_broken_connections(server: Server, raster: Path, faults: list, opened: bool) -> None:
    url = f'http://{server.address}/{"-".join(faults)}-{opened}.tif'
    if not opened:
        server.faults = faults[:]
        assert same(windows(url), windows(raster))
    else:
        with Scene(url) as scene, Scene(raster) as here:
            server.faults = faults[:]
            box = Box(500, 500, 900, 900)
            assert same(scene.read(box)[0], here.read(box)[0])
    assert not server.faults


def test_server_that_does_not_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('GDAL_HTTP_MAX_RETRY', '1')
    with pytest.raises(OSError, match=r'cannot open http://.*nothing.* Does the server answer'):
        Scene(f'http://{server.address}/nothing')
    with Scene(f'http://{server.address}/dies.tif') as scene:
        server.faults = ['drop'] * 1000
        with pytest.raises(OSError, match=r'cannot read rows 500 to 900.*dies\.tif'):
            scene.read(Box(500, 500, 900, 900))
    server.faults = []
    with pytest.raises(OSError, match=r'Does the server answer'):
        Scene('http://127.0.0.1:9/closed.tif')


def test_s3(server: Server, raster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = dict(
        AWS_S3_ENDPOINT=server.address,
        AWS_HTTPS='NO',
        AWS_VIRTUAL_HOSTING='FALSE',
        AWS_NO_SIGN_REQUEST='YES',
    )
    for name, value in options.items():
        monkeypatch.setenv(name, value)
    assert same(windows('s3://bucket/folder/scene.tif'), windows(raster))
    assert {*server.requests} == {'/bucket/folder/scene.tif'}
