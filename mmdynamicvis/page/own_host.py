"""Restrict a gradio page to its own host: what browsers load, and what the server fetches."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 2**20
"""Largest size in bytes of a request that is not an upload."""
_POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"


class OwnHostOnly:
    """Middleware that forbids browsers to load from other hosts, and refuses URLs in requests.

    Wherever gradio accepts files, it also accepts URLs, which the server would fetch, and files
    inside JSON, to which the upload limit does not apply.

    Args:
        app: The application that answers the requests that pass.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message['type'] == 'http.response.start':
                message['headers'].append((b'content-security-policy', _POLICY))
            await send(message)

        refused = '://' in scope['path']
        request = Request(scope, receive)
        content_type = request.headers.get('content-type', '').lower()
        if not content_type.startswith('multipart/form-data'):
            body = await _read(request)
            refused = refused or body is None or _has_address(body)
            receive = _again(body or b'', receive)
        if refused:
            answer = PlainTextResponse('URLs and large messages are not accepted', 403)
            await answer(scope, receive, send_with_policy)
        else:
            await self.app(scope, receive, send_with_policy)


async def _read(request: Request) -> bytes | None:
    """Return the body of a request, or None if it is too large."""
    body = b''
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a receive function that first returns a body that was already read."""
    messages = [dict(type='http.request', body=body, more_body=False)]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _has_address(body: bytes) -> bool:
    """Whether JSON contains a file whose path is a URL."""
    found = False

    def look(item: dict[str, Any]) -> dict[str, Any]:
        nonlocal found
        found = found or '://' in str(item.get('path', ''))
        return item

    try:
        json.loads(body, object_hook=look)
    except ValueError:  # not JSON, so it contains no file
        return False
    return found
