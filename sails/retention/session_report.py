"""What one session did to each lesson, in words: before and after, what the gate found, answers that changed.

Page and command say the same. Draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sails.data import ENOUGH_TO_JUDGE
from sails.retention.gate import LOST
from sails.retention.schema import Changed, GateFinding, Lesson, Part, Retention

NOTHING = "–"
GOOD = 80.0  # points: share of the answers' word pieces right

# --- figures --------------------------------------------------------------------------------------


def points(change: float, low: float, high: float) -> str:
    """How much a change amounts to, whatever its direction: −3 (−5 to −1) is 3 points (1 to 5)."""
    if change < 0:
        change, low, high = -change, -high, -low
    count = f"{change:.0f}"
    return f"{count} {'point' if count == '1' else 'points'} ({spread(low, high)})"


def spread(low: float, high: float) -> str:
    """An interval: 60 to 68; in words where too few examples give none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "too few examples to say how sure that is"
    return f"{_rounded(low)} to {_rounded(high)}"


def _rounded(value: float) -> str:
    return f"{round(value):d}".replace("-", "−")


def numbered(lessons: Sequence[Lesson]) -> tuple[str, ...]:
    """The names of lessons, told apart where two have the same one."""
    return tuple(f"{number}. {lesson.name}" for number, lesson in enumerate(lessons, 1))


# --- what the gate found --------------------------------------------------------------------------


def lost_words(found: Retention) -> str:
    """What the gate found lost, worst first: “23 points on databases”; empty when nothing was lost."""
    lost = sorted((f for f in findings(found) if f.lost), key=_lost_points, reverse=True)
    return " and ".join(f"{_lost_points(finding)} points on {_names(found, finding)}" for finding in lost)


def findings(found: Retention) -> tuple[GateFinding, ...]:
    return found.decision.findings if found.decision else ()


def finding_words(found: Retention, finding: GateFinding) -> str:
    """One finding of the gate as a sentence: what was, what is, how sure, and whether it lets that pass."""
    change = finding.after - finding.before
    what = "gained" if change > 0 else "lost"
    said = (
        f"{_names(found, finding)}, {finding.rows} examples: {finding.before:.0f}% → {finding.after:.0f}% "
        f"right, {points(change, finding.low, finding.high)} {what}."
    )
    if finding.lost and _reference(finding) != finding.before:
        return f"{said} Its best was {finding.best:.0f}%. That is too much to let pass."
    if finding.lost:
        return f"{said} That is too much to let pass."
    if change >= 0:
        return f"{said} That is good."
    if finding.high >= 0:
        return f"{said} That may as well be chance."
    return f"{said} That is little enough to let pass."


def _reference(finding: GateFinding) -> float:
    """The score that the loss is counted from: the published model's, or the best one of a slow loss."""
    at_once = finding.before - finding.after > LOST and finding.high < 0
    return finding.before if at_once or finding.best is None else finding.best


def _lost_points(finding: GateFinding) -> int:
    """Points lost, as a person reckons them from the two rounded shares."""
    return round(_reference(finding)) - round(finding.after)


def _names(found: Retention, finding: GateFinding) -> str:
    names = {lesson.session: lesson.name for lesson in found.lessons}
    return ", ".join(names.get(identity, identity) for identity in finding.lessons)


def before_and_after(found: Retention) -> list[tuple[str, str, str, str]]:
    """For each lesson its name, before → after on what it was taught and never saw, and a few words on it."""
    lost = {identity for finding in findings(found) if finding.lost for identity in finding.lessons}
    lines = []
    for name, lesson in zip(numbered(found.lessons), found.lessons, strict=True):
        recall, unseen = (_arrow(found, lesson.session, part) for part in ("recall", "held_out"))
        new = lesson is found.lessons[-1]
        lines.append((name, recall, unseen, _in_short(found, lesson, new=new, lost=lesson.session in lost)))
    return lines


def _arrow(found: Retention, lesson: str, part: Part) -> str:
    before = found.before.cell(lesson, part)
    after = found.after.cell(lesson, part) if found.after else None
    cells = [cell for cell in (before, after) if cell]
    if not cells:
        return NOTHING
    shares = " → ".join(f"{cell.accuracy:.0%}" if cell else NOTHING for cell in (before, after))
    count = len(cells[-1].rows)
    return f"{shares} (of only {count})" if count < ENOUGH_TO_JUDGE else shares


def _in_short(found: Retention, lesson: Lesson, *, new: bool, lost: bool) -> str:
    before = found.before.cell(lesson.session)
    after = found.after.cell(lesson.session) if found.after else None
    if before is None or after is None:
        return lesson.missing or "Not measured."
    gained = 100 * (after.accuracy - before.accuracy)
    if new:
        learned = gained >= LOST or 100 * after.accuracy >= GOOD
        return f"Taught in this session: {'learned' if learned else 'learned little'}."
    if lost:
        return "Lost too much."
    if gained >= 0:
        return "Kept. That is good."
    return "Kept, as far as one can tell."


# --- answers --------------------------------------------------------------------------------------


def lost_answers(found: Retention | None) -> tuple[Changed, ...]:
    """The answers that got worse, the worst first."""
    return _sorted(found, lambda c: c.share_after < c.share_before)


def gained_answers(found: Retention | None) -> tuple[Changed, ...]:
    """The answers that got better, the best first."""
    return _sorted(found, lambda c: c.share_after > c.share_before)


def _sorted(found: Retention | None, wanted: Callable[[Changed], bool]) -> tuple[Changed, ...]:
    chosen = [changed for changed in (found.changed if found else ()) if wanted(changed)]
    return tuple(sorted(chosen, key=lambda c: -abs(c.share_after - c.share_before)))
