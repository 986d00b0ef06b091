"""Did it work? What a session's scores say, in one sentence, and what to do next.

The scores are those of `sails.sessions.Results`: share of answer tokens predicted right, on rows that the
session taught and on rows that it never saw; what it did to earlier lessons is what the gate found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sails import retention
from sails.data import ENOUGH_TO_JUDGE
from sails.retention import WELL, Retention
from sails.sessions import PRESETS, Plan, Results, Scores, Status, format_rate
from sails.system import count
from sails.training.plan import BASE_LEARNING_RATE

Learned = Literal["well", "partly", "little", "nothing", "by heart"]
Outcome = Learned | Literal["forgot"]
_VERDICTS: Mapping[Learned, str] = {
    "well": "Learned well",
    "partly": "Learned a part",
    "little": "Learned little",
    "nothing": "Nothing was learned",
    "by heart": "Learned by heart",
}

LITTLE = 0.05  # gain of the share of answer tokens right
WORSE = 0.1  # share by which the loss on unseen rows may rise
NOT_HERE = "Its model is not here, so there is none to chat with: train it yourself to try it."
DECIDE = "Read its answers, then decide whether it becomes the current model."  # of one that is held back
ENDLESS = (
    "Teach it more rounds. If its answers still do not end, choose another base model: the chat template of "
    "this one does not fit it."
)
LEVEL = "More rounds brought nothing any more:"
PUBLISHED = "It is the current model all the same; "
GO_BACK = "on the page Sessions, Versions leads back to the one before."
START_OVER = "teach the lesson again from the base model, and protect more of its general knowledge."


@dataclass(frozen=True)
class Judgement:
    """How well a lesson was learned: one sentence of verdict, one with the next step."""

    outcome: Outcome
    sentence: str
    next_step: str


def judge(
    status: Status, measured: Retention | None = None, *, model_is_here: bool = True
) -> Judgement | None:
    """Return the judgement on a session that was scored before and after; None for any other.

    `measured` is what the session measured: how many examples are right as a whole, and what it lost, for who
    lost an earlier lesson is not praised. Without a model that is here, as in a demo, nobody is sent to the
    chat.
    """
    before, after = status.results.taught_before, status.results.taught_after
    if before is None or after is None:
        return None
    learned = _learned(status, before, after)
    verdict = _VERDICTS[learned]
    shares = f"{before.accuracy:.0%} → {after.accuracy:.0%} of the answers' text right{_whole(measured)}"
    if learned == "by heart":
        shares += ", but it does worse on questions that it never saw"
    next_step = _next_step(learned, status, model_is_here)
    if status.results.ends is False and learned in ("well", "partly", "by heart"):
        learned, verdict = "partly", _VERDICTS["partly"]
        shares += ", but an answer that it was asked for did not end by itself"
        next_step = ENDLESS
    lost = retention.describe_losses(measured) if measured else ""
    general = retention.describe_general_loss(measured) if measured else ""
    if not lost and not general:
        return Judgement(learned, f"{verdict}: {shares}.", next_step)
    joined = "and it" if learned in ("nothing", "little") else "but"
    if not lost:
        sentence = f"{verdict} ({shares}), {joined} forgot {general}."
        return Judgement("forgot", sentence, f"That little is let pass. {next_step}")
    sentence = f"{verdict} ({shares}), {joined} lost {lost}."
    return Judgement("forgot", sentence, _after_a_loss(status, model_is_here))


def describe_end(results: Results) -> str:
    """Say in a sentence why a session ended before its last round; empty where it did not."""
    if results.enough is None:
        return ""
    round_ = f"round {results.epochs:.0f} of up to {results.most_epochs}"
    if results.enough == "known":
        return f"It knew the lesson after {round_}."
    return f"It got no better at the lesson any more, so it ended after {round_}."


def describe_blend(results: Results) -> str:
    """Say in a sentence what came of taking back what was not needed; empty where that was not tried."""
    if results.blend is None:
        return ""
    if results.blend == 1:
        return "All of the change was needed for the lesson, so all of it was kept."
    return f"It kept {results.blend:.0%} of the change: almost all of the lesson, less change elsewhere."


def _whole(measured: Retention | None) -> str:
    """How many of the taught examples that were scored are right as a whole; empty where none was."""
    cell = measured.after.cell(measured.lessons[-1].session) if measured and measured.after else None
    if cell is None:
        return ""
    whole = sum(right == tokens for right, tokens in zip(cell.right, cell.tokens, strict=True))
    return f", {whole} of {count(len(cell.rows), 'example')} word for word"


def _learned(status: Status, before: Scores, after: Scores) -> Learned:
    """What became of the lesson alone."""
    if after.loss >= before.loss:
        return "nothing"
    if after.accuracy - before.accuracy < LITTLE and after.accuracy < WELL:
        return "little"
    seen, unseen = status.results.held_out_before, status.results.held_out_after
    enough = unseen is not None and unseen.rows >= ENOUGH_TO_JUDGE
    if seen and unseen and enough and unseen.loss > seen.loss * (1 + WORSE):
        return "by heart"
    return "well" if after.accuracy >= WELL else "partly"


def _after_a_loss(status: Status, model_is_here: bool) -> str:
    if status.verdict != "published":
        return DECIDE if model_is_here else NOT_HERE
    first = status.plan is not None and status.plan.start_from == "base" and status.replaces is None
    return PUBLISHED + (START_OVER if first else GO_BACK)


def _next_step(learned: Learned, status: Status, model_is_here: bool) -> str:
    plan = status.plan
    if status.results.enough == "level" and learned in ("nothing", "little", "partly"):
        return _of_another_speed(plan)
    if learned in ("nothing", "little"):  # rounds make a session learn more, then speed does
        if plan is None or plan.learning_rate >= BASE_LEARNING_RATE:
            most = max(PRESETS, key=lambda name: PRESETS[name].rounds)
            return f"More rounds help; the preset “{most}” has most."
        how = "Continuing" if plan.start_from == "trained" else "Learning"
        rate = format_rate(plan.learning_rate)
        return f"{how} at {rate} needs more rounds, or choose {format_rate(BASE_LEARNING_RATE)}."
    if learned == "by heart":
        return "Teach fewer rounds, or add more examples that ask the same in other words."
    if not model_is_here:
        return NOT_HERE
    if status.verdict == "held":
        return DECIDE
    if learned == "well":
        return "Try it in the chat, then teach it the next lesson."
    return "Teach the same examples again with more rounds, or try it in the chat as it is."


def _of_another_speed(plan: Plan | None) -> str:
    """The next step where more rounds had brought nothing any more."""
    if plan is not None and plan.learning_rate < BASE_LEARNING_RATE:
        return f"{LEVEL} choose the learning rate {format_rate(BASE_LEARNING_RATE)}."
    return (
        f"{LEVEL} let the page Train measure which learning rate suits this "
        "lesson, or add more examples that ask the same in other words."
    )
