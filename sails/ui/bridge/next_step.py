"""The one next step: what a person most likely wants to do now, and why, from what lies in the workspace.

Needs no streamlit; the bridge draws it as its main button.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sails.models import FRESHNESS, Freshness, Situation
from sails.sessions import SessionRecord

Kind = Literal["watch", "wait", "decide", "resume", "example", "train", "export", "exporting", "chat"]


@dataclass(frozen=True)
class NextStep:
    """What to do now and why; `target` is the session or dataset that it is about, if any."""

    kind: Kind
    reason: str
    target: str = ""


def choose_next_step(
    situation: Situation,
    *,
    freshness: Freshness,
    active: str | None,
    training: bool,
    datasets: Sequence[str],
    last: SessionRecord | None,
    exporting: bool,
) -> NextStep:
    """Return the first that applies: watch, wait, decide, resume, load an example, train, export, chat.

    `freshness` is that of the ONNX model, `active` the session that runs or waits, `training` whether one
    runs, `datasets` are names with the newest first, `last` is the newest session that ended, `exporting`
    whether the ONNX model is being made.
    """
    if active and not training:
        return NextStep("wait", "No training runs now; the next one waits for its turn.", active)
    if active:
        return NextStep("watch", "A training is under way; you can watch it learn.", active)
    if last and last.status.verdict == "held" and last.session.model.exists():
        reason = "The last training made a model that waits for your decision."
        return NextStep("decide", reason, last.spec.id)
    if last and last.status.resumable and last.status.failure:
        return NextStep("resume", "The last training found the disk full; it can go on.", last.spec.id)
    if last and last.status.state == "interrupted":
        return NextStep("resume", "The last training was interrupted; it can go on from there.", last.spec.id)
    if not situation.trained.complete:
        if not datasets:
            return NextStep("example", "There are no examples yet. A ready-made lesson shows how it works.")
        return NextStep("train", "Examples are here, and no model that has learned them.", datasets[0])
    if exporting and situation.onnx.stale is not False:
        return NextStep(
            "exporting", "The model has learned, and its ONNX model, which answers, is being made."
        )
    if not situation.onnx.present:
        return NextStep(
            "export", "The model has learned. To chat with it, it needs a form that answers: an ONNX model."
        )
    if situation.onnx.stale:
        return NextStep("export", f"{FRESHNESS[freshness].headline()}. {FRESHNESS[freshness].sentence}")
    return NextStep("chat", "The model has learned and is ready to answer.")
