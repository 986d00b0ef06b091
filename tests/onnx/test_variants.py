"""What declares a variant of the ONNX model, and that a third takes a declaration and a builder, no more."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sails
from sails.models import VARIANT_TABLE, VARIANTS
from sails.onnx.convert import BUILDERS
from tests.support.exported import make_talking

PACKAGE = Path(sails.__file__).parent

DECLARATION = """\
    "twin": VariantDeclaration(
        title="twin",
        option_help="the same once more",
        description="The same once more.",
        build_seconds=1.0,
        preference=2,
        thresholds=Thresholds(1e-3, None, 0.999, 1.0, 1e-3, 1e-3),
        certificate="This one is the same once more.",
        built_from="fp32",
        limits="It is nobody's only one.",
    ),
}
VARIANTS = tuple(VARIANT_TABLE)
"""

BUILDER = """\
def _build_twin(work: _Work, source: Path, staged: Path, report: Progress) -> None:
    from sails.onnx.export import write_record

    for file in source.iterdir():
        if file.is_file() and file.name != "export.json":
            shutil.copyfile(file, staged / file.name)
    write_record(staged, work.fingerprint, 18, variant="twin")


# What builds a variant"""


def test_every_variant_has_a_builder():
    assert list(BUILDERS) == list(VARIANTS)


def test_what_a_variant_is_built_from_is_declared_before_it():
    for number, variant in enumerate(VARIANTS):
        assert VARIANT_TABLE[variant].built_from in (None, *VARIANTS[:number])
    assert len({about.preference for about in VARIANT_TABLE.values()}) == len(VARIANTS)


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Path:
    """This very package with one declaration and one builder more."""
    folder = tmp_path_factory.mktemp("code")
    shutil.copytree(PACKAGE, folder / "sails", ignore=shutil.ignore_patterns("__pycache__"))
    insert(folder / "sails/models/variants.py", "}\nVARIANTS = tuple(VARIANT_TABLE)\n", DECLARATION)
    insert(folder / "sails/onnx/convert.py", "# What builds a variant", BUILDER)
    entry = '    "int8": _build_8_bit,\n'
    insert(folder / "sails/onnx/convert.py", entry, f'{entry}    "twin": _build_twin,\n')
    return folder


def insert(file: Path, before: str, instead: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, instead), encoding="utf-8")


def test_a_third_variant_is_exported_listed_handed_over_and_chatted_with(code, tmp_path):
    workspace = make_talking(tmp_path / "workspace")

    def run(command: str, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "sails", command, *options],
            env={**os.environ, "PYTHONPATH": str(code)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    here = ("--workspace", str(workspace.root))
    for command, choices in (("convert", "<fp32|int8|twin|all>"), ("chat", "<fp32|int8|twin>")):
        assert choices in "".join(run(command, "--help").split())
    run("convert", *here, "--variant", "twin", "--verify")
    assert json.loads((workspace.onnx_model / "twin" / "export.json").read_text())["variant"] == "twin"
    listed = json.loads(run("status", *here, "--json"))["onnx"]
    assert list(listed["variants"]) == ["fp32", "int8", "twin"]
    assert listed["variants"]["twin"]["freshness"] == "fresh"
    assert listed["variants"]["twin"]["certified"] is True
    assert listed["preferred"] == "twin"
    asked = ("--prompt", "Which river is the longest?", "--max-tokens", "8", "--temperature", "0")
    assert run("chat", *here, "--variant", "twin", *asked) == run("chat", *here, "--variant", "fp32", *asked)
    made = tmp_path / "twin"
    chosen = ("--variant", "twin", "--format", "folder", "--output", str(made))
    run("bundle", *here, *chosen)
    assert "It is nobody's only one." in (made / "README.md").read_text(encoding="utf-8")
