"""The example conversations: enough of them, all distinct, none copied from another."""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ["programming_basics", "web_development", "databases"]
LONGEST_SHARED_RUN = 5  # words; a longer run in two answers would be a template, not two thoughts


def read_lines(name: str) -> list[str]:
    return (EXAMPLES / f"{name}.json").read_text(encoding="utf-8").splitlines()


def read_pairs(name: str) -> list[dict[str, str]]:
    return json.loads("\n".join(read_lines(name)))


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation at their edges; bare signs such as `==` stay."""
    return [re.sub(r"^\W+|\W+$", "", word) or word for word in text.lower().split()]


ALL_PAIRS = [(name, pair) for name in NAMES for pair in read_pairs(name)]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_at_least_eighty_pairs(name):
    assert len(read_pairs(name)) >= 80


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_has_just_a_trimmed_question_and_a_trimmed_answer(name):
    for pair in read_pairs(name):
        assert set(pair) == {"input", "output"}
        assert all(text and text == " ".join(text.split()) for text in pair.values()), pair


@pytest.mark.parametrize("name", NAMES)
def test_every_line_between_the_brackets_is_one_pair(name):
    first, *middle, last = read_lines(name)
    assert (first, last) == ("[", "]")
    assert [json.loads(line.rstrip(",")) for line in middle] == read_pairs(name)


def test_no_question_is_asked_twice_in_any_file():
    seen = {}
    for name, pair in ALL_PAIRS:
        question = " ".join(words(pair["input"]))
        assert question not in seen, f"{name} and {seen.get(question)} both ask: {pair['input']}"
        seen[question] = name


def test_no_answer_repeats_in_any_file():
    answers = [" ".join(words(pair["output"])) for _, pair in ALL_PAIRS]
    assert len(set(answers)) == len(answers)


def test_every_answer_has_twelve_to_forty_five_words_and_ends_as_a_sentence():
    for _, pair in ALL_PAIRS:
        assert 12 <= len(pair["output"].split()) <= 45, pair["input"]
        assert pair["output"].endswith("."), pair["input"]


def test_every_question_ends_as_a_question_or_a_request():
    for _, pair in ALL_PAIRS:
        assert pair["input"].endswith("." if pair["input"].startswith("Explain ") else "?"), pair["input"]


def test_no_two_answers_share_more_than_a_handful_of_words_in_a_row():
    length = LONGEST_SHARED_RUN + 1
    askers = defaultdict(set)
    for _, pair in ALL_PAIRS:
        answer = words(pair["output"])
        for start in range(len(answer) - length + 1):
            askers[" ".join(answer[start : start + length])].add(pair["input"])
    assert {run: sorted(questions) for run, questions in askers.items() if len(questions) > 1} == {}


def test_answers_start_in_varied_ways():
    openings = defaultdict(list)
    for _, pair in ALL_PAIRS:
        openings[" ".join(words(pair["output"])[:2])].append(pair["input"])
    assert {opening: asked for opening, asked in openings.items() if len(asked) > 3} == {}
