"""Talks to a page as its browser does."""

from __future__ import annotations

import json
import socket
from itertools import count
from pathlib import Path
from typing import Any

import httpx

FILE = dict(_type='gradio.FileData')
_SESSIONS = count()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


class Visitor:
    """Knows the address of a page."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        # the function that looks at an image has the most results
        functions = self.client.get('config').json()['dependencies']
        self.look_index = max(functions, key=lambda function: len(function['outputs']))['id']

    def upload(self, name: str, content: bytes) -> httpx.Response:
        return self.client.post('gradio_api/upload', files=dict(files=(name, content)))

    def look(
        self,
        path: str | Path,
        model: str,
        meta: dict | None = FILE,
        later: str | Path | None = None,
    ) -> dict[str, Any]:
        """Return ``data``, what the page shows of files on the server, or ``error``."""
        more = {} if meta is None else dict(meta=meta)
        image, second = (one and dict(path=str(one), **more) for one in (path, later))
        session = dict(session_hash=f'session{next(_SESSIONS)}')
        body = dict(data=[image, second, model, 1], fn_index=self.look_index, **session)
        self.client.post('gradio_api/queue/join', json=body).raise_for_status()
        with self.client.stream('GET', 'gradio_api/queue/data', params=session) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix('data: ') or '{}')
                if message.get('msg') == 'process_completed':
                    shown = 'data' if message['success'] else 'error'
                    return {shown: message['output'][shown]}
        raise RuntimeError('the page did not answer')
