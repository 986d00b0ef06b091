"""Whether an ONNX model answers like its original: figures, answers side by side, speed, and what failed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from sails import jobs, models, system
from sails.models import VARIANT_TITLES, Variant, VariantState, Workspace, resolve
from sails.onnx import certify
from sails.onnx.certify import Certificate, Speed, read_certificate
from sails.ui import charts, confirm, text
from sails.ui.text import literal, plain
from sails.ui.widgets import download_button, table

GOOD = {True: "✅ Good.", False: "❌ Not good.", None: ""}

# --- of what is in use ----------------------------------------------------------------------------


def matching_certificate(state: VariantState) -> Certificate | None:
    """Return the certificate of exactly what lies in a variant's folder; None where there is none."""
    return read_certificate(resolve(state.path)) if state.certified is not None else None


def seal(workspace: Workspace, states: Mapping[Variant, VariantState]) -> None:
    """Say of each variant that is there what was certified, on how much, when and by whom, or what is not."""
    for state in states.values():
        if not state.present:
            continue
        certificate = read_certificate(resolve(state.path))
        if certificate is None:
            st.markdown(
                f":material/help: **Not verified.** The {VARIANT_TITLES[state.variant]} model was never "
                "compared with the model that it was made from. Make it again with the comparison "
                "switched on (under Options)."
            )
        elif state.certified is None:
            st.markdown(
                f"⚠️ **The certificate belongs to another model.** The {VARIANT_TITLES[state.variant]} model "
                "that lies here was not measured. Make it again."
            )
        else:
            by = jobs.exporter_of(workspace, certificate)
            by = f" The export was started by {plain(by)}." if by else ""
            st.markdown(f"{_verdict(certificate)} {_on_how_much(certificate)}{by}")


def _verdict(certificate: Certificate) -> str:
    return f"{'✅' if certificate.passed else '❌'} **{plain(certify.certificate_title(certificate))}**"


def _on_how_much(certificate: Certificate) -> str:
    same = certificate.identical_answers + certificate.excused_answers
    questions = system.count(certificate.prompts, "question")
    return f"Both give the same answer to {same} of {questions}. {_measured_when(certificate)}."


def _measured_when(certificate: Certificate) -> str:
    when = certificate.created
    with contextlib.suppress(ValueError):
        when = text.moment(datetime.fromisoformat(when), st.context.timezone)
    return f"Measured {plain(when)}"


def certificate_figures(states: Mapping[Variant, VariantState]) -> None:
    """Draw the certificates of the variants that are there in figures, folded, each on a tab of its own."""
    measured = [
        (state, certificate)
        for state in states.values()
        if state.present and (certificate := matching_certificate(state))
    ]
    if not measured:
        return
    with st.expander("What was compared, in figures", icon=":material/verified:"):
        titles = [_capital(state.variant) for state, _ in measured]
        tabs: Sequence[Any] = st.tabs(titles) if len(measured) > 1 else [st.container()]
        for tab, (state, certificate) in zip(tabs, measured, strict=True):
            with tab:
                _figures(certificate)
                page = resolve(state.path) / certify.CERTIFICATE_PAGE
                if page.is_file():
                    download_button(
                        "Download the certificate as a page",
                        page.read_bytes(),
                        f"certificate-{state.variant}.html",
                        "text/html",
                        f"certificate-{state.variant}",
                        icon="verified",
                    )


def show_certificate(certificate: Certificate) -> None:
    """Draw the verdict, its reasons, each figure with whether it is good, and the answers of both."""
    st.markdown(_verdict(certificate))
    _figures(certificate)


def _figures(certificate: Certificate) -> None:
    for reason in certificate.reasons:
        st.markdown(f"- {plain(reason)}")
    judged = [check for check in certify.certificate_checks(certificate) if check.good is not None]
    for start in range(0, len(judged), 2):
        for column, check in zip(st.columns(2), judged[start : start + 2], strict=False):
            with column, st.container(border=True, height="stretch", gap="xsmall"):
                st.metric(plain(check.name), plain(check.value))
                st.markdown(f"{GOOD[check.good]} {plain(check.sentence)}".strip())
    own_prompts = certificate.own_prompts
    asked = f": {own_prompts} of your own examples, the rest never change" if own_prompts else ""
    st.caption(
        f"{_measured_when(certificate)} in {system.duration(certificate.seconds)}, on "
        f"{system.count(certificate.prompts, 'question')}{asked}."
    )
    with st.expander("Answers side by side", icon=":material/compare_arrows:"):
        if not certificate.examples:
            st.markdown("None were kept.")
        for example in certificate.examples:
            st.markdown(f"**You:** {literal(example.prompt)}")
            answers = (("Original (PyTorch)", example.torch), (_capital(certificate.variant), example.onnx))
            for column, (who, answer) in zip(st.columns(2), answers, strict=True):
                with column, st.container(border=True, gap="xsmall", height="stretch"):
                    st.caption(who)
                    st.markdown(literal(answer) if answer else "(nothing)")


def _capital(variant: Variant) -> str:
    return VARIANT_TITLES[variant].capitalize()


# --- side by side ---------------------------------------------------------------------------------


def speed_table(states: Mapping[Variant, VariantState]) -> None:
    """Say how fast each variant is beside PyTorch, the figures folded; nothing where nothing was measured."""
    measured = [
        certificate
        for state in states.values()
        if state.present and (certificate := matching_certificate(state)) and certificate.speed
    ]
    if not measured:
        return
    with_original = [certificate for certificate in measured if certificate.original_speed]
    newest = max(with_original, key=lambda certificate: certificate.created, default=None)
    rows: list[tuple[str, Speed, float | None, int]] = []
    if newest and newest.original_speed:
        rows.append(("PyTorch", newest.original_speed, 1.0, newest.original_bytes))
    for certificate in measured:
        if certificate.speed:
            title = _capital(certificate.variant)
            rows.append((title, certificate.speed, _times(certificate), certificate.bytes))
    st.markdown(_in_words(measured))
    rates = [row[1].tokens_per_second for row in rows]
    figures = "; ".join(f"{name}: {rate:,.1f}" for (name, *_), rate in zip(rows, rates, strict=True))
    with st.expander("Speed, memory and size", icon=":material/speed:"):
        charts.draw(
            charts.bars([row[0] for row in rows], rates, "", "Word pieces (tokens) a second", height=220),
            "onnx_speed",
            f"Word pieces (tokens) that each writes in a second. {figures}.",
        )
        table(
            ["", "First word after", "Word pieces a second", "Times PyTorch", "Memory", "Size"],
            [_line(*row) for row in rows],
            "Speed, memory and size of each form of the model",
        )
        st.caption(
            "Measured on this machine with the same questions, one form after the other in turns. Memory is "
            "what a program takes that loads the model and answers, with the libraries that it needs."
        )


def _times(certificate: Certificate) -> float | None:
    if certificate.speed and certificate.original_speed and certificate.original_speed.tokens_per_second > 0:
        return certificate.speed.tokens_per_second / certificate.original_speed.tokens_per_second
    return None


def _line(name: str, speed: Speed, times: float | None, size: int) -> tuple[str, ...]:
    return (
        f"**{plain(name)}**",
        system.seconds(speed.first_token_seconds, 2),
        f"{speed.tokens_per_second:,.1f}",
        f"{times:.1f}" if times else "",
        system.size(speed.memory_bytes) if speed.memory_bytes else "not measured",
        system.size(size) if size else "",
    )


def _in_words(measured: Sequence[Certificate]) -> str:
    sentences = [
        f"**{_capital(certificate.variant)}** is {times:.1f} times as fast"
        for certificate in measured
        if (times := _times(certificate))
    ]
    if not sentences:
        return "How fast each form answers, measured here."
    return f"Beside PyTorch, the program that trained the model: {', '.join(sentences)}."


# --- of what is kept apart ------------------------------------------------------------------------


def failed_variants(workspace: Workspace, failed: Mapping[Variant, VariantState]) -> None:
    """Draw each variant whose certificate failed: why, and a deliberate choice to use or to delete it."""
    for variant, state in failed.items():
        with st.container(border=True, gap="small"):
            st.header(f"❌ The {VARIANT_TITLES[variant]} model failed its certificate", anchor=False)
            st.markdown(
                "It is kept apart: nobody chats with it and it is not offered for download, because it does "
                "not answer like the original. Making it again, or teaching the model a little more, often "
                "helps."
            )
            certificate = matching_certificate(state)
            for reason in certificate.reasons if certificate else ():
                st.markdown(f"- {plain(reason)}")
            if state.stale:
                trained = workspace.situation().trained
                st.markdown(models.FRESHNESS[jobs.freshness_of(workspace, state, trained)].sentence)
            if certificate:
                with st.expander("What was compared", icon=":material/compare_arrows:"):
                    show_certificate(certificate)
            _decide(workspace, variant)


def _decide(workspace: Workspace, variant: Variant) -> None:
    use, delete = f"use-{variant}", f"delete-failed-{variant}"
    with st.container(horizontal=True):
        confirm.ask_button("Use it all the same", "warning", use)
        confirm.ask_button("Delete it", "delete", delete)
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
