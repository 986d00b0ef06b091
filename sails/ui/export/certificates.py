"""Whether an ONNX model answers like its original: figures, answers side by side, speed, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from sails import models, system
from sails.models import VARIANT_TITLES, Variant, VariantState, Workspace, resolve
from sails.onnx.certify import (
    CERTIFICATE_PAGE,
    Certificate,
    Check,
    Speed,
    certificate_checks,
    certificate_title,
    read_certificate,
)
from sails.ui import charts, confirm, text
from sails.ui.text import code, literal, plain

GOOD = {True: "✅ Good.", False: "❌ Not good.", None: ""}

# --- of what is in its place ----------------------------------------------------------------------


def matching_certificate(state: VariantState) -> Certificate | None:
    """The certificate of exactly what lies in a variant's folder."""
    return read_certificate(resolve(state.path)) if state.certified is not None else None


def certificate_tabs(found: Mapping[Variant, VariantState]) -> None:
    """The certificates of the variants that are there, each on a tab of its own."""
    present = [state for state in found.values() if state.present]
    for tab, state in zip(_tabs([VARIANT_TITLES[state.variant] for state in present]), present, strict=True):
        with tab:
            _of_one(state)


def _tabs(names: Sequence[str]) -> Sequence[Any]:
    return st.tabs([name.capitalize() for name in names]) if len(names) > 1 else [st.container()]


def _of_one(state: VariantState) -> None:
    folder = resolve(state.path)
    found = read_certificate(folder)
    if found is None:
        st.markdown(
            f"❔ **Not verified.** Nobody has compared the {VARIANT_TITLES[state.variant]} model with the "
            "model that it was made from. Make it again with the comparison switched on (under Options)."
        )
        return
    if state.certified is None:
        st.markdown(
            "⚠️ **The certificate belongs to another model.** What lies in this folder was measured on "
            f"the one made from {code(found.source_fingerprint or 'an unknown model')}. Make it again."
        )
        return
    show_certificate(found)
    page = folder / CERTIFICATE_PAGE
    if page.is_file():
        st.download_button(
            "Download the certificate as a page",
            data=page.read_bytes(),
            file_name=f"certificate-{state.variant}.html",
            mime="text/html",
            on_click="ignore",
            icon=":material/verified:",
            key=f"certificate-{state.variant}",
        )


def show_certificate(found: Certificate) -> None:
    """The verdict, its reasons, each figure with whether it is good, and the answers of both."""
    st.markdown(f"{'✅' if found.passed else '❌'} **{plain(certificate_title(found))}**")
    for reason in found.reasons:
        st.markdown(f"- {plain(reason)}")
    judged = [check for check in certificate_checks(found) if check.good is not None]
    for start in range(0, len(judged), 2):
        for column, check in zip(st.columns(2), judged[start : start + 2], strict=False):
            with column, st.container(border=True, height="stretch", gap="xsmall"):
                _figure(check)
    own = found.own_prompts
    asked = f": {own} of your own examples, the rest never change" if own else ""
    st.caption(
        f"Measured {plain(_moment(found.created))} in {system.duration(found.seconds)}, on "
        f"{found.prompts} questions{asked}."
    )
    with st.expander("Answers side by side", icon=":material/compare_arrows:"):
        if not found.examples:
            st.markdown("None were kept.")
        for example in found.examples:
            st.markdown(f"**You:** {literal(example.prompt)}")
            answers = (("Original (PyTorch)", example.torch), (_capital(found.variant), example.onnx))
            for column, (who, answer) in zip(st.columns(2), answers, strict=True):
                with column, st.container(border=True, gap="xsmall", height="stretch"):
                    st.caption(who)
                    st.markdown(literal(answer) if answer else "(nothing)")


def _figure(check: Check) -> None:
    st.metric(plain(check.name), plain(check.value))
    st.markdown(f"{GOOD[check.good]} {plain(check.sentence)}".strip())


def _capital(variant: Variant) -> str:
    return VARIANT_TITLES[variant].capitalize()


def _moment(created: str) -> str:
    try:
        return text.moment(datetime.fromisoformat(created), st.context.timezone)
    except ValueError:
        return created


# --- side by side ---------------------------------------------------------------------------------


def speed_table(found: Mapping[Variant, VariantState]) -> None:
    """How fast each variant is beside PyTorch, and what it takes; nothing where nothing was measured."""
    measured = [
        one
        for state in found.values()
        if state.present and (one := matching_certificate(state)) and one.speed
    ]
    if not measured:
        return
    st.header("How fast is it?", anchor=False)
    newest = max((one for one in measured if one.original_speed), key=lambda one: one.created, default=None)
    rows: list[tuple[str, Speed, float | None, int]] = []
    if newest and newest.original_speed:
        rows.append(("PyTorch", newest.original_speed, 1.0, newest.original_bytes))
    for one in measured:
        if one.speed:
            rows.append((_capital(one.variant), one.speed, _times(one), one.bytes))
    st.markdown(_in_words(measured))
    rates = [row[1].tokens_per_second for row in rows]
    said = "; ".join(f"{name}: {rate:,.1f}" for (name, *_), rate in zip(rows, rates, strict=True))
    charts.draw(
        charts.bars([row[0] for row in rows], rates, "", "Word pieces a second", height=220),
        "onnx_speed",
        f"Word pieces that each writes in a second. {said}.",
    )
    st.table(
        pd.DataFrame(
            [_line(*row) for row in rows],
            columns=["", "First word after", "Word pieces a second", "Times PyTorch", "Memory", "Size"],
        ),
        border="horizontal",
        hide_index=True,
        alt="Speed, memory and size of each form of the model",
    )
    st.caption(
        "Measured on this machine with the same questions, one form after the other in turns. Memory is what "
        "a program takes that loads the model and answers, with the libraries that it needs."
    )


def _times(one: Certificate) -> float | None:
    if one.speed and one.original_speed and one.original_speed.tokens_per_second > 0:
        return one.speed.tokens_per_second / one.original_speed.tokens_per_second
    return None


def _line(name: str, speed: Speed, times: float | None, size: int) -> tuple[str, ...]:
    return (
        f"**{plain(name)}**",
        f"{speed.first_token_seconds:.2f} s",
        f"{speed.tokens_per_second:,.1f}",
        f"{times:.1f}" if times else "",
        system.size(speed.memory_bytes) if speed.memory_bytes else "not measured",
        system.size(size) if size else "",
    )


def _in_words(measured: Sequence[Certificate]) -> str:
    said = [
        f"**{_capital(one.variant)}** is {times:.1f} times as fast"
        for one in measured
        if (times := _times(one))
    ]
    if not said:
        return "How fast each form answers, measured here."
    return f"Beside PyTorch, the program that trained the model: {', '.join(said)}."


# --- of what is kept apart ------------------------------------------------------------------------


def failed_variants(workspace: Workspace, apart: Mapping[Variant, VariantState]) -> None:
    """Each variant whose certificate failed: why, and a deliberate choice to use or to delete it."""
    for variant, state in apart.items():
        with st.container(border=True, gap="small"):
            st.header(f"❌ The {VARIANT_TITLES[variant]} model failed its certificate", anchor=False)
            st.markdown(
                "It is kept apart: nobody chats with it and it is not offered for download, because it does "
                "not answer like the original. Making it again, or teaching the model a little more, often "
                "helps."
            )
            found = matching_certificate(state)
            for reason in found.reasons if found else ():
                st.markdown(f"- {plain(reason)}")
            if state.stale:
                st.markdown("It was made from an earlier model.")
            if found:
                with st.expander("What was compared", icon=":material/compare_arrows:"):
                    show_certificate(found)
            _decide(workspace, variant)


def _decide(workspace: Workspace, variant: Variant) -> None:
    use, delete, looking_only = f"use-{variant}", f"delete-failed-{variant}", system.view_only()
    with st.container(horizontal=True):
        confirm.ask_button("Use it all the same", use, icon=":material/warning:", disabled=looking_only)
        confirm.ask_button("Delete it", delete, icon=":material/delete:", disabled=looking_only)
    sentences = [
        f"**The {VARIANT_TITLES[variant]} model takes its place although it failed.** It may be offered for "
        "chat and download then. Its certificate goes with it and keeps saying that it failed."
    ]
    if confirm.confirmed(use, sentences, "Yes, use it"):
        models.keep_failed(workspace.onnx_model, variant)
        st.rerun()
    if confirm.confirmed(
        delete, ["**It is deleted.** The model can be made again at any time."], "Yes, delete it"
    ):
        models.discard_failed(workspace.onnx_model, variant)
        st.rerun()
