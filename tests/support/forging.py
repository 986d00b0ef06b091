"""What a browser would send, sent without one: any message of any widget, drawn, disabled or neither.

    with Forger(address, email="ann@example.org", groups=["guests"]) as forger:
        widgets = forger.visit("Data", "dataset=lesson")
        forger.visit("Data", "dataset=lesson", [pressed(widget) for widget in widgets])
        forger.visit("Data", "", [forger.uploaded(widget, "rows.csv", content)])

It signs in with the dashboard's own secret, which nobody else has, in place of a provider.
"""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import SimpleCookie
from types import TracebackType
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from websockets.sync.client import connect

from tests.support.oidc import COOKIE_SECRET

XSRF, USER = "_streamlit_xsrf", "_streamlit_user"
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Widget:
    """A widget, or a part of the page that opens, as the server sent it."""

    id: str
    kind: str
    label: str
    message: Any

    @property
    def opens(self) -> bool:
        return self.kind in ("expandable", "popover")

    @property
    def key(self) -> str:
        """The last part of its id, which is the name that our code gave it."""
        return self.id.rsplit("-", 1)[-1]


def pressed(widget: Widget, text: str = "") -> WidgetState:
    """What a browser sends when somebody uses the widget; `text` is what is typed, and chosen."""
    state = WidgetState(id=widget.id)
    if widget.kind in ("button", "download_button"):
        state.trigger_value = True
    elif widget.kind == "checkbox":
        state.bool_value = not widget.message.default
    elif widget.kind in ("text_input", "text_area"):
        state.string_value = text
    elif widget.kind == "chat_input":
        state.chat_input_value.data = text
    elif widget.kind == "selectbox":
        state.string_value = widget.message.options[-1] if widget.message.options else text
    elif widget.kind == "dataframe":
        state.string_value = json.dumps({"edited_rows": {"0": {}}, "added_rows": [], "deleted_rows": [0]})
    elif widget.opens:
        state.bool_value = True
    return state


class Forger:
    """A connection of its own to a dashboard, as somebody who signed in, or with no `email` as nobody."""

    def __init__(self, address: str, email: str = "", secret: str = COOKIE_SECRET, **claims: Any) -> None:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=PATIENCE) as answer:
            cookies = SimpleCookie(answer.headers["Set-Cookie"])
        token = cookies[XSRF].value
        cookie = f"{XSRF}={token}; sails_who="  # who was asked for a name, and gave none
        if email:
            content = {
                "email": email,
                "origin": address,
                "is_logged_in": True,
                "provider": "default",
                **claims,
            }
            cookie += f"; {USER}={create_signed_value(secret, USER, json.dumps(content)).decode()}"
        self._address, self._headers = address, {"Cookie": cookie, "X-Xsrftoken": token}
        self._connection = connect(
            address.replace("http", "ws", 1) + "/_stcore/stream",
            origin=address,
            additional_headers={"Cookie": cookie},
            subprotocols=["streamlit", token],
            max_size=None,
            proxy=None,
        )

    def __enter__(self) -> Forger:
        self._socket = self._connection.__enter__()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._connection.__exit__(None, None, None)

    def visit(self, page: str, query: str = "", states: Sequence[WidgetState] = ()) -> list[Widget]:
        """Have the page's script run with these messages; returns the widgets that it draws."""
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        message.rerun_script.widget_states.widgets.extend(states)
        self._socket.send(message.SerializeToString())
        self.said: list[str] = []
        widgets = []
        while True:
            answer = ForwardMsg.FromString(self._socket.recv(PATIENCE))
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self._session = answer.new_session.initialize.session_id
            elif kind == "script_finished":
                if answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                    return list({widget.id: widget for widget in widgets}.values())
                if answer.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                    raise AssertionError("The page has a fault.")
            elif kind == "delta":
                widgets += self._read(answer.delta)

    def visit_opened(self, page: str, query: str = "") -> list[Widget]:
        """Visit a page with all that opens opened, and what opens in it."""
        opened: dict[str, WidgetState] = {}
        while True:
            widgets = self.visit(page, query, list(opened.values()))
            closed = [widget for widget in widgets if widget.opens and widget.id not in opened]
            if not closed:
                return widgets
            opened |= {widget.id: pressed(widget) for widget in closed}

    def uploaded(self, widget: Widget, name: str, content: bytes) -> WidgetState:
        """Send a file, drawn or not, and return the message that it is there; raises `HTTPError`."""
        state, file = WidgetState(id=widget.id), str(uuid.uuid4())
        url = f"{self._address}/_stcore/upload_file/{self._session}/{file}"
        part = f'--part\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        headers = {**self._headers, "Content-Type": "multipart/form-data; boundary=part"}
        body = part + content + b"\r\n--part--\r\n"
        request = urllib.request.Request(url, body, headers, method="PUT")
        urllib.request.urlopen(request, timeout=PATIENCE).close()
        state.file_uploader_state_value.uploaded_file_info.add(file_id=file, name=name, size=len(content))
        return state

    def _read(self, delta: Any) -> list[Widget]:
        part = delta.new_element if delta.WhichOneof("type") == "new_element" else delta.add_block
        kind = part.WhichOneof("type")
        if kind is None:
            return []
        message = getattr(part, kind)
        if kind in ("markdown", "alert", "heading"):
            self.said.append(message.body)
        identity = getattr(message, "id", "")
        return [Widget(identity, kind, getattr(message, "label", ""), message)] if identity else []
