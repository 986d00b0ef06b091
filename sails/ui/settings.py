"""A field for a setting of a training, with the words and the range that it is declared with."""

from __future__ import annotations

from typing import Any

import streamlit as st

from sails.sessions import Settings, option


def number(name: str, *, key: str, value: int | None = None, placeholder: str = "") -> int | None:
    """Draw a whole number; empty means None."""
    about = option(name)
    return st.number_input(
        about.title,
        int(about.low or 0),
        None if about.highest_on_page is None else int(about.highest_on_page),
        value,
        1,
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
