"""What the dashboard asks of every request, and says with every answer.

It answers by its own names alone (`server.allowedHosts`), opens a connection only for a page of its own, on
its own port, lets no other page frame it, and lets none of its pages load or send anything elsewhere. Where
people sign in, it takes files from those alone who may change something.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from sails.ui import sign_in

UPLOADS = "/_stcore/upload_file"
# Inline scripts and styles are Streamlit's own way; whatever they are, they reach nobody outside.
POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in POLICY.items()),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


_is_in_place = False


def is_in_place() -> bool:
    """Tell whether this server's requests go through the guard."""
    return _is_in_place


class Guard:
    """An ASGI middleware around all that Streamlit serves."""

    def __init__(self, app: ASGIApp) -> None:
        global _is_in_place
        _is_in_place = True
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 403, or pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["type"] == "websocket":
            if is_host_allowed(headers.get("host")) and _is_own(headers.get("origin"), headers.get("host")):
                await self.app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        brings = UPLOADS in scope["path"] and scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if brings and not sign_in.may_bring_files(cookie_parser(headers.get("cookie", ""))):
            refusal = PlainTextResponse("Only who may change something here can bring files.", 403)
            await refusal(scope, receive, send_with_headers)
        elif is_host_allowed(headers.get("host")):
            await self.app(scope, receive, send_with_headers)
        else:
            refusal = PlainTextResponse("This dashboard does not answer by that name.", 403)
            await refusal(scope, receive, send_with_headers)


def _is_own(origin: str | None, host: str | None) -> bool:
    """Whether a page of this very server asks, or one that was allowed to; browsers always say which."""
    if origin is None:
        return True
    allowed = config.get_option("server.corsAllowedOrigins") or ()
    return urlsplit(origin).netloc == host or origin in allowed
