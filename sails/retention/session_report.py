"""What one session did to each lesson, in words: before and after, what the gate found, answers that changed.

Page and command say the same. Draws nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from sails.data import ENOUGH_TO_JUDGE
from sails.retention.bootstrap import paired
from sails.retention.gate import EVERYTHING, MAX_LOSS_POINTS, losses, lost_at_once, rounded_points
from sails.retention.schema import GENERAL, Changed, GateFinding, Lesson, Part, Retention
from sails.system import count, listed

NOTHING = "–"
MAX_WRONG = 3  # general questions that are named
WELL = 0.95  # share of a lesson's answer tokens right, to say that it was learned
GOOD = 80.0  # points: share of the answers' text right


def points(change: float, low: float, high: float, amount: int | None = None) -> str:
    """Say how much a change amounts to, whatever its direction: −3 (−5 to −1) is 3 points (1 to 5).

    `amount` is the change as it is to be shown, where the two shares stand beside it.
    """
    if change < 0:
        change, low, high = -change, -high, -low
    count = f"{change if amount is None else abs(amount):.0f}"
    return f"{count} {'point' if count == '1' else 'points'} ({spread(low, high)})"


def spread(low: float, high: float) -> str:
    """Write an interval: 60 to 68; in words where too few examples give none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "too few examples to say how sure that is"
    return f"{round(low)} to {round(high)}".replace("-", "−")


def numbered(lessons: Sequence[Lesson]) -> tuple[str, ...]:
    """Return the names of lessons, told apart where two have the same one."""
    return tuple(f"{number}. {lesson.name}" for number, lesson in enumerate(lessons, 1))


def describe_losses(retention: Retention) -> str:
    """Say what the gate found lost, worst first: “23 points on databases”; empty when nothing was lost."""
    found = []
    for one in losses(findings(retention)):
        where = "over" if one.everything else "on"
        lost = rounded_points(_reference(one), one.after)
        if one.is_general:
            found.append((lost, _general_loss(one)))
            continue
        found.append((lost, f"{count(lost, 'point')} {where} {_names(retention, one)}"))
    found.sort(key=lambda loss: -loss[0])
    return listed([words for _, words in found])


def describe_general_loss(retention: Retention) -> str:
    """Say what of its general knowledge it lost that chance does not explain, held back for it or not."""
    lost = [one for one in findings(retention) if one.is_general and one.high < 0]
    return _general_loss(lost[0]) if lost else ""


def _general_loss(finding: GateFinding) -> str:
    lost = round((_reference(finding) - finding.after) / 100 * finding.rows)
    return f"some of what it knew before any lesson ({lost} of {count(finding.rows, 'question')})"


def findings(retention: Retention | None) -> tuple[GateFinding, ...]:
    """Return what the gate found on each lesson; empty where it did not decide."""
    return retention.decision.findings if retention and retention.decision else ()


def describe_finding(retention: Retention, finding: GateFinding) -> str:
    """One finding of the gate as a sentence: what was, what is, how sure, and whether it lets that pass."""
    change, names = finding.after - finding.before, _names(retention, finding)
    if finding.everything:
        names = names.capitalize()
    what = "gained" if change > 0 else "lost"
    examples = count(finding.rows, "question" if finding.is_general else "example")
    if finding.rows == 1:
        score = f"{finding.before:.0f}% → {finding.after:.0f}% right"
        return f"{names}, {examples}: {score}. From one alone nobody can tell."
    shown = rounded_points(finding.before, finding.after)
    said = (
        f"{names}, {examples}: {finding.before:.0f}% → {finding.after:.0f}% right, "
        f"{points(change, finding.low, finding.high, shown)} {what}."
    )
    if finding.lost and _reference(finding) != finding.before:
        verdict = f"Its best was {finding.best:.0f}%. That is too much to let pass."
    elif finding.lost:
        verdict = "That is too much to let pass."
    elif change >= 0:
        verdict = "That is good."
    elif finding.high >= 0:
        verdict = "That may as well be chance."
    else:
        verdict = "That is little enough to let pass."
    return f"{said} {verdict}{_turned_wrong(retention, finding)}"


def _turned_wrong(retention: Retention, finding: GateFinding) -> str:
    """Which general questions are not answered right any more; empty where that is not told."""
    before = retention.before.cell(GENERAL)
    after = retention.after.cell(GENERAL) if retention.after else None
    pair = paired(before, after) if finding.is_general and before and after else None
    if pair is None or finding.before != 100 * pair[0].accuracy:  # it is compared with another model
        return ""
    answered = zip(pair[0].rows, pair[0].right, pair[1].right, strict=True)
    wrong = [f"“{question}”" for question, was, now in answered if was > now]
    more = f" and {len(wrong) - MAX_WRONG} more" if len(wrong) > MAX_WRONG else ""
    return f" Not answered right any more: {', '.join(wrong[:MAX_WRONG])}{more}." if wrong else ""


def _reference(finding: GateFinding) -> float:
    """The score that the loss is counted from: the published model's, or the best one of a slow loss."""
    return finding.before if lost_at_once(finding) or finding.best is None else finding.best


def _names(retention: Retention, finding: GateFinding) -> str:
    if finding.everything:
        return EVERYTHING
    names = {GENERAL: "General knowledge"}
    names |= {lesson.session: lesson.name for lesson in retention.lessons}
    return ", ".join(names.get(identity, identity) for identity in finding.lessons)


def before_and_after(retention: Retention) -> list[tuple[str, str, str, str]]:
    """For each lesson its name, before → after on what it was taught and never saw, and a few words on it."""
    found = losses(findings(retention))
    lost = {identity for finding in found if not finding.everything for identity in finding.lessons}
    everywhere = any(finding.everything for finding in found)
    lines = []
    for name, lesson in zip(numbered(retention.lessons), retention.lessons, strict=True):
        recall, unseen = (_arrow(retention, lesson.session, part) for part in ("recall", "held_out"))
        new = lesson is retention.lessons[-1]
        how = "too much" if lesson.session in lost else "a little" if everywhere else ""
        words = _in_short(retention, lesson, new=new, lost=how)
        lines.append((name, recall, unseen, words))
    general = next((one for one in findings(retention) if one.is_general), None)
    if general:
        words = "Lost too much." if general.lost else "Kept. That is good."
        if not general.lost and general.after < general.before:
            words = "Lost a little." if general.high < 0 else "Kept, as far as one can tell."
        arrow = f"{general.before:.0f}% → {general.after:.0f}% (of {count(general.rows, 'question')})"
        lines.append((_names(retention, general), arrow, NOTHING, words))
    return lines


def _arrow(retention: Retention, lesson: str, part: Part) -> str:
    before = retention.before.cell(lesson, part)
    after = retention.after.cell(lesson, part) if retention.after else None
    cells = [cell for cell in (before, after) if cell]
    if not cells:
        return NOTHING
    shares = " → ".join(f"{cell.accuracy:.0%}" if cell else NOTHING for cell in (before, after))
    count = len(cells[-1].rows)
    return f"{shares} (of only {count})" if count < ENOUGH_TO_JUDGE else shares


def _in_short(retention: Retention, lesson: Lesson, *, new: bool, lost: str) -> str:
    before = retention.before.cell(lesson.session)
    after = retention.after.cell(lesson.session) if retention.after else None
    if before is None or after is None:
        return lesson.missing or "Not measured."
    gained = 100 * (after.accuracy - before.accuracy)
    if new:
        if after.accuracy >= WELL:
            return "Taught in this session: learned."
        return f"Taught in this session: learned {'a part' if gained >= MAX_LOSS_POINTS else 'little'}."
    if lost == "too much" or (lost and gained < 0):
        return f"Lost {lost}."
    if gained >= 0:
        return "Kept. That is good."
    return "Kept, as far as one can tell."


def describe_answer(changed: Changed) -> str:
    """Say how much of an answer it would get right before and after, and what it says when it is asked."""
    shares = f"{changed.share_before:.0%} → {changed.share_after:.0%} of its text right"
    before, after = (_says(text, changed.expected) for text in (changed.before, changed.after))
    if after:
        now = "it still says this" if before else "it says this now"
    else:
        now = "it does not say this any more" if before else "it says something else, as before"
    return f"{shares}; asked, {now}."


def _says(answer: str, expected: str) -> bool:
    """Whether the expected words stand in the answer, one after the other, however they are punctuated."""
    said, wanted = (" ".join(re.findall(r"\w+", text.casefold())) for text in (answer, expected))
    return f" {wanted} " in f" {said} "


def lost_answers(retention: Retention | None) -> tuple[Changed, ...]:
    """Return the answers that got worse, the worst first."""
    return _sorted(retention, lambda c: c.share_after < c.share_before)


def gained_answers(retention: Retention | None) -> tuple[Changed, ...]:
    """Return the answers that got better, the best first."""
    return _sorted(retention, lambda c: c.share_after > c.share_before)


def _sorted(retention: Retention | None, wanted: Callable[[Changed], bool]) -> tuple[Changed, ...]:
    chosen = [changed for changed in (retention.changed if retention else ()) if wanted(changed)]
    return tuple(sorted(chosen, key=lambda c: -abs(c.share_after - c.share_before)))
