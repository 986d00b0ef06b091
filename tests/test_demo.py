"""The demonstration of the behavior matrix: it says what the code decides, with next to nothing installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sails.models.catalog import DEFAULT_BASE_MODEL
from sails.sessions.plan import format_rate
from sails.training.plan.behavior import MATRIX

DEMO = Path(__file__).parents[1] / "examples" / "demo_continuous_training.py"
LIGHT = {"filelock", "psutil", "tenacity"} | {
    "pydantic",  # with what it needs itself
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
}
LIST_IMPORTS = """
import runpy, sys
before = set(sys.modules)
runpy.run_path(sys.argv[1], run_name="__main__")
new = {name: str(getattr(sys.modules[name], "__file__", "")) for name in set(sys.modules) - before}
print(*{name.partition(".")[0] for name, file in new.items() if "-packages" in file})  # not Python's own
"""


def run(*arguments, **environment):
    everything = {**os.environ, "PYTHONUTF8": "1", **environment}
    done = subprocess.run(
        [sys.executable, *arguments], env=everything, capture_output=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def output():
    return run(DEMO)


def scenario(output, title):
    (found,) = [block for block in output.split("\n\n") if block.strip().startswith(title)]
    return found


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: f"row {row.number}")
def test_every_row_of_the_matrix_is_shown_as_it_is_decided(row, output):
    shown = scenario(output, f"Row {row.number}:")
    assert f"trained model {row.trained}, ONNX model {row.onnx}" in shown
    assert row.headline in shown
    assert f"learning rate  {format_rate(row.learning_rate)} (automatic)" in shown
    start = DEFAULT_BASE_MODEL if row.start_from == "base" else "the trained model in trained_model"
    assert f"starts from    {start}\n" in shown


def test_an_incomplete_model_is_shown_with_what_is_wrong_with_it(output):
    assert "model.safetensors is cut off at" in scenario(output, "Row 5:")
    assert "the weights are missing" in scenario(output, "Row 6:")


def test_a_chosen_learning_rate_is_used_a_strange_one_warned_of_and_an_impossible_one_refused(output):
    chosen, unusual, impossible = (
        scenario(output, title) for title in ("Another learning rate", "An unusual one", "An impossible one")
    )
    assert "5e-5 (chosen; the automatic value is 1e-5)" in chosen
    assert "⚠️" not in chosen
    assert "5e-3 (chosen; the automatic value is 1e-5)" in unusual
    assert "⚠️ A learning rate of" in unusual
    assert "refused        The learning rate 0.5 is out of range." in impossible
    assert "it says" not in impossible


def test_starting_over_and_another_base_model_keep_the_current_one_as_a_version(output):
    for title, start in (("Start over", DEFAULT_BASE_MODEL), ("Another base model", "gpt2")):
        shown = scenario(output, title)
        assert f"starts from    {start}\n" in shown
        assert "5e-5 (automatic)" in shown
        assert "🆕" in shown
        assert "is kept as a version" in shown
    assert "🔄" in scenario(output, "Its own base model again")
    assert "refused        There is no trained model" in scenario(output, "Continue, where nothing is")


def test_it_needs_no_machine_learning_library_and_no_numpy():
    imported = set(run("-c", LIST_IMPORTS, DEMO).splitlines()[-1].split())
    assert {"pydantic"} <= imported <= LIGHT


def test_it_leaves_nothing_behind(tmp_path):
    run(DEMO, TMPDIR=str(tmp_path), TEMP=str(tmp_path), TMP=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_console_that_knows_no_such_signs_gets_the_words():
    assert "Training a new model from base" in run(DEMO, PYTHONIOENCODING="ascii")
