"""The tables of `benchmarks.retention`: what is made of the lines of finished ways, and what is reached."""

from typing import Any

import pytest

from benchmarks.retention import (
    INVENTED,
    SMALL,
    WAYS,
    Task,
    as_markdown,
    figure,
    key,
    rows_of_table,
    verdicts,
)
from benchmarks.small_lessons import SMALL_LESSONS


def line(way: str, seed: int = 0, **changed: Any) -> dict[str, Any]:
    """A finished way with small lessons, in which all is well."""
    lessons = [
        {"lesson": name, "rows": len(rows), "own": len(rows), "reworded": len(rows), "wrong": {}}
        for name, rows in SMALL_LESSONS.items()
    ]
    figures = {
        "acc": 98.0,
        "bwt": -1.0,
        "learned": 60.0,
        "own": 99.0,
        "kept_back": 50.0,
        "drift": 0.1,
        "general_asked": 120,
        "general_right": 119,
        "answered": lessons,
        "cpu_seconds": 100.0,
        "steps": 50,
        "seconds": 60.0,
        "judging_seconds": 6.0,
        "judged_too_long": 0,
        "held": 0,
        "rounds": [4.0, 6.0],
        "rates": [5e-5, 1e-5],
    }
    return {"way": way, "seed": seed, **figures, **changed}


def of_small_lessons(**changed: Any) -> list[dict[str, Any]]:
    lines = [line("default"), line("default", seed=1, **changed)]
    return [line("before", cpu_seconds=400.0), *lines, line("at once", bwt=None)]


def missed(lines: list[dict[str, Any]], which: str = SMALL) -> list[str]:
    return [found for found in verdicts(which, lines) if not found.startswith("yes")]


def test_all_is_reached_where_all_is_well():
    assert len(verdicts(SMALL, of_small_lessons())) == 8
    assert not missed(of_small_lessons())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"acc": 80.0}, "ACC"),
        ({"bwt": -9.0}, "BWT"),
        ({"own": 90.0}, "own rows"),
        ({"cpu_seconds": 400.0}, "CPU seconds at most half"),
        ({"general_right": 118}, "lost at most 1, by every seed: 1, 2"),
        ({"judged_too_long": 1}, "judging"),
    ],
)
def test_what_one_seed_misses_is_said(changed: dict[str, Any], said: str):
    (found,) = missed(of_small_lessons(**changed))
    assert said in found


def test_a_single_wrong_correction_of_one_seed_is_said():
    lines = of_small_lessons()
    lines[1]["answered"] = [
        {**lesson, "own": lesson["own"] - (lesson["lesson"] == "mixed_corrections")}
        for lesson in lines[1]["answered"]
    ]
    (found,) = missed(lines)
    assert found.endswith("20 of 21, 21 of 21")


def test_small_lessons_are_to_take_half_of_the_time_and_invented_ones_no_more():
    lines = [line("before", cpu_seconds=100.0), line("default", cpu_seconds=90.0)]
    assert missed(lines, SMALL)
    assert not missed(lines, INVENTED)


def test_figures_that_were_not_measured_are_left_empty():
    base_knows_nothing = line("default", general_asked=None, general_right=None, answered=[])
    for name in ("general", "lost", "reworded", "corrections"):
        assert figure(base_knows_nothing, name) is None
    assert not missed([base_knows_nothing], INVENTED)


def test_a_table_has_the_ways_in_their_order_and_the_spread_over_seeds():
    titles, default, at_once = rows_of_table(SMALL, [line("at once"), line("default"), line("default", 1)])
    shown = dict(zip(titles, default, strict=True))
    assert [default[0], at_once[0]] == ["default", "at once"]
    assert shown["corrections"] == "21.0 ± 0.0 of 21"
    assert shown["lost"] == "1.0 ± 0.0"
    assert "kept back %" not in shown
    assert len({len(row) for row in as_markdown([titles, default, at_once]).splitlines()}) == 1


def test_ways_differ_in_what_a_line_is_about():
    task = Task(SMALL, None, None, None, None)
    abouts = [key(task, seed, way) for way in WAYS for seed in (0, 1)]
    assert all(abouts.count(about) == 1 for about in abouts)
