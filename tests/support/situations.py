"""Workspaces in each situation of the behavior matrix, and sessions in each state, for tests of pages."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sails import retention, sessions
from sails.data import Conversation, Turn, write_jsonl
from sails.models.folder import PROVENANCE
from sails.models.publish import publish_model
from sails.models.versions import Provenance
from sails.models.workspace import Workspace
from sails.retention.gate import decide
from sails.retention.schema import Cell, Changed, Decision, Drift, Lesson, Measured, Part, Retention
from sails.sessions import Failure, Results, Scores, Session, Status, TrainSpec
from sails.sessions.plan import Plan
from sails.training.plan.behavior import MATRIX, automatic_learning_rate
from tests.support.folders import fingerprint_of, make_model, make_onnx

ROWS = [row.number for row in MATRIX]
BASE = "smollm2-135m-instruct"


def make_situation(root: Path, number: int) -> Workspace:
    """A workspace to which row `number` applies; in row 3 its ONNX model is fresh."""
    row = MATRIX[number - 1]
    workspace = Workspace.open(root)
    root.mkdir(parents=True, exist_ok=True)
    fingerprint = None
    if row.trained != "missing":
        make_model(workspace.trained_model)
        record = {"base": BASE, "session": "20260105-091500-databases"}
        (workspace.trained_model / PROVENANCE).write_text(json.dumps(record))
        fingerprint = fingerprint_of(workspace.trained_model)
    if row.trained == "incomplete":
        weights = workspace.trained_model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    if row.onnx == "present":
        make_onnx(workspace.onnx_model, fingerprint)
    return workspace


def make_session(workspace: Workspace, name: str, hour: int = 9, **status: object) -> Session:
    """A session that nobody ran: its spec, and a status with these fields."""
    spec = TrainSpec(
        id=f"20260105-{hour:02}0000-{name}"[:60],
        name=name,
        created=datetime(2026, 1, 5, hour, tzinfo=UTC),
        dataset="databases",
        rows=90,
        trained_model=workspace.trained_model,
        onnx_model=workspace.onnx_model,
    )
    session = sessions.create(workspace.sessions, spec)
    session.write_status(Status.model_validate(status))
    return session


def published(**changes: object) -> dict[str, object]:
    """The status of a session that went well: 74 seconds, from base, loss 2.84 to 0.61."""
    rate = automatic_learning_rate("base")
    return {
        "state": "succeeded",
        "phase": "done",
        "verdict": "published",
        "started": datetime(2026, 1, 5, 9, 0, tzinfo=UTC),
        "ended": datetime(2026, 1, 5, 9, 1, 14, tzinfo=UTC),
        "plan": Plan(
            row=1,
            start_from="base",
            model=BASE,
            base=BASE,
            learning_rate=rate,
            automatic_learning_rate=rate,
            reason="",
        ),
        "results": Results(
            taught_before=Scores(loss=2.84, accuracy=0.4, rows=81),
            taught_after=Scores(loss=0.61, accuracy=0.9, rows=81),
        ),
        **changes,
    }


def failed() -> dict[str, object]:
    failure = Failure(kind="disk_full", message="The disk is full.", remedy="Free some space, then resume.")
    return {"state": "failed", "phase": "done", "failure": failure}


# --- what is remembered ---------------------------------------------------------------------------


def remembered(
    session: Session,
    shares: Mapping[Session, tuple[float, float]],
    *,
    rows: int = 40,
    general: float | None = 0.97,
    decision: Decision | None = None,
    changed: Sequence[Changed] = (),
) -> Retention:
    """What a session measured: for each lesson, its own last, the shares of tokens right before and after.

    A quarter of the rows is kept back, and does a tenth worse. Lessons get rows, so that none is missing.
    """
    lessons = []
    for lesson in shares:
        lesson.data.mkdir(exist_ok=True)
        write_jsonl(lesson.data / "train.jsonl", rows_of(lesson, rows))
        lessons.append(Lesson(session=lesson.id, name=lesson.spec().name))
    before, after = (
        tuple(
            cell
            for lesson, pair in shares.items()
            for cell in (
                cell_of(lesson, "recall", pair[when], rows),
                cell_of(lesson, "held_out", max(0.0, pair[when] - 0.1), rows // 4),
            )
        )
        for when in (0, 1)
    )
    status = session.written_status()
    drift = None if general is None else Drift(divergence=1 - general, agreement=general, prompts=24)
    found = Retention(
        lessons=tuple(lessons),
        base=Measured(cells=tuple(cell for cell in before if cell.lesson == session.id)),
        before=Measured(fingerprint=status.parent, cells=before, general=drift),
        after=Measured(fingerprint=status.fingerprint, cells=after, general=drift),
        decision=decision,
        changed=tuple(changed),
        seconds=4.0,
    )
    retention.write_retention(session, found)
    return found


def rows_of(lesson: Session, count: int) -> list[Conversation]:
    return [
        Conversation((Turn("user", f"What is {n} of {lesson.id}?"), Turn("assistant", f"It is {n}.")))
        for n in range(count)
    ]


def cell_of(lesson: Session, part: Part, share: float, rows: int) -> Cell:
    """A cell of so many rows of ten tokens, of which this share is right."""
    counts = [round(10 * share * (n + 1)) - round(10 * share * n) for n in range(rows)]
    return Cell(
        lesson=lesson.id,
        part=part,
        rows=tuple(f"{lesson.id}/{part}/{n}" for n in range(rows)),
        tokens=(10,) * rows,
        right=tuple(counts),
        loss=tuple(10 * (1 - share) for _ in range(rows)),
    )


def make_line(
    workspace: Workspace, names: Sequence[str], *, lost: float = 0.0, hold_last: bool = False
) -> list[Session]:
    """Sessions of these names that made models one after the other, all measured; the last one is current.

    Each lesson goes from 20% to 80% when it is taught. The last session lowers all earlier ones by `lost`;
    with `hold_last`, it is held back, and the one before is current.
    """
    made: list[Session] = []
    parent = None
    for number, name in enumerate(names):
        last = number == len(names) - 1
        session = make_session(workspace, name, 6 + number)
        fingerprint = fingerprint_of(make_model(session.model, 1 + number))
        earlier = tuple(lesson.id for lesson in made)
        facts = {"fingerprint": fingerprint, "parent": parent, "replaces": parent, "lessons": earlier}
        session.write_status(Status.model_validate(published(**facts)))
        now = 0.8 - (lost if last else 0)
        shares = {**dict.fromkeys(made, (0.8, now)), session: (0.2, 0.8)}
        found = remembered(session, shares, changed=_changed(made, session) if made else ())
        decision = decide(found.before, found.after or Measured(), [found.before], found.lessons[:-1])
        retention.write_retention(session, found.model_copy(update={"decision": decision}))
        if last and hold_last:
            held = {"verdict": "held", "verdict_reason": decision.reason}
            session.write_status(Status.model_validate(published(**facts, **held)))
        else:
            record = Provenance(session=session.id, parent=parent, created=datetime.now(UTC))
            publish_model(workspace, session.model, record)
        made.append(session)
        parent = fingerprint
    return made


def _changed(earlier: Sequence[Session], session: Session) -> tuple[Changed, ...]:
    return (
        Changed(
            lesson=earlier[0].id,
            question="What is a foreign key?",
            expected="A column that points at another table.",
            before="A column that points at another table.",
            after="A key that is foreign.",
            share_before=0.95,
            share_after=0.4,
        ),
        Changed(
            lesson=session.id,
            question="How long do I boil an egg?",
            expected="Six minutes for a soft one.",
            before="",
            after="Six minutes for a soft one.",
            share_before=0.1,
            share_after=1.0,
        ),
    )
