"""A field for a setting of a training, with the words and the range that it is declared with."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from sails.sessions import Settings, option


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
