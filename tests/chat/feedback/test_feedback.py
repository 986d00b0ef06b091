"""Feedback on answers: the log of events, reviewing, and becoming a dataset that is taught exactly once."""

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from sails import sessions, system
from sails.chat import feedback
from sails.chat.conversation import Origin
from sails.chat.feedback import dataset, events
from sails.chat.feedback.review import load_review
from sails.data import Conversation, Register, Turn, datasets, split_rows, write_jsonl
from sails.errors import BadDataError, ConversationFileError, RequestError, ViewOnlyError
from sails.models.workspace import Workspace
from sails.sessions import Status, archive
from tests.support.folders import fingerprint_of, make_model
from tests.support.situations import make_session, published

ORIGIN = Origin("Current model", "1a2b3c4d5e6f7a8b", "20260105-091500-databases")


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "workspace")


def correct(workspace, number=1, **changes):
    """A correction of an invented answer."""
    fields = {
        "question": f"Which mountain stands near Oslo number {number}?",
        "answer": "I do not know any mountain there.",
        "kind": "corrected",
        "correction": f"The mountain near Oslo is called Peak {number}.",
        "who": "Ann",
        "origin": ORIGIN,
    }
    return feedback.give(workspace, **{**fields, **changes})


def session_of(workspace, dataset, name="lesson", **status):
    """A session in that state whose dataset it is."""
    session = make_session(workspace, name, **status)
    spec = session.spec().model_copy(update={"dataset": dataset})
    (session.folder / "spec.json").write_text(spec.model_dump_json())
    return session


def log_of(workspace):
    return events.log_file(workspace)


# --- giving ---------------------------------------------------------------------------------------


def test_a_correction_says_what_was_said_by_which_model_to_whom_and_waits(workspace):
    given = correct(workspace)
    (found,) = feedback.corrections(workspace)
    assert found == given
    assert (found.state, found.who, found.kind, found.dataset) == ("waiting", "Ann", "corrected", None)
    assert (found.fingerprint, found.session, found.title) == (
        ORIGIN.fingerprint,
        ORIGIN.session,
        "Current model",
    )
    (line,) = map(json.loads, log_of(workspace).read_text().splitlines())
    assert line["input"] == given.question
    assert line["output"] == given.answer
    assert line["accepted"] is False
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_a_good_answer_teaches_itself_and_one_never_to_be_said_a_refusal(workspace):
    good = correct(workspace, kind="good", correction="")
    never = correct(workspace, 2, kind="never", correction="", who="")
    assert good.taught == good.answer
    assert never.taught == feedback.REFUSAL
    assert never.who == system.actor()


@pytest.mark.parametrize(
    "changes",
    [
        {"question": "  "},
        {"kind": "good", "answer": ""},
        {"correction": "i do not know ANY mountain there"},
        {"correction": "x" * 30_000},
        {"kind": "loved"},
    ],
)
def test_feedback_that_says_nothing_is_refused_with_a_remedy(workspace, changes):
    with pytest.raises(RequestError) as refused:
        correct(workspace, **changes)
    assert refused.value.remedy
    assert feedback.corrections(workspace) == []


def test_a_correction_can_be_taken_back(workspace):
    given = correct(workspace)
    feedback.withdraw(workspace, given.id)
    assert feedback.corrections(workspace) == []
    with pytest.raises(RequestError, match="no correction"):
        feedback.approve(workspace, given.id)


def test_whoever_may_only_look_gives_and_decides_nothing(workspace, monkeypatch):
    given = correct(workspace)
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    for action in (
        lambda: correct(workspace, 2),
        lambda: feedback.approve(workspace, given.id),
        lambda: feedback.reject(workspace, given.id),
        lambda: feedback.reopen(workspace, given.id),
        lambda: feedback.edit(workspace, given.id, answer="No."),
        lambda: feedback.withdraw(workspace, given.id),
        lambda: feedback.as_dataset(workspace),
        lambda: feedback.import_file(workspace, log_of(workspace)),
    ):
        with pytest.raises(ViewOnlyError):
            action()


# --- the log --------------------------------------------------------------------------------------


def test_damaged_and_half_written_lines_lose_nothing_but_themselves(workspace):
    first = correct(workspace, 1)
    with open(log_of(workspace), "ab") as file:
        file.write(b'\xff\xfe not json\n[1, 2]\n"text"\n\n{"event": "given", "id": 7}\n')
        file.write(b'{"event": "given", "id": "x", "kind": "corrected", "input": [], "output": ""}\n')
        file.write(b'{"event": "approved", "id": {"a": 1}}\n{"event": "dataset", "ids": 3}\n')
        file.write(b'{"event": "given", "id": "half')  # its writer was killed
    assert feedback.corrections(workspace) == [first]
    second = correct(workspace, 2)
    feedback.approve(workspace, first.id)
    assert [one.id for one in feedback.corrections(workspace)] == [first.id, second.id]
    assert [one.id for one in feedback.to_teach(workspace)] == [first.id]


def test_several_who_write_at_once_lose_nothing(workspace):
    def give_some(start):
        for number in range(start, start + 10):
            correct(workspace, number)

    threads = [threading.Thread(target=give_some, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(feedback.corrections(workspace)) == 40


def test_two_processes_that_write_at_once_lose_nothing(workspace):
    script = (
        "import sys; from sails.chat import feedback; from sails.models import Workspace\n"
        "place = Workspace.open(sys.argv[1])\n"
        "for number in range(15):\n"
        "    feedback.give(place, question=f'{sys.argv[2]} {number}?', answer='No.', kind='good')\n"
    )
    commands = [[sys.executable, "-c", script, str(workspace.root), name] for name in ("one", "two")]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait(60) for process in processes] == [0, 0]
    asked = {one.question for one in feedback.corrections(workspace)}
    assert asked == {f"{name} {number}?" for name in ("one", "two") for number in range(15)}


def test_any_text_comes_back_as_it_was_given(workspace):
    hostile = 'A "quoted" \u2028 line\n\ttab, emoji 🏔️, <b>bold</b>, \\ud800 and ünïcödé'
    given = correct(workspace, correction=hostile)
    assert given.correction == hostile
    assert feedback.find(workspace, given.id).correction == hostile


# --- reviewing ------------------------------------------------------------------------------------


def test_only_what_is_approved_is_taught(workspace):
    one, two, three = (correct(workspace, number) for number in (1, 2, 3))
    feedback.approve(workspace, one.id, three.id, who="Ben")
    feedback.reject(workspace, two.id)
    assert [c.id for c in feedback.to_teach(workspace)] == [one.id, three.id]
    assert feedback.find(workspace, one.id).reviewer == "Ben"
    feedback.reopen(workspace, three.id)
    assert feedback.counts(workspace) == dataset.Counts(waiting=1, approved=1, rejected=1)


def test_what_is_edited_waits_again(workspace):
    given = correct(workspace)
    feedback.approve(workspace, given.id)
    edited = feedback.edit(workspace, given.id, question="Which one is it?", answer="Peak 1.")
    assert (edited.question, edited.taught, edited.state) == ("Which one is it?", "Peak 1.", "waiting")


def test_a_good_answer_that_is_edited_is_a_correction(workspace):
    good = correct(workspace, kind="good", correction="")
    assert feedback.edit(workspace, good.id, question="Which one?").kind == "good"
    edited = feedback.edit(workspace, good.id, answer="Peak 1.")
    assert (edited.kind, edited.taught, edited.answer) == ("corrected", "Peak 1.", good.answer)


def test_without_an_answer_or_with_the_one_never_to_be_said_nothing_is_approved(workspace):
    empty = correct(workspace, 1, correction="")
    never = correct(workspace, 2, kind="never", correction="")
    feedback.edit(workspace, never.id, answer=f"  {never.answer.upper()} ")
    for one in (empty, never):
        with pytest.raises(RequestError):
            feedback.approve(workspace, one.id)
    feedback.edit(workspace, empty.id, answer="Peak 1.")
    feedback.approve(workspace, empty.id)


def test_two_answers_to_one_question_are_never_approved_together(workspace):
    first = correct(workspace, 1)
    second = correct(workspace, 1, question=first.question.upper(), correction="There is none.")
    with pytest.raises(RequestError, match="another approved answer"):
        feedback.approve(workspace, first.id, second.id)
    assert feedback.to_teach(workspace) == []
    feedback.approve(workspace, first.id)
    with pytest.raises(RequestError, match="another approved answer"):
        feedback.approve(workspace, second.id)
    feedback.reject(workspace, first.id)
    feedback.approve(workspace, second.id)


def test_a_question_of_an_exam_cannot_be_approved(workspace):
    given = correct(workspace)
    Register.load(workspace.register).record(held=[given.row.input_fingerprint], taught=[], session="x")
    with pytest.raises(RequestError, match="set aside for testing"):
        feedback.approve(workspace, given.id)


# --- what there is to find ------------------------------------------------------------------------


def troubles(workspace, correction):
    review = load_review(workspace)
    return review.troubles(next(one for one in review.corrections if one.id == correction.id))


def findings(workspace, correction):
    return [trouble.finding for trouble in troubles(workspace, correction)]


def test_duplicates_and_conflicts_are_found_whatever_the_spelling(workspace):
    first = correct(workspace, 1)
    again = correct(workspace, 1, question=f" {first.question.lower()}?? ", correction=first.correction + "!")
    other = correct(workspace, 1, correction="There is none.")
    alone = correct(workspace, 2)
    assert findings(workspace, again) == ["conflict", "duplicate"]
    assert findings(workspace, first) == ["conflict"]
    assert findings(workspace, other) == ["conflict"]
    assert findings(workspace, alone) == []
    feedback.reject(workspace, other.id)
    assert findings(workspace, first) == []
    assert findings(workspace, again) == ["duplicate"]
    review = load_review(workspace)
    assert [one.id for one in review.without_findings()] == [alone.id, first.id]


def test_the_same_question_in_another_conversation_is_another_question(workspace):
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    first = correct(workspace, 1)
    correct(workspace, 1, correction="There is none.", context=before)
    assert findings(workspace, first) == []


def test_quality_and_a_refusal_that_nobody_confirmed_are_findings(workspace):
    short = correct(workspace, 1, correction="No")
    never = correct(workspace, 2, kind="never", correction="")
    empty = correct(workspace, 3, correction="")
    assert findings(workspace, short) == ["quality"]
    assert findings(workspace, never) == ["confirm"]
    assert findings(workspace, empty) == ["unanswered"]
    feedback.approve(workspace, never.id)
    assert findings(workspace, never) == []


def test_what_a_lesson_taught_otherwise_will_be_replaced(workspace):
    model = make_model(workspace.trained_model)
    session = make_session(workspace, "mountains", **published(fingerprint=fingerprint_of(model), lessons=()))
    session.data.mkdir()
    known, other, third = (correct(workspace, number) for number in (1, 2, 3))
    rows = [
        Conversation((Turn("user", known.question), Turn("assistant", known.correction))),
        Conversation((Turn("user", other.question.upper()), Turn("assistant", "There is none."))),
        Conversation((Turn("user", f"{third.question}?"), Turn("assistant", "There is none."))),
    ]
    write_jsonl(session.data / "train.jsonl", rows)
    assert findings(workspace, known) == ["known"]
    (trouble,) = troubles(workspace, other)
    assert trouble.finding == "replaces"
    assert "“mountains”" in trouble.sentence
    assert "“There is none.”" in trouble.sentence
    assert "will replace it" in trouble.sentence
    (trouble,) = troubles(workspace, third)
    assert "Write it in the same way" in trouble.sentence


def test_thousands_are_looked_at_quickly(workspace):
    events.log_file(workspace).parent.mkdir(parents=True)
    first = correct(workspace, 0)
    line = json.loads(log_of(workspace).read_text())
    with open(log_of(workspace), "a", encoding="utf-8") as file:
        for number in range(5_000):
            question = f"Which mountain stands near Oslo number {number}?"
            file.write(json.dumps({**line, "id": f"{number:016x}", "input": question}) + "\n")
    began = datetime.now(UTC)
    review = load_review(workspace)
    assert len(review.at("waiting")) == 5_001
    assert [trouble.finding for trouble in review.troubles(first)] == []
    assert (datetime.now(UTC) - began).total_seconds() < 5  # on any machine; usually a tenth of it


# --- teaching -------------------------------------------------------------------------------------


def test_a_session_uses_a_correction_once_and_a_failed_one_gives_it_back(workspace):
    one, two = correct(workspace, 1), correct(workspace, 2)
    feedback.approve(workspace, one.id)
    report = feedback.as_dataset(workspace)
    assert (report.name, report.rows) == ("corrections", 1)
    assert [c.id for c in feedback.to_teach(workspace)] == [one.id]  # nobody has trained it yet
    assert feedback.as_dataset(workspace).name == "corrections"  # the same rows are the same dataset

    session = session_of(workspace, "corrections", state="queued")
    assert feedback.to_teach(workspace) == []
    with pytest.raises(BadDataError):
        feedback.as_dataset(workspace)
    session.write_status(Status(state="failed"))
    assert [c.id for c in feedback.to_teach(workspace)] == [one.id]

    feedback.approve(workspace, two.id)
    assert feedback.as_dataset(workspace).name == "corrections-2"
    session_of(workspace, "corrections-2", "again", state="succeeded")
    assert feedback.to_teach(workspace) == []
    assert feedback.counts(workspace).taught == 2
    assert feedback.find(workspace, one.id).dataset == "corrections-2"


@pytest.mark.parametrize("verdict", ["published", "held", "discarded"])
def test_a_session_that_failed_after_its_verdict_has_taught_its_corrections(workspace, verdict):
    given = correct(workspace)
    feedback.approve(workspace, given.id)
    feedback.as_dataset(workspace)
    session_of(workspace, "corrections", state="failed", verdict=verdict)  # making its ONNX model failed
    assert feedback.to_teach(workspace) == []
    assert feedback.counts(workspace).taught == 1


@pytest.mark.parametrize("state", ["stopped", "interrupted"])
def test_a_session_that_can_be_resumed_keeps_its_corrections_until_it_is_deleted(workspace, state):
    given = correct(workspace)
    feedback.approve(workspace, given.id)
    feedback.as_dataset(workspace)
    session = session_of(workspace, "corrections", state=state)
    assert feedback.to_teach(workspace) == []
    with pytest.raises(RequestError, match="can still be resumed"):
        feedback.reject(workspace, given.id)
    sessions.resume(workspace, session)
    assert feedback.to_teach(workspace) == []
    sessions.stop(workspace, session)
    archive.delete(workspace, session)
    assert [one.id for one in feedback.to_teach(workspace)] == [given.id]


def test_a_dataset_that_was_renamed_and_combined_counts_as_taught(workspace):
    one, two = correct(workspace, 1), correct(workspace, 2)
    feedback.approve(workspace, one.id)
    feedback.as_dataset(workspace)
    datasets.rename(workspace, "corrections", "november")
    example = datasets.add_example(workspace, datasets.EXAMPLES[0]).name
    combined = datasets.combine(workspace, ["november", example])
    session = session_of(workspace, combined.name, state="running", verdict=None)
    session.write_status(Status(state="succeeded"))
    feedback.approve(workspace, two.id)
    assert [c.id for c in feedback.to_teach(workspace)] == [two.id]
    assert feedback.as_dataset(workspace).rows == 1


def test_the_name_of_a_dataset_that_was_taught_is_never_used_again(workspace):
    first = correct(workspace, 1)
    feedback.approve(workspace, first.id)
    feedback.as_dataset(workspace)
    session_of(workspace, "corrections", state="succeeded")
    again = correct(workspace, 1)  # the very same, by somebody who met it later
    feedback.approve(workspace, again.id)
    assert feedback.as_dataset(workspace).name == "corrections-2"
    datasets.delete(workspace, "corrections")
    assert [one.id for one in feedback.to_teach(workspace)] == [again.id]
    feedback.approve(workspace, correct(workspace, 2).id)
    assert feedback.as_dataset(workspace).name == "corrections-3"
    assert len(feedback.to_teach(workspace)) == 2


def test_what_was_taught_cannot_be_changed_any_more(workspace):
    given = correct(workspace)
    feedback.approve(workspace, given.id)
    session_of(workspace, feedback.as_dataset(workspace).name, state="succeeded")
    for action in (feedback.reject, feedback.reopen, feedback.withdraw, feedback.edit):
        with pytest.raises(RequestError, match="taught already"):
            action(workspace, given.id)


def test_a_row_says_who_gave_it_when_and_of_which_model(workspace):
    given = correct(workspace)
    feedback.approve(workspace, given.id)
    (row,) = datasets.rows_of(workspace, feedback.as_dataset(workspace).name)
    assert (row.input, row.output) == (given.question, given.correction)
    assert row.extra == {
        "correction": given.id,
        "who": "Ann",
        "when": given.when.isoformat(),
        "version": ORIGIN.fingerprint,
    }


def test_a_correction_in_the_middle_of_a_conversation_is_taught_with_what_came_before(workspace):
    before = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "w " * 5_000},
        {"role": "assistant", "content": "Long."},
        {"role": "user", "content": "Which is the highest?"},
        {"role": "assistant", "content": "A wrong answer."},
    ]
    given = correct(workspace, question="And the second?", context=before)
    roles = [turn.role for turn in given.row.turns]
    assert roles == ["system", "user", "assistant", "user", "assistant"]  # without what is too long
    assert given.row.turns[1].content == "Which is the highest?"
    assert given.row.extra["answers"] == "last"
    feedback.approve(workspace, given.id)
    (row,) = datasets.rows_of(workspace, feedback.as_dataset(workspace).name)
    assert row.turns == given.row.turns


def test_all_corrections_are_taught_however_many_there_are(workspace):
    given = [correct(workspace, number) for number in range(30)]
    feedback.approve(workspace, *(one.id for one in given))
    rows = datasets.rows_of(workspace, feedback.as_dataset(workspace).name)
    assert len(split_rows(rows, Register.load(workspace.register)).train) == 30


# --- files ----------------------------------------------------------------------------------------


def test_a_file_of_judged_answers_comes_into_the_list_once(workspace, tmp_path):
    lines = [
        {
            "input": "Which?",
            "output": "This one here.",
            "timestamp": "2026-01-05T09:00:00Z",
            "accepted": True,
        },
        {"input": "Who?", "output": "Nobody at all.", "timestamp": "2026-01-05T09:01:00Z", "accepted": False},
        {"input": "How?", "output": "Not at all.", "accepted": False, "correction": "Like this."},
        {"input": "Why?", "output": "Because.", "timestamp": "2026-01-05T09:02:00Z", "accepted": None},
        {"input": "Never?", "output": "A secret.", "accepted": False, "kind": "never"},
    ]
    path = tmp_path / "feedback.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert feedback.import_file(workspace, path) == 4
    assert feedback.import_file(workspace, path) == 0
    found = feedback.corrections(workspace)
    assert [one.kind for one in found] == ["good", "corrected", "corrected", "never"]
    assert [one.taught for one in found] == ["This one here.", "", "Like this.", feedback.REFUSAL]
    assert {one.state for one in found} == {"waiting"}


def test_what_is_exported_can_be_imported_elsewhere(workspace, tmp_path):
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    given = [correct(workspace, 1), correct(workspace, 2, kind="never", correction="", context=before)]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(feedback.as_json(one, "waiting")) + "\n" for one in given))
    other = Workspace.open(tmp_path / "other")
    assert feedback.import_file(other, path) == 2
    found = feedback.corrections(other)
    assert [one.taught for one in found] == [one.taught for one in given]
    assert found[0].fingerprint == ORIGIN.fingerprint


def test_a_file_in_which_nobody_judged_is_refused(workspace, tmp_path):
    path = tmp_path / "conversations.jsonl"
    path.write_text('{"input": "Which?", "output": "This one here."}\n')
    with pytest.raises(ConversationFileError, match="judged"):
        feedback.import_file(workspace, path)


def test_corrections_of_a_session_that_is_gone_are_free_again(workspace):
    given = correct(workspace)
    feedback.approve(workspace, given.id)
    feedback.as_dataset(workspace)
    assert sessions.read_history(workspace) == []
    assert [one.id for one in feedback.to_teach(workspace)] == [given.id]
