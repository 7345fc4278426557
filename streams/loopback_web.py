"""What every page that we serve on loopback has in common.

Rules:

1. Whoever is on this machine may read; nobody else may, not even through a browser that runs here. So a
   request is answered only if its Host is loopback itself, not some name that resolves to it.
2. No other origin reads what is served, embeds it, or has a script in it.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any

import orjson
from aiohttp import web

from protocol.errors import CountersignError

LOOPBACK = "127.0.0.1"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard_loopback(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer requests to loopback only, and none that changes anything."""
    if not is_loopback_host(request.host):
        return web.Response(status=421, text="This server is asked for by a loopback address only.\n")
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, text="This server only shows.\n", headers={"Allow": "GET, HEAD"})
    return await handler(request)


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that keep other origins out; for `on_response_prepare`, so that errors have them too."""
    response.headers.update(_HEADERS)


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine's loopback, with or without a port."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        if port and not port.startswith(":"):
            return False
    else:
        name = host.partition(":")[0]
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def answer(content: Mapping[str, Any], status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(content), content_type="application/json", status=status)


def answer_error(error: CountersignError, status: int) -> web.Response:
    """A JSON answer that explains an error's code."""
    explained = error.explained
    content = {
        "error": error.code,
        "message": explained.message,
        "detail": error.detail,
        "remedy": explained.remedy,
    }
    return answer(content, status)


def choose_port(port: int) -> int:
    """The port itself if it is free on loopback, or a free one for 0.

    Raises:
        CountersignError: `port.taken`.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise CountersignError("port.taken", f"{LOOPBACK}:{port}: {error.strerror}") from error
        return int(probe.getsockname()[1])
