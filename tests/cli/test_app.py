"""The command line: words, exit codes, JSON, and whole journeys with real workers on a tiny model."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from sails import sessions
from sails.cli import app, follow
from sails.jobs import launcher
from sails.models import publish
from sails.models.workspace import Workspace
from sails.sessions import Settings
from sails.system import processes
from sails.system.locks import LifeLock
from tests.support.helpers import add_dataset, steps_of, write_lesson
from tests.support.situations import failed, make_line, make_session, make_situation
from tests.support.tiny import make_tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture
def place(tmp_path):
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def run(place, capsys):
    """Run one command in this process; gives its exit code, standard output and standard error."""

    def command(*words):
        capsys.readouterr()
        code = app.main([*map(str, words), *_workspace_option(words, place)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def _workspace_option(words, place):
    without = ("validate", "base", "--help", "--version")
    return () if any(word in words for word in without) else ("--workspace", str(place.root))


COMMANDS = [
    ("train",),
    ("convert",),
    ("chat",),
    ("pipeline",),
    ("validate",),
    ("baseline",),
    ("reset",),
    ("status",),
    ("serve",),
    *(("datasets", name) for name in ("list", "show", "rename", "delete")),
    *(("corrections", name) for name in ("list", "approve", "reject", "edit", "import", "export", "teach")),
    *(
        ("sessions", name)
        for name in (
            *("list", "show", "log", "stop", "resume", "publish", "save", "delete", "replay"),
            *("versions", "keep", "name", "rollback", "retention", "discard", "tag", "note"),
        )
    ),
    ("watch",),
    ("daemon",),
    ("demo",),
    ("base", "list"),
    ("base", "fetch"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words, run):
    code, out, _ = run(*words, "--help")
    assert code == 0
    assert "Usage: sails " + " ".join(words) in out


def test_the_original_options_are_still_understood(run):
    options = {
        "train": "--data-file --epochs --batch-size --learning-rate --model-name --output-dir --force",
        "convert": "--model-path --onnx-output --opset-version --verify --variant --keep-failed",
        "chat": "--model-path --prompt --max-tokens --max-length --device",
        "pipeline": "--data-file --epochs --onnx-output --verify --max-tokens --opset-version --variant",
        "validate": "--data-file --filter --output",
        "baseline": "--model-name --baseline-output --test --variant",
        "reset": "--output-dir --onnx-output --force",
    }
    for command, names in options.items():
        _, out, _ = run(command, "--help")
        for name in names.split():
            assert name in out, (command, name)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--data-file", "no-such-file.json"),
        ("train",),
        ("train", "--data-file", "lesson.json", "--learning-rate", "0"),
        ("train", "--data-file", "lesson.json", "--learning-rate", "nan"),
        ("train", "--data-file", "lesson.json", "--learning-rate", "0.5"),
        ("train", "--data-file", "lesson.json", "--learning-rate", "fast"),
        ("train", "--data-file", "lesson.json", "--epochs", "0"),
        ("train", "--data-file", "lesson.json", "--epochs", "-3"),
        ("train", "--data-file", "lesson.json", "--batch-size", "0"),
        ("train", "--data-file", "lesson.json", "--protect", "0.6"),
        ("train", "--data-file", "lesson.json", "--start", "trained"),
        ("train", "--data-file", "lesson.json", "--model-name", "no such model"),
        ("train", "--data-file", "lesson.json", "--model-name", "../../etc"),
        ("train", "--data-file", "empty.json"),
        ("convert",),
        ("chat", "--prompt", "Hello"),
        ("sessions", "show", "nothing"),
        ("sessions", "show", "../workspace"),
        ("sessions", "stop", "last"),
        ("sessions", "rollback", "nothing"),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_one_sentence_on_standard_error_and_exit_2(
    words, run, place, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_lesson(tmp_path / "lesson.json")
    (tmp_path / "empty.json").write_text("")
    code, out, err = run(*words)
    assert code == 2, out + err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    assert not list(place.root.glob("sessions/*"))


def test_status_says_what_is_there_and_what_comes_next(run):
    code, out, _ = run("status", "--json")
    assert code == 0
    status = json.loads(out)
    assert status["trained"] | {"path": ""} == {
        "path": "",
        "state": "missing",
        "reason": None,
        "fingerprint": None,
        "base": None,
        "session": None,
    }
    assert (status["onnx"]["state"], status["onnx"]["stale"]) == ("missing", None)
    plan = status["plan"]
    assert (plan["row"], plan["start_from"], plan["learning_rate"]) == (1, "base", 5e-5)
    assert plan["model"] == "smollm2-135m-instruct"
    assert plan["reason"].startswith("🆕")
    _, words, _ = run("status")
    assert "🆕 Training a new model from base" in words


def test_looking_creates_nothing(run, place):
    for words in (("status",), ("sessions", "list"), ("sessions", "versions")):
        assert run(*words)[0] == 0
    assert not place.root.exists()


def test_validate_says_which_columns_are_what_and_takes_others(run, tmp_path):
    path = tmp_path / "desk.csv"
    path.write_text("system,Frage,Antwort,id\nBe brief.,Is it open?,It opens at ten.,7\n", encoding="utf-8")
    _, out, _ = run("validate", "--data-file", path)
    assert "system = system, question = Frage, answer = Antwort; not taught: id" in out
    assert "1 conversation: too few to learn from." in out
    columns = ("--question-column", "Antwort", "--answer-column", "Frage", "--system-column", "id")
    _, out, _ = run("validate", "--data-file", path, *columns, "--json")
    assert (
        json.loads(out)["understood"] == "system = id, question = Antwort, answer = Frage; not taught: system"
    )


def test_a_refusal_is_json_where_json_is_asked_for(run, tmp_path):
    path = tmp_path / "desk.csv"
    path.write_text("Ticket,Info\nIs it open?,It opens at ten.\n", encoding="utf-8")
    code, out, err = run("validate", "--data-file", path, "--json")
    refusal = json.loads(out)
    assert (code, err, refusal["kind"]) == (2, "", "conversation_file")
    assert "“Ticket”, “Info”" in refusal["error"]
    assert "--system-column" in refusal["remedy"]
    assert run("validate", "--data-file", path)[:2] == (2, "")


def test_validate_finds_problems_and_filters_them(run, tmp_path):
    path = tmp_path / "mixed.json"
    rows = json.loads(write_lesson(path, rows=20).read_text())
    rows += [
        {"input": "Why?", "output": ""},
        {"input": "How?", "output": "go go go go go go go go go go go go"},
    ]
    path.write_text(json.dumps(rows))
    code, out, _ = run("validate", "--data-file", path, "--filter")
    assert code == 0
    assert "22" in out
    clean = json.loads((tmp_path / "mixed_filtered.json").read_text())
    assert len(clean) == 20
    code, out, _ = run("validate", "--data-file", path, "--json")
    report = json.loads(out)
    assert report["grade"] == "good"
    assert {problem["row"] for problem in report["problems"]} | {r["row"] for r in report["refused"]} >= {
        21,
        22,
    }


def test_validate_names_the_rows_that_do_not_fit_the_model(run, tmp_path):
    model = make_tiny_model(tmp_path / "model")
    rows = [
        {"input": "Why?", "output": "Because it is."},
        {"input": "How?", "output": "Step by step. " * 25},
        {"input": "What then? " * 25, "output": "Nothing."},
        {"input": "Who?", "output": "The crew does it together."},
    ]
    path = tmp_path / "lesson.json"
    path.write_text(json.dumps(rows))
    asked = ("validate", "--data-file", path, "--model-name", model, "--max-length", 100)
    out = run(*asked)[1]
    assert "1 conversation longer than 100 tokens was shortened: row 2." in out
    assert "Left out: row 3." in out
    report = json.loads(run(*asked, "--json")[1])
    assert (report["shortened"], [*report["not_taught"]]) == ([2], ["3"])
    report = json.loads(run(*asked[:-1], 512, "--json")[1])
    assert (report["shortened"], report["not_taught"]) == ([], {})


def test_rows_are_shown_as_the_model_will_see_them(run, place, tmp_path):
    model = make_tiny_model(tmp_path / "model")
    rows = [
        {"input": "Why?", "output": "Because it is so."},
        {"input": "How?", "output": ""},
        {"input": "Where does it lie?", "output": "It lies in the east."},
        {"input": "Who?", "output": "The crew does it together."},
        {"input": "When?", "output": "Tomorrow at ten it begins."},
    ]
    path = tmp_path / "lesson.json"
    path.write_text(json.dumps(rows))
    asked = ("validate", "--data-file", path, "--model-name", model, "--as-model-sees")
    out = run(*asked)[1]
    question = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert f"--- row 1\n{question}⟦Because it is so.<|im_end|>⟧\n" in out
    assert "--- row 4\n" in out
    assert "--- row 2\n" not in out  # it is not good
    assert "--- row 5\n" not in out
    view = json.loads(run(*asked, "--json")[1])["as_model_sees"]
    (first, _, _) = view["conversations"]
    assert first["row"] == 1
    (example,) = first["examples"]
    read, learned = example["passages"]
    assert read == {"text": question, "learned": False}
    assert learned == {"text": "Because it is so.<|im_end|>", "learned": True}
    assert "as_model_sees" not in json.loads(run(*asked[:-1], "--json")[1])
    name = add_dataset(place, write_lesson(tmp_path / "peaks.json"))
    out = run("datasets", "show", name, "--model-name", model, "--rows", 1, "--max-length", 20)[1]
    assert out.count("--- row") == 1
    assert "--- cut off after 20 tokens" in out
    view = json.loads(run("datasets", "show", name, "--model-name", model, "--json")[1])
    assert (len(view["conversations"]), view["max_length"]) == (3, 512)
    assert "is not on this machine yet" in run("datasets", "show", name)[1]


def test_the_assistant_of_a_chat_between_people_is_asked_for_and_named(run, tmp_path):
    path = tmp_path / "chat.txt"
    path.write_text(
        "1/1/26, 10:15 PM - Guest: Open tonight?\n1/1/26, 10:16 PM - Shop: Yes, until midnight.\n"
    )
    code, _, err = run("validate", "--data-file", path)
    assert code == 2
    assert "“Guest” and “Shop” speak in chat.txt" in err
    assert "--assistant" in err
    code, out, _ = run("validate", "--data-file", path, "--assistant", "Shop")
    assert code == 0
    assert "1 conversations" in out or "1 conversation" in out


def test_datasets_are_listed_renamed_and_deleted(run, place, tmp_path):
    add_dataset(place, write_lesson(tmp_path / "peaks.json", 5))
    assert "peaks.json" in run("datasets", "list")[1]
    assert run("datasets", "rename", "peaks", "All the Peaks") == (0, "It is called all-the-peaks now.\n", "")
    (listed,) = json.loads(run("datasets", "list", "--json")[1])
    assert (listed["name"], listed["rows"], listed["formerly"]) == ("all-the-peaks", 5, ["peaks"])
    code, _, error = run("datasets", "delete", "peaks")
    assert (code, error) == (2, "Deleting a dataset must be confirmed. Add --force.\n")
    assert run("datasets", "delete", "peaks", "--force")[1] == "all-the-peaks is deleted.\n"
    assert json.loads(run("datasets", "list", "--json")[1]) == []
    code, _, error = run("datasets", "delete", "peaks", "--force")
    assert code == 2
    assert error.startswith("There is no dataset 'peaks'")


def test_critical_data_is_refused_with_exit_1_unless_forced(run, place, base, tmp_path):
    path = tmp_path / "bad.json"
    rows = [{"input": f"Question {n}?", "output": "go go go go go go go go go go go go"} for n in range(9)]
    path.write_text(json.dumps(rows))
    assert run("validate", "--data-file", path)[0] == 1
    code, _, err = run("train", "--data-file", path, "--model-name", base)
    assert code == 1
    assert "critical" in err
    assert not place.sessions.exists()
    code, out, _ = run("train", "--data-file", path, "--model-name", base, "--force", "--max-steps", 1)
    assert code == 0, out


@pytest.mark.parametrize(
    ("words", "asked"), [((), Settings().protect), (("--protect", "0.3"), 0.3), (("--protect", "0"), 0.0)]
)
def test_how_much_general_knowledge_is_protected_gets_into_the_spec(
    words, asked, run, place, base, tmp_path, monkeypatch
):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    lesson = write_lesson(tmp_path / "mountains.json")
    code, _, err = run("train", "--data-file", lesson, "--model-name", base, "--detach", *words)
    assert code == 0, err
    (record,) = sessions.read_history(place)
    assert record.spec.settings.protect == asked


def test_the_whole_job_from_a_file_to_a_chat(run, base, tmp_path):
    lesson = write_lesson(tmp_path / "mountains.json")
    code, out, err = run(
        "pipeline", "--data-file", lesson, "--model-name", base, "--epochs", 2, "--prompt", "Which mountain?"
    )
    assert code == 0, err
    assert "🆕" in out
    assert "5e-5 (automatic)" in out
    assert "✅ The full precision model answers like the original." in out
    assert "✅ The 8-bit model answers like the original." in out

    code, out, err = run(
        "pipeline", "--data-file", write_lesson(tmp_path / "rivers.json", topic="river"), "--epochs", 1
    )
    assert code == 0, err
    assert "🔄" in out
    assert "📚" in out
    assert "1e-5 (automatic)" in out

    listed = json.loads(run("sessions", "list", "--json")[1])
    assert [(r["row"], r["learning_rate"], r["verdict"]) for r in listed] == [
        (1, 5e-5, "published"),
        (3, 1e-5, "published"),
    ]
    shown = json.loads(run("sessions", "show", "rivers", "--json")[1])
    assert shown["spec"]["dataset"] == "rivers"
    assert shown["plan"]["learning_rate_chosen_by"] == "automatic"
    assert shown["status"]["state"] == "succeeded"
    assert shown["metrics"]["taught_after"]["loss"] <= shown["metrics"]["taught_before"]["loss"]
    assert shown["verdict"] == "published"

    code, first, _ = run("chat", "--prompt", "Which river?", "--max-tokens", 8)
    assert code == 0
    assert run("chat", "--prompt", "Which river?", "--max-tokens", 8)[1] == first

    (version,) = json.loads(run("sessions", "versions", "--json")[1])
    assert run("sessions", "rollback", version["id"])[0] == 0
    status = json.loads(run("status", "--json")[1])
    assert status["trained"]["fingerprint"] == version["fingerprint"]
    assert (status["onnx"]["state"], status["onnx"]["stale"]) == ("missing", None)  # it went with its model
    code, out, err = run("convert", "--verify")
    assert code == 0, err
    onnx = json.loads(run("status", "--json")[1])["onnx"]
    assert (onnx["stale"], onnx["freshness"], onnx["preferred"]) == (False, "fresh", "int8")
    assert {name: one["certified"] for name, one in onnx["variants"].items()} == {"fp32": True, "int8": True}
    assert "8-bit: up to date, certified" in run("status")[1]

    assert run("reset")[0] == 2  # nobody is asked where standard input is no terminal
    assert run("reset", "--force")[0] == 0
    assert json.loads(run("status", "--json")[1])["plan"]["row"] == 1
    assert len(json.loads(run("sessions", "versions", "--json")[1])) == 2


def test_a_session_is_saved_and_deleted_and_a_version_is_named(run, place, tmp_path):
    session = make_session(place, "broken", **failed())
    code, out, _ = run("sessions", "save", "broken", "--output", tmp_path / "broken.zip")
    assert (code, "saved" in out) == (0, True)
    assert f"{session.id}/spec.json" in zipfile.ZipFile(tmp_path / "broken.zip").namelist()
    assert run("sessions", "delete", "broken")[0] == 2  # nobody is asked where standard input is no terminal
    assert session.folder.exists()
    assert run("sessions", "delete", "broken", "--force")[0] == 0
    assert not session.folder.exists()
    make_situation(place.root, 3)
    kept = publish.unpublish(place)
    assert run("sessions", "name", kept.name, "before summer")[0] == 0
    assert "before summer" in run("sessions", "versions")[1]


def test_nothing_that_a_command_writes_takes_the_place_of_the_workspaces_own(run, place, tmp_path):
    session = make_session(place, "mountains")
    place.datasets.mkdir(exist_ok=True)
    own = session.folder / "spec.json"
    for words in (
        ("sessions", "save", "last", "--output", own),
        ("corrections", "export", "--output", own),
        ("bundle", "--variant", "fp32", "--output", own),
        ("baseline", "--baseline-output", place.sessions),
        ("validate", "--data-file", write_lesson(tmp_path / "rows.json"), "--filter", "--output", own),
    ):
        code, _, error = run(*words)
        assert code == 2, words
        assert "among the data" in error or "would take the place" in error
        assert own.read_bytes().startswith(b"{")


def test_who_did_it_and_what_was_written_beside_a_session_are_told(run, place, monkeypatch):
    monkeypatch.setenv("SAILS_WHO", "Ann")
    session = make_session(place, "rivers")
    sessions.enqueue(place, session)
    monkeypatch.setenv("SAILS_WHO", "Ben")
    assert run("sessions", "stop", "rivers")[0] == 0
    shown = json.loads(run("sessions", "show", "rivers", "--json")[1])
    assert (shown["started_by"], shown["stopped_by"]) == ("Ann", "Ben")
    assert "is tagged baseline, kitchen." in run("sessions", "tag", "rivers", "baseline", "kitchen")[1]
    assert run("sessions", "note", "rivers", "Compare with the next one.")[0] == 0
    listed = json.loads(run("sessions", "list", "--json")[1])[0]
    assert listed["tags"] == ["baseline", "kitchen"]
    assert listed["note"] == "Compare with the next one."
    table = run("sessions", "list")[1]
    assert "Ann" in table
    assert "Compare" in run("sessions", "show", "rivers")[1]
    assert "no tags any more" in run("sessions", "tag", "rivers")[1]
    make_situation(place.root, 3)
    publish.unpublish(place)
    assert "Ben took the current model away" in run("sessions", "versions")[1]


def test_what_its_own_worker_holds_is_no_training_before_it(place):
    session = make_session(place, "first", state="queued")
    sessions.enqueue(place, session)
    training, own = LifeLock(place.training_lock), LifeLock(session.lock)
    training.acquire()
    assert follow._words(session, session.status(), place) == ("waiting", "1 before it")
    own.acquire()
    assert follow._words(session, session.status(), place) == ("starting",)
    own.release()
    training.release()


def test_what_is_remembered_is_told_in_words_and_as_json(run, place):
    make_line(place, ["databases", "garden", "kitchen"])
    code, out, _ = run("sessions", "retention")
    assert code == 0
    for said in ("its earlier lessons lost nothing", "After 2. garden", "General knowledge"):
        assert said in out
    found = json.loads(run("sessions", "retention", "--json")[1])
    assert [lesson["name"] for lesson in found["lessons"]] == ["databases", "garden", "kitchen"]
    assert len(found["sessions"]) == 3
    assert (len(found["recall"]), len(found["recall"][0])) == (4, 3)
    assert found["recall"][1][2] is None
    assert found["acc"]["value"] == pytest.approx(80)
    assert found["bwt"].keys() == {"value", "low", "high"}
    assert found["headline"].startswith("Gets 80% of all that it was taught right")


def test_without_a_model_there_is_nothing_that_it_could_remember(run):
    code, out, _ = run("sessions", "retention")
    assert (code, "not measured" in out) == (0, True)
    assert json.loads(run("sessions", "retention", "--json")[1])["acc"] is None


def test_a_held_session_says_why_and_is_discarded_and_published_after_all(run, place):
    *_, held = make_line(place, ["databases", "kitchen"], lost=0.3, hold_last=True)
    before = place.situation().trained.fingerprint
    shown = run("sessions", "show", "kitchen")[1]
    assert "It lost 30 points on databases" in shown
    assert "That is too much to let pass." in shown
    code, out, _ = run("sessions", "discard", "kitchen")
    assert (code, "the current model stays" in out) == (0, True)
    assert held.status().verdict == "discarded"
    assert run("sessions", "discard", "kitchen")[0] == 2
    assert place.situation().trained.fingerprint == before
    assert run("sessions", "publish", "kitchen")[0] == 0
    assert place.situation().trained.fingerprint == held.status().fingerprint


def test_a_demo_workspace_is_made_and_one_of_its_sessions_replayed(run, place):
    assert run("demo")[0] == 0
    assert len(json.loads(run("sessions", "list", "--json")[1])) == len(sessions.read_history(place)) >= 4
    code, out, _ = run("sessions", "replay", "databases", "--seconds", 2)
    assert code == 0
    job = sessions.find(place, out.strip())
    processes._started[-1].wait(timeout=60)
    assert job.status().state == "succeeded"
    recorded = sessions.find(place, "databases")
    assert job.metrics.read_text(encoding="utf-8") == recorded.metrics.read_text(encoding="utf-8")


def test_a_baseline_is_the_base_model_untrained(run, base, tmp_path):
    command = ("baseline", "--model-name", base, "--baseline-output", tmp_path / "plain", "--variant", "int8")
    code, out, err = run(*command, "--test")
    assert code == 0, err
    assert "What is the capital of France?" in out
    assert "✅ The 8-bit model answers like the original." in out
    assert (tmp_path / "plain" / "int8" / "model.onnx").exists()
    assert not (tmp_path / "plain" / "model.onnx").exists()


def test_a_model_that_cannot_be_exported_is_exit_1(run, base, place):
    shutil.copytree(base, place.trained_model)
    (place.trained_model / "config.json").write_text('{"model_type": "no-such-model"}')
    code, _, err = run("convert", "--verify")
    assert code == 1
    assert "Traceback" not in err
    assert not place.onnx_model.exists()


def test_detached_training_goes_on_by_itself_and_a_second_start_waits_its_turn(run, place, base, tmp_path):
    lesson = write_lesson(tmp_path / "lesson.json")
    common = ("--model-name", base, "--max-steps", 3, "--detach")
    first = run("train", "--data-file", lesson, *common)[1].split()[-1]
    second = run("train", "--data-file", lesson, *common, "--name", "second")[1].split()[-1]
    _wait(lambda: _states(place) == {first: "succeeded", second: "succeeded"})
    records = {r.spec.id: r for r in sessions.read_history(place)}
    assert records[first].status.ended <= records[second].status.started
    assert records[second].status.parent == records[first].status.fingerprint


def test_ctrl_c_stops_gracefully_and_the_session_can_be_resumed(run, place, base, tmp_path):
    lesson = write_lesson(tmp_path / "lesson.json")
    command = [sys.executable, "-m", "sails", "train", "--data-file", str(lesson), "--model-name", str(base)]
    command += ["--epochs", "400", "--workspace", str(place.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    _wait(lambda: any(len(steps_of(r.session)) > 3 for r in sessions.read_history(place)))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"sails sessions resume" in err
    assert b"Traceback" not in err
    (record,) = sessions.read_history(place)
    assert record.status.state == "stopped"
    assert run("sessions", "resume", "last", "--detach")[0] == 0
    _wait(lambda: len(steps_of(record.session)) > record.status.step + 3)
    assert run("sessions", "stop", "last")[0] == 0
    _wait(lambda: record.session.status().state == "stopped")


def _states(place):
    return {r.spec.id: r.status.state for r in sessions.read_history(place)}


def _wait(condition, seconds=150):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
