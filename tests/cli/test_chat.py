"""`sails chat`: in a terminal, in a pipe, side by side, with a log and with judgements."""

import csv
import io
import json
import os
import signal
import subprocess
import sys

import pytest

from sails.chat import feedback, kept, saved_prompts
from sails.chat.models import base_onnx
from sails.cli import app
from tests.support.certified import add_variant, certify
from tests.support.exported import SESSION, VERSION, add_version, copy_talking, make_talking
from tests.support.folders import fingerprint_of, listing

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_talking(tmp_path_factory.mktemp("talking") / "workspace")


@pytest.fixture
def place(template, tmp_path):
    return copy_talking(template, tmp_path / "workspace")


@pytest.fixture
def chat(place, capsys, monkeypatch):
    """`sails chat` with short answers in this process; `typed` comes through a pipe."""

    def command(*words, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        capsys.readouterr()
        code = app.main(["chat", "--workspace", str(place.root), "--max-tokens", "4", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- asking ---------------------------------------------------------------------------------------


def test_one_question_prints_the_answer_alone_and_says_elsewhere_from_whom(chat, place):
    code, out, err = chat("--prompt", "What is a variable?")
    assert code == 0
    assert out.strip()
    assert out.endswith("\n")
    fingerprint = fingerprint_of(place.trained_model)
    who = f"Current model (full precision, not verified, session {SESSION}, fingerprint {fingerprint})"
    assert f"Answering: {who}" in err
    assert "Cut off at the longest answer" in err
    assert chat("--prompt", "What is a variable?")[1] == out


def test_questions_come_through_a_pipe_and_only_answers_go_out(chat):
    first, second = chat("--prompt", "one")[1], chat("--prompt", "two")[1]
    code, out, err = chat(typed="one\n\n/new\ntwo\nexit\nnever asked\n")
    assert (code, out) == (0, first + second)
    assert "You:" not in out + err
    assert "\x1b" not in out + err


def test_a_pipe_that_ends_without_a_last_newline_is_no_problem(chat):
    assert chat(typed="one")[1] == chat("--prompt", "one")[1]


def test_every_setting_reaches_the_model(chat):
    plain = chat("--prompt", "one", "--max-tokens", 30)[1]
    assert chat("--prompt", "one", "--max-tokens", 30, "--repetition-penalty", 1.9)[1] != plain
    assert chat("--prompt", "one", "--max-tokens", 30, "--system", "Be short.")[1] != plain
    hot = ("--prompt", "one", "--max-tokens", 30, "--temperature", 1.5)
    assert chat(*hot, "--seed", 1)[1] == chat(*hot, "--seed", 1)[1] != chat(*hot, "--seed", 2)[1]
    assert chat(*hot, "--seed", 1, "--top-p", 0.05)[1] != chat(*hot, "--seed", 1)[1]
    assert "tokens, and together with its answer 8 fit" in chat("--prompt", "one", "--max-length", 8)[2]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--max-tokens", 0), 2, "The number of new tokens must be at least 1"),
        (("--prompt", "  "), 2, "the question is empty"),
        (("--prompt", "why? " * 20_000), 2, "together with its answer 512 fit"),
        (("--version", "gone"), 2, "no longer here"),
        (("--variant", "int4"), 2, "int4"),
        (("--compare", "current@int4"), 2, "There is no variant int4"),
        (("--compare", "current,current,current,current,current"), 2, "Name up to 4"),
        (("--variant", "int8"), 2, "There is no ONNX model in 8-bit"),
        (("--model-path", "/nowhere"), 2, "There is no ONNX model in /nowhere"),
        (("--ask-all",), 2, "There are no saved questions"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_an_exit_code(chat, words, code, said):
    found, _, err = chat(*words)
    assert found == code
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(folder / "model.onnx", 1000),
        lambda folder: (folder / "tokenizer.json").write_text("{"),
        lambda folder: (folder / "tokenizer.json").unlink(),
    ],
)
def test_a_damaged_model_is_one_sentence_and_exit_1(chat, place, damage):
    damage(place.onnx_model)
    code, out, err = chat("--prompt", "one")
    assert (code, out) == (1, "")
    assert "xport the model" in err
    assert len(err.strip().splitlines()) == 1


# --- who answers ----------------------------------------------------------------------------------


def test_a_size_can_be_named_and_a_certified_one_answers_by_itself(chat, place):
    add_variant(place.onnx_model, "int8")
    assert "(full precision, not verified" in chat("--prompt", "one")[2]
    assert "(8-bit, not verified" in chat("--prompt", "one", "--variant", "int8")[2]
    certify(place.onnx_model, "int8")
    assert "(8-bit, session" in chat("--prompt", "one")[2]
    assert "(full precision, not verified" in chat("--prompt", "one", "--variant", "fp32")[2]
    assert "(8-bit" in chat("--prompt", "one", "--model-path", place.onnx_model / "int8")[2]


def test_a_size_that_failed_is_not_used_unless_it_was_put_in_place(chat, place):
    add_variant(place.onnx_model, "int8", apart=True)
    certify(place.onnx_model, "int8", apart=True)
    code, _, err = chat("--prompt", "one", "--variant", "int8")
    assert code == 2
    assert "failed its certificate, so it is kept apart" in err
    add_variant(place.onnx_model, "int8")
    certify(place.onnx_model, "int8", passed=False)
    assert "8-bit, failed its certificate" in chat("--prompt", "one", "--variant", "int8")[2]
    assert "(full precision" in chat("--prompt", "one")[2]


def test_models_answer_side_by_side_and_what_differs_is_said(chat, place):
    add_variant(place.onnx_model, "int8")
    code, out, err = chat("--prompt", "one", "--compare", "current@fp32", "--compare", "current@int8")
    assert code == 0
    answer = chat("--prompt", "one")[1].strip()
    assert out.count(answer) == 2
    assert "--- 1. Current model (full precision" in out
    assert "--- 2. Current model (8-bit" in out
    assert "--- 2 against 1: The same answer, word for word." in out
    assert err.count("Answering: ") == 2


def test_a_version_is_named_by_its_id_and_says_how_it_is_made_ready(chat, place):
    add_version(place)
    code, _, err = chat("--prompt", "one", "--version", VERSION)
    assert code == 2
    assert f"Version {VERSION} has no ONNX model yet. Make it with --make-ready" in err


# --- saved questions ------------------------------------------------------------------------------


def test_saved_questions_are_listed_and_asked_of_all_into_a_table(chat, place, tmp_path):
    add_variant(place.onnx_model, "int8")
    saved_prompts.add(place, "=one", name="First")
    saved_prompts.add(place, "two\nlines")
    assert chat("--prompts")[1] == "1. First: =one\n2. two lines\n"
    assert [row["question"] for row in json.loads(chat("--prompts", "--json")[1])] == ["=one", "two\nlines"]
    both = ("--ask-all", "--compare", "current@fp32,current@int8")
    code, out, err = chat(*both)
    assert code == 0
    assert out.count("--- Current model (8-bit) (The same answer, word for word.)") == 2
    assert "Question 2 of 2" in err
    assert chat(*both, "--output", tmp_path / "t.csv")[0] == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text(encoding="utf-8-sig"))))
    assert rows[0]["question"] == "'=one"
    assert rows[1]["Current model (full precision)"] == rows[1]["Current model (8-bit)"]
    assert chat(*both, "--output", tmp_path / "t.json")[0] == 0
    assert len(json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["rows"]) == 2
    assert "neither .csv nor .json" in chat(*both, "--output", tmp_path / "t.xlsx")[2]


def test_one_saved_question_is_asked_and_the_last_one_saved(chat, place):
    saved_prompts.add(place, "one")
    assert chat(typed="/ask 1\n")[1] == chat("--prompt", "one")[1]
    assert "There are 1 saved questions" in chat(typed="/ask 2\n")[2]
    chat(typed="what now?\n/save Now\n")
    assert [(one.name, one.question) for one in saved_prompts.prompts(place)] == [
        ("", "one"),
        ("Now", "what now?"),
    ]


# --- logs and judgements --------------------------------------------------------------------------


def test_a_conversation_is_begun_gone_on_with_and_listed(chat, place):
    code, _, err = chat("--conversation", "Rivers", "--prompt", "one")
    assert code == 0
    assert "A new conversation begins" in err
    _, out, err = chat("--conversation", "rivers", typed="two\n/good\n/new\nthree\n")
    assert "Going on with “Rivers”: 1 question so far." in err
    listed = json.loads(chat("--conversations", "--json")[1])
    assert sorted((one["title"], one["questions"]) for one in listed) == [("Rivers", 2), ("three", 1)]
    found = kept.find_conversation(place, "Rivers").history.turns
    assert [turn.question for turn in found] == ["one", "two"]
    assert found[1].replies[0].text == out.splitlines()[0]
    assert [turn.replies[0].correction for turn in found] == ["", feedback.corrections(place)[0].id]
    (place.root / kept.CONVERSATIONS / "broken.json").write_text("{")
    _, out, err = chat("--conversations")
    assert "Rivers  (2 questions, " in out
    assert "broken.json is damaged and is left out." in err


def test_without_a_name_nothing_is_kept_and_who_may_only_look_keeps_nothing(chat, place, monkeypatch):
    before = listing(place.root)
    chat("--prompt", "one")
    assert "No conversation is kept yet." in chat("--conversations")[2]
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    code, out, err = chat("--conversation", "Rivers", "--prompt", "one")
    assert (code, out) == (2, "")
    assert "nothing can be changed here" in err
    assert listing(place.root) == before


def test_conversations_are_logged_in_lines_that_nobody_has_judged(chat, place, tmp_path):
    log = tmp_path / "logs" / "chat.jsonl"
    chat("--prompt", "one", "--log-conversations", "--log-file", log)
    with open(log, "a", encoding="utf-8") as file:
        file.write('{"cut of')  # a line that was never finished
    chat(typed="two\nthree\n")
    _, out, _ = chat("--prompt", "日本", "--log-file", log)
    first, _, last = log.read_text(encoding="utf-8").splitlines()
    assert set(json.loads(first)) == {"input", "output", "timestamp", "accepted"}
    assert json.loads(last)["accepted"] is None
    assert (json.loads(last)["input"], json.loads(last)["output"]) == ("日本", out.rstrip("\n"))
    chat("--prompt", "one", "--log-conversations")
    assert len(lines(place.root / "conversation_log.jsonl")) == 1


def test_answers_are_judged_into_the_review_list_and_the_feedback_file(chat, place, tmp_path):
    file = tmp_path / "feedback.jsonl"
    typed = "/good\none\n/good\ntwo\n/bad Two is 2.\nthree\n/never\n"
    _, _, err = chat("--feedback-file", file, typed=typed)
    assert "There is no answer to judge yet." in err
    judged = [(row["input"], row["accepted"], row.get("correction")) for row in lines(file)]
    assert judged == [("one", True, None), ("two", False, "Two is 2."), ("three", False, None)]
    kept = {one.question: one for one in feedback.corrections(place)}
    assert [(kept[q].kind, kept[q].state) for q in ("one", "two", "three")] == [
        ("good", "waiting"),
        ("corrected", "waiting"),
        ("never", "waiting"),
    ]
    assert kept["two"].correction == "Two is 2."
    assert kept["two"].fingerprint == fingerprint_of(place.trained_model)
    assert kept["two"].context[0]["content"] == "one"


def test_with_several_it_is_said_whose_answer_is_judged(chat, place):
    add_variant(place.onnx_model, "int8")
    both = ("--compare", "current@fp32,current@int8")
    _, _, err = chat(*both, typed="one\n/bad 2 is right\n/good\n")
    assert "Say whose answer you judge." in err
    (given,) = feedback.corrections(place)
    assert (given.correction, given.variant) == ("is right", "int8")


def test_who_may_only_look_can_talk_and_leaves_nothing(chat, place, monkeypatch, tmp_path):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    before = listing(place.root)
    code, out, err = chat("--feedback-file", tmp_path / "f", typed="one\n/good\n/save\ntwo\n")
    assert (code, len(out.splitlines()) >= 2) == (0, True)
    assert err.count("This dashboard only shows") == 2
    assert "nothing can be changed here" in chat("--prompt", "one", "--log-conversations")[2]
    assert listing(place.root) == before
    assert not (tmp_path / "f").exists()


def test_a_command_that_there_is_not_is_said_and_a_path_is_a_question(chat):
    _, out, err = chat(typed="/nothing\n/etc/passwd what is it?\n/help\n")
    assert "There is no command /nothing." in err
    assert out.strip()
    assert "/bad CORRECTION" in err


# --- as a program ---------------------------------------------------------------------------------


def test_a_chat_loads_nothing_that_it_does_not_need(place):
    code = (
        "import sys; from sails import cli; "
        f"cli.main(['chat','--workspace',{str(place.root)!r},'--prompt','x','--max-tokens','2']); "
        "print([n for n in ('torch','transformers','streamlit','pandas','rich','sails.sessions',"
        "'sails.models.publish','sails.retention') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


class Impatient(io.StringIO):
    """Standard output that presses Ctrl-C at its fifth piece."""

    pieces = 0

    def write(self, text):
        self.pieces += 1
        if self.pieces == 5:
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_ctrl_c_stops_the_answer_and_not_the_program(chat, monkeypatch):
    monkeypatch.setattr("sys.stdout", screen := Impatient())
    code, _, err = chat("--max-tokens", 300, typed="one\n")
    assert code == 0
    assert "Stopped here." in err
    assert 0 < len(screen.getvalue()) < 200
    monkeypatch.setattr("sys.stdout", screen := Impatient())
    code, _, err = chat("--prompt", "one", "--max-tokens", 300)
    assert (code, "Traceback" in err) == (1, False)


def test_the_base_answers_where_its_onnx_model_is_ready(chat, place, tmp_path, monkeypatch):
    monkeypatch.setenv("SAILS_CACHE", str(tmp_path / "cache"))
    base = json.loads((place.trained_model / "sails.json").read_text())["base"]
    from pathlib import Path

    from sails.onnx.export import export_model

    export_model(Path(base), base_onnx(base), source_fingerprint=fingerprint_of(Path(base)))
    code, out, err = chat("--prompt", "one", "--compare", "base,current")
    assert code == 0, err
    assert "--- 1. Base model base (full precision" in out
