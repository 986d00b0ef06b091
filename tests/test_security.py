"""The threat model names a test for each line, and each is there; what is accepted has a reason."""

import ast
import re
import runpy

import pytest

from tests.conftest import REPOSITORY

SECURITY = (REPOSITORY / "docs/SECURITY.md").read_text(encoding="utf-8")
THREATS = [line for line in SECURITY.partition("## Threats")[2].splitlines() if line.startswith("| ")][1:]
START = runpy.run_path(str(REPOSITORY / "start.py"))


def package(name, *vulnerabilities):
    found = [{"id": identity, "aliases": [], "fix_versions": ["2"]} for identity in vulnerabilities]
    return {"name": name, "version": "1", "vulns": found}


def test_the_threat_model_has_lines():
    assert len(THREATS) > 15


@pytest.mark.parametrize("line", THREATS, ids=lambda line: line.split("|")[1].strip())
def test_every_threat_names_a_test_that_exists(line):
    *_, shown_by, _ = line.split("|")
    file, name = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown_by.strip()).groups()
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_example_of_sign_in_is_one_that_is_understood():
    import tomllib

    from sails.system import Rules

    tables = tomllib.loads("".join(re.findall(r"```toml\n(.*?)```", SECURITY, re.DOTALL)))
    rules = Rules.read(tables["access"], REPOSITORY)
    assert rules.role_of("carl@example.org", frozenset(), REPOSITORY / "rivers") == "viewer"
    assert rules.role_of("carl@example.org", frozenset({"teachers"}), REPOSITORY / "lakes") == "trainer"
    assert set(tables["auth"]) == {
        *("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
    }


def test_a_vulnerability_is_accepted_with_a_reason_alone():
    reasons = START["accepted"]("# words\n\nCVE-1  # nothing of it is used\n")
    assert reasons == {"CVE-1": "nothing of it is used"}
    with pytest.raises(START["SetupError"], match="does not say why"):
        START["accepted"]("CVE-1\n")
    assert START["accepted"]((REPOSITORY / "audit-accepted.txt").read_text()) is not None


@pytest.mark.parametrize(
    ("packages", "reasons", "is_clean"),
    [
        ([package("a")], {}, True),
        ([package("a", "CVE-1")], {}, False),
        ([package("a", "CVE-1")], {"CVE-1": "unused"}, True),
        ([package("a", "CVE-1", "CVE-2")], {"CVE-1": "unused"}, False),
        ([{"name": "a", "skip_reason": "not found"}], {}, False),  # nothing was looked up
        ([package("a"), {"name": "b", "skip_reason": "not found"}], {}, True),
    ],
)
def test_what_is_found_and_not_accepted_fails_the_audit(packages, reasons, is_clean):
    assert START["judge"](packages, reasons)[1] is is_clean


def test_what_is_accepted_and_not_there_any_more_is_said():
    lines, is_clean = START["judge"]([package("a")], {"CVE-1": "unused"})
    assert is_clean
    assert any("CVE-1 is accepted and was not found" in line for line in lines)
