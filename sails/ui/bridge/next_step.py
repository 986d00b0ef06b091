"""The one next step: what a person most likely wants to do now, and why, from what lies in the workspace.

Needs no streamlit; the bridge draws it as its main button.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sails.models import Situation
from sails.sessions import SessionRecord

Kind = Literal["watch", "decide", "resume", "example", "train", "export", "chat"]


@dataclass(frozen=True)
class NextStep:
    """What to do now and why; `target` is the session or dataset that it is about, if any."""

    kind: Kind
    reason: str
    target: str = ""


def choose_next_step(
    situation: Situation, *, active: str | None, datasets: Sequence[str], last: SessionRecord | None
) -> NextStep:
    """Return the first of these that applies: watch, decide, resume, load an example, train, export, chat.

    `active` is the session that runs or waits, `datasets` are names with the newest first, `last` is the
    newest session.
    """
    if active:
        return NextStep("watch", "A training is under way; you can watch it learn.", active)
    if last and last.status.verdict == "held" and last.session.model.exists():
        reason = "The last training made a model that waits for your decision."
        return NextStep("decide", reason, last.spec.id)
    if last and last.status.state == "interrupted":
        return NextStep("resume", "The last training was interrupted; it can go on from there.", last.spec.id)
    if not situation.trained.complete:
        if not datasets:
            return NextStep("example", "There are no examples yet. A ready-made lesson shows how it works.")
        return NextStep("train", "Your examples are here, and no model has learned them yet.", datasets[0])
    if not situation.onnx.present:
        return NextStep(
            "export", "The model has learned. To chat with it, it needs a form that answers: an ONNX model."
        )
    if situation.onnx.stale:
        return NextStep(
            "export", "The ONNX model is older than the trained model, so it misses what was taught last."
        )
    return NextStep("chat", "The model has learned and is ready to answer.")
