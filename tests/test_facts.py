"""The invented lessons of `benchmarks.retention`: always the same, all different, and fit to be taught."""

import re
from collections import defaultdict

import pytest

from benchmarks.facts import GROUP, QUESTIONS, THEMES, WORDS, lessons
from sails.data import Conversation, Turn, assess

LESSONS = lessons(count=len(THEMES), facts=72, seed=1)
FACTS = [fact for facts in LESSONS.values() for fact in facts]


def test_the_same_seed_gives_the_same_facts_and_another_one_others():
    assert lessons(count=len(THEMES), facts=72, seed=1) == LESSONS
    other = lessons(count=len(THEMES), facts=72, seed=2)
    assert not set(FACTS) & {fact for facts in other.values() for fact in facts}


def test_no_question_is_asked_twice():
    assert len({fact.question for fact in FACTS}) == len(FACTS) == 72 * len(THEMES)


def test_fewer_facts_than_full_groups_can_be_asked_for():
    assert [len(facts) for facts in lessons(count=2, facts=31, seed=1).values()] == [31, 31]


def test_more_lessons_than_there_are_themes_are_refused():
    with pytest.raises(ValueError, match="not 7"):
        lessons(count=7, facts=72, seed=1)


def test_no_word_of_an_answer_that_was_drawn_stands_in_its_question():
    drawn = {word for words in WORDS.values() for word in words}
    for fact in FACTS:
        words = [set(re.findall(r"[a-z]+", text.lower())) for text in (fact.question, fact.answer)]
        assert len(words[1] & {word.lower() for word in drawn}) >= 3, fact
        assert not words[0] & words[1] & drawn, fact


def test_an_answer_is_shared_by_the_things_of_a_group_and_by_no_others():
    for name, facts in LESSONS.items():
        questions = defaultdict(list)
        for number, fact in enumerate(facts):
            questions[fact.answer].append(number)
        shared = [numbers for numbers in questions.values() if len(numbers) > 1]
        assert len(shared) == 72 / QUESTIONS / GROUP, name
        for numbers in shared:
            assert [n - numbers[0] for n in numbers] == [n * QUESTIONS for n in range(GROUP)]


def test_every_fact_is_fit_to_be_taught():
    rows = [
        Conversation((Turn("user", fact.question), Turn("assistant", fact.answer)), row=number)
        for number, fact in enumerate(FACTS, 1)
    ]
    assert assess(rows).problems == ()
