"""A worker killed at random moments leaves the former model in place and its session resumable.

A few kills here; `benchmarks/kill9.py` does five hundred of them.
"""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_twelve_kills_lose_no_model_and_no_session():
    command = [sys.executable, "-m", "benchmarks.kill9", "--kills", "12", "--seed", "5"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "12 kills" in result.stdout
