"""One session in full: what came of it, what can be done with it, and everything that is known of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import pandas as pd
import streamlit as st

from sails import retention, sessions
from sails.data import read_jsonl
from sails.errors import WorkspaceError
from sails.jobs import candidates as deciding
from sails.jobs import launcher as local
from sails.jobs import rerunning
from sails.jobs import train as worker
from sails.models.workspace import Workspace
from sails.retention import Retention
from sails.sessions import RESUMABLE, Record, Session, TrainSpec, archive
from sails.sessions.monitor import Feed, Samples, feed_of
from sails.system import access
from sails.training.plan.behavior import (
    BASE_LEARNING_RATE,
    CONTINUE_LEARNING_RATE,
    HIGHEST_LEARNING_RATE,
    Plan,
    describe_learning_rate,
    format_rate,
)
from sails.ui import charts
from sails.ui import confirm as asking
from sails.ui import onnx_status as freshness
from sails.ui import retention as remembering
from sails.ui import text as words
from sails.ui.frame import go, link, told
from sails.ui.outcome import did_it_work
from sails.ui.sessions import comparison
from sails.ui.text import code, literal, plain

SHOWN_ROWS = 500  # of the conversations
SHOWN_LINES = 300  # of the log
PRESETS = {"quick": "Quick", "balanced": "Balanced", "thorough": "Thorough"}


def named(workspace: Workspace, identity: str) -> Record:
    """The training session of exactly this id; raises `WorkspaceError` when there is none."""
    with contextlib.suppress(WorkspaceError):
        found = sessions.find(workspace, identity)
        if found.id == identity and found.folder.parent == workspace.sessions:
            return sessions.record(found)
    raise WorkspaceError(
        f"The session {identity[:100]!r} is not here, or its files are damaged.",
        "It may have been deleted; all that there are stand under All sessions.",
    )


def everything(workspace: Workspace, record: Record) -> None:
    """The whole page of one session."""
    _head(record)
    found: Retention | None = None
    with told():
        found = retention.read(record.session)
    undecided = record.status.verdict == "held" and record.session.model.exists()
    if undecided:
        with told():
            _decide(workspace, record, found)
    _actions(workspace, record)
    with told():
        _onnx(_own_workspace(workspace, record), record)
    with st.spinner("Reading what was measured …"):
        feed = feed_of(record.session)
        feed.wait()
    with told():
        did_it_work(record, found)
    if found and found.after:
        with told():
            remembering.of_a_session(found, decided=not undecided)
    st.header("More about this session", anchor=False)
    parts: dict[str, Callable[[], None]] = {
        "Curves": lambda: _curves(feed),
        "Sample answers": lambda: _samples(feed),
        "Examples": lambda: _examples(record),
        "Log": lambda: _log(feed),
        "Settings and results": lambda: _everything_asked(record),
    }
    tabs = st.tabs(list(parts), key="part", on_change="rerun")
    for tab, part in zip(tabs, parts.values(), strict=True):
        if tab.open:  # the others are drawn once somebody opens them
            with tab, told():
                part()


# --- what came of it ------------------------------------------------------------------------------


def _head(record: Record) -> None:
    sign, sentence = words.outcome(record)
    st.header(plain(record.spec.name), anchor=False)
    st.markdown(f"{sign} {plain(sentence)}")
    facts = [f"Begun: {words.moment(record.spec.created, st.context.timezone)}"]
    if isinstance(record.spec, TrainSpec):
        facts.append(f"Examples: {code(record.spec.dataset)}")
    if record.status.plan:
        facts.append(f"Started from: {_start(record.status.plan)}")
        facts.append(f"Learning speed (learning rate): {plain(describe_learning_rate(record.status.plan))}")
    if record.seconds is not None:
        facts.append(f"{'Took' if record.status.ended else 'So far'}: {words.duration(record.seconds)}")
    facts.append(f"Folder: {code(record.session.id)}")
    st.markdown("  \n".join(facts))
    reason = record.status.verdict_reason
    for note in record.status.notes:
        if not reason or reason not in note:  # that stands above already
            st.markdown(f"- {plain(note)}")


def _onnx(workspace: Workspace, record: Record) -> None:
    """How the ONNX model stands to the model of this session, as long as that is the current one."""
    situation = workspace.situation()
    made = record.status.fingerprint
    if record.status.verdict != "published" or made is None or made != situation.trained.fingerprint:
        return
    for line in freshness.each(workspace, situation):
        st.markdown(f"ONNX model, {line}")
    freshness.make_again(workspace, "session_onnx")


def _start(plan: Plan) -> str:
    return "the trained model" if plan.start_from == "trained" else f"the base model {code(plan.model)}"


# --- a model that was held back -------------------------------------------------------------------


def _decide(workspace: Workspace, record: Record, found: Retention | None) -> None:
    """Why it was held back, the three choices, and what it answers now and answered before."""
    with st.container(border=True, gap="small"):
        st.header("✋ Decide", anchor=False)
        st.markdown(f"**Why you are asked:** {plain(record.status.verdict_reason or 'It was held back.')}")
        if found:
            remembering.findings(found)
        _choices(_own_workspace(workspace, record), record)
        _publish(_own_workspace(workspace, record), record)
        if found and found.changed:
            st.markdown("Read these first: what the model answered before, and what the new one answers.")
            remembering.answers(found)


def _choices(workspace: Workspace, record: Record) -> None:
    """Keep it, undo it, or teach the lesson again; no primary button, for the person is to weigh them."""
    key, looking_only = record.session.id, access.view_only()
    keep, undo, again = st.columns(3)
    with keep:
        asking.button("Keep it", f"publish-{key}", icon=":material/check:", disabled=looking_only)
        st.caption("The new model becomes the current one; the one before is kept as a version.")
    with undo:
        if st.button("Undo", key="discard", icon=":material/undo:", disabled=looking_only):
            deciding.discard(workspace, record.session)
            st.rerun()
        st.caption(
            "The current model stays. The new one is put aside with this session, and can still be made "
            "current later."
        )
    with again:
        _again_with_more(workspace, record)


def _again_with_more(workspace: Workspace, record: Record) -> None:
    if not isinstance(record.spec, TrainSpec) or record.status.lessons == ():
        return  # there is no earlier lesson that could be repeated
    now = record.spec.settings.replay_share
    more = deciding.share_to_try(workspace, record)
    label = "Train again with more of the earlier lessons"
    disabled = access.view_only() or more is None
    if st.button(label, key="more-replay", icon=":material/replay:", disabled=disabled):
        go("Train", session=deciding.train_again(workspace, record).id)
    st.caption(
        f"A new session teaches the same examples, and {more:.0%} of each round repeats earlier lessons "
        f"instead of {now:.0%}. This one can still be decided afterwards."
        if more
        else "It repeats all that it can of the earlier lessons already; a lower learning speed may help."
    )


# --- what can be done -----------------------------------------------------------------------------


def _actions(workspace: Workspace, record: Record) -> None:
    state, looking_only = record.status.state, access.view_only()
    key, own = record.session.id, _own_workspace(workspace, record)
    kept_for = archive.why_not_deletable(workspace, record)
    discarded = record.status.verdict == "discarded" and record.session.model.exists()
    if discarded:
        st.markdown("Its model is still here and can be made the current one; until then, nothing changes.")
    with st.container(horizontal=True):
        if state in ("running", "queued"):
            link("Train", "Watch it", session=key)
            if st.button("Stop", key="stop", icon=":material/stop:", disabled=looking_only):
                sessions.stop(workspace, record.session)
                st.rerun()
        if state in RESUMABLE and st.button(
            "Resume", key="resume", type="primary", icon=":material/play_arrow:", disabled=looking_only
        ):
            sessions.resume(own, record.session)
            local.dispatch(own)
            go("Train", session=key)
        if discarded:
            label = "Make it the current model"
            asking.button(label, f"publish-{key}", icon=":material/check:", disabled=looking_only)
        st.download_button(
            "Download",
            lambda: _packed(record.session),
            file_name=f"{key}.zip",
            mime="application/zip",
            icon=":material/download:",
            on_click="ignore",
            help="What was asked, taught, measured and answered, as a zip file; without the model.",
        )
        asking.button(
            "Delete",
            f"delete-{key}",
            icon=":material/delete:",
            disabled=looking_only or kept_for is not None,
        )
    if kept_for:
        st.caption(f"It cannot be deleted. {plain(kept_for)}")
    if discarded:
        _publish(own, record)
    _delete(workspace, record)
    if state not in ("running", "queued"):
        _run_again(workspace, record)


def _own_workspace(workspace: Workspace, record: Record) -> Workspace:
    """The workspace with the model folders that the session was asked to use."""
    if not isinstance(record.spec, TrainSpec):
        return workspace
    return Workspace(workspace.root, record.spec.trained_model, record.spec.onnx_model)


def _packed(session: Session) -> bytes:
    stream = BytesIO()
    archive.write_zip(session, stream)
    return stream.getvalue()


def _publish(workspace: Workspace, record: Record) -> None:
    sentences = [
        "**The model that this session made becomes the current one.** The model that is current now is kept "
        "as a version, to which you can roll back. The ONNX model goes out of date; a button makes it again."
    ]
    if since := deciding.taught_since(workspace, record):
        names = ", ".join(map(code, since))
        sentences.append(f"⚠️ **The current model was taught more, and this one was not:** {names}.")
    if asking.agreed(f"publish-{record.session.id}", sentences, "Yes, make it current"):
        with st.spinner("Putting the model in place …"):
            worker.publish_held(workspace, record.session)
        st.rerun()


def _delete(workspace: Workspace, record: Record) -> None:
    sentences = [
        f"**This deletes the session {code(record.spec.name)}:** what was asked, measured and answered, its "
        "log, and its copy of the examples. The dataset in the library stays."
    ]
    if record.status.verdict in ("held", "discarded") and record.session.model.exists():
        sentences.append("**The model that it made, and that is not the current one, is deleted with it.**")
    key = f"delete-{record.session.id}"
    if asking.agreed(
        key, sentences, "Delete it for good", again="It cannot be brought back. Really delete it?"
    ):
        with st.spinner("Deleting …"):
            archive.delete(workspace, record.session)
        go("Sessions")


def _run_again(workspace: Workspace, record: Record) -> None:
    """The same lesson once more, as it was or with the settings that matter most changed."""
    if not isinstance(record.spec, TrainSpec):
        return
    spec, looking_only = record.spec, access.view_only()
    with st.expander("Run it again", icon=":material/replay:", key="run-again"), told():
        plan = local.plan_training(
            workspace,
            start=spec.start,
            model_name=spec.model_name,
            learning_rate=spec.settings.learning_rate,
        )
        st.markdown(
            f"A new session teaches the same examples, {code(spec.dataset)}. It would start from "
            f"{_start(plan)}, at the learning rate {plain(describe_learning_rate(plan))}."
        )
        if st.button("Run again with the same settings", key="again", disabled=looking_only):
            go("Train", session=rerunning.run_again(workspace, record).id)
        _changed_run(workspace, record, spec)
        link("Train", "Change anything else on the page Train", dataset=spec.dataset, again=record.session.id)


def _changed_run(workspace: Workspace, record: Record, spec: TrainSpec) -> None:
    asked = spec.settings
    with st.form("changed", border=True):
        st.markdown("**Or with other settings**")
        preset = st.selectbox(
            "How thorough (preset)",
            list(PRESETS),
            key="again-preset",
            index=list(PRESETS).index(asked.preset),
            format_func=PRESETS.__getitem__,
        )
        epochs = st.number_input(
            "Rounds (epochs)",
            key="again-epochs",
            value=asked.epochs,
            min_value=1,
            max_value=1000,
            placeholder="As the preset says",
            help="How often it goes through all examples. Empty: as the preset says.",
        )
        rate = st.number_input(
            "Learning speed (learning rate)",
            key="again-rate",
            value=asked.learning_rate,
            format="%.1e",
            step=1e-5,
            placeholder="Automatic",
            help="Higher learns faster and forgets more. Empty: automatic.",
        )
        st.caption(
            f"At most {HIGHEST_LEARNING_RATE:g}. Usual: {format_rate(BASE_LEARNING_RATE)} from base, "
            f"{format_rate(CONTINUE_LEARNING_RATE)} when it continues."
        )
        if st.form_submit_button("Run with these settings", key="again-changed", disabled=access.view_only()):
            changes = {"preset": preset, "epochs": epochs, "learning_rate": rate}
            go("Train", session=rerunning.run_again(workspace, record, **changes).id)


# --- what is known --------------------------------------------------------------------------------

CURVES = (
    (
        "How wrong it is (loss)",
        "Loss",
        {"loss": "on the examples that it learns", "held_out_loss": "on examples kept back"},
    ),
    ("Word pieces right on examples kept back", "Share right", {"held_out_accuracy": "examples kept back"}),
    ("Learning speed (learning rate)", "Learning rate", {"learning_rate": "learning rate"}),
    ("Speed of computing", "Word pieces (tokens) a second", {"tokens_per_second": "tokens a second"}),
)


def _curves(feed: Feed) -> None:
    if not feed.rows:
        st.markdown("Nothing was measured: the session ended before its first step.")
        return
    st.markdown("The loss should fall. Where it rises on the examples kept back, it learns by heart.")
    for title, axis, names in CURVES:
        lines = [
            charts.Line(label, curve.x, curve.y, points=name.startswith("held_out"))
            for name, label in names.items()
            if len(curve := feed.curve(name))
        ]
        if lines:
            st.subheader(title, anchor=False)
            said = "; ".join(f"{line.name}: from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in lines)
            charts.draw(charts.lines(lines, "Step", axis), f"curve-{axis}", f"{title}. {said}.")


def _samples(feed: Feed) -> None:
    samples = _spread(feed.samples)
    if not samples:
        st.markdown("No sample answers were written down.")
        return
    st.markdown("The same questions, asked again and again while it learned.")
    for number, prompt in enumerate(samples[0].prompts):
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{plain(prompt)}**")
            for sample in samples:
                st.caption("Before the first step" if sample.step == 0 else f"After step {sample.step:,}")
                answer = sample.answers[number] if number < len(sample.answers) else ""
                st.markdown(literal(answer) if answer.strip() else "*(no answer)*")


def _spread(samples: Sequence[Samples], most: int = 4) -> list[Samples]:
    """The first, the last, and some in between at even distances."""
    if len(samples) <= most:
        return list(samples)
    places = {round(n * (len(samples) - 1) / (most - 1)) for n in range(most)}
    return [samples[place] for place in sorted(places)]


FILES = {
    "train.jsonl": "taught",
    "heldout.jsonl": "kept back for judging",
    "replay.jsonl": "repeated from before",
}


def _examples(record: Record) -> None:
    rows = {use: _rows(record.session.data / name) for name, use in FILES.items()}
    if not any(rows.values()):
        st.markdown("It ended before its examples were sorted into taught and kept back.")
        return
    counts = [f"**{len(found):,}** {use}" for use, found in rows.items() if found]
    st.markdown(
        f"Examples: {', '.join(counts)}. What is kept back is never taught, so it shows what was understood."
    )
    shown = [(use, *pair) for use, found in rows.items() for pair in found[:SHOWN_ROWS]]
    st.dataframe(
        pd.DataFrame(shown, columns=["Used", "Question", "Answer"]),
        hide_index=True,
        height="auto" if len(shown) <= 10 else 400,
        alt=f"The first {len(shown)} examples, with how they were used",
    )
    if any(len(found) > SHOWN_ROWS for found in rows.values()):
        st.caption(f"The first {SHOWN_ROWS} of each; the download holds all of them.")


def _rows(path: Path) -> list[tuple[str, str]]:
    return [(row.input, row.output) for row in read_jsonl(path)] if path.exists() else []


def _log(feed: Feed) -> None:
    if not feed.log:
        st.markdown("Nothing was written to the log.")
        return
    text = st.text_input("Search the log", key="log-search", type="search", placeholder="A word")
    details = st.toggle("With technical details", key="log-details")
    lines = list(feed.log) if details else without_details(feed.log)
    found = [line for line in lines if text.casefold() in line.casefold()] if text else lines
    if not found:
        st.markdown("No line of the log holds that.")
        return
    more = f"The last {SHOWN_LINES} of {len(found):,} lines." if len(found) > SHOWN_LINES else ""
    st.code(
        "\n".join(found[-SHOWN_LINES:]),
        language=None,
        wrap_lines=True,
        height=400 if len(found) > 15 else "content",
    )
    if more:
        st.caption(more)


def without_details(lines: Sequence[str]) -> list[str]:
    """The log without what only a programmer reads: where in the program an error came up."""
    kept, inside = [], False
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and line[:4].isdigit():  # the next entry, which begins with its time
            inside = False
        if not inside:
            kept.append(line)
    return kept


def _everything_asked(record: Record) -> None:
    asked = [*comparison.settings([record]), *comparison.scores([record])]
    st.table(
        pd.DataFrame([(line.label, plain(line.values[0])) for line in asked], columns=["What", "Value"]),
        border="horizontal",
        hide_index=True,
        alt="What was asked of the session, and what was measured",
    )
    if record.status.results.seconds:
        took = record.status.results.seconds.items()
        st.markdown("Time: " + ", ".join(f"{plain(phase)} {words.duration(s)}" for phase, s in took))
    with st.expander("As the program keeps it"):
        st.json(record.full(), expanded=1)
