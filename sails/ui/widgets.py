"""What many pages draw alike: buttons that change something, downloads, tables, and fields for settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import pandas as pd
import streamlit as st
from streamlit.elements.widgets.button import DownloadButtonDataType

from sails import system
from sails.sessions import Settings, option
from sails.system import Progress
from sails.ui import who
from sails.ui.text import plain

Item = TypeVar("Item")


def change_button(
    label: str,
    icon: str | None = None,
    key: str | None = None,
    *,
    type: Literal["primary", "secondary", "tertiary"] = "secondary",
    disabled: bool = False,
    help: str | None = None,
    on_click: Callable[[], None] | None = None,
    by_name: bool = True,
    in_form: bool = False,
) -> bool:
    """Draw a button that changes something; who may only look cannot press it.

    `icon` is the name of a Material symbol; `in_form`: it sends what stands in the form around it. The first
    press in a browser asks for the name, then goes on; not where it does not matter who pressed it: not
    `by_name`.
    """
    act, asks = key or label, by_name and who.is_to_ask()
    draw = st.form_submit_button if in_form else st.button
    clicked = draw(
        label,
        key=key,
        help=help,
        on_click=partial(who.ask_before, act, on_click) if asks else on_click,
        type=type,
        icon=f":material/{icon}:" if icon else None,
        disabled=disabled or system.view_only(),
    )
    if asks and clicked:
        st.rerun()  # the whole page, which asks
    return clicked or who.goes_on(act)


def download_button(
    label: str,
    content: DownloadButtonDataType,
    file_name: str,
    mime: str,
    key: str | None = None,
    *,
    icon: str = "download",
    help: str | None = None,
) -> None:
    """Draw a button that saves a file in the browser and leaves the page as it is."""
    symbol = f":material/{icon}:"
    # Ignored, because drawing the page anew would end what it is just doing, an answer for example.
    st.download_button(label, content, file_name, mime, key, help, on_click="ignore", icon=symbol)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Draw a progress bar, which is sent to the browser only when it moves and goes at the end."""
    bar, shown = st.progress(0.0, label), -1

    def report(fraction: float, *words: str) -> None:
        nonlocal shown
        if int(fraction * 50) != shown:
            shown = int(fraction * 50)
            bar.progress(min(fraction, 1.0), plain(": ".join(words).capitalize()))

    try:
        yield report
    finally:
        bar.empty()


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], alt: str) -> None:
    """Draw a small table as it is; `alt` is what a person hears who does not see it."""
    st.table(pd.DataFrame(list(rows), columns=list(columns)), border="horizontal", hide_index=True, alt=alt)


def show_part(items: Sequence[Item], length: int, of_what: str, key: str) -> Sequence[Item]:
    """Return one part of many items, which one a person says; `of_what` stands behind their number."""
    parts = -(-len(items) // length)
    if parts <= 1:
        return items
    label = f"{len(items):,}{of_what} in {parts:,} parts; show part"
    number = st.number_input(label, 1, parts, key=key, width=320)
    # What was chosen when there were more items may lie behind the last part by now.
    first = (min(max(int(number), 1), parts) - 1) * length
    return items[first : first + length]


# --- settings of a training, with the words and the range that they are declared with -------------


def field(name: str, *, key: str, placeholder: str = "") -> Any:
    """Draw the setting as it is declared, and return its value; a number left empty has its default."""
    about, declared = option(name), Settings.model_fields[name]
    if about.choices:
        return choice(name, key=key)
    if declared.annotation is bool:
        return st.toggle(about.title, declared.default, key=key, help=about.hint or None)
    given = number(name, key=key, value=declared.default, placeholder=placeholder or about.unset)
    return declared.default if given is None else given


def number(name: str, *, key: str, value: float | None = None, placeholder: str = "") -> Any:
    """Draw a number, whole unless it is declared as a float; empty means None."""
    declared = Settings.model_fields[name].annotation
    kind: Any = float if float in (declared, *get_args(declared)) else int
    about = option(name)
    return st.number_input(
        about.title,
        kind(about.low or 0),
        None if about.highest_on_page is None else kind(about.highest_on_page),
        value if value is None else kind(value),
        1 if kind is int else 0.05,
        key=key,
        placeholder=placeholder or None,
        help=about.hint or None,
    )


def choice(name: str, *, key: str | None = None, value: str | None = None, **others: Any) -> str:
    """Draw a choice among what the setting can be, at first `value`, else its default."""
    about = option(name)
    names = list(about.choices)
    return st.selectbox(
        others.pop("label", about.title),
        names,
        names.index(value or Settings.model_fields[name].default),
        about.choices.__getitem__,
        key=key,
        help=about.hint or None,
        **others,
    )
