"""What a session teaches: its rows, those that are kept back, and the old rows that it repeats.

The first time they are chosen and written into the session's data/ folder; a resumed session reads them
there, so that it goes on with exactly what it began with. Needs no machine-learning library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from sails import data, retention
from sails.data import Conversation, Register, Split, ledger, read_jsonl, split_rows, write_jsonl
from sails.errors import BadDataError
from sails.models import Workspace
from sails.retention import draw, replay_count, replayable_rows
from sails.sessions import Reporter, Session, Settings, Status, TrainSpec
from sails.training.encoding import Encoded
from sails.training.plan import Schedule, resolve_schedule

LESSON, ROUNDS = "lesson", "rounds"  # fields of a row in replay.jsonl: who taught it, which epochs repeat it


@dataclass(frozen=True)
class TrainingMixture:
    """The rows of a session, as they lie in its data/ folder; `repeated` knows the epochs of each old row."""

    train: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...]
    repeated: tuple[Conversation, ...]
    schedule: Schedule

    def rounds(self) -> list[list[int]]:
        """Return the rows of each epoch, as numbers into `train` followed by `repeated`."""
        first = len(self.train)
        epochs: list[list[int]] = [list(range(first)) for _ in range(self.schedule.epochs)]
        for number, row in enumerate(self.repeated, first):
            for epoch in row.extra[ROUNDS]:
                if epoch < len(epochs):
                    epochs[epoch].append(number)
        return epochs


def prepare(
    workspace: Workspace,
    session: Session,
    spec: TrainSpec,
    reporter: Reporter,
    encode: Callable[[Sequence[Conversation]], Encoded] | None = None,
) -> TrainingMixture:
    """Return the session's rows. Raises `BadDataError` when none is left to teach.

    A row of which `encode` learns nothing is neither taught nor held out, with a note; it may be another
    time. The status tells by now which lessons the model was taught before (`Status.lessons`).
    """
    train, held_out, repeated = (session.data / f"{name}.jsonl" for name in ("train", "heldout", "replay"))
    if not train.exists():
        rows, notes = data.rows_of(workspace, spec.dataset), list[str]()
        if encode:
            encoded = encode(rows)
            notes = encoded.notes(rows)
            rows = [row for number, row in enumerate(rows) if number not in encoded.refused]
        parts = _split(workspace, rows)
        # The register is written first: killed in between, the same split comes out the next time.
        Register.load(workspace.register).record(
            held=[row.input_fingerprint for row in parts.held_out],
            taught=[row.input_fingerprint for row in parts.train],
            session=session.id,
        )
        session.data.mkdir(exist_ok=True)
        write_jsonl(held_out, parts.held_out)
        write_jsonl(train, parts.train)
        reporter.result(rows_held_out=len(parts.held_out))
        for text in (*parts.notes, *notes):
            reporter.note(text)
    taught = read_jsonl(train)
    if not repeated.exists():
        earlier = reporter.status.lessons or ()
        old = replayable_rows(retention.all_lesson_rows(workspace, earlier, taught), taught)
        chosen = choose_repeated(old, len(taught), spec.settings)
        write_jsonl(repeated, chosen)
        counts = ledger(taught, retention.taught_before(workspace, reporter.status.parent))
        reporter.result(rows_taught=counts.total, rows_new=counts.new, rows_replayed=len(chosen))
        for text in _notes(workspace, reporter.status):
            reporter.note(text)
    old_rows = read_jsonl(repeated)
    schedule = resolve_schedule(spec.settings, len(taught), len(old_rows))
    return TrainingMixture(tuple(taught), tuple(read_jsonl(held_out)), tuple(old_rows), schedule)


def begin_again(session: Session) -> None:
    """Forget the old rows and what was measured: the session begins again, maybe from another model."""
    (session.data / "replay.jsonl").unlink(missing_ok=True)
    (session.folder / retention.RETENTION_FILE).unlink(missing_ok=True)


def peek(workspace: Workspace, dataset: str) -> Split:
    """Return the rows of a dataset as a session would split them now; nothing is written."""
    return _split(workspace, data.rows_of(workspace, dataset))


def _split(workspace: Workspace, rows: Sequence[Conversation]) -> Split:
    parts = split_rows(rows, Register.load(workspace.register))
    if not parts.train:
        raise BadDataError(
            "Every row of this dataset is set aside for testing, so none is left to teach.",
            "Add more rows to the file.",
        )
    return parts


def choose_repeated(
    old: Mapping[str, Sequence[Conversation]], new: int, settings: Settings
) -> list[Conversation]:
    """Return the old rows that a session with `new` rows repeats, each with its lesson and its epochs."""
    total = sum(len(rows) for rows in old.values())
    schedule = resolve_schedule(settings, new, total)
    everything = [(identity, row) for identity, rows in old.items() for row in rows]
    ends = [*accumulate(map(len, old.values()), initial=0)]
    places = [range(first, end) for first, end in pairwise(ends)]
    count = total if settings.teach_again else replay_count(new, total, settings.replay_share)
    epochs: dict[int, list[int]] = {}
    for epoch in range(schedule.epochs):
        for number in draw(places, count, seed=settings.seed, epoch=epoch):
            epochs.setdefault(number, []).append(epoch)
    return [
        replace(row, extra={**row.extra, LESSON: identity, ROUNDS: epochs[number]})
        for number, (identity, row) in enumerate(everything)
        if number in epochs
    ]


def _notes(workspace: Workspace, status: Status) -> list[str]:
    return [
        f"{lesson.name} is not repeated and not measured: {lesson.missing[:1].lower()}{lesson.missing[1:]}"
        for lesson in retention.lessons_of(workspace, status.lessons or ())
        if lesson.missing
    ]
