"""Lineage: which model came from which, and which sessions the models that are here go back to."""

import json
import shutil
from datetime import UTC, datetime

import pytest

from sails import sessions
from sails.models.publish import publish_model, roll_back
from sails.models.versions import Provenance, list_versions, name_version
from sails.models.workspace import Workspace
from sails.sessions import Status, TrainSpec
from sails.sessions.lineage import kinship, needed, tree, why_needed
from tests.support.folders import fingerprint_of, make_model


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "w")


def taught(workspace, letter, fingerprint, parent, **status):
    """A session that made a model with this fingerprint; sorted by its letter."""
    spec = TrainSpec(
        id=f"20260101-00000{ord(letter) - ord('a')}-{letter}",
        name=letter,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        dataset="d",
        rows=9,
        trained_model=workspace.trained_model,
        onnx_model=workspace.onnx_model,
    )
    session = sessions.create(workspace.sessions, spec)
    fields = {"state": "succeeded", "verdict": "published", **status}
    session.write_status(Status(fingerprint=fingerprint, parent=parent, **fields))
    return session


def published(workspace, letter, seed, parent):
    """A session whose model is published; returns its fingerprint."""
    candidate = make_model(workspace.root / "candidates" / letter, seed)
    fingerprint = fingerprint_of(candidate)
    session = taught(workspace, letter, fingerprint, parent)
    publish_model(
        workspace, candidate, Provenance(session=session.id, parent=parent, created=datetime.now(UTC))
    )
    return fingerprint


def drawn(workspace):
    lines = tree(workspace, sessions.read_history(workspace))
    return [(line.record.spec.name, line.depth, line.fate) for line in lines]


def test_a_chain_is_a_straight_line_with_the_current_model_at_its_end(workspace):
    parent = None
    for seed, letter in enumerate("abc", 1):
        parent = published(workspace, letter, seed, parent)
    assert drawn(workspace) == [("a", 0, "version"), ("b", 0, "version"), ("c", 0, "current")]


def test_the_line_to_the_current_model_goes_on_and_the_others_branch_off(workspace):
    """a ─► b ─► c, then rolled back to a, then d; and e from base; f was held, g failed."""
    a = published(workspace, "a", 1, None)
    b = published(workspace, "b", 2, a)
    published(workspace, "c", 3, b)
    taught(workspace, "f", "ff", a, verdict="held")
    taught(workspace, "g", None, a, state="failed", verdict=None)
    taught(workspace, "e", "fe", None, verdict="discarded")
    roll_back(workspace, next(v.id for v in list_versions(workspace) if v.fingerprint == a))
    published(workspace, "d", 4, a)
    assert drawn(workspace) == [
        ("e", 0, "discarded"),
        ("a", 0, "version"),
        ("b", 1, "version"),
        ("c", 1, "version"),
        ("f", 1, "held"),
        ("d", 0, "current"),
    ]


def test_how_a_model_stands_to_the_current_one_follows_the_tree_and_not_the_calendar(workspace):
    """a (from a model of elsewhere) ─► b ─► c, and a ─► d."""
    for letter, parent in (("a", "elsewhere"), ("b", "a"), ("c", "b"), ("d", "a")):
        taught(workspace, letter, letter, parent)
    expected = {"elsewhere": "earlier", "a": "earlier", "b": "other", "c": "later", "d": "other"}
    expected |= {"nobody": "other", None: "other"}
    assert {other: kinship(workspace, other, "b") for other in expected} == expected
    assert kinship(workspace, "a", None) == "other"


def test_of_two_sessions_that_made_the_same_model_the_recorded_one_has_it(workspace):
    first = published(workspace, "a", 1, None)
    taught(workspace, "b", first, None)
    assert drawn(workspace) == [("b", 0, "gone"), ("a", 0, "current")]
    taught(workspace, "c", "fc", first)  # it continued the last one before it
    assert ("c", 0, "gone") in drawn(workspace)


def test_where_a_line_begins_is_said(workspace):
    taught(workspace, "a", "fa", None)
    taught(workspace, "b", "fb", "made elsewhere")
    taught(workspace, "c", "fc", "fb")
    lines = tree(workspace, sessions.read_history(workspace))
    assert [line.origin for line in lines] == ["base", "unknown", "session"]


def test_a_lineage_that_bites_its_tail_is_drawn_once(workspace):
    taught(workspace, "a", "fa", "fb")
    taught(workspace, "b", "fb", "fa")
    assert [name for name, _, _ in drawn(workspace)] == ["a", "b"]
    assert needed(workspace, sessions.read_history(workspace)) == {}


def test_ten_thousand_generations_are_no_deep_recursion(workspace):
    record = sessions.record(taught(workspace, "a", "f0", None))
    records = [
        sessions.SessionRecord(
            sessions.Session(workspace.sessions / f"s{n:05}"),
            record.spec,
            record.status.model_copy(update={"fingerprint": f"f{n}", "parent": f"f{n - 1}" if n else None}),
        )
        for n in range(10_000)
    ]
    lines = tree(workspace, records)
    assert len(lines) == 10_000
    assert {line.depth for line in lines} == {0}


# --- who is still needed --------------------------------------------------------------------------


def reasons(workspace):
    needs = needed(workspace, sessions.read_history(workspace))
    return {identity[-1]: why_needed(need) for identity, need in needs.items()}


def test_the_whole_line_of_the_current_model_is_needed_and_nothing_else(workspace):
    a = published(workspace, "a", 1, None)
    published(workspace, "b", 2, a)
    taught(workspace, "c", "fc", a)  # its model is nowhere any more
    taught(workspace, "d", None, a, state="failed")
    for version in list_versions(workspace):
        (workspace.versions / version.id / "version.json").unlink()
    found = reasons(workspace)
    assert found.keys() == {"a", "b"}
    assert found["b"] == "This session made the current model."
    assert found["a"].startswith("The current model grew from what this session taught")


def test_what_could_become_current_needs_its_line_as_well(workspace):
    a = published(workspace, "a", 1, None)
    b = published(workspace, "b", 2, a)
    published(workspace, "c", 3, None)
    assert fingerprint_of(workspace.trained_model) not in (a, b)
    for version in list_versions(workspace):
        if version.fingerprint == a:
            name_version(workspace, version.id, "the first")
    taught(workspace, "d", "fd", None)
    taught(workspace, "e", "fe", "fd", verdict="held")
    taught(workspace, "f", "ff", None)
    taught(workspace, "g", None, "ff", state="stopped", verdict=None)
    found = reasons(workspace)
    assert found.keys() == {"a", "b", "c", "d", "f"}  # neither the held nor the stopped one itself
    assert found["d"].startswith("The session e grew from what this session taught")
    assert found["a"].startswith(("The version the first", "The version b"))


def test_the_recorded_session_is_needed_though_its_model_was_changed_by_hand(workspace):
    published(workspace, "a", 1, None)
    config = workspace.trained_model / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "changed": True}))
    assert reasons(workspace) == {"a": "This session made the current model."}


def test_models_in_the_other_folders_of_the_workspace_count_too(workspace, tmp_path):
    elsewhere = Workspace.open(workspace.root, output_dir=tmp_path / "elsewhere")
    published(elsewhere, "a", 1, None)
    assert reasons(workspace) == {"a": f"This session made the model in {tmp_path / 'elsewhere'}."}


def test_a_workspace_without_anything_needs_nothing(workspace):
    assert needed(workspace, []) == {}
    assert tree(workspace, []) == []


def test_lessons_that_were_taught_again_from_base_are_needed_too(workspace):
    a = published(workspace, "a", 1, None)
    published(workspace, "b", 2, a)
    first, record = sessions.read_history(workspace)
    record.session.write_status(
        record.status.model_copy(update={"parent": None, "lessons": (first.session.id,)})
    )
    for version in list_versions(workspace):
        shutil.rmtree(workspace.versions / version.id)
    assert reasons(workspace).keys() == {"a", "b"}


def test_the_parents_of_a_discarded_model_stay_because_it_may_still_be_published(workspace):
    taught(workspace, "d", "fd", None)
    taught(workspace, "e", "fe", "fd", verdict="discarded")
    assert reasons(workspace).keys() == {"d"}


def test_each_model_stands_to_the_current_one_in_a_way_of_its_own(workspace):
    """a ─► b ─► c, rolled back to a, then d; x was started over and replaced; f is held, g discarded."""
    published(workspace, "x", 9, None)
    a = published(workspace, "a", 1, None)
    b = published(workspace, "b", 2, a)
    published(workspace, "c", 3, b)
    taught(workspace, "f", "ff", a, verdict="held")
    taught(workspace, "g", "fg", a, verdict="discarded")
    roll_back(workspace, next(v.id for v in list_versions(workspace) if v.fingerprint == a))
    published(workspace, "d", 4, a)
    lines = tree(workspace, sessions.read_history(workspace))
    assert {line.record.spec.name: line.place for line in lines} == {
        "x": "aside",
        "a": "grown",
        "b": "aside",
        "c": "rolled back",
        "d": "current",
        "f": "held",
        "g": "discarded",
    }
    by_name = {line.record.spec.name: line for line in lines}
    names = {line.record.session.id: name for name, line in by_name.items()}
    assert {n: names.get(by_name[n].parent or "") for n in "abcd"} == {
        "a": None,
        "b": "a",
        "c": "b",
        "d": "a",
    }
