"""The behavior matrix: a board of six squares with the one that applies lit, and the same as a table.

The board is HTML of our own words alone, so that every square can be pointed at, tapped and reached by Tab.
"""

from __future__ import annotations

import html

import streamlit as st

from sails.sessions import format_rate
from sails.training import plan
from sails.training.plan import MATRIX, MatrixRow
from sails.ui.widgets import table

TRAINED = {"missing": "No trained model", "incomplete": "Incomplete model", "complete": "Complete model"}
ONNX = {"missing": "No ONNX model", "present": "ONNX model"}
HERE = "◀\u00a0this\u00a0one"
STYLE = """<style>
.board { margin: 0; position: relative; }
.board table { border-collapse: separate; border-spacing: 4px; table-layout: fixed; width: 100%; }
.board th { font-weight: 400; padding: 4px; }
.board :is(th, figcaption) { color: light-dark(#5b666b, #b8c4c8); font-size: 14px; line-height: 1.3; }
.board tbody th { text-align: right; }
.board thead td { width: 18%; }
.board tbody td { border-radius: 8px; height: 84px; line-height: 1.35; padding: 4px; text-align: center; }
.board tbody td { background: light-dark(#f1f6f7, #1a262b); color: light-dark(#4c575b, #b8c4c8); }
.board tbody td.lit { background: light-dark(#0b6e83, #74cddd); color: light-dark(#ffffff, #10191d); }
.board td.lit strong { display: block; font-size: 16px; }
.board td:is(:hover, :focus) { outline: 2px solid light-dark(#0b6e83, #74cddd); }
.board figcaption { height: 44px; padding: 0 4px; }
.board .more {
  background: light-dark(#ffffff, #10191d); bottom: 0; color: light-dark(#0a1519, #e4ecee); font-size: 14px;
  height: 44px; left: 0; opacity: 0; padding: 0 4px; pointer-events: none; position: absolute; right: 0;
  text-align: left;
}
.board td:is(:hover, :focus) .more { opacity: 1; }
@media (max-width: 640px) {
  .board :is(figcaption, .more) { height: 60px; }
  .board :is(th, tbody td) { font-size: 14px; padding: 2px; }
  .board td.lit strong { font-size: 14px; }
}
</style>"""


def behavior_board(current: int) -> None:
    """Draw what training does in each of the six situations; the present one is lit, and says so."""
    row = MATRIX[current - 1]
    about = (
        f"A board of six squares. You are where the trained model is {row.trained} and the ONNX model is "
        f"{row.onnx}: training starts from the {_start(row)} model at {format_rate(row.learning_rate)}."
    )
    titles = "".join(f'<th scope="col">{title}</th>' for title in TRAINED.values())
    lines = "".join(
        f'<tr><th scope="row">{ONNX[onnx]}</th>'
        + "".join(_square(plan.row_for(trained, onnx), current) for trained in TRAINED)
        + "</tr>"
        for onnx in ONNX
    )
    hint = "What a training does, by what is there. Point at a square or tap it to read more."
    st.html(
        f'{STYLE}<figure class="board" aria-label="{html.escape(about)}"><table><thead><tr><td></td>{titles}'
        f"</tr></thead><tbody>{lines}</tbody></table><figcaption>{hint}</figcaption></figure>"
    )


def _square(row: MatrixRow, current: int) -> str:
    lit = row.number == current
    does = "Start from base" if row.start_from == "base" else "Continue"
    words = f"{does}<br>at {format_rate(row.learning_rate)}"
    if lit:
        words = f"You are here<strong>{words}</strong>"
    more = f'<span class="more">{html.escape(row.headline)}, at {format_rate(row.learning_rate)}</span>'
    mark = ' class="lit" aria-current="true"' if lit else ""
    return f'<td tabindex="0"{mark}>{words}{more}</td>'


def _start(row: MatrixRow) -> str:
    return "base" if row.start_from == "base" else "trained"


def behavior_matrix(current: int) -> None:
    """Draw all six rows of the behavior matrix; a sign and words mark the one that applies."""
    columns = ["Trained model", "ONNX model", "Training starts from", "Learning rate"]
    rows = []
    for row in MATRIX:
        cells = [row.trained, row.onnx, f"{_start(row)} model", format_rate(row.learning_rate)]
        if row.number == current:
            cells = [f"**{cell}**" for cell in cells]
            # In the first column, which no screen is too narrow for.
            cells[0] += f" :primary-badge[{HERE}]"
        rows.append(cells)
    table(
        columns,
        rows,
        f"The behavior matrix: six situations and what training does in each. Row {current} applies now.",
    )
