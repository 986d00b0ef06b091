"""The behavior matrix: (trained model × ONNX model) ─► what the next training starts from, how fast, and why.

The matrix is the data in `MATRIX`; the command line, the worker and the dashboard all read it here.
Needs no machine-learning library and answers in microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sails import models
from sails.errors import RequestError
from sails.models import Situation, Workspace
from sails.sessions import Advice, Chooser, Plan, Start, StartFrom, format_rate
from sails.training.plan.expected import Expected

BASE_LEARNING_RATE = 5e-5
CONTINUE_LEARNING_RATE = 1e-5
HIGHEST_LEARNING_RATE = 1e-2
USUAL_LEARNING_RATES = (1e-6, 1e-3)


@dataclass(frozen=True)
class MatrixRow:
    """One row of the matrix. `begins` says what the training does, `afterwards` what is to do then."""

    number: int
    trained: Literal["missing", "complete", "incomplete"]
    onnx: Literal["missing", "present"]
    start_from: StartFrom
    begins: str
    afterwards: str = ""

    @property
    def headline(self) -> str:
        """What the person reads."""
        return self.begins + self.afterwards

    @property
    def learning_rate(self) -> float:
        return automatic_learning_rate(self.start_from)


_NEW = "🆕 Training a new model from base"
_CONTINUE = "🔄 Continuing from the trained model, 📚 lower learning rate to keep what it knows"
_CONTINUE_AT: Mapping[Chooser, str] = {
    "person": "🔄 Continuing from the trained model, at the learning rate that was chosen",
    "advice": "🔄 Continuing from the trained model, at the learning rate that was measured",
}
_ORPHAN = "⚠️ ONNX model found, but not the model it came from: training from base"
_INCOMPLETE = "⚠️ The trained model is incomplete: training from base; its files are set aside, not deleted"

MATRIX = (
    MatrixRow(1, "missing", "missing", "base", _NEW),
    MatrixRow(2, "complete", "missing", "trained", _CONTINUE),
    MatrixRow(3, "complete", "present", "trained", _CONTINUE, "; the ONNX model needs a refresh afterwards"),
    MatrixRow(4, "missing", "present", "base", _ORPHAN),
    MatrixRow(5, "incomplete", "missing", "base", _INCOMPLETE),
    MatrixRow(6, "incomplete", "present", "base", _INCOMPLETE),
)


def automatic_learning_rate(start_from: StartFrom) -> float:
    """5e-5 from base; 1e-5 when continuing, so that what the model knows is disturbed less."""
    return BASE_LEARNING_RATE if start_from == "base" else CONTINUE_LEARNING_RATE


def row_for(trained: str, onnx: str) -> MatrixRow:
    """Return the row of the matrix for two states."""
    return next(row for row in MATRIX if (row.trained, row.onnx) == (trained, onnx))


def plan_from(
    situation: Situation,
    *,
    default_base: str,
    model_name: str | None = None,
    same_base: bool = True,
    start: Start = "auto",
    learning_rate: float | None = None,
    advised: float | None = None,
) -> Plan:
    """Read the matrix, then let the person's choices win over it.

    `model_name` is a base model that the person named, `same_base` whether the trained model grew from
    that very one; naming another one starts over. `advised` is a learning rate that was measured: it is used
    only where `learning_rate` says the same. Raises `RequestError` for a learning rate outside
    (0, 1e-2] and for `start="trained"` without a complete trained model.
    """
    trained = situation.trained
    row = row_for(trained.state, situation.onnx.state)
    start_from, reason = row.start_from, row.headline
    chosen_by: Chooser = "automatic"
    warnings: list[str] = []
    if trained.state == "incomplete":
        reason = f"{reason} ({trained.reason})"
    if start == "trained" and not trained.complete:
        what = f"incomplete: {trained.reason}" if trained.reason else "missing"
        raise RequestError(
            f"There is no trained model to continue from ({what}).",
            "Train from base first, or leave out --start trained.",
        )
    if start == "trained" and model_name and not same_base:
        raise RequestError(
            f"The trained model did not grow from {model_name}.",
            "Leave out --start trained to start over from it, or --model-name to continue.",
        )
    if start == "base" and row.start_from == "trained":
        start_from, chosen_by = "base", "person"
        reason = "🆕 Starting over from base, as chosen; the current model is kept as a version"
    elif start == "auto" and row.start_from == "trained" and model_name and not same_base:
        start_from, chosen_by = "base", "person"
        grown = trained.base or "a base that is not recorded"
        reason = f"🆕 Starting over from {model_name}; the current model (from {grown}) is kept as a version"
    elif start != "auto":
        chosen_by = "person"
    automatic = automatic_learning_rate(start_from)
    rate_chosen_by: Chooser = "automatic"
    if learning_rate is not None:
        warnings += check_learning_rate(learning_rate)
        follows = advised is not None and math.isclose(learning_rate, advised, rel_tol=1e-6)
        rate_chosen_by = "advice" if follows else "person"
    if start_from == "trained" and rate_chosen_by != "automatic":
        reason = _CONTINUE_AT[rate_chosen_by] + row.afterwards
    base = (model_name or default_base) if start_from == "base" else trained.base
    return Plan(
        row=row.number,
        start_from=start_from,
        start_chosen_by=chosen_by,
        model=str(trained.path) if start_from == "trained" else str(base),
        base=base,
        learning_rate=automatic if learning_rate is None else learning_rate,
        automatic_learning_rate=automatic,
        learning_rate_chosen_by=rate_chosen_by,
        reason=reason,
        warnings=tuple(warnings),
    )


def check_learning_rate(value: float) -> list[str]:
    """Warnings in plain words for an unusual learning rate; `RequestError` for an impossible one."""
    if not math.isfinite(value) or not 0 < value <= HIGHEST_LEARNING_RATE:
        raise RequestError(
            f"The learning rate {value:g} is out of range.",
            f"Choose a number above 0 and at most {HIGHEST_LEARNING_RATE:g}, for example 5e-5.",
        )
    low, high = USUAL_LEARNING_RATES
    if value < low:
        return [
            f"⚠️ A learning rate of {format_rate(value)} is so low that the model will hardly learn anything."
        ]
    if value > high:
        return [
            f"⚠️ A learning rate of {format_rate(value)} is so high that the model may forget what it knows."
        ]
    return []


def plan_training(
    workspace: Workspace,
    *,
    start: Start = "auto",
    model_name: str | None = None,
    learning_rate: float | None = None,
    advice: Advice | None = None,
    expected: Expected | None = None,
) -> Plan:
    """Return what a training would do; raises `RequestError` for choices that cannot be.

    Without `expected` (see `expect`) it is one that starts now, whatever runs.
    """
    situation = expected.situation if expected else workspace.situation()
    if model_name is not None:
        models.named_base_model(model_name)
    same = model_name is None or (
        situation.trained.base is not None and models.is_same_base(model_name, situation.trained.base)
    )
    plan = plan_from(
        situation,
        default_base=models.DEFAULT_BASE_MODEL,
        model_name=model_name,
        same_base=same,
        start=start,
        learning_rate=learning_rate,
        advised=advice.learning_rate if advice else None,
    )
    folder: Path | None = workspace.trained_model
    if plan.start_from == "base":
        folder = models.base_model_path(models.find_base_model(plan.model))
    if expected:
        plan = plan.model_copy(update={"after": expected.after})
    limits = models.export_limits(folder) if folder else ""
    return plan.model_copy(update={"warnings": (*plan.warnings, f"⚠️ {limits}")}) if limits else plan
