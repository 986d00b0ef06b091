"""What is taught and what is not: no good row lost, no rubbish let through."""

import json
from dataclasses import asdict

import pytest

from sails.data import Conversation, Turn, assess, clean
from sails.data.checks import CHECKS
from sails.data.formats.source import Refusal
from tests.support.rows import CUT_OFF, GOOD, LONG_GOOD, RUBBISH


def conversation(question: str, answer: str, row: int = 1) -> Conversation:
    return Conversation((Turn("user", question), Turn("assistant", answer)), row=row)


def problems(question: str, answer: str) -> list[tuple[str, str]]:
    return [
        (problem.check, problem.severity) for problem in assess([conversation(question, answer)]).problems
    ]


def distinct(count: int) -> list[Conversation]:
    return [
        conversation(f"What is number {number}?", f"Number {number} comes after {number - 1}.", number)
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize(("question", "answer"), GOOD)
def test_a_good_row_has_no_error(question, answer):
    assert [check for check, severity in problems(question, answer) if severity == "error"] == []


@pytest.mark.parametrize(
    ("check", "question", "answer"), [(check, *row) for check, rows in RUBBISH.items() for row in rows]
)
def test_rubbish_is_an_error_of_its_kind(check, question, answer):
    assert problems(question, answer) == [(check, "error")]


@pytest.mark.parametrize(("question", "answer"), CUT_OFF)
def test_an_answer_that_breaks_off_is_a_warning(question, answer):
    assert problems(question, answer) == [("cut_off", "warning")]


def test_restating_the_question_is_no_echo():
    assert problems("What is the capital of France?", "The capital of France is Paris.") == []


@pytest.mark.parametrize("answer", ["4", "Paris", "Yes."])
def test_a_short_fact_is_only_a_warning(answer):
    assert problems("What is it?", answer) == [("too_short", "warning")]


def test_a_choice_among_the_words_of_the_question_is_only_a_warning():
    assert ("echo", "warning") in problems("Would you like tea or coffee?", "Coffee")


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "!",
        "。",
        "؟",
        "।",
        "”",
        ")",
        "…",
        " 🙂",
        "\n```\ncode\n```",
        "\n- one\n- two",
        "\n\nBest wishes\nThe team",
    ],
)
def test_a_long_answer_may_end_in_many_ways(ending):
    assert problems("What is a tuple?", LONG_GOOD.strip() + ending) == []


def test_ordinary_prose_in_bulk_is_never_an_error():
    paragraphs = [LONG_GOOD * times for times in (1, 2)]
    assert [problems("What is a tuple?", paragraph) for paragraph in paragraphs] == [[], []]


def test_a_question_that_is_gibberish_is_a_warning_since_the_answer_may_say_so():
    assert problems("asdf sdfkjh", "I am sorry, I do not understand.") == [("gibberish", "warning")]


def test_rubbish_in_the_middle_of_a_chat_counts_and_small_talk_does_not():
    def chat(said: str) -> Conversation:
        talk = ("user", "Hi"), ("assistant", said), ("user", "Why is the sky blue?")
        return Conversation(
            (*(Turn(*turn) for turn in talk), Turn("assistant", "Because air scatters blue light most."))
        )

    assert assess([chat("Hi!")]).problems == ()
    assert [problem.check for problem in assess([chat("ksjdhf lkjsdf weoiru xcmvnb")]).problems] == [
        "gibberish"
    ]


def test_rubbish_that_is_only_read_does_not_count():
    turns = [
        Turn("user", "Hi"),
        Turn("assistant", "...", learned=False),
        Turn("user", "Why is the sky blue?"),
    ]
    row = Conversation((*turns, Turn("assistant", "Because the air scatters blue light.")), {}, 1)
    assert assess([row]).problems == ()


def test_a_system_turn_is_not_taken_for_a_question():
    turns = Turn("system", "asdf"), Turn("user", "What is Python?"), Turn("assistant", "It is a language.")
    assert assess([Conversation(turns)]).problems == ()


def test_the_score_counts_errors_whole_and_warnings_a_tenth():
    empty = [conversation("q", "", row) for row in (9, 10)]
    rows = [*distinct(7), conversation("Capital of Peru?", "Lima", 8), *empty]
    report = assess(rows)
    assert (report.total, report.valid) == (10, 8)
    assert report.score == pytest.approx(1 - (2 + 0.1) / 10)
    assert report.counts == dict.fromkeys(CHECKS, 0) | {"too_short": 1, "empty": 2}
    assert [problem.row for problem in report.problems] == [8, 9, 10]


@pytest.mark.parametrize(
    ("bad", "grade"), [(0, "good"), (6, "good"), (7, "acceptable"), (10, "acceptable"), (11, "critical")]
)
def test_the_grades_begin_at_seven_and_five_tenths(bad, grade):
    rows = distinct(20 - bad) + [conversation("q", "", 100 + number) for number in range(bad)]
    assert assess(rows).grade == grade


def test_a_file_of_short_facts_is_good():
    report = assess([conversation(f"What is {n} + {n}?", str(2 * n), n) for n in range(1, 50)])
    assert (report.grade, report.valid) == ("good", 49)


def test_refused_rows_count_as_errors():
    report = assess(distinct(10), [Refusal(row, "the answer is empty") for row in range(11, 41)])
    assert (report.total, report.valid, report.grade) == (40, 10, "critical")
    assert report.problems[0].check == "refused"


def test_nothing_at_all_is_critical():
    report = assess([])
    assert (report.total, report.score, report.grade) == (0, 0.0, "critical")


def test_clean_leaves_out_errors_and_exact_duplicates_and_keeps_warnings():
    good = conversation("Capital of Peru?", "Lima", 1)
    again = conversation(" capital of PERU? ", "Lima", 2)
    bad = conversation("What is Python?", "asdfghjkl", 3)
    rows = [good, again, bad, *distinct(2)]
    rows = [Conversation(row.turns, row=number) for number, row in enumerate(rows, 1)]
    report = assess(rows)
    assert report.duplicates == 1
    assert [row.row for row in clean(rows, report)] == [1, 4, 5]


def test_answers_that_differ_in_case_or_indent_are_both_kept_and_said_to_contradict():
    rows = [
        conversation("Print it.", "    print('A')", 1),
        conversation("Print it.", "    print('a')", 2),
        conversation("Print it.", "print('A')", 3),
        conversation("print it.", "    print('A')", 4),
    ]
    report = assess(rows)
    assert (report.duplicates, [row.row for row in clean(rows, report)]) == (1, [1, 2, 3])
    reason = "the same question has another answer in row 1; both cannot be learned"
    found = [problem for problem in report.problems if problem.check == "contradiction"]
    assert [(problem.row, problem.severity, problem.reason) for problem in found] == [
        (2, "warning", reason),
        (3, "warning", reason),
    ]


def test_the_same_question_to_two_assistants_is_no_contradiction():
    rows = [
        Conversation((Turn("system", system), *conversation("Who are you?", answer).turns), row=n)
        for n, (system, answer) in enumerate([("Be a cat.", "I am a cat."), ("Be a dog.", "I am a dog.")])
    ]
    assert assess(rows).counts["contradiction"] == 0


@pytest.mark.parametrize(
    ("question", "answer", "is_found"),
    [
        ("Where is it?", "At Smith &amp; Sons, on the corner.", True),
        ("Where is it?", "On the corner.<br>Ring twice.", True),
        ("O&uuml; or Oe?", "Both are read by everyone here.", True),
        ("How do I write & in HTML?", "As &amp; in the text of the page.", False),
        ("How do I break a line?", "Write `<br>` where it should break.", False),
        ("Is 3 < 4 & 5 > 4?", "Yes, both of these are true.", False),
    ],
)
def test_signs_of_html_are_warned_of_where_they_are_not_the_subject(question, answer, is_found):
    assert (("markup", "warning") in problems(question, answer)) == is_found


def test_recommendations_say_what_to_do_and_are_silent_about_a_good_file():
    assert assess(distinct(20)).recommendations == ()
    report = assess([*distinct(3), conversation("q", "", 4), conversation("Capital of Peru?", "Lima", 5)])
    first, second, third = report.recommendations
    assert first.startswith("1 row should not be taught")
    assert "20 or more" in second
    assert third.startswith("1 row: answer in a whole sentence")


def test_a_report_can_be_kept_as_json():
    report = assess([*distinct(3), conversation("q", "", 4)])
    assert json.loads(json.dumps(asdict(report)))["counts"]["empty"] == 1
