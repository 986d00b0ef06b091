"""What can be done with a session: decide, run again, pack, delete."""

from __future__ import annotations

from functools import partial
from io import BytesIO

import streamlit as st

from sails import jobs, sessions, system
from sails.models import Workspace
from sails.retention import Retention
from sails.sessions import Plan, Session, SessionRecord, TrainSpec, format_rate
from sails.system import listed
from sails.training import plan as planning
from sails.training.plan import BASE_LEARNING_RATE, CONTINUE_LEARNING_RATE
from sails.ui import confirm, retention
from sails.ui.frame import go, link, show_errors
from sails.ui.text import code, plain
from sails.ui.widgets import change_button, choice, download_button, number

KEEPS = {
    "replay_share": "of each round repeats earlier lessons",
    "protect": "of each step protects general knowledge",
}


def start(plan: Plan) -> str:
    """Name the model that a training starts from."""
    return "the trained model" if plan.start_from == "trained" else f"the base model {code(plan.model)}"


def why_not_now(workspace: Workspace) -> str:
    """Say why no other model can become the current one now; empty when one can."""
    if system.is_held(workspace.training_lock):
        return "While something trains, no other model becomes the current one. Wait, or stop it."
    return ""


# --- a model that was held back -------------------------------------------------------------------


def decide(workspace: Workspace, record: SessionRecord, retained: Retention | None) -> None:
    """Draw why it was held back, the three choices, and what it answers now and answered before."""
    with st.container(border=True, gap="small"):
        st.header("✋ Decide", anchor=False)
        st.markdown(f"**Why you are asked:** {plain(record.status.verdict_reason or 'It was held back.')}")
        if retained:
            retention.findings(retained)
        if sessions.is_recorded_candidate(workspace, record.session):
            _recorded_choices(workspace, record)
        else:
            _choices(own_workspace(workspace, record), record)
            _publish(own_workspace(workspace, record), record)
        if retained and retained.changed:
            st.markdown("Read these first: what the model answered before, and what the new one answers.")
            retention.changed_answers(retained)


def _choices(workspace: Workspace, record: SessionRecord) -> None:
    """Keep it, undo it, or teach the lesson again; no primary button, for the person is to weigh them."""
    busy = why_not_now(workspace)
    if busy:
        st.caption(busy)
    keep, undo, again = st.columns(3)
    trained = workspace.situation().trained.complete
    with keep:
        confirm.ask_button("Keep it", "check", f"publish-{record.session.id}", disabled=bool(busy))
        kept = "; the one before is kept as a version" if trained else ""
        st.caption(f"The new model becomes the current one{kept}.")
    with undo:
        if change_button("Undo", "undo", "discard", disabled=bool(busy)):
            jobs.discard(workspace, record.session)
            st.rerun()
        stays = "The current model stays." if trained else "There is still no trained model."
        st.caption(
            f"{stays} The new one is put aside with this session, and can still be made current later."
        )
    with again:
        _again_keeping_more(workspace, record)


def _recorded_choices(workspace: Workspace, record: SessionRecord) -> None:
    """In the demo: discard it, and take that back as often as one likes."""
    if record.status.verdict == "discarded":
        st.markdown(":material/undo: You discarded it, so the model before it stays.")
        if change_button("Decide again", "restart_alt", "reset-demo"):
            sessions.reset_demo(workspace)
            st.rerun()
        return
    if change_button("Undo", "undo", "discard"):
        sessions.discard_recorded(workspace, record.session)
        st.rerun()
    st.caption(
        "The model before it stays. Keeping the new one cannot be tried here, nor training again from it: "
        "this demo holds what was measured and answered, not the models."
    )


def _again_keeping_more(workspace: Workspace, record: SessionRecord) -> None:
    if not isinstance(record.spec, TrainSpec):
        return
    more = jobs.settings_to_try(workspace, record)
    if not more and record.status.lessons == ():
        return  # there is no earlier lesson that could be repeated
    label = "Train again, keeping more of what it knew"
    if change_button(label, "replay", "keep-more", disabled=not more):
        go("Train", session=jobs.train_again(workspace, record).id)
    settings = record.spec.settings
    changed = [
        f"{share:.0%} {KEEPS[name]} instead of {getattr(settings, name):.0%}" for name, share in more.items()
    ]
    st.caption(
        f"A new session teaches the same examples, and {listed(changed)}. This one can still be decided "
        "afterwards."
        if more
        else "It repeats and protects all that it can already; a lower learning speed may help."
    )


# --- what can be done -----------------------------------------------------------------------------


def next_actions(workspace: Workspace, record: SessionRecord) -> None:
    """Offer what a session waits for: watch it, stop it, resume it, make its model the current one."""
    state, key, own = record.status.state, record.session.id, own_workspace(workspace, record)
    discarded = record.status.verdict == "discarded" and record.session.model.exists()
    if discarded:
        when = why_not_now(own) or "Until then, nothing changes."
        st.markdown(f"Its model is still here and can be made the current one. {when}")
    with st.container(horizontal=True):
        if state in ("running", "queued"):
            link("Train", "Watch it", session=key)
            if change_button("Stop", "stop", "stop"):
                jobs.launcher_for(record.session).stop(workspace, record.session)
                st.rerun()
        if record.status.resumable and change_button("Resume", "play_arrow", "resume", type="primary"):
            sessions.resume(own, record.session)
            jobs.dispatch(own)
            go("Train", session=key)
        if discarded:
            confirm.ask_button(
                "Make it the current model", "check", f"publish-{key}", disabled=bool(why_not_now(own))
            )
    if discarded:
        _publish(own, record)


def other_actions(workspace: Workspace, record: SessionRecord) -> None:
    """Offer to run it again, to download it and to delete it."""
    key = record.session.id
    why_kept = sessions.why_not_deletable(workspace, record)
    if record.status.state not in ("running", "queued"):
        _run_again(workspace, record)
    with st.container(horizontal=True):
        about = "What was asked, taught, measured and answered, as a zip file; without the model."
        packed = partial(_packed, record.session)
        download_button("Download", packed, f"{key}.zip", "application/zip", help=about)
        confirm.ask_button("Delete", "delete", f"delete-{key}", disabled=why_kept is not None)
    if why_kept:
        st.caption(f"It cannot be deleted. {plain(why_kept)}")
    _delete(workspace, record)


def own_workspace(workspace: Workspace, record: SessionRecord) -> Workspace:
    """Return the workspace with the model folders that the session was asked to use."""
    if not isinstance(record.spec, TrainSpec):
        return workspace
    return Workspace(workspace.root, record.spec.trained_model, record.spec.onnx_model)


def _packed(session: Session) -> bytes:
    stream = BytesIO()
    sessions.write_zip(session, stream)
    return stream.getvalue()


def _publish(workspace: Workspace, record: SessionRecord) -> None:
    sentences = ["**The model that this session made becomes the current one.**"]
    if workspace.situation().trained.complete:
        sentences[0] += (
            " The model that is current now is kept as a version, to which you can roll back. An ONNX model "
            "that is here stays and says that it is of another model; a button makes it again."
        )
    if since := jobs.taught_since(workspace, record):
        names = ", ".join(map(code, since))
        sentences.append(f"⚠️ **The current model was taught more, and this one was not:** {names}.")
    if confirm.confirmed(f"publish-{record.session.id}", sentences, "Yes, make it current"):
        with st.spinner("Putting the model in place …"):
            jobs.publish_held(workspace, record.session)
        st.rerun()


def _delete(workspace: Workspace, record: SessionRecord) -> None:
    called = code(sessions.title(workspace, record.session))
    sentences = [
        f"**This deletes the session {called}:** what was asked, measured and answered, its "
        "log, and its copy of the examples. The dataset in the library stays."
    ]
    if record.status.verdict in ("held", "discarded") and record.session.model.exists():
        sentences.append("**The model that it made, and that is not the current one, is deleted with it.**")
    key = f"delete-{record.session.id}"
    if confirm.confirmed(
        key, sentences, "Delete it for good", again="It cannot be brought back. Really delete it?"
    ):
        with st.spinner("Deleting …"):
            sessions.delete(workspace, record.session)
        go("Sessions")


def _run_again(workspace: Workspace, record: SessionRecord) -> None:
    """The same lesson once more, as it was or with the settings that matter most changed."""
    if not isinstance(record.spec, TrainSpec):
        return
    spec = record.spec
    with st.expander("Run it again", icon=":material/replay:", key="run-again"), show_errors():
        plan = planning.plan_training(
            workspace,
            start=spec.start,
            model_name=spec.model_name,
            learning_rate=spec.settings.learning_rate,
            expected=planning.expect(workspace),
        )
        after = f"After {code(plan.after)} is done, it" if plan.after else "It"
        st.markdown(
            f"A new session teaches the same examples, {code(spec.dataset)}. {after} would start from "
            f"{start(plan)}, at the learning rate {plain(sessions.describe_learning_rate(plan))}."
        )
        if change_button("Run again with the same settings", key="again"):
            go("Train", session=jobs.run_again(workspace, record).id)
        _changed_run(workspace, record, spec)
        link("Train", "Change anything else on the page Train", dataset=spec.dataset, again=record.session.id)


def _changed_run(workspace: Workspace, record: SessionRecord, spec: TrainSpec) -> None:
    asked = spec.settings
    with st.form("changed", border=True):
        st.markdown("**Or with other settings**")
        preset = choice("preset", key="again-preset", value=asked.preset)
        epochs = number("epochs", key="again-epochs", value=asked.epochs, placeholder="As the preset says")
        speed = sessions.option("learning_rate")
        rate = st.number_input(
            speed.title,
            key="again-rate",
            value=asked.learning_rate,
            format="%.1e",
            step=1e-5,
            placeholder="Automatic",
            help=speed.hint,
        )
        st.caption(
            f"At most {planning.HIGHEST_LEARNING_RATE:g}. Usual: {format_rate(BASE_LEARNING_RATE)} from "
            f"base, {format_rate(CONTINUE_LEARNING_RATE)} when it continues."
        )
        if change_button("Run with these settings", key="again-changed", in_form=True):
            changes = {"preset": preset, "epochs": epochs, "learning_rate": rate}
            go("Train", session=jobs.run_again(workspace, record, **changes).id)
