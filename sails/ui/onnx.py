"""The parts of the ONNX export page; the chat shows its jobs in the same way. They decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from sails import access, exporting
from sails.exporting import Freshness, Job
from sails.sessions import Phase
from sails.ui import words
from sails.ui.frame import go, in_words, link, told
from sails.ui.words import code, literal, plain
from sails.workspace import EXPORT_RECORD, OnnxState, Situation, Workspace, read_json

if TYPE_CHECKING:
    from sails.onnx.verify import Certificate

REFRESH_SECONDS = 1
LISTED = 10  # earlier exports

# --- how it stands --------------------------------------------------------------------------------

_STATES: dict[Freshness, tuple[str, str, str]] = {
    "missing": (
        "◻️",
        "There is no ONNX model yet",
        "It is what you talk with on the page Chat, and what you can hand on.",
    ),
    "fresh": (
        "✅",
        "The ONNX model is fresh",
        "It was made from the trained model that is here now, so it knows all that was taught.",
    ),
    "stale": (
        "⚠️",
        "The ONNX model is out of date",
        "It was made from an earlier model. It answers, but without what was taught since.",
    ),
    "unknown": (
        "❔",
        "Nobody knows whether the ONNX model is fresh",
        "Nothing in its folder says which model it was made from. One made anew is sure to be fresh.",
    ),
    "orphaned": (
        "⚠️",
        "The ONNX model is orphaned",
        "It answers, but the trained model behind it is no longer here, so it cannot be made again.",
    ),
}


def state(situation: Situation) -> None:
    """How the ONNX model stands to the trained one, in words."""
    sign, headline, sentence = _STATES[exporting.freshness(situation)]
    with st.container(border=True, gap="xsmall"):
        st.header(f"{sign} {headline}", anchor=False)
        st.markdown(sentence)
        if situation.onnx.present:
            st.caption(_made(situation.onnx))


def _made(onnx: OnnxState) -> str:
    """When and how it was made, as far as it is known."""
    record = read_json(onnx.path / EXPORT_RECORD) or {}
    facts = []
    if onnx.modified:
        facts.append(f"Last changed {words.moment(onnx.modified, st.context.timezone)}")
    if record.get("variant") == "fp32":
        facts.append("full precision (fp32)")
    if record.get("opset"):
        facts.append(f"opset {plain(record['opset'])}")
    if onnx.fingerprint:
        facts.append(f"made from the model with the fingerprint {code(onnx.fingerprint)}")
    return ", ".join(facts)


# --- making it ------------------------------------------------------------------------------------


def make(workspace: Workspace, situation: Situation, busy: bool) -> None:
    """The one next step: train, make the ONNX model, or talk with it; making it again stays possible."""
    trained = situation.trained
    if not trained.complete:
        why = f"it cannot be used: {trained.reason}" if trained.state == "incomplete" else "there is none yet"
        st.markdown(f"An ONNX model is made from the trained model, and {plain(why)}.")
        if st.button("Train a model first", type="primary", icon=":material/school:"):
            go("Train")
        return
    fresh = exporting.freshness(situation) == "fresh"
    buttons = st.container(horizontal=True)
    verify, opset = _options()
    label = "Make it again" if fresh else "Make the ONNX model"
    with buttons:
        if fresh and st.button("Talk with it", type="primary", icon=":material/chat:"):
            go("Chat")
        wanted = st.button(
            label,
            key="onnx_make",
            type="secondary" if fresh else "primary",
            icon=":material/package_2:",
            disabled=busy or access.view_only(),
        )
    if wanted:
        with told():
            job = exporting.export_current(workspace, verify=verify, opset=opset)
            st.query_params["job"] = job.id
            st.rerun()


def _options() -> tuple[bool, int | None]:
    with st.expander("Options", icon=":material/tune:"):
        verify = st.checkbox(
            "Prove that it answers like the original",
            value=True,
            key="onnx_verify",
            help="Asks both the same questions and compares the answers. Takes about as long as making it.",
        )
        opset = st.selectbox(
            "ONNX opset (which edition of the format)",
            [None, *exporting.OPSETS],
            format_func=lambda number: "automatic" if number is None else str(number),
            key="onnx_opset",
            help="Leave it on automatic unless the program that shall read the model asks for an older one.",
        )
    return verify, opset


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


def follow(workspace: Workspace, job: Job) -> None:
    """A job with its progress, refreshed only as long as it works; then how it ended."""
    refresh = REFRESH_SECONDS if job.at_work else None
    st.fragment(_follow, run_every=refresh)(workspace, job)


def _follow(workspace: Workspace, seen: Job) -> None:
    with in_words():
        job = exporting.read_job(seen.session)
        if seen.at_work and not job.at_work:
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
    st.markdown(f"▶️ {_what(job)} is being made.")
    st.progress(min(max(status.progress, 0.0), 1.0), plain(message))
    stopping = job.session.stop_requested()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Stop",
            key=f"stop_{job.session.id}",
            icon=":material/stop_circle:",
            on_click=_stop,
            args=(workspace, job),
            disabled=stopping or access.view_only(),
        )
        spent = f"For {words.duration(job.seconds)} now. " if job.seconds is not None else ""
        st.caption(f"{spent}It goes on when you leave this page.")
    if stopping:
        st.markdown("⏹️ It stops after the piece of work that it is in.")


def _stop(workspace: Workspace, job: Job) -> None:
    with told():
        exporting.stop(workspace, job.session)


def _ended(job: Job) -> None:
    status = job.status
    if status.state == "succeeded":
        took = f" in {words.duration(job.seconds)}" if job.seconds is not None else ""
        st.markdown(f"✅ {_what(job)} was made{took}.")
    elif status.failure:
        failure = f"{status.failure.message} {status.failure.remedy}".strip()
        st.error(f"{_what(job)} was not made. {plain(failure)}", icon=":material/error:")
        if status.failure.log_tail:
            with st.expander("The last lines of its log", icon=":material/description:"):
                st.code("\n".join(status.failure.log_tail), language=None, wrap_lines=True)
    else:
        sign = "⏹️" if status.state == "stopped" else "⚠️"
        st.markdown(f"{sign} {_what(job)} was {_ENDS.get(status.state, 'ended.')}")
    for note in status.notes:
        st.caption(plain(note))
    measured = status.results.certificate
    if measured and not measured.get("passed"):
        with st.expander("What was compared", icon=":material/compare_arrows:"):
            _certificate(_parse(measured))


def _what(job: Job) -> str:
    if job.spec.kind == "baseline":
        return f"The ONNX model of the base model {code(job.spec.model)}"
    model = Path(job.spec.model)
    if model.parent.name == "versions":
        return f"The ONNX model of version {code(model.name)}"
    return "The ONNX model"


def earlier(jobs: Sequence[Job]) -> None:
    """The last exports, newest first: what, when, how long and how it ended."""
    ended = [job for job in jobs if not job.at_work]
    if not ended:
        st.markdown("None yet. What a training made for itself stands with its session.")
    for job in ended[:LISTED]:
        status = job.status
        when = words.moment(job.spec.created, st.context.timezone)
        details = [when, *([words.duration(job.seconds)] if job.seconds is not None else [])]
        st.markdown(f"{_one_line(job)}  \n:small[{plain(', '.join(details))}, {code(job.spec.onnx_output)}]")
        if status.state != "succeeded":
            link("ONNX export", "See why", icon=":material/info:", job=job.session.id)


def _one_line(job: Job) -> str:
    sign, end = {
        "succeeded": ("✅", "was made"),
        "failed": ("❌", "was not made"),
        "stopped": ("⏹️", "was stopped"),
        "interrupted": ("⚠️", "was interrupted"),
    }[job.status.state]
    certificate = job.status.results.certificate
    proven = ""
    if certificate:
        proven = (
            ", proven to answer like the original" if certificate.get("passed") else ", it failed the proof"
        )
    return f"{sign} {_what(job)} {end}{proven}."


# --- the certificate ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One number of a certificate, and a sentence that says whether it is good."""

    name: str
    value: str
    good: bool
    sentence: str


def figures(certificate: Certificate) -> list[Figure]:
    """The numbers of a certificate against what it needs."""
    from sails.onnx.verify import THRESHOLDS

    same, asked = certificate.identical_answers, certificate.prompts
    agreement, needed = certificate.next_token_agreement, THRESHOLDS.next_token_agreement
    difference, allowed = certificate.max_logit_difference, THRESHOLDS.logit_difference
    excused = same < asked and certificate.passed
    return [
        Figure(
            "Answers that are the same",
            f"{same} of {asked}",
            same == asked or excused,
            "All must be the same, word for word; one may differ only where two words are a tie."
            + (" Those that differ here are such ties." if excused else ""),
        ),
        Figure(
            "Next words on which both agree",
            f"{agreement:.2%}",
            agreement >= needed,
            f"At least {needed:.1%} of the {certificate.positions:,} places compared are needed.",
        ),
        Figure(
            "Largest difference of any score",
            "less than 0.00001" if difference < 1e-5 else f"{difference:.5f}",
            difference <= allowed,
            f"At most {allowed:g} is allowed. Rounding stays below that; a real fault goes far beyond it.",
        ),
    ]


def certificate(onnx: OnnxState) -> None:
    """Whether the ONNX model was proven to answer like its original, with figures and examples."""
    from sails.onnx.verify import read_certificate

    found = read_certificate(onnx.path)
    if found is None:
        st.markdown(
            "❔ **Not verified.** Nobody has compared this ONNX model with the model that it was made from. "
            "Make it again with the comparison switched on (under Options)."
        )
    elif found.source_fingerprint != onnx.fingerprint:
        st.markdown(
            "⚠️ **The certificate belongs to another model.** What lies in this folder was measured on "
            f"the one made from {code(found.source_fingerprint or 'an unknown model')}. Make it again."
        )
    else:
        _certificate(found)


def _parse(measured: dict[str, object]) -> Certificate:
    """A certificate as a job's status holds it."""
    from sails.onnx.verify import certificate_from

    return certificate_from(measured)


def _certificate(found: Certificate) -> None:
    if found.passed:
        st.markdown("✅ **It answers like the original.** Both were asked the same questions.")
    else:
        st.markdown("❌ **It does not answer like the original.**")
        for reason in found.reasons:
            st.markdown(f"- {plain(reason)}")
    for column, figure in zip(st.columns(3), figures(found), strict=True):
        with column, st.container(border=True, height="stretch", gap="xsmall"):
            st.metric(figure.name, figure.value)
            st.markdown(f"{'✅ Good.' if figure.good else '❌ Not good.'} {plain(figure.sentence)}")
    st.caption(
        f"Measured {plain(_moment(found.created))} in {words.duration(found.seconds)}, on "
        f"{found.prompts} questions: some that never change, and some of the last lesson where there are any."
    )
    with st.expander("Answers side by side", icon=":material/compare_arrows:"):
        for example in found.examples:
            st.markdown(f"**You:** {literal(example.prompt)}")
            left, right = st.columns(2)
            for column, who, answer in ((left, "Original", example.torch), (right, "ONNX", example.onnx)):
                with column, st.container(border=True, gap="xsmall", height="stretch"):
                    st.caption(who)
                    st.markdown(literal(answer) if answer else "(nothing)")


def _moment(created: str) -> str:
    try:
        return words.moment(datetime.fromisoformat(created), st.context.timezone)
    except ValueError:
        return created


# --- files ----------------------------------------------------------------------------------------


def files(onnx: OnnxState) -> None:
    """Where it lies, what it consists of, and one file to take away."""
    st.markdown(f"They lie in the folder {code(onnx.path)}.")
    st.table(
        pd.DataFrame(
            [(code(file.name), words.size(file.size)) for file in onnx.files], columns=["File", "Size"]
        ),
        border="horizontal",
        hide_index=True,
        alt="The files of the ONNX model with their sizes",
    )
    with told():
        exporting.check_room_for_packing(onnx.path)
        packed = exporting.packed_size(onnx.path)
        st.download_button(
            f"Download all as one zip file ({words.size(packed)})",
            data=lambda: exporting.packed(onnx.path),
            file_name="onnx_model.zip",
            mime="application/zip",
            on_click="ignore",
            icon=":material/download:",
            key="onnx_download",
        )
        st.caption(
            "It is packed when you click. That takes a moment and, for as long, about "
            f"{words.size(round(packed * exporting.PACKING_MEMORY))} of this machine's memory."
        )
