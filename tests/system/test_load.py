"""How busy the processors are, and what a calculation would have taken alone."""

import os
import subprocess
import sys
import time

import pytest

from sails import system
from sails.system import load


def calculate(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_what_waits_of_its_own_accord_takes_as_long_alone():
    read = system.stopwatch()
    time.sleep(0.2)
    calculate(0.05)
    seconds, alone = read()
    assert seconds >= 0.25
    assert 0 < alone <= seconds


@pytest.mark.skipif(not load.TASKS.exists(), reason="only Linux counts how long a thread waited")
def test_the_time_in_which_others_calculated_is_left_out():
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * load.processors())
    ]
    try:
        time.sleep(0.3)
        read = system.stopwatch()
        calculate(1.0)
        seconds, alone = read()
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert alone < 0.9 * seconds


def test_where_nobody_counts_it_both_are_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "TASKS", tmp_path / "none")
    read = system.stopwatch()
    seconds, alone = read()
    assert seconds == alone


@pytest.mark.parametrize(("running", "slower"), [(0.0, 1.0), (0.2, 1.0), (1.0, 2.0), (3.0, 4.0)])
def test_a_machine_is_as_many_times_slower_as_programs_share_each_processor(monkeypatch, running, slower):
    counted = running * load.processors()
    monkeypatch.setattr(os, "getloadavg", lambda: (counted, counted, 0.0))
    assert system.slowdown() == pytest.approx(slower)


@pytest.mark.parametrize("minutes", [(1.5, 0.2), (0.2, 1.5)], ids=["has just begun", "is over"])
def test_a_machine_is_not_called_busy_for_what_has_just_begun_or_is_over(monkeypatch, minutes):
    counted = tuple(running * load.processors() for running in minutes)
    monkeypatch.setattr(os, "getloadavg", lambda: (*counted, 0.0))
    assert system.slowdown() == 1.0


def test_where_no_load_is_known_the_machine_counts_as_idle(monkeypatch):
    monkeypatch.delattr(os, "getloadavg")
    assert system.slowdown() == 1.0
