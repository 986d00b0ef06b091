"""Sessions side by side: what was asked of each, what each measured, and what each answered.

Values come as the words in which a person reads them, one for each session in the order given. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sails import retention, sessions
from sails.retention import Retention
from sails.sessions import Scores, SessionMonitor, SessionRecord, Settings, TrainSpec, format_rate, option
from sails.training.plan import resolve_schedule

MAX_COMPARED = 5  # sessions that can be compared; more are hard to tell apart
NOTHING = "–"
BEST = "★"


@dataclass(frozen=True)
class ComparedLine:
    """One thing of which sessions may differ, with one value for each."""

    label: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the sessions differ in it."""
        return len(set(self.values)) > 1


# --- what was asked -------------------------------------------------------------------------------


def compare_settings(records: Sequence[SessionRecord]) -> list[ComparedLine]:
    """Return what was asked of each session and with what it was carried out."""
    return [ComparedLine(label, tuple(map(value, records))) for label, value in _lines().items()]


def _start(record: SessionRecord) -> str:
    plan = record.status.plan
    if plan is None:
        return NOTHING
    return f"the base model {plan.model}" if plan.start_from == "base" else "the trained model"


def _learning_rate(record: SessionRecord) -> str:
    if record.status.plan:
        return sessions.describe_learning_rate(record.status.plan)
    asked = record.spec.settings.learning_rate if isinstance(record.spec, TrainSpec) else None
    return f"{format_rate(asked)} (chosen)" if asked else "automatic"


def _rounds(record: SessionRecord) -> str:
    if not isinstance(record.spec, TrainSpec):
        return NOTHING
    asked, results = record.spec.settings, record.status.results
    if asked.epochs:
        return f"{asked.epochs} (chosen)"
    if results.epochs and not results.most_epochs:  # an earlier release went through all rounds of the preset
        return f"{round(results.epochs, 1):g} (preset {asked.preset})"
    most = results.most_epochs or resolve_schedule(asked, results.rows_taught or record.spec.rows).epochs
    done = f"{round(results.epochs, 1):g} of " if results.epochs else ""
    return f"{done}up to {most} (preset {asked.preset})"


def _asked(name: str) -> Callable[[SessionRecord], str]:
    """One of the settings, as asked, in the words that it is declared with."""
    about = option(name)

    def value(record: SessionRecord) -> str:
        if not isinstance(record.spec, TrainSpec):
            return NOTHING
        asked = getattr(record.spec.settings, name)
        if isinstance(asked, bool):
            return "yes" if asked else "no"
        if asked is None:
            return about.unset or NOTHING
        return f"{asked:.0%}" if about.percent else about.outcomes.get(str(asked), str(asked))

    return value


def _advice(record: SessionRecord) -> str:
    """What was measured before the training, and whether it was followed."""
    advice = record.spec.advice if isinstance(record.spec, TrainSpec) else None
    if advice is None:
        return NOTHING
    if advice.learning_rate is None:
        return "none that helps was found"
    plan = record.status.plan
    followed = plan is not None and plan.learning_rate_chosen_by == "advice"
    return f"{format_rate(advice.learning_rate)} ({'followed' if followed else 'not followed'})"


def _blend(record: SessionRecord) -> str:
    share = record.status.results.blend
    return _asked("blend")(record) if share is None else f"{share:.0%} of the change was kept"


def _protected(record: SessionRecord) -> str:
    results = record.status.results
    nothing = results.steps and not results.rehearsed  # an earlier release, or no base model to ask
    return "none" if nothing else _asked("protect")(record)


def _rows(record: SessionRecord) -> str:
    results = record.status.results
    if not results.rows_taught:
        return NOTHING
    return f"{results.rows_taught} ({results.rows_new} of them new to the model)"


# Said in another way than as asked: by what came of it, or in another line.
_OUTCOMES: dict[str, Callable[[SessionRecord], str] | None] = {
    "learning_rate": _learning_rate,
    "epochs": _rounds,
    "device": lambda record: record.status.results.device or NOTHING,
    "blend": _blend,
    "protect": _protected,
    "preset": None,
}


def _lines() -> dict[str, Callable[[SessionRecord], str]]:
    """Each line of the table; a setting without a line of its own stands at its end."""

    def of_settings(*names: str) -> dict[str, Callable[[SessionRecord], str]]:
        values = {name: _OUTCOMES.get(name, _asked(name)) for name in names}
        return {option(name).label or option(name).title: value for name, value in values.items() if value}

    return {
        "Examples (dataset)": lambda record: (
            record.spec.dataset if isinstance(record.spec, TrainSpec) else NOTHING
        ),
        "Examples taught": _rows,
        "Examples set aside for testing": lambda record: str(record.status.results.rows_held_out or NOTHING),
        "Earlier lessons of its model": lambda record: (
            NOTHING if record.status.lessons is None else str(len(record.status.lessons))
        ),
        **of_settings("replay_share"),
        "Examples of earlier lessons repeated": lambda record: str(
            record.status.results.rows_replayed or NOTHING
        ),
        **of_settings("teach_again", "publish"),
        "Started from": _start,
        "Base model at its root": lambda record: (record.status.plan and record.status.plan.base) or NOTHING,
        **of_settings("method", "learning_rate"),
        "Learning speed that was measured to suit it": _advice,
        **of_settings("epochs", "batch_size", "max_steps", "max_length", "early_stop", "seed", "device"),
        "Precision": lambda record: record.status.results.precision or NOTHING,
        **of_settings(*Settings.model_fields),
    }


# --- what was measured ----------------------------------------------------------------------------


def compare_scores(records: Sequence[SessionRecord]) -> list[ComparedLine]:
    """Return what each session kept of what was known before it, and what it learned.

    The best after the lesson is marked where they can be told apart: among sessions that were taught the same
    examples, and never one whose model the gate holds back for what it lost. Who has no rival is not best.
    """
    results = [record.status.results for record in records]
    retained = [retention.retention_if_readable(record.session) for record in records]
    same_lesson = (
        len(
            {
                (record.spec.dataset, record.spec.rows)
                for record in records
                if isinstance(record.spec, TrainSpec)
            }
        )
        == 1
    )
    may_win = [same_lesson and _may_win(record, one) for record, one in zip(records, retained, strict=True)]
    before_taught, after_taught = [r.taught_before for r in results], [r.taught_after for r in results]
    before_unseen, after_unseen = [r.held_out_before for r in results], [r.held_out_after for r in results]
    nobody = [False] * len(records)
    return [
        ComparedLine("Earlier lessons, share of the answers right", tuple(map(_earlier_lessons, retained))),
        ComparedLine("General knowledge, questions right", tuple(map(_general_knowledge, retained))),
        _losses("Loss on taught examples, before", before_taught, nobody),
        _losses("Loss on taught examples, after", after_taught, may_win),
        _shares("Share right on taught examples, after", after_taught, may_win),
        _losses("Loss on examples set aside for testing, before", before_unseen, nobody),
        _losses("Loss on examples set aside for testing, after", after_unseen, may_win),
        _shares("Share right on examples set aside for testing, after", after_unseen, may_win),
        ComparedLine("Steps", tuple(str(r.steps or NOTHING) for r in results)),
    ]


def _may_win(record: SessionRecord, retained: Retention | None) -> bool:
    held = retained is not None and retained.decision is not None and retained.decision.held
    return not held and record.status.verdict not in ("held", "discarded")


def _earlier_lessons(retained: Retention | None) -> str:
    """The score on all earlier lessons together, before and after; on the only one, where there is one."""
    found = [one for one in retention.findings(retained) if not one.is_general]
    if not found:
        return NOTHING
    whole = next((one for one in found if one.everything), found[0])
    too_much = ": it lost too much" if any(one.lost for one in found) else ""
    return f"{whole.before:.0f}% → {whole.after:.0f}%{too_much}"


def _general_knowledge(retained: Retention | None) -> str:
    found = [one for one in retention.findings(retained) if one.is_general]
    if not found:
        return NOTHING
    right = round(found[0].after / 100 * found[0].rows)
    return f"{right} of {found[0].rows}{': it lost too much' if found[0].lost else ''}"


def _losses(label: str, scores: Sequence[Scores | None], may_win: Sequence[bool]) -> ComparedLine:
    """Losses, of which the lowest is the best."""
    return _line(label, [score.loss if score else None for score in scores], "{:.2f}", min, may_win)


def _shares(label: str, scores: Sequence[Scores | None], may_win: Sequence[bool]) -> ComparedLine:
    return _line(label, [score.accuracy if score else None for score in scores], "{:.0%}", max, may_win)


def _line(
    label: str,
    values: Sequence[float | None],
    form: str,
    best: Callable[[list[float]], float],
    may_win: Sequence[bool],
) -> ComparedLine:
    texts = [NOTHING if value is None else form.format(value) for value in values]
    rivals = [value for value, may in zip(values, may_win, strict=True) if may and value is not None]
    if len({form.format(value) for value in rivals}) > 1:
        winner = form.format(best(rivals))
        texts = [
            f"{text} {BEST} best" if may and text == winner else text
            for text, may in zip(texts, may_win, strict=True)
        ]
    return ComparedLine(label, tuple(texts))


# --- what was answered ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ComparedQuestion:
    """One question, and what each session's model answered after its lesson; None: it was not asked.

    `expected` is the answer that was taught, None where none was or the sessions were taught different ones.
    """

    text: str
    answers: tuple[str | None, ...]
    expected: str | None = None


def taught_answers(monitors: Sequence[SessionMonitor]) -> dict[str, str]:
    """Return the answer that was taught, by question, where all sessions that were asked it agree on it."""
    taught: dict[str, set[str]] = {}
    for monitor in monitors:
        for item in monitor.answers.get("after", ()):
            if item.expected is not None:
                taught.setdefault(item.question, set()).add(item.expected)
    return {question: expected.pop() for question, expected in taught.items() if len(expected) == 1}


def last_answers(monitor: SessionMonitor) -> dict[str, str]:
    """Return what the model answered after the lesson, by question; samples on the way count as well."""
    answers: dict[str, str] = {}
    for samples in monitor.samples[-1:]:
        answers.update(zip(samples.prompts, samples.answers, strict=False))
    return answers | {item.question: item.answer for item in monitor.answers.get("after", ())}


def same_questions(
    answered: Sequence[Mapping[str, str]], taught: Mapping[str, str]
) -> list[ComparedQuestion]:
    """Return the questions that at least two were asked, those that most were asked first."""
    counts: dict[str, int] = {}
    for answers in answered:
        for question in answers:
            counts[question] = counts.get(question, 0) + 1
    common = sorted((q for q, count in counts.items() if count > 1), key=lambda q: -counts[q])
    return [ComparedQuestion(q, tuple(answers.get(q) for answers in answered), taught.get(q)) for q in common]
