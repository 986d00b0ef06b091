"""The review list on the page Data: what people think of the chat's answers, before it may train.

What there is to find is decided in `sails.chat.feedback.review`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import streamlit as st

from sails import chat, data, sessions, system
from sails.chat import Origin, feedback
from sails.chat.feedback import Correction, Review, Standing
from sails.errors import SailsError
from sails.models import VARIANTS, Workspace
from sails.sessions import MAX_ROWS_FEW
from sails.system import shorten
from sails.ui import text
from sails.ui.data.pending import draw_messages
from sails.ui.frame import go, link, show_errors
from sails.ui.text import literal, plain
from sails.ui.widgets import change_button, download_button, show_part

PART_LENGTH = 10  # corrections on the screen at a time
MAX_ANSWER_LENGTH = 1_000  # characters of the model's own answer that are shown
MESSAGES = "review-messages"  # of the last action, under this key of the browser tab
KINDS = {
    "good": ":material/thumb_up: Called good",
    "corrected": ":material/thumb_down: Corrected",
    "never": ":material/block: Must never be said",
}
STANDINGS: dict[Standing, tuple[str, str]] = {
    "waiting": ("Waiting", ":material/hourglass_empty:"),
    "approved": ("Approved", ":material/check:"),
    "rejected": ("Rejected", ":material/close:"),
    "taught": ("Taught", ":material/school:"),
}
EMPTY: dict[Standing, str] = {
    "waiting": "Nothing waits for a review. Ask your model something in the chat, and say what you think of "
    "its answers.",
    "approved": "Nothing is approved and not taught yet.",
    "rejected": "Nothing was rejected.",
    "taught": "Nothing was taught yet: approve some corrections, then train on them.",
}

# --- what other parts of the pages say of it ------------------------------------------------------


def corrections_on_bridge(workspace: Workspace) -> None:
    """Draw what is approved and can be taught, and what waits for a review; nothing when there is neither."""
    counts = feedback.counts(workspace)
    if counts.approved or counts.waiting:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            train_button(workspace, counts.approved)
            if counts.waiting:
                what = "correction waits" if counts.waiting == 1 else "corrections wait"
                label = f"{counts.waiting:,} {what} for your review"
                link("Data", label, icon=":material/rate_review:", corrections="waiting")
        if 0 < counts.approved <= MAX_ROWS_FEW:
            st.caption(
                "Few corrections must be repeated often to stick, and that can change other answers, too: "
                "it is better to teach many at once."
            )


def corrections_on_data_page(workspace: Workspace) -> None:
    """Say where the review list is, and how much there is to do."""
    counts = feedback.counts(workspace)
    st.header("Corrections from the chat", anchor=False)
    st.markdown(
        "Below each answer in the chat stand *Good* and *Correct it*. What is sent there waits here until "
        "you approve it, and then it can be taught."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        label = f"Review list: {counts.waiting:,} waiting, {counts.approved:,} approved"
        link("Data", label, icon=":material/rate_review:", corrections="waiting")
        train_button(workspace, counts.approved)


def train_button(workspace: Workspace, approved: int) -> None:
    """Draw one click to the training page with all approved corrections chosen; nothing without any."""
    if not approved:
        return
    what = "approved correction" if approved == 1 else "approved corrections"
    label = f"{approved:,} {what} since the last session: train on {'it' if approved == 1 else 'them'}"
    if change_button(label, "school", "train-on-corrections"):
        with show_errors() as failed:
            report = feedback.as_dataset(workspace)
        if not failed:
            go("Train", dataset=report.name)


# --- the list -------------------------------------------------------------------------------------


def review_list(workspace: Workspace, wanted: str) -> None:
    """Draw all of one standing, a part at a time, to be edited, approved and rejected."""
    review = feedback.load_review(workspace)
    chosen: Standing = next((name for name in get_args(Standing) if name == wanted), "waiting")
    corrections = review.at(chosen)
    st.header("Corrections from the chat", anchor=False)
    st.markdown(
        "What people think of the model's answers. Nothing of it is taught before somebody approved it here."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        for name, (title, icon) in STANDINGS.items():
            count = len(corrections) if name == chosen else len(review.at(name))
            label = f"{title} ({count:,})"
            if name == chosen:
                st.markdown(f":primary-badge[{icon} {label}]", width="content")
            else:
                link("Data", label, icon=icon, corrections=name)
    draw_messages(st.session_state.pop(MESSAGES, []))
    if chosen == "approved":
        train_button(workspace, len(corrections))
    clean = [correction.id for correction in review.without_findings()] if chosen == "waiting" else []
    if clean:
        label = f"Approve {'the one' if len(clean) == 1 else f'all {len(clean):,}'} without findings"
        change_button(label, "done_all", "review-approve-all", on_click=partial(_approve, workspace, clean))
    _cards(workspace, review, chosen, corrections)
    _files(workspace, review)


def _cards(workspace: Workspace, review: Review, chosen: Standing, corrections: list[Correction]) -> None:
    if not corrections:
        st.markdown(EMPTY[chosen])
        return
    if len(corrections) > PART_LENGTH:
        search = st.text_input("Find by its words", key="review-find", icon=":material/search:")
        wanted = search.casefold().strip()
        corrections = [c for c in corrections if wanted in f"{c.question}\n{c.taught}\n{c.answer}".casefold()]
        if not corrections:
            st.markdown("None has these words.")
    key = f"review-part-{chosen}-{-(-len(corrections) // PART_LENGTH)}"
    for correction in show_part(corrections, PART_LENGTH, "", key):
        with st.container(border=True, gap="small"):
            _card(workspace, review, correction, chosen)


# --- one of them ----------------------------------------------------------------------------------


def _card(workspace: Workspace, review: Review, correction: Correction, standing: Standing) -> None:
    open_ = standing != "taught"
    origin = _origin(correction)
    about = f"**{KINDS[correction.kind]}** :small[{_whence(correction, origin)}]"
    st.markdown(about, help=text.exact_model(origin))
    if correction.context:
        with st.expander("What was said before", icon=":material/forum:"):
            names = {"user": "Question", "assistant": "Answer", "system": "System message"}
            for message in correction.context:
                st.caption(names.get(message["role"], ""))
                st.markdown(literal(message["content"]))
    if correction.kind != "good":
        answer = shorten(correction.answer, MAX_ANSWER_LENGTH)
        st.markdown(f"The model said: {literal(answer) if answer else '(nothing)'}")
    keys = _texts(workspace, correction, open_)
    for trouble in review.troubles(correction):
        hint = ":material/info:" if trouble.finding == "known" else "⚠️"
        sign = ":material/block:" if trouble.stops else hint
        st.markdown(f"{sign} {plain(trouble.sentence)}")
    if record := review.session_of(correction):
        sign, sentence = text.outcome(record)
        called = plain(sessions.title(workspace, record.session))
        st.markdown(f"In the session **{called}**: {sign} {plain(sentence)}")
        link("Sessions", "Look at it", session=record.spec.id)
    if open_:
        _buttons(workspace, correction, standing, keys)


def _origin(correction: Correction) -> Origin:
    variant = correction.variant if correction.variant in VARIANTS else None
    # Whether it was proven stands where it is chosen; here it is said which one it was.
    title, certified = correction.title or "an unknown model", True if variant else None
    return Origin(title, correction.fingerprint, correction.session, variant=variant, certified=certified)


def _whence(correction: Correction, origin: Origin) -> str:
    when = "at an unknown time"
    if correction.when.year > 1970:
        when = text.moment(correction.when, st.context.timezone)
    reviewer = f", reviewed by {correction.reviewer}" if correction.reviewer else ""
    answerer = chat.describe(origin, ids=False)
    return plain(f"by {correction.who}, {when}, about an answer of {answerer}{reviewer}")


def _texts(workspace: Workspace, correction: Correction, open_: bool) -> tuple[str, str]:
    """The fields for question and answer; gives their keys. What is typed there is kept at once."""
    # Another text from elsewhere begins a field afresh.
    mark = zlib.crc32(f"{correction.question}\0{correction.taught}".encode("utf-8", "replace"))
    keys = f"review-{correction.id}-{mark}-question", f"review-{correction.id}-{mark}-answer"
    labels = "Question", "Answer that is taught"
    texts = correction.question, correction.taught
    for column, key, label, value in zip(st.columns(2), keys, labels, texts, strict=True):
        column.text_area(
            label,
            value=value,
            key=key,
            height="content",
            max_chars=feedback.LONGEST_TEXT,
            disabled=system.view_only() or not open_,
            on_change=_keep,
            args=(workspace, correction.id, keys),
        )
    return keys


def _buttons(workspace: Workspace, correction: Correction, standing: Standing, keys: tuple[str, str]) -> None:
    with st.container(horizontal=True):
        if standing != "approved":
            key = f"review-approve-{correction.id}"
            approve = partial(_keep, workspace, correction.id, keys, approve=True)
            change_button("Approve", "check", key, type="primary", on_click=approve)
        if standing != "rejected":
            reject = partial(_act, feedback.reject, workspace, [correction.id], "Rejected; it is not taught.")
            change_button("Reject", "close", f"review-reject-{correction.id}", on_click=reject)
        if standing != "waiting":
            said = "It waits for a review again."
            reopen = partial(_act, feedback.reopen, workspace, [correction.id], said)
            change_button("Let it wait again", "undo", f"review-reopen-{correction.id}", on_click=reopen)


# --- what happens ---------------------------------------------------------------------------------


def _keep(workspace: Workspace, identity: str, keys: tuple[str, str], *, approve: bool = False) -> None:
    """Keep what stands in the fields and, where that went well and is wanted, approve it."""
    try:
        correction = feedback.find(workspace, identity)
        known = (correction.question, correction.taught)
        question, answer = (st.session_state.get(k, text) for k, text in zip(keys, known, strict=True))
        if (question.strip(), answer.strip()) != known:
            feedback.edit(workspace, identity, question=question, answer=answer)
            if correction.state != "waiting":
                _say("done", "Changed. As it has other words, it waits for a review again.")
    except SailsError as error:
        _say("failed", plain(error.sentence))
        return
    if approve:
        _approve(workspace, [identity])


def _approve(workspace: Workspace, identities: list[str]) -> None:
    what = "Approved" if len(identities) == 1 else f"Approved {len(identities):,}"
    _act(feedback.approve, workspace, identities, f"{what}: ready to be taught.")


def _act(action: Callable[..., object], workspace: Workspace, identities: list[str], done: str) -> None:
    try:
        action(workspace, *identities)
        _say("done", done)
    except SailsError as error:
        _say("failed", plain(error.sentence))


def _say(kind: str, sentence: str) -> None:
    """Shown when the list is drawn next; `sentence` is Markdown."""
    st.session_state.setdefault(MESSAGES, []).append((kind, sentence))


# --- files ----------------------------------------------------------------------------------------


def _files(workspace: Workspace, review: Review) -> None:
    with st.expander("Bring judged answers from a file, or take all with you", icon=":material/swap_vert:"):
        st.markdown(
            "`sails chat` writes judged answers into a file; so may other programs: JSON Lines with `input`, "
            "`output` and `accepted`, maybe `correction`. What the file brings waits for your review."
        )
        file = st.file_uploader(
            "A file of judged answers",
            key=f"review-file-{st.session_state.get('review-brought', 0)}",
            disabled=system.view_only(),
        )
        if file is not None and st.button("Bring it", key="review-bring", icon=":material/upload:"):
            with show_errors() as failed:
                path = Path(data.file_name(file.name))
                count = feedback.import_file(workspace, path, file.getvalue())
            if not failed:
                st.session_state["review-brought"] = st.session_state.get("review-brought", 0) + 1
                _say("done", f"{count:,} came into the list.")
                st.rerun()
        if review.corrections:
            download_button(
                "Save all as JSON Lines",
                lambda: feedback.as_json_lines(review, review.corrections),
                "corrections.jsonl",
                "application/jsonl",
                "review-download",
            )
