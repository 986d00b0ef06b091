"""The library of datasets: adding, combining, renaming and deleting, and that nothing leads out of it."""

import json
import os
from datetime import UTC, datetime

import pytest

from sails import sessions
from sails.data import Conversation, Register, Turn, assess, datasets
from sails.data.reading import parse as read
from sails.errors import BadDataError, BusyError, RequestError, ViewOnlyError, WorkspaceError
from sails.models.workspace import Workspace
from sails.system import locks
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import make_session


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


def add(workspace, tmp_path, name="peaks", rows=5, topic="mountain") -> str:
    return add_dataset(workspace, write_lesson(tmp_path / f"{name}.json", rows, topic))


def names(workspace) -> list[str]:
    return [report.name for report in datasets.reports(workspace)]


def row(question: str, answer: str = "An answer in a whole sentence.") -> Conversation:
    return Conversation((Turn("user", question), Turn("assistant", answer)))


# --- adding ---------------------------------------------------------------------------------------


def test_the_same_rows_are_the_same_dataset_and_other_rows_get_a_name_of_their_own(workspace, tmp_path):
    assert add(workspace, tmp_path, rows=5) == add(workspace, tmp_path, rows=5) == "peaks"
    assert add(workspace, tmp_path, rows=6) == "peaks-2"
    assert len(datasets.rows_of(workspace, "peaks")) == 5
    assert len(datasets.rows_of(workspace, "peaks-2")) == 6


def test_a_dataset_keeps_its_source_and_says_when_it_was_made_and_how_long_it_is(workspace, tmp_path):
    name = add(workspace, tmp_path)
    report = datasets.report_of(workspace, name)
    source = (workspace.datasets / name / "source.json").read_bytes()
    assert source == (tmp_path / "peaks.json").read_bytes()
    assert report.created is not None
    assert abs((datetime.now(UTC) - report.created).total_seconds()) < 60
    assert not report.tokens_counted
    assert report.tokens == sum(map(datasets.estimated_tokens, datasets.rows_of(workspace, name)))


def test_a_folder_that_datasets_saved_becomes_a_dataset_of_its_rows(workspace, tmp_path):
    import datasets as hub

    rows = {"question": ["What is tin?"], "answer": ["Tin is a soft metal."]}
    hub.Dataset.from_dict(rows).save_to_disk(tmp_path / "metals")
    reading = read(tmp_path / "metals")
    report = datasets.add(workspace, tmp_path / "metals", reading, assess(reading.conversations))
    assert report.name == "metals"
    assert [row.input for row in datasets.rows_of(workspace, "metals")] == ["What is tin?"]


def test_the_assessment_comes_back_from_the_disk_as_it_was(workspace, tmp_path):
    path = tmp_path / "mixed.json"
    pairs = [{"input": f"Question {n}?", "output": "A whole sentence about it."} for n in range(5)]
    path.write_text(json.dumps([*pairs, {"input": "Again?", "output": "..."}]))
    reading = read(path)
    assessment = assess(reading.conversations, reading.refused)
    datasets.add(workspace, path, reading, assessment)
    assert datasets.report_of(workspace, "mixed").assessment() == assessment
    assert assessment.errors


def test_a_report_of_an_older_version_is_read_and_gets_the_time_of_its_file(workspace, tmp_path):
    name = add(workspace, tmp_path)
    path = workspace.datasets / name / "report.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({k: known[k] for k in known if k not in ("created", "tokens", "formerly")}))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert datasets.report_of(workspace, name).created == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize(
    "damage",
    [{}, {"total": None}, {"grade": []}, {"counts": 3}, {"counts": {"empty": "x"}}, {"problems": [7]}],
)
def test_a_dataset_whose_quality_check_is_damaged_is_still_there(workspace, tmp_path, damage):
    name = add(workspace, tmp_path)
    path = workspace.datasets / name / "report.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({**known, "quality": {**known["quality"], **damage} if damage else {}}))
    assert [report.name for report in datasets.reports(workspace)] == [name]
    assert datasets.report_of(workspace, name).assessment() is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../x", "x"),
        ("Help Desk (2025).csv", "help-desk-2025-csv"),
        ("Вопросы и ответы", "вопросы-и-ответы"),
        ("🦜", "dataset"),
        ("", "dataset"),
        (".hidden", "hidden"),
        ("long " * 30, "long-long-long-long-long-long-long-long"),
    ],
)
def test_a_name_becomes_words_that_no_folder_and_no_address_minds(text, name):
    assert datasets.name_from_text(text) == name


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a/b", "x\0", "y" * 5000, ".peaks.partial"])
def test_no_name_leads_out_of_the_library(workspace, tmp_path, name):
    add(workspace, tmp_path)
    (workspace.root / "x").mkdir()
    (workspace.root / "x" / "report.json").write_bytes(
        (workspace.datasets / "peaks" / "report.json").read_bytes()
    )
    with pytest.raises(WorkspaceError, match="There is no dataset"):
        datasets.report_of(workspace, name)
    with pytest.raises(WorkspaceError):
        datasets.delete(workspace, name)


def test_the_examples_are_there_and_clean_and_the_same_when_they_are_added_again(workspace):
    for example in datasets.EXAMPLES:
        report = datasets.add_example(workspace, example)
        assert report.rows == 90
        assert report.quality["grade"] == "good"
        assert datasets.add_example(workspace, example) == report
    files = {path.name for path in datasets.EXAMPLE_FILES.glob("*.json")}
    assert files == {example.file for example in datasets.EXAMPLES}


# --- combining ------------------------------------------------------------------------------------


def test_several_datasets_become_one_that_holds_each_row_once(workspace, tmp_path):
    add(workspace, tmp_path, "peaks", 5)
    add(workspace, tmp_path, "lakes", 5, topic="lake")
    add(workspace, tmp_path, "more-peaks", 8)  # five of them are the first five
    report = datasets.combine(workspace, ["peaks", "lakes", "more-peaks"])
    assert report.name == "lakes-and-more-peaks-and-peaks"
    assert (report.rows, report.duplicates) == (13, 5)
    assert report.combined == ("lakes", "more-peaks", "peaks")
    rows = datasets.rows_of(workspace, report.name)
    assert [one.row for one in rows] == list(range(1, 14))
    together = {
        one.fingerprint
        for name in ("peaks", "lakes", "more-peaks")
        for one in datasets.rows_of(workspace, name)
    }
    assert {one.fingerprint for one in rows} == together


def test_the_same_datasets_in_any_order_are_one_combination(workspace, tmp_path):
    one, other = add(workspace, tmp_path, "peaks"), add(workspace, tmp_path, "lakes", topic="lake")
    first = datasets.combine(workspace, [one, other])
    assert datasets.combine(workspace, [other, one, other]) == first
    assert sorted(names(workspace)) == ["lakes", "lakes-and-peaks", "peaks"]


def test_one_dataset_and_one_that_holds_the_others_need_no_combination(workspace, tmp_path):
    small, large = add(workspace, tmp_path, "small", 5), add(workspace, tmp_path, "large", 9)
    assert datasets.combine(workspace, [small]).name == small
    assert datasets.combine(workspace, [small, large]).name == large
    assert sorted(names(workspace)) == ["large", "small"]


def test_what_cannot_be_combined_is_refused_in_a_sentence(workspace, tmp_path):
    name = add(workspace, tmp_path)
    with pytest.raises(RequestError, match="No dataset was chosen"):
        datasets.combine(workspace, [])
    with pytest.raises(WorkspaceError, match="There is no dataset 'nobody'"):
        datasets.combine(workspace, [name, "nobody"])
    (workspace.datasets / name / "conversations.jsonl").unlink()
    other = add(workspace, tmp_path, "lakes", topic="lake")
    with pytest.raises(BadDataError, match="are gone"):
        datasets.combine(workspace, [name, other])


# --- renaming and deleting ------------------------------------------------------------------------


def test_a_renamed_dataset_is_found_under_both_names(workspace, tmp_path):
    add(workspace, tmp_path)
    assert datasets.rename(workspace, "peaks", "All the Peaks").name == "all-the-peaks"
    assert names(workspace) == ["all-the-peaks"]
    assert datasets.report_of(workspace, "peaks").name == "all-the-peaks"
    assert len(datasets.rows_of(workspace, "peaks")) == 5
    assert add(workspace, tmp_path, rows=7) == "peaks-2"  # a session may still mean the other one by it
    assert datasets.rename(workspace, "peaks", "peaks").name == "peaks"
    assert datasets.report_of(workspace, "peaks").formerly == ("all-the-peaks",)


@pytest.mark.parametrize("wanted", ["lakes", "LAKES", "ponds", "", "🦜", "///"])
def test_a_name_that_is_taken_or_none_is_refused_and_nothing_changes(workspace, tmp_path, wanted):
    add(workspace, tmp_path)
    add(workspace, tmp_path, "ponds", topic="lake")
    datasets.rename(workspace, "ponds", "lakes")
    with pytest.raises(RequestError):
        datasets.rename(workspace, "peaks", wanted)
    assert sorted(names(workspace)) == ["lakes", "peaks"]


def test_a_rename_that_was_killed_half_way_leaves_the_dataset_under_both_names(
    workspace, tmp_path, monkeypatch
):
    add(workspace, tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sails.system.rename", killed)
        with pytest.raises(KeyboardInterrupt):
            datasets.rename(workspace, "peaks", "summits")
    assert datasets.report_of(workspace, "peaks").name == "peaks"
    assert datasets.rename(workspace, "peaks", "summits").name == "summits"
    assert datasets.report_of(workspace, "peaks").name == "summits"


def test_a_deleted_dataset_is_gone_and_leaves_nothing_behind(workspace, tmp_path):
    add(workspace, tmp_path)
    workspace.tokens.mkdir(parents=True)
    datasets.delete(workspace, "peaks")
    assert names(workspace) == []
    assert list(workspace.datasets.iterdir()) == []
    assert not workspace.tokens.exists()
    with pytest.raises(WorkspaceError):
        datasets.delete(workspace, "peaks")


def test_a_dataset_that_a_waiting_session_needs_is_not_deleted_until_it_has_ended(workspace, tmp_path):
    add(workspace, tmp_path, "databases")
    session = make_session(workspace, "lesson")
    sessions.enqueue(workspace, session)
    datasets.rename(workspace, "databases", "tables")  # the session still means it
    with pytest.raises(BusyError, match=session.id):
        datasets.delete(workspace, "tables")
    sessions.stop(workspace, session)
    datasets.delete(workspace, "tables")
    assert names(workspace) == []


def test_a_dataset_that_a_running_session_needs_is_not_deleted(workspace, tmp_path):
    add(workspace, tmp_path, "databases")
    session = make_session(workspace, "lesson", state="running", **sessions.this_worker())
    held = [locks.LifeLock(session.lock), locks.LifeLock(workspace.training_lock)]
    for lock in held:
        lock.acquire()
    try:
        with pytest.raises(BusyError, match=session.id):
            datasets.delete(workspace, "databases")
    finally:
        for lock in held:
            lock.release()
    datasets.delete(workspace, "databases")


def test_where_nothing_may_be_changed_nothing_is(workspace, tmp_path, monkeypatch):
    one, other = add(workspace, tmp_path), add(workspace, tmp_path, "lakes", topic="lake")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    for change in (
        lambda: datasets.combine(workspace, [one, other]),
        lambda: datasets.rename(workspace, one, "summits"),
        lambda: datasets.delete(workspace, one),
        lambda: datasets.add_example(workspace, datasets.EXAMPLES[0]),
    ):
        with pytest.raises(ViewOnlyError):
            change()
    assert sorted(names(workspace)) == ["lakes", "peaks"]


# --- what the next training would do --------------------------------------------------------------


def test_rows_are_counted_as_the_next_session_would_split_them(workspace):
    workspace.root.mkdir()
    rows = [row(f"What is number {n}?") for n in range(30)]
    register = Register.load(workspace.register)
    register.record(held=[rows[0].input_fingerprint], taught=[rows[1].input_fingerprint], session="s")
    counts = datasets.novelty(workspace, rows, {rows[1].fingerprint})
    assert (counts.new, counts.taught_before, counts.held_out) == (23, 1, 6)  # five of 28, and the one before


def test_with_fewer_than_twenty_questions_nothing_is_held_out(workspace):
    counts = datasets.novelty(workspace, [row(f"What is {n}?") for n in range(19)], set())
    assert (counts.new, counts.taught_before, counts.held_out) == (19, 0, 0)
