"""The plan of a training: what it starts from, how fast it learns, and who chose that."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

StartFrom = Literal["base", "trained"]
Chooser = Literal["automatic", "person", "advice"]
Start = Literal["auto", "base", "trained"]


class Plan(BaseModel, frozen=True):
    """What the next training will do: the automatic choice, what is used, and who chose it."""

    row: int
    start_from: StartFrom
    start_chosen_by: Chooser = "automatic"
    model: str  # the base model's name, or the folder of the trained model
    base: str | None  # the base model at the root of it; None when nobody recorded it
    learning_rate: float
    automatic_learning_rate: float
    learning_rate_chosen_by: Chooser = "automatic"
    reason: str
    warnings: tuple[str, ...] = ()
    after: str = ""  # name of the training that it waits for, whose model it was planned for


def describe_plan(plan: Plan) -> str:
    """Say what the training will do, and after which one."""
    return f"After {plan.after} is done: {plan.reason}" if plan.after else plan.reason


def describe_change(planned: Plan | None, plan: Plan) -> str:
    """Say in what a plan differs from the one with which the training was queued; empty when in nothing."""
    if planned is None or _essence(planned) == _essence(plan):
        return ""
    return (
        f"⚠️ When it was queued, the plan was that it {_begins(planned)}. The models are others now, so it "
        f"{_begins(plan)}."
    )


def _essence(plan: Plan) -> tuple[str, str | None, float, float]:
    return plan.start_from, plan.base, plan.learning_rate, plan.automatic_learning_rate


def _begins(plan: Plan) -> str:
    start = f"starts from {plan.model}" if plan.start_from == "base" else "continues the trained model"
    return f"{start} at the learning rate {describe_learning_rate(plan)}"


def describe_learning_rate(plan: Plan) -> str:
    """The learning rate in one sentence: `1e-5 (automatic)`, or both values when it was chosen or advised."""
    used, automatic = format_rate(plan.learning_rate), format_rate(plan.automatic_learning_rate)
    if plan.learning_rate_chosen_by == "automatic":
        return f"{used} (automatic)"
    how = "advised" if plan.learning_rate_chosen_by == "advice" else "chosen"
    return f"{used} ({how}; the automatic value is {automatic})"


def format_rate(value: float) -> str:
    """`5e-5` rather than `5e-05`, as people write it."""
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def where(plan: Plan) -> str:
    """Return what training starts from, as a short phrase."""
    return plan.model if plan.start_from == "base" else f"the trained model in {Path(plan.model).name}"
