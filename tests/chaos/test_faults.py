"""Each change of a workspace is killed, or refused by its disk, at some points drawn at random.

All points and all faults: `python -m benchmarks.chaos`.
"""

import os

import pytest

from benchmarks.chaos import OPERATIONS, torment
from sails.jobs import launcher
from tests.support.killing import folder_in_memory

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def test_no_fault_loses_anything_or_leaves_a_state_that_is_not_true(monkeypatch):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    with folder_in_memory() as folder:
        tally = torment(folder, points=1, seed=7)
    assert tally.problems == []
    assert set(tally.struck) == set(OPERATIONS)
    assert min(tally.points.values()) > 3
