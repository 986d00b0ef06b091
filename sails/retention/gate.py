"""The gate: whether a candidate lost so much of the earlier lessons that a person must decide about it.

Two models are compared on *recall* alone, rows that they were taught, row by row on those that both were
scored on. A lesson with `MIN_ROWS` such rows stands for itself; smaller ones are judged together. All of them
are judged together once more, so that a little lost everywhere is seen too. What the base model knew before
any lesson, its general knowledge, is judged like a lesson, on questions that it answers right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sails.retention.bootstrap import (
    BootstrapEstimate,
    bootstrap_generator,
    difference,
    lowest,
    moderated,
    paired,
    pooled,
)
from sails.retention.lessons import MIN_ROWS
from sails.retention.schema import GENERAL, Cell, Decision, GateFinding, Lesson, Measured
from sails.system import listed

MAX_LOSS_POINTS = 5.0  # points below the published model
MAX_GRADUAL_LOSS_POINTS = 10.0  # points below the best model that was ever published
MAX_MEAN_LOSS_POINTS = 2.0  # over all earlier lessons together, likewise
MAX_GRADUAL_MEAN_LOSS_POINTS = 4.0
RISK = 0.05  # that all intervals together miss a true value

EVERYTHING = "all earlier lessons together"
NOTHING_LOST = "On balance it lost nothing of what it knew, as far as that was measured."
FIRST_LESSON = "It is the first lesson, so there was no earlier one that it could have lost."


def decide(
    before: Measured, after: Measured, published: Sequence[Measured], lessons: Sequence[Lesson]
) -> Decision:
    """Decide whether the candidate `after` may replace the published model `before`.

    `published` are the scores of the published ancestors, `lessons` the earlier lessons without the new one.
    The candidate is held when on a lesson (or on the small ones together, or on general knowledge)
    - it has more than `MAX_LOSS_POINTS` points less than the published model, or
    - it has more than `MAX_GRADUAL_LOSS_POINTS` points less than the best published model, so that what is
      lost little by little does not slip through,
    or on all of them together more than `MAX_MEAN_LOSS_POINTS` or `MAX_GRADUAL_MEAN_LOSS_POINTS`, and the
    paired-bootstrap interval of that difference excludes zero, at confidence 1 − RISK/K for K comparisons,
    the one on all of them counted. For the best one this interval allows for its luck (`bootstrap.lowest`),
    because the best of many scores is partly the luckiest: ten points alone would hold up to three quarters
    of harmless sessions with ten earlier lessons of twenty rows. What is held is in benchmarks/gate.py.
    """
    compared = _compared(before, after, lessons)
    names = {GENERAL: GENERAL, **{lesson.session: lesson.name for lesson in lessons}}
    confidence = 1 - RISK / max(1, len(compared))
    findings = tuple(
        _finding(group, change, published, confidence)
        for group, change in zip(compared, _changes(compared), strict=True)
    )
    first = [] if lessons else [FIRST_LESSON]
    reasons = _reason(findings, names) if findings or lessons else []
    return Decision(
        held=any(finding.lost for finding in findings),
        reason=" ".join(first + reasons + _not_compared(before, after, lessons)),
        findings=findings,
    )


@dataclass(frozen=True)
class Compared:
    """One comparison: the lessons, and the two models' scores on the same rows of each."""

    lessons: tuple[str, ...]
    before: tuple[Cell, ...]
    after: tuple[Cell, ...]
    everything: bool = False  # all lessons that the other comparisons compare

    @property
    def alone(self) -> bool:
        """Whether it is about a lesson, or the small ones together."""
        return not self.everything and self.lessons != (GENERAL,)

    @property
    def rows(self) -> int:
        return sum(len(cell.rows) for cell in self.after)


def _compared(before: Measured, after: Measured, lessons: Sequence[Lesson]) -> list[Compared]:
    compared, small = [], []
    for lesson in lessons:
        pair = _pair(before.cell(lesson.session), after.cell(lesson.session))
        if pair and len(pair[1].rows) >= MIN_ROWS:
            compared.append(Compared((lesson.session,), pair[:1], pair[1:]))
        elif pair:
            small.append((lesson.session, *pair))
    if small:
        identities, olds, news = zip(*small, strict=True)
        compared.append(Compared(identities, olds, news))
    if len(compared) > 1:
        compared.append(
            Compared(
                tuple(identity for group in compared for identity in group.lessons),
                tuple(cell for group in compared for cell in group.before),
                tuple(cell for group in compared for cell in group.after),
                everything=True,
            )
        )
    if general := _pair(before.cell(GENERAL), after.cell(GENERAL)):
        compared.append(Compared((GENERAL,), general[:1], general[1:]))
    return compared


def _pair(before: Cell | None, after: Cell | None) -> tuple[Cell, Cell] | None:
    return paired(before, after) if before and after else None


def _changes(compared: Sequence[Compared]) -> list[BootstrapEstimate]:
    """After − before of each, in points. Lessons share what is known of the spread: their rows are alike."""
    generator = bootstrap_generator()
    changes = [difference(pooled(group.before), pooled(group.after), generator) for group in compared]
    alone = sum(group.alone for group in compared)
    return moderated(changes[:alone]) + changes[alone:]


def _finding(
    group: Compared, change: BootstrapEstimate, published: Sequence[Measured], confidence: float
) -> GateFinding:
    old, now = pooled(group.before), pooled(group.after)
    low, high = change.interval(confidence)
    # Each published model beside the candidate, on the rows of the group that both were scored on. Left out
    # are models that knew fewer than half of its lessons, and those that were scored on fewer than `MIN_ROWS`
    # of its rows, or not on all of still fewer.
    earlier = [(old, now)]
    for model in published:
        pairs = [_pair(model.cell(cell.lesson), cell) for cell in group.after]
        measured = [pair for pair in pairs if pair]
        rows = sum(len(pair[1].rows) for pair in measured)
        if 2 * len(measured) >= len(group.after) and rows >= min(MIN_ROWS, group.rows):
            earlier.append((pooled([pair[0] for pair in measured]), pooled([pair[1] for pair in measured])))
    best = max(earlier, key=_lost)
    least = MAX_GRADUAL_MEAN_LOSS_POINTS if group.everything else MAX_GRADUAL_LOSS_POINTS
    slowly = _lost(best) > least and (
        # A generator for each, so that models that were scored on the same rows get the same resamples.
        lowest([difference(then, now, bootstrap_generator()) for then, now in earlier], confidence) < 0
    )
    finding = GateFinding(
        lessons=group.lessons,
        rows=group.rows,
        before=100 * old.accuracy,
        after=100 * now.accuracy,
        low=max(low, -100.0),
        high=min(high, 100.0),
        # What it would be on all rows of the group, if it was scored on some of them.
        best=100 * now.accuracy + _lost(best),
        everything=group.everything,
    )
    return finding.model_copy(update={"lost": slowly or lost_at_once(finding)})


def lost_at_once(finding: GateFinding) -> bool:
    """Tell whether it is far below the published model, rather than below the best one before that."""
    least = MAX_MEAN_LOSS_POINTS if finding.everything else MAX_LOSS_POINTS
    return finding.before - finding.after > least and finding.high < 0


def losses(findings: Sequence[GateFinding]) -> list[GateFinding]:
    """Those that hold the candidate; the one on everything only where no other does, for it tells no more."""
    lost = [finding for finding in findings if finding.lost]
    return [finding for finding in lost if not finding.everything] or lost


def _lost(pair: tuple[Cell, Cell]) -> float:
    """Points that the second has less than the first."""
    return 100 * pair[0].accuracy - 100 * pair[1].accuracy


def _reason(findings: Sequence[GateFinding], names: dict[str, str]) -> list[str]:
    """What was found, in one or two sentences; none when nothing was compared."""
    if not findings:
        return ["Nothing of the earlier lessons could be compared, so what it lost is not known."]
    lost = losses(findings)
    at_once = [finding for finding in lost if lost_at_once(finding)]
    slowly = [finding for finding in lost if finding not in at_once]
    reasons = []
    if at_once:
        words = [_words(finding, finding.before, names, full=n == 0) for n, finding in enumerate(at_once)]
        reasons.append(f"It lost {listed(words)}, more than chance explains.")
    if slowly:
        words = [_words(f, f.best or f.before, names, full=n == 0) for n, f in enumerate(slowly)]
        reasons.append(f"Little by little, over several sessions, {listed(words)} were lost.")
    if lost:
        return reasons
    worst = max(findings, key=lambda finding: finding.before - finding.after)
    if worst.before <= worst.after:
        return [NOTHING_LOST]
    if rounded_points(worst.before, worst.after) == 0:
        return ["It kept what it knew; as far as that was measured, it lost less than a point anywhere."]
    most = _words(worst, worst.before, names, full=True)
    if worst.before - worst.after > MAX_LOSS_POINTS:
        return [f"It lost {most}, which may well be chance."]
    return [f"It kept what it knew; the most that it lost is {most}."]


def _words(finding: GateFinding, reference: float, names: dict[str, str], *, full: bool) -> str:
    """Such as "23 points on databases (81% → 58% of the answers' text right)"."""
    lost = rounded_points(reference, finding.after)
    unit = "point" if lost == 1 else "points"
    what = f"on {listed([names[lesson] for lesson in finding.lessons])}"
    if finding.everything:
        what = f"over {EVERYTHING}"
    elif len(finding.lessons) > 1:
        what += " together"
    of_what = " of the answers' text right" if full else ""
    if finding.is_general:
        of_what = " of the questions that its base model surely knows"
    return f"{lost} {unit} {what} ({reference:.0f}% → {finding.after:.0f}%{of_what})"


def rounded_points(before: float, after: float) -> int:
    """Return the loss as a person reckons it from the two rounded shares."""
    return int(f"{before:.0f}") - int(f"{after:.0f}")


def _not_compared(before: Measured, after: Measured, lessons: Sequence[Lesson]) -> list[str]:
    """One sentence for each reason why lessons could not be compared."""
    names: dict[str, list[str]] = {}
    for lesson in lessons:
        old, now = before.cell(lesson.session), after.cell(lesson.session)
        if _pair(old, now):
            continue
        if lesson.missing:
            why = lesson.missing[:1].lower() + lesson.missing[1:].rstrip(".")
        elif now is None:
            why = "it was not measured"
        elif old is None:
            why = "it was not measured for the model before"
        else:
            why = "the two models were measured on different examples"
        names.setdefault(why, []).append(lesson.name)
    return [f"Not compared: {listed(found)} ({why})." for why, found in names.items()]
