"""Figures and texts as people read them."""

import pytest

from sails.system.format import (
    count,
    duration,
    duration_range,
    fit,
    gigabytes,
    listed,
    megabytes,
    one_line,
    seconds,
    shorten,
    signed,
    size,
)


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1 kB"), (538_090_408, "538 MB"), (2_300_000_000, "2.3 GB")],
)
def test_sizes_read_as_people_say_them(number, words):
    assert size(number) == words


@pytest.mark.parametrize(("seconds", "words"), [(4.2, "4 s"), (74, "1 min"), (12_000, "3 h 20 min")])
def test_durations_read_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_seconds_beside_each_other_have_as_many_decimals():
    assert (seconds(0.0449, 2), seconds(720.4, 0)) == ("0.04 s", "720 s")


@pytest.mark.parametrize(
    ("number", "digits", "words"),
    [
        (-0.00001, 4, "0.0000"),
        (0.00001, 4, "0.0000"),
        (-0.012, 2, "-0.01"),
        (3.26, 1, "+3.3"),
        (-0.0, 1, "0.0"),
    ],
)
def test_a_change_that_rounds_to_nothing_has_no_sign(number, digits, words):
    assert signed(number, digits) == words


def test_sizes_are_told_in_gigabytes():
    assert (gigabytes(0), gigabytes(1_550_000_000), gigabytes(12)) == ("0.0 GB", "1.6 GB", "0.0 GB")


def test_sizes_beside_each_other_have_one_unit():
    assert (megabytes(412_000), megabytes(1_537_600_000)) == ("0 MB", "1,538 MB")


def test_counts_say_one_and_many():
    told = (count(0, "row"), count(1, "row"), count(12_300, "example"))
    assert told == ("0 rows", "1 row", "12,300 examples")


def test_a_text_that_is_short_enough_stays_as_it_is():
    assert shorten("abc", 3) == fit("abc", 3) == "abc"


def test_a_long_text_ends_in_an_ellipsis():
    assert (shorten("abcd", 3), shorten("abcd", 3, " …")) == ("abc…", "abc …")
    assert (fit("abcd", 3), fit("a bcd", 3)) == ("ab…", "a…")


def test_a_text_of_many_lines_becomes_one():
    assert one_line(" a\n\tb  c ") == "a b c"


def test_words_are_listed_as_a_sentence_names_them():
    assert [listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert listed(["a", "b", "c"], last="or") == "a, b or c"


@pytest.mark.parametrize(
    ("least", "most", "said"),
    [
        (180, 300, "3 to 5 min"),
        (20, 48, "20 to 48 s"),
        (48, 120, "48 s to 2 min"),
        (3600, 4200, "1 h to 1 h 10 min"),
        (3600, 7200, "1 to 2 h"),
        (60, 61, "1 min"),
    ],
)
def test_a_range_of_durations_says_its_unit_once(least, most, said):
    assert duration_range(least, most) == said
