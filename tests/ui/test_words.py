"""Words that no page, command, guide or README says any more, because nobody would say them aloud."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sails.ui import text
from tests.conftest import REPOSITORY

GONE = re.compile(
    r"kept back|held out|word pieces right|teach(es|ing) by itself|found on disk|came from which|"
    r"nobody to (talk|chat) with|quite another answer|surprise at|at most so many|throw away|two looks",
    re.IGNORECASE,
)


# Signs that pages show: what a training decides, and how something ended. Others are Material symbols.
SIGNS = set("🆕🔄⚠📚✅✋❌⏹⛵️")
PICTURES = re.compile(
    "[\u231a-\u23ff\u25aa-\u25ab\u25fb-\u25fe\u2600-\u27bf\u2b05-\u2b55\ufe0f\U0001f000-\U0001faff]"
)
TYPOGRAPHY = set("★☆✓➜")


def said(file: Path) -> Iterator[str]:
    """Each string of a program that is no docstring; each line of a document."""
    if file.suffix == ".md":
        yield from file.read_text(encoding="utf-8").splitlines()
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    alone = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in alone:
            yield node.value


def test_pages_show_no_other_pictures_than_the_signs():
    rooms = (REPOSITORY / "sails/ui", REPOSITORY / "pages")
    files = [REPOSITORY / "app.py", *(file for room in rooms for file in room.rglob("*.py"))]
    shown = [(str(file), line) for file in files for line in said(file) if line not in text._SYMBOLS]
    found = [(file, sign) for file, line in shown for sign in PICTURES.findall(line)]
    assert {sign for _, sign in found} >= {"✅", "⚠"}
    assert [one for one in found if one[1] not in SIGNS | TYPOGRAPHY] == []


def test_they_are_said_nowhere():
    files = [
        *(REPOSITORY / "sails").rglob("*.py"),
        *(REPOSITORY / "pages").glob("*.py"),
        *(REPOSITORY / name for name in ("app.py", "start.py", "README.md")),
        REPOSITORY / "docs/CONTINUOUS_TRAINING.md",
    ]
    found = [(str(file), text) for file in files for text in said(file) if GONE.search(text)]
    assert found == []
    assert GONE.search("5 examples are kept back")
