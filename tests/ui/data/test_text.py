"""The sentences of the data page: each number that matters is said to be good or not."""

from datetime import UTC, datetime

import pytest

from sails.data import Conversation, Turn, assess
from sails.data.datasets import DatasetReport, Novelty
from sails.data.formats.source import Refusal
from sails.training.token_count import Lengths
from sails.ui.data import text


def rows_of(*answers: str) -> list[Conversation]:
    return [
        Conversation((Turn("user", f"What is thing {n}?"), Turn("assistant", answer)), row=n)
        for n, answer in enumerate(answers, 1)
    ]


GOOD = [f"It is the thing that comes before number {n}." for n in range(9)]


def report(**changes: object) -> DatasetReport:
    known = {
        "name": "peaks", "source": "peaks.csv", "fingerprint": "x", "rows": 90, "left_out": 0, "refused": 0,
        "duplicates": 0, "encoding": "utf-8", "format": "csv", "quality": {"grade": "good"},
        "created": datetime(2026, 1, 5, 9, 0, tzinfo=UTC), "tokens": 6872,
    }  # fmt: skip
    return DatasetReport.model_validate(known | changes)


# --- quality --------------------------------------------------------------------------------------


def test_rows_that_the_model_cannot_be_taught_are_not_counted_as_good():
    said = text.quality(assess(rows_of(*GOOD)), 2)
    assert f"{len(GOOD) - 2} of {len(GOOD)} rows can be taught as they are." in said
    assert "- 2 rows: cannot be taught to this model" in said


def test_good_rows_are_said_to_be_good_and_nothing_else():
    assert text.quality(assess(rows_of(*GOOD))).strip() == (
        "✅ **Good: 9 of 9 rows can be taught as they are.**"
    )


@pytest.mark.parametrize(("rows", "few"), [(1, "1 row."), (4, "4 rows."), (5, "")])
def test_a_handful_of_rows_is_not_called_good(rows, few):
    said = text.quality(assess(rows_of(*GOOD[:rows])))
    assert ("✅" in said) is (few == "")
    assert ("Too few to learn from" in said) is (few != "")
    assert few in said


def test_each_kind_of_problem_is_counted_in_words():
    twice = [*rows_of(*GOOD, "...", "Yes."), rows_of(GOOD[0])[0]]
    said = text.quality(assess(twice, [Refusal(20, "the answer is empty")]))
    for line in (
        "- 1 row: the question or the answer is empty",
        "- 1 row: a very short answer",
        "- 1 row: cannot be read",
        "- 1 row: the same as an earlier one; each is kept once",
    ):
        assert line in said


def test_critical_rows_come_with_the_advice_to_correct_them():
    said = text.quality(assess(rows_of("...", "asdf asdf asdf asdf")))
    assert said.startswith("❌ **Critical: 0 of 2 rows")
    assert "correct these rows, or leave them out" in said


# --- one line -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokens_counted": True}, "90 examples · ✅ quality: good · 6,872 word pieces · 2026"),
        ({}, "90 examples · ✅ quality: good · about 6,900 word pieces · 2026"),
        ({"tokens": 8_988_799}, "90 examples · ✅ quality: good · about 9,000,000 word pieces · 2026"),
        ({"quality": {"grade": []}, "tokens": 0}, "90 examples · – quality: not checked · 2026"),
        (
            {"rows": 1, "quality": {"grade": "critical"}, "tokens": 0},
            "1 example · ❌ quality: critical · 2026",
        ),
        ({"quality": {}, "created": None, "tokens": 0}, "90 examples · – quality: not checked"),
    ],
)
def test_a_dataset_in_one_line(changes, words):
    assert text.facts(report(**changes), lambda time: f"{time:%Y}") == words


# --- novelty --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((0, 0, 30), "Nothing is left to teach"),
        ((0, 80, 9), "was taught all of this before"),
        ((19, 0, 0), "None is set aside for testing, which takes 20 new questions"),
        ((81, 0, 9), "An exam of 9 questions gives a first impression; with 20 (about 200 examples)"),
        ((180, 0, 20), "With 20 questions in the exam, its result can be trusted"),
    ],
)
def test_what_a_training_would_make_of_it_is_said_to_be_enough_or_not(counts, words):
    assert words in text.novelty(Novelty(*counts, notes=()))


# --- lengths --------------------------------------------------------------------------------------


def test_no_example_is_shortened():
    said = text.lengths(Lengths((10, 77, 102), 3, counted=True))
    assert said == (
        "Half of the examples have up to 77 word pieces (tokens), the longest has 102; together they have "
        "189. "
        "✅ None is longer than 512, so none is shortened."
    )


def test_a_total_that_is_not_counted_is_round():
    assert "together they have about 12,000." in text.lengths(Lengths((61, 62), 200, counted=True))


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (Lengths((10, 600), 2, counted=True), "⚠️ 1 example is longer than 512, and its end will be"),
        (Lengths((10, 600, 700), 3, counted=True), "⚠️ 2 examples are longer than 512, and their ends"),
        (Lengths((10, 600), 2, counted=False), "⚠️ About 1 example is longer than 512"),
    ],
)
def test_long_examples_are_counted_and_what_happens_to_them_is_said(measured, words):
    assert words in text.lengths(measured)


def test_rows_that_do_not_fit_are_named():
    said = text.lengths(Lengths((10, 600, 700), 3, True, rows=(1, 4, 9), starts=(5, 20, 650)))
    assert "That is rows 4, 9." in said
    assert "Of row 9 no answer is left, so nothing of it is taught." in said


def test_an_estimate_and_a_sample_say_that_they_are():
    assert "estimates" in text.how_measured(Lengths((10,), 1, counted=False))
    assert "Measured on 2 examples, drawn by lot" in text.how_measured(Lengths((10, 20), 9, counted=True))
    assert "estimates" not in text.how_measured(Lengths((10,), 1, counted=True))


@pytest.mark.parametrize("longest", [0, 1, 7, 12, 13, 102, 512, 5_000, 10**7])
def test_every_example_is_in_one_of_at_most_twelve_ranges(longest):
    lengths = Lengths((min(1, longest), longest), 2, counted=True)
    ranges, counts = text.histogram(lengths)
    assert 1 <= len(ranges) == len(counts) <= text.MAX_BARS
    assert sum(counts) == 2
    assert ranges[0].startswith("1–")
    assert counts[-1] >= 1
