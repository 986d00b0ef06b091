"""`sails corrections`: reviewing and teaching from the command line."""

import json

import pytest

from sails import sessions
from sails.chat import feedback
from sails.cli import app
from sails.errors import RequestError, WorkspaceError
from sails.models.workspace import Workspace
from tests.chat.feedback.test_feedback import correct
from tests.support.tiny import make_tiny_model


@pytest.fixture
def place(tmp_path):
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def run(place, capsys):
    """Run one command of `sails corrections`; gives its exit code, standard output and standard error."""

    def command(*words):
        capsys.readouterr()
        code = app.main(["corrections", *map(str, words), "--workspace", str(place.root)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_the_list_shows_what_waits_and_what_there_is_to_know(place, run):
    correct(place, 1)
    correct(place, 1, correction="There is none.", who="Ben")
    code, out, _ = run("list")
    assert code == 0
    assert "Ann gave another answer to this question" in " ".join(out.split())
    assert "2 waiting, 0 approved and not taught" in out
    first, second = json.loads(run("list", "--json")[1])
    assert (first["who"], second["who"]) == ("Ann", "Ben")
    assert first["findings"][0]["finding"] == "conflict"


def test_corrections_are_approved_edited_and_rejected_by_the_beginning_of_their_ids(place, run):
    one, two = correct(place, 1), correct(place, 2)
    assert run("approve", one.id[:8], "--who", "Dora")[0] == 0
    assert run("edit", two.id[:8], "--answer", "Another one entirely.")[0] == 0
    assert feedback.find(place, two.id).taught == "Another one entirely."
    assert run("reject", two.id)[0] == 0
    assert [c.id for c in feedback.to_teach(place)] == [one.id]
    assert feedback.find(place, one.id).reviewer == "Dora"
    assert one.id[:8] in run("list", "--state", "approved")[1]


def test_all_without_a_finding_are_approved_at_once(place, run):
    fine, short = correct(place, 1), correct(place, 2, correction="No")
    code, out, _ = run("approve", "--all")
    assert (code, out) == (0, "1 correction approved.\n")
    assert [c.id for c in feedback.to_teach(place)] == [fine.id]
    assert feedback.find(place, short.id).state == "waiting"


@pytest.mark.parametrize(
    "words",
    [
        ("approve",),
        ("approve", "ffff"),
        ("approve", ""),
        ("approve", "ffff", "--all"),
        ("reject",),
        ("edit", "ffff", "--answer", "x"),
        ("edit", "ffff"),
        ("import", "nowhere.jsonl"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_changes_nothing(place, run, words):
    given = correct(place)
    code, _, err = run(*words)
    assert code == RequestError.exit_code
    assert len(err.strip().splitlines()) == 1
    assert feedback.corrections(place) == [given]


def test_a_file_that_cannot_be_written_is_one_sentence(place, run, tmp_path, monkeypatch):
    correct(place)
    code, _, err = run("export", "--output", tmp_path / "nowhere" / "all.jsonl")
    assert (code, len(err.strip().splitlines())) == (WorkspaceError.exit_code, 1)
    assert "cannot be written" in err
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    assert run("export", "--output", tmp_path / "all.jsonl")[0] != 0
    assert not (tmp_path / "all.jsonl").exists()


def test_what_is_exported_is_imported_again(place, run, tmp_path):
    correct(place, 1)
    path = tmp_path / "all.jsonl"
    assert run("export", "--output", path)[0] == 0
    assert run("export")[1] == path.read_text()
    assert run("import", path)[1] == "All of it was in the list already.\n"
    other = Workspace.open(tmp_path / "other")
    assert feedback.import_file(other, path) == 1


def test_the_status_says_how_many_wait_and_how_many_can_be_taught(place, capsys):
    feedback.approve(place, correct(place, 1).id)
    correct(place, 2)
    assert app.main(["status", "--workspace", str(place.root)]) == 0
    assert "1 wait for a review, 1 approved and not taught" in capsys.readouterr().out


def test_with_nothing_approved_nothing_is_taught(place, run):
    correct(place)
    code, _, err = run("teach")
    assert code == 1
    assert "No approved correction" in err
    assert sessions.read_history(place) == []


def test_one_approved_correction_is_learned_with_the_usual_settings_but_a_high_rate(place, run):
    given = correct(place)
    feedback.approve(place, given.id)
    make_tiny_model(place.trained_model)
    code, out, err = run("teach", "--learning-rate", "1e-2", "--no-export")
    assert code == 0, err
    assert "1 correction to teach, as the dataset corrections" in out
    (record,) = sessions.read_history(place)
    assert record.status.verdict == "published"
    assert record.status.results.taught_after.accuracy == 1.0
    assert record.status.results.rows_held_out == 0
    assert any("too few" in note or "No examples are set aside" in note for note in record.status.notes)
    assert feedback.to_teach(place) == []
