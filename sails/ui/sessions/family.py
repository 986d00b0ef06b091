"""The family tree: which model grew from which, as a graph to look at and as a list of links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import plotly.graph_objects as go
import streamlit as st

from sails import sessions
from sails.models import Workspace
from sails.sessions import Branch, Place, SessionRecord
from sails.system import count, fit, listed
from sails.ui import charts, frame, text
from sails.ui.text import plain

MAX_NODES = 40  # of the graph; the rest is older
MAX_LINES = 100  # of the list
MAX_NAME = 28  # characters of a name beside its node; more have no room on a phone
ROW_HEIGHT = 46  # pixels
LANES = 8  # as many as there is room for; names stand to the right of them
CLICKED = "clicked-in-family-tree"  # in the session state: the session of a click that nobody has followed
FATES = {
    "current": "★ the current model",
    "version": "kept as a version",
    "held": "✋ held back",
    "discarded": "discarded",
    "gone": "no longer kept",
}
ORIGINS = {"base": "from the base model", "unknown": "from a model whose session is not here", "session": ""}
INDENT = "\u2003"  # as wide as a letter, and no space that a browser would swallow


@dataclass(frozen=True)
class Look:
    """How a model is drawn: no two places by colour alone, each has a sign and a word of its own."""

    word: str
    colour: str
    sign: str
    size: int = 13


LOOKS: dict[Place, Look] = {
    "current": Look("current model", charts.COLOURS[0], "star", 18),
    "grown": Look("the current model grew from it", charts.COLOURS[0], "circle"),
    "held": Look("held back", charts.COLOURS[1], "diamond"),
    "discarded": Look("discarded", charts.GREY, "x"),
    "rolled back": Look("left by a roll back", charts.COLOURS[2], "square"),
    "aside": Look("was current once", charts.GREY, "circle-open"),
}


def family_tree(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    """Draw the sessions that made a model, each below the one that it continued."""
    lines = sessions.tree(workspace, records)
    if not lines:
        st.markdown("No session has made a model yet.")
        return
    called = sessions.titles(records)
    st.markdown(
        "Each model grew from the one above it. One that stands to the right branched off there, and the "
        "line went on without it. A click on a sign opens its session."
    )
    shown = lines[-MAX_NODES:]
    if len(lines) > MAX_NODES:
        st.caption(f"The last {MAX_NODES} of {len(lines):,} models.")

    def note_click() -> None:
        points = st.session_state["family"].selection.points
        st.session_state[CLICKED] = [str(point["customdata"]) for point in points if "customdata" in point]

    charts.draw(_graph(shown, called), "family", _in_words(lines, called), on_select=note_click)
    for identity in st.session_state.pop(CLICKED, []):
        frame.go("Sessions", session=identity)
    with st.expander("The same as a list, with links", icon=":material/list:"):
        if len(lines) > MAX_LINES:
            st.caption(f"The last {MAX_LINES} of {len(lines):,} models.")
        for line in lines[-MAX_LINES:]:
            _line(line, called)


def _in_words(lines: Sequence[Branch], called: dict[str, str]) -> str:
    by_place = Counter(line.place for line in lines)
    parts = []
    for place in get_args(Place):
        names = [called[line.record.session.id] for line in lines if line.place == place]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{LOOKS[place].word}: {listed(names[:3])}{more}")
    total = count(sum(by_place.values()), "model")
    return f"A family tree of {total}. {'. '.join(parts)}. The same stands below as a list."


def _graph(lines: Sequence[Branch], called: dict[str, str]) -> go.Figure:
    """One row for each model, oldest on top; lines lead from each to those that grew from it."""
    rows = {line.record.session.id: row for row, line in enumerate(lines)}
    x: list[float | None] = []
    y: list[float | None] = []
    for row, line in enumerate(lines):
        if line.parent in rows:
            parent = lines[rows[line.parent]]
            x += [parent.depth, parent.depth, line.depth, None]
            y += [rows[line.parent], row, row, None]
    edges = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"width": 2, "color": charts.GREY},
        "hoverinfo": "skip",
    }
    axis = {"visible": False, "fixedrange": True, "zeroline": False}
    deepest = max(line.depth for line in lines)
    layout = {
        "height": ROW_HEIGHT * len(lines) + 16,
        "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "xaxis": {**axis, "range": [-0.3, max(LANES, deepest + 5)]},
        "yaxis": {**axis, "range": [len(lines) - 0.4, -0.6]},
        "template": {"layout": {"colorway": charts.COLOURS}},
    }
    return go.Figure({"data": [edges, *_nodes(lines, called)], "layout": layout})


def _nodes(lines: Sequence[Branch], called: dict[str, str]) -> list[dict[str, Any]]:
    traces = []
    for place, look in LOOKS.items():
        of_place = [(row, line) for row, line in enumerate(lines) if line.place == place]
        names = [charts.escape(called[line.record.session.id]) for _, line in of_place]
        short = [
            charts.escape(fit(called[line.record.session.id], MAX_NAME - 3 * line.depth))
            for _, line in of_place
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [line.depth for _, line in of_place],
                "y": [row for row, _ in of_place],
                "text": [f"  <b>{name}</b><br>  {look.word}" for name in short],
                "textposition": "middle right",
                "textfont": {"size": 13, "color": charts.GREY},
                "marker": {
                    "size": look.size,
                    "symbol": look.sign,
                    "color": look.colour,
                    "line": {"width": 2},
                },
                "customdata": [line.record.session.id for _, line in of_place],
                "hovertext": [
                    f"{name}: {charts.escape(_details(line))}"
                    for name, (_, line) in zip(names, of_place, strict=True)
                ],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "cliponaxis": False,
            }
        )
    return traces


def _details(line: Branch) -> str:
    """When it was made, where its model is now, and where it began."""
    fate = f"{FATES[line.fate]} {line.version.name if line.version else ''}".strip()
    if line.place == "rolled back":
        fate += ", left by a roll back"
    when = text.moment(line.record.spec.created, st.context.timezone)
    return ", ".join(filter(None, [when, fate, ORIGINS[line.origin]]))


def _line(line: Branch, called: dict[str, str]) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if line.depth:
            st.markdown(f"{2 * INDENT * line.depth}└", width="content")
        frame.link("Sessions", plain(called[line.record.session.id]), session=line.record.session.id)
        st.markdown(f":small[{plain(_details(line))}]", width="content")
