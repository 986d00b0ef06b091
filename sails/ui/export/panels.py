"""The parts of the ONNX export page; the chat shows its jobs in the same way. They decide nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import streamlit as st

from sails import jobs, models, sessions, system
from sails.jobs import Job
from sails.models import VARIANT_TITLES, VARIANTS, Situation, Variant, VariantState, Workspace
from sails.onnx.certify import Certificate, read_content
from sails.sessions import Phase, SessionRecord, Status
from sails.ui import onnx_status, text
from sails.ui.export import certificates
from sails.ui.frame import go, link, show_errors, stop_on_error
from sails.ui.text import code, plain
from sails.ui.widgets import change_button

REFRESH_SECONDS = 1
MAX_EARLIER = 10  # exports

# --- how it stands --------------------------------------------------------------------------------


def export_state(workspace: Workspace, situation: Situation, states: Mapping[Variant, VariantState]) -> None:
    """Say how the ONNX model stands to the trained one, and what was certified."""
    sign, headline, sentence = _as_a_whole(workspace, situation, states)
    with st.container(border=True, gap="small"):
        st.header(f"{text.symbol(sign)} {headline}", anchor=False)
        st.markdown(sentence)
        with show_errors():
            certificates.seal(workspace, states)


def export_variants(
    workspace: Workspace,
    situation: Situation,
    states: Mapping[Variant, VariantState],
    failed: Mapping[Variant, VariantState],
    busy: bool,
) -> None:
    """Draw what each variant is for, how it stands, and its size; nothing where there is none.

    `failed` are the variants whose certificate failed.
    """
    if not any(state.present for state in states.values()):
        return
    chatting = models.preferred_variant(states)
    for column, state in zip(st.columns(len(states)), states.values(), strict=True):
        with column, st.container(border=True, gap="xsmall", height="stretch"):
            _variant(workspace, situation, state, busy, chatting == state.variant)
            if state.variant in failed:
                st.markdown("❌ One that failed its certificate is kept apart, see below.")


def _as_a_whole(
    workspace: Workspace, situation: Situation, states: Mapping[Variant, VariantState]
) -> tuple[str, str, str]:
    freshness = jobs.freshness(workspace, situation)
    old = [v for v in jobs.to_refresh(situation.trained, states) if states[v].present]
    if freshness == "fresh" and old:
        fresh = [v for v in states if jobs.freshness_of(workspace, states[v], situation.trained) == "fresh"]
        these, others = (system.listed([VARIANT_TITLES[v] for v in several]) for several in (old, fresh))
        words = models.FRESHNESS[jobs.freshness_of(workspace, states[old[0]], situation.trained)]
        return (
            words.sign,
            words.headline(f"{these} model"),
            f"It was not made from the trained model that is here now, and the {others} one was.",
        )
    words = models.FRESHNESS[freshness]
    if freshness == "missing":
        return (
            words.sign,
            words.headline(),
            "It is what you talk with on the page Chat, and what you can hand on.",
        )
    return words.sign, words.headline(), words.sentence


def _variant(
    workspace: Workspace, situation: Situation, state: VariantState, busy: bool, chatting: bool
) -> None:
    st.subheader(VARIANT_TITLES[state.variant].capitalize(), anchor=False)
    st.markdown(models.VARIANT_TABLE[state.variant].description)
    freshness = jobs.freshness_of(workspace, state, situation.trained)
    lines = [onnx_status.freshness_label(freshness)]
    if state.present:
        lines.append(onnx_status.certificate_label(state.certified))
        lines.append(f"{system.size(state.size)}{', the chat uses this one' if chatting else ''}")
    st.markdown("  \n".join(lines))
    if (
        state.present
        and freshness != "fresh"
        and not busy
        and jobs.freshness(workspace, situation) == "fresh"
    ):
        label = f"Make the {VARIANT_TITLES[state.variant]} model again"
        onnx_status.export_button(workspace, (state.variant,), label, f"again_{state.variant}", primary=True)


def made_from(states: Mapping[Variant, VariantState]) -> None:
    """Say when and how each variant was made, as far as it is known."""
    for state in states.values():
        if state.present:
            st.caption(f"{VARIANT_TITLES[state.variant].capitalize()}: {_made(state)}")


def _made(state: VariantState) -> str:
    """When and how it was made, as far as it is known."""
    record = models.ExportRecord.read(models.resolve(state.path))
    facts = []
    if state.modified:
        facts.append(f"Last changed {text.moment(state.modified, st.context.timezone)}")
    if record and record.opset:
        facts.append(f"opset {record.opset}")
    if state.fingerprint:
        facts.append(f"made from the model with the fingerprint {code(state.fingerprint)}")
    return ", ".join(facts)


# --- making it ------------------------------------------------------------------------------------


def next_step(
    workspace: Workspace, situation: Situation, states: Mapping[Variant, VariantState], busy: bool
) -> None:
    """Draw the one next step: train, make the ONNX model, or chat with it; making it again stays possible.

    There is a way to the chat as soon as there is something to chat with.
    """
    trained = situation.trained
    fresh = jobs.freshness(workspace, situation) == "fresh"
    all_fresh = fresh and not jobs.to_refresh(trained, states)
    buttons = st.container(horizontal=True)
    if not trained.complete:
        why = "there is none yet"
        if trained.state == "incomplete":
            why = f"it cannot be used: {trained.reason}"
        elif sessions.is_demo(workspace):
            why = "the recorded ones are not in this demo"
        st.markdown(f"An ONNX model is made from a trained model, and {plain(why)}.")
        with buttons:
            if st.button("Train a model first", type="primary", icon=":material/school:"):
                go("Train")
            _chat_button(situation)
        return
    variants, verify, opset = _options()
    with buttons:
        _chat_button(situation, "primary" if all_fresh else "secondary")
        label = "Make it again" if situation.onnx.present else "Make the ONNX model"
        kind: Literal["primary", "secondary"] = "secondary" if fresh else "primary"
        clicked = change_button(label, "package_2", "onnx_make", type=kind, disabled=busy)
    if clicked:
        with show_errors():
            job = jobs.export_current(workspace, verify=verify, opset=opset, variants=variants)
            st.query_params["job"] = job.id
            st.rerun()


def _chat_button(situation: Situation, kind: Literal["primary", "secondary"] = "secondary") -> None:
    if situation.onnx.present and st.button("Chat with it", type=kind, icon=":material/chat:"):
        go("Chat")


def _options() -> tuple[tuple[Variant, ...], bool, int | None]:
    with st.expander("Options", icon=":material/tune:"):
        with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
            st.markdown("What to make:", width="content")
            wanted = []
            for variant in VARIANTS:
                title, about = VARIANT_TITLES[variant].capitalize(), models.VARIANT_TABLE[variant].description
                if st.checkbox(title, value=True, key=f"onnx_make_{variant}", help=about):
                    wanted.append(variant)
        about = "Asks both the same questions and compares the answers. Takes about as long as making it."
        label = "Prove that it answers like the original"
        verify = st.checkbox(label, value=True, key="onnx_verify", help=about)
        opset = st.selectbox(
            "ONNX opset (which edition of the format)",
            [None, *jobs.OPSETS],
            format_func=lambda number: "automatic" if number is None else str(number),
            key="onnx_opset",
            help="Leave it on automatic unless the program that shall read the model asks for an older one.",
        )
    return tuple(wanted), verify, opset


# --- a job ----------------------------------------------------------------------------------------

_PHASES: dict[Phase, str] = {
    "queued": "Starting",
    "prepare": "Getting the model ready",
    "export": "Making the ONNX model",
    "done": "Finishing",
}
_ENDS = {
    "stopped": "stopped on request. One that was there before is untouched.",
    "interrupted": "interrupted before its end, so nothing was made. Make it again.",
}


def follow_job(workspace: Workspace, job: Job) -> None:
    """Draw a job with its progress, refreshed only as long as it works; then how it ended."""
    refresh = REFRESH_SECONDS if job.at_work else None
    st.fragment(_follow, run_every=refresh)(workspace, job)


def made_by_training(workspace: Workspace, record: SessionRecord) -> None:
    """Say that a training makes the ONNX model at its end, and where that can be watched."""
    with st.container(border=True):
        called = plain(sessions.title(workspace, record.session))
        st.markdown(
            f":material/play_circle: The training **{called}** is making the ONNX model of its model."
        )
        link("Train", "Watch it live", session=record.session.id)


def _follow(workspace: Workspace, before: Job) -> None:
    with stop_on_error():
        job = jobs.read_job(before.session)
        if before.at_work and not job.at_work:
            st.rerun()  # everything else on the page may be different now
        with st.container(border=True):
            if job.at_work:
                _at_work(workspace, job)
            else:
                _ended(job)


def _at_work(workspace: Workspace, job: Job) -> None:
    status = job.status
    where = _PHASES.get(status.phase, "At work")
    message = f"{where}: {status.message}" if status.message else where
    st.markdown(f":material/play_circle: {_what(job)} is being made.")
    st.progress(min(max(status.progress, 0.0), 1.0), plain(message))
    stopping = job.session.stop_requested()
    with st.container(horizontal=True, vertical_alignment="center"):
        stop = partial(_stop, workspace, job)
        change_button("Stop", "stop_circle", f"stop_{job.session.id}", on_click=stop, disabled=stopping)
        spent = f"For {system.duration(job.seconds)} now. " if job.seconds is not None else ""
        st.caption(f"{spent}It goes on when you leave this page.")
    if stopping:
        st.markdown(":material/stop_circle: It stops after the piece of work that it is in.")


def _stop(workspace: Workspace, job: Job) -> None:
    with show_errors():
        jobs.launcher_for(job.session).stop(workspace, job.session)


def _ended(job: Job) -> None:
    status = job.status
    if status.state == "succeeded":
        took = f" in {system.duration(job.seconds)}" if job.seconds is not None else ""
        st.markdown(f"✅ {_what(job)} was made{took}.")
    elif status.failure:
        failure = f"{status.failure.message} {status.failure.remedy}".strip()
        st.error(f"{_what(job)} {_not_made(status)}. {plain(failure)}", icon=":material/error:")
        if status.failure.log_tail:
            with st.expander("The last lines of its log", icon=":material/description:"):
                st.code("\n".join(status.failure.log_tail), language=None, wrap_lines=True)
    else:
        sign = "⏹️" if status.state == "stopped" else "⚠️"
        st.markdown(f"{sign} {_what(job)} was {_ENDS.get(status.state, 'ended.')}")
    for note in status.notes:
        st.caption(plain(note))
    for certificate in _measured(status).values():
        if certificate and not certificate.passed:
            with st.expander(
                f"What was compared: {VARIANT_TITLES[certificate.variant]}", icon=":material/compare_arrows:"
            ):
                certificates.show_certificate(certificate)


def _measured(status: Status) -> dict[str, Certificate | None]:
    """The certificates of what a job made, by variant; None for one that cannot be read."""
    return {name: read_content(content) for name, content in status.results.certificates.items()}


def _not_made(status: Status) -> str:
    """How to say that it failed: where one variant passed, that one is there."""
    passed = any(certificate and certificate.passed for certificate in _measured(status).values())
    return "was made in part" if passed else "was not made"


def _what(job: Job) -> str:
    if job.spec.kind == "baseline":
        return f"The ONNX model of the base model {code(job.spec.model)}"
    model = Path(job.spec.model)
    if Workspace.is_version(model):
        return f"The ONNX model of version {code(model.name)}"
    return "The ONNX model"


def earlier_exports(jobs: Sequence[Job]) -> None:
    """List the last exports, newest first: what, when, how long and how it ended."""
    ended = [job for job in jobs if not job.at_work]
    if not ended:
        st.markdown("None yet. An ONNX model that a training made is listed with that training.")
    for job in ended[:MAX_EARLIER]:
        status = job.status
        when = text.moment(job.spec.created, st.context.timezone)
        took = f", took {system.duration(job.seconds)}" if job.seconds is not None else ""
        details = ". ".join(filter(None, [f"{when}{took}", text.describe_people(job)]))
        where = f"In the folder {code(job.spec.onnx_output)}"
        st.markdown(f"{_one_line(job)}  \n:small[{plain(details)}]", help=where)
        if status.state != "succeeded":
            link("ONNX export", "See why", icon=":material/info:", job=job.session.id)


def _one_line(job: Job) -> str:
    sign, end = {
        "succeeded": ("✅", "was made"),
        "failed": ("❌", _not_made(job.status)),
        "stopped": ("⏹️", "was stopped"),
        "interrupted": ("⚠️", "was interrupted"),
    }[job.status.state]
    measured = _measured(job.status)
    proven = ""
    for passed, said in ((True, "proven to answer like the original"), (False, "failed the proof")):
        names = [
            VARIANT_TITLES[v]
            for v in VARIANTS
            if v in measured and ((certificate := measured[v]) is not None and certificate.passed) is passed
        ]
        if names:
            proven += f"; {' and '.join(names)}: {said}"
    return f"{sign} {_what(job)} {end}{proven}."
