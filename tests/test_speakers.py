"""Who can be talked with, and through which ONNX folder."""

import json
import shutil

import pytest

from sails import base_models
from sails.errors import RequestError
from sails.speakers import base_onnx, find, speakers
from sails.workspace import PROVENANCE, Workspace
from tests.exported import SESSION, VERSION
from tests.folders import fingerprint_of, make_model, make_onnx
from tests.situations import make_situation

BASE = "smollm2-135m-instruct"


def test_the_current_model_comes_first_then_the_base_then_versions(tmp_path):
    place = make_situation(tmp_path / "w", 3)
    folder = make_model(place.versions / VERSION, seed=2)
    record = {"id": VERSION, "fingerprint": fingerprint_of(folder), "retired": "2026-01-05T09:15:00Z"}
    (folder / "version.json").write_text(json.dumps(record))
    everybody = speakers(place)
    assert [speaker.key for speaker in everybody] == ["current", "base", f"version/{VERSION}"]
    assert [speaker.readiness for speaker in everybody] == ["ready", "unmade", "unmade"]
    assert everybody[1].model == BASE


@pytest.mark.parametrize(
    ("row", "fingerprint", "readiness", "stale"),
    [
        (3, "same", "ready", False),
        (3, "other", "stale", True),
        (3, None, "stale", None),
        (2, "", "unmade", False),
        (1, "", "impossible", False),
        (5, "", "impossible", False),
        (4, "other", "stale", True),
    ],
)
def test_the_current_model_answers_also_through_an_older_export_and_says_so(
    tmp_path, row, fingerprint, readiness, stale
):
    place = make_situation(tmp_path / "w", row)
    if fingerprint != "":
        shutil.rmtree(place.onnx_model)
        own = place.situation().trained.fingerprint
        make_onnx(place.onnx_model, own if fingerprint == "same" else fingerprint)
    current = speakers(place)[0]
    assert (current.readiness, current.origin.stale) == (readiness, stale)
    assert current.answers == (readiness in ("ready", "stale"))


def test_an_older_export_is_not_said_to_be_of_the_newest_session(tmp_path):
    place = make_situation(tmp_path / "w", 2)
    (place.trained_model / PROVENANCE).write_text(json.dumps({"session": SESSION}))
    assert speakers(place)[0].session == SESSION
    make_onnx(place.onnx_model, "other")
    assert speakers(place)[0].session is None


def test_a_base_folder_that_is_gone_cannot_answer(tmp_path):
    place = make_situation(tmp_path / "w", 2)
    (place.trained_model / PROVENANCE).write_text(json.dumps({"base": str(tmp_path / "gone")}))
    base = speakers(place)[1]
    assert (base.title, base.readiness) == ("Base model gone", "impossible")


def test_without_a_word_about_the_base_it_is_the_usual_one(tmp_path):
    assert speakers(Workspace.open(tmp_path / "empty"))[1].model == base_models.DEFAULT


def test_who_is_no_longer_there_is_a_sentence(tmp_path):
    with pytest.raises(RequestError, match="no longer here"):
        find(speakers(Workspace.open(tmp_path / "empty")), "version/gone")


def test_the_onnx_model_of_a_base_lies_in_the_cache_under_a_safe_name_of_its_own(tmp_path):
    names = [
        BASE,
        "gpt2",
        "owner/gpt2",
        str(tmp_path / "one" / "model"),
        str(tmp_path / "two" / "model"),
        "../../etc",
        "..",
        "日本",
        "a" * 300,
        "x\0y",
        "C:\\models\\con",
    ]
    folders = [base_onnx(name) for name in names]
    assert folders[0] == base_models.cache_dir() / "onnx" / BASE
    assert len(set(folders)) == len(names)
    for folder in folders:
        assert folder.parent == base_models.cache_dir() / "onnx"
        assert folder.name.isascii()
        assert folder.name.strip(".") == folder.name
        assert len(folder.name) < 80
        assert not set(folder.name) & set('/\\:*?"<>|\0 ')
