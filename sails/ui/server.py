"""What a browser is sent first on each page, so that it asks the server and not the page's own folder.

Streamlit's page tries every folder of its address for the server before it takes the root: on a page below
the root, two requests that fail. Here it is told where the server is, by its own address: behind a proxy that
adds a prefix, too.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import file_util

from sails.ui.frame import PAGES

NAMES = tuple(page.title.replace(" ", "_") for page in PAGES[1:])  # as they stand in an address
SCRIPT = f"""<script>
  window.__streamlit = {{
    BACKEND_BASE_URL: location.origin + location.pathname.replace(/({"|".join(map(quote, NAMES))})\\/?$/, ""),
  }};
</script>"""


class TellsWhereItIs:
    """The dashboard's server around that of Streamlit: it sends the pages, and passes on all else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        page = (Path(file_util.get_static_dir()) / "index.html").read_text(encoding="utf-8")
        head, rest = page.split("<script", 1)
        self.page = f"{head}{SCRIPT}\n    <script{rest}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and scope["path"].removeprefix("/") in ("", *NAMES)
        if is_page and scope["method"] in ("GET", "HEAD"):
            await HTMLResponse(self.page, headers={"Cache-Control": "no-cache"})(scope, receive, send)
        else:
            await self.app(scope, receive, send)
