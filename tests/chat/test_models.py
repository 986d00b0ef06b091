"""Who can be talked with, and through which ONNX folder."""

import json
import shutil

import pytest

from sails.chat.models import (
    base_onnx,
    chat_model_in,
    chat_models,
    describe_variant,
    find_chat_model,
    previous_chat_model,
)
from sails.errors import RequestError
from sails.models import catalog
from sails.models.folder import PROVENANCE
from sails.models.workspace import Workspace
from tests.support.certified import add_variant, certify
from tests.support.exported import SESSION, VERSION
from tests.support.folders import fingerprint_of, make_model, make_onnx
from tests.support.situations import make_situation

BASE = "smollm2-135m-instruct"


def test_the_current_model_comes_first_then_the_base_then_versions(tmp_path):
    place = make_situation(tmp_path / "w", 3)
    folder = make_model(place.versions / VERSION, seed=2)
    record = {"id": VERSION, "fingerprint": fingerprint_of(folder), "retired": "2026-01-05T09:15:00Z"}
    (folder / "version.json").write_text(json.dumps(record))
    everybody = chat_models(place)
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
    current = chat_models(place)[0]
    assert (current.readiness, current.origin.stale) == (readiness, stale)
    assert current.answers == (readiness in ("ready", "stale"))


def test_an_older_export_is_not_said_to_be_of_the_newest_session(tmp_path):
    place = make_situation(tmp_path / "w", 2)
    (place.trained_model / PROVENANCE).write_text(json.dumps({"session": SESSION}))
    assert chat_models(place)[0].session == SESSION
    make_onnx(place.onnx_model, "other")
    assert chat_models(place)[0].session is None


def test_a_base_folder_that_is_gone_cannot_answer(tmp_path):
    place = make_situation(tmp_path / "w", 2)
    (place.trained_model / PROVENANCE).write_text(json.dumps({"base": str(tmp_path / "gone")}))
    base = chat_models(place)[1]
    assert (base.title, base.readiness) == ("Base model gone", "impossible")


def test_without_a_word_about_the_base_it_is_the_usual_one(tmp_path):
    assert chat_models(Workspace.open(tmp_path / "empty"))[1].model == catalog.DEFAULT_BASE_MODEL


def test_who_is_no_longer_there_is_a_sentence(tmp_path):
    with pytest.raises(RequestError, match="no longer here"):
        find_chat_model(chat_models(Workspace.open(tmp_path / "empty")), "version/gone")


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
    assert folders[0] == catalog.cache_dir() / "onnx" / BASE
    assert len(set(folders)) == len(names)
    for folder in folders:
        assert folder.parent == catalog.cache_dir() / "onnx"
        assert folder.name.isascii()
        assert folder.name.strip(".") == folder.name
        assert len(folder.name) < 80
        assert not set(folder.name) & set('/\\:*?"<>|\0 ')


# --- sizes ----------------------------------------------------------------------------------------


def with_both(tmp_path):
    place = make_situation(tmp_path / "w", 3)
    add_variant(place.onnx_model, "int8")
    return place


def test_full_precision_answers_until_8_bit_is_certified(tmp_path):
    place = with_both(tmp_path)
    one = chat_models(place)[0]
    assert (one.variant, one.answering, one.certified) == ("fp32", place.onnx_model, None)
    assert describe_variant(one.with_variant("int8")) == "8-bit, not verified"
    certify(place.onnx_model, "int8")
    one = chat_models(place)[0]
    assert (one.variant, one.answering, one.certified) == ("int8", place.onnx_model / "int8", True)
    assert (one.origin.variant, one.origin.certified, describe_variant(one)) == ("int8", True, "8-bit")


def test_the_certificate_of_full_precision_is_none_of_8_bit(tmp_path):
    place = with_both(tmp_path)
    certify(place.onnx_model)
    shutil.copyfile(place.onnx_model / "certificate.json", place.onnx_model / "int8" / "certificate.json")
    one = chat_models(place)[0]
    assert (one.variant, one.certified, one.with_variant("int8").certified) == ("fp32", True, None)


def test_a_key_may_name_a_size_and_a_version_its_id_alone(tmp_path):
    place = with_both(tmp_path)
    make_version(place, VERSION, 2)
    everybody = chat_models(place)
    assert find_chat_model(everybody, "current@int8").answering == place.onnx_model / "int8"
    assert find_chat_model(everybody, "current@int8").key == "current@int8"
    assert find_chat_model(everybody, VERSION).key == f"version/{VERSION}"
    with pytest.raises(RequestError, match="no variant int4"):
        find_chat_model(everybody, "current@int4")


def test_a_size_that_is_not_made_is_unmade_and_one_kept_apart_is_not_offered(tmp_path):
    place = make_situation(tmp_path / "w", 3)
    assert chat_models(place)[0].with_variant("int8").readiness == "unmade"
    add_variant(place.onnx_model, "int8", apart=True)
    certify(place.onnx_model, "int8", apart=True)
    one = chat_models(place)[0]
    assert (one.variant, one.quarantined) == ("fp32", ("int8",))
    small = one.with_variant("int8")
    assert (small.answers, describe_variant(small)) == (False, "8-bit, kept apart")


def test_what_failed_of_another_model_is_not_held_against_this_one(tmp_path):
    place = with_both(tmp_path)
    make_onnx(place.onnx_model.with_name("onnx_model_failed") / "int8", "another")
    assert chat_models(place)[0].quarantined == ()


def test_one_that_failed_and_was_put_in_place_is_marked_and_never_automatic(tmp_path):
    place = with_both(tmp_path)
    certify(place.onnx_model, "int8", passed=False)
    one = chat_models(place)[0]
    assert one.variant == "fp32"
    assert describe_variant(one.with_variant("int8")) == "8-bit, failed its certificate"
    assert one.with_variant("int8").origin.certified is False


def test_a_fresh_size_answers_before_one_that_is_out_of_date(tmp_path):
    place = with_both(tmp_path)
    certify(place.onnx_model, "int8")
    record = place.onnx_model / "int8" / "export.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "fingerprint": "older"}))
    one = chat_models(place)[0]
    assert (one.variant, one.readiness) == ("fp32", "ready")
    assert (one.with_variant("int8").readiness, one.with_variant("int8").fingerprint) == ("stale", "older")
    assert one.with_variant("int8").session is None


def test_a_version_answers_only_through_what_was_made_from_it(tmp_path):
    place = make_situation(tmp_path / "w", 3)
    folder = make_version(place, VERSION, 2)
    make_onnx(folder / "onnx", "another")
    assert find_chat_model(chat_models(place), VERSION).readiness == "unmade"
    shutil.rmtree(folder / "onnx")
    make_onnx(folder / "onnx", fingerprint_of(folder))
    assert find_chat_model(chat_models(place), VERSION).readiness == "ready"


def test_a_folder_from_anywhere_says_which_size_it_holds(tmp_path):
    place = with_both(tmp_path)
    assert chat_model_in(place.onnx_model).variant == "fp32"
    assert chat_model_in(place.onnx_model / "int8").variant == "int8"
    shutil.copytree(place.onnx_model / "int8", tmp_path / "elsewhere")
    elsewhere = chat_model_in(tmp_path / "elsewhere")
    assert (elsewhere.variant, elsewhere.answering) == ("int8", tmp_path / "elsewhere")
    assert not chat_model_in(tmp_path / "nothing").answers


# --- the one before -------------------------------------------------------------------------------


def make_version(place, identity, seed, name=""):
    folder = make_model(place.versions / identity, seed=seed)
    record = {"fingerprint": fingerprint_of(folder), "retired": f"2026-01-05T09:1{seed}:00Z", "name": name}
    (folder / "version.json").write_text(json.dumps({"id": identity, **record}))
    return folder


def test_a_version_is_called_by_its_name_or_lesson_and_by_its_id_where_another_one_is_called_alike(tmp_path):
    place = make_situation(tmp_path / "w", 3)
    rivers = make_version(place, "20260101-091500-rivers", 2)
    (rivers / PROVENANCE).write_text(json.dumps({"session": "20260101-091500-rivers"}))
    lesson = place.sessions / "20260101-091500-rivers"
    lesson.mkdir(parents=True)
    (lesson / "spec.json").write_text(json.dumps({"name": "Rivers"}))
    first, second = "20260102-091500-a", "20260103-091500-a"
    make_version(place, first, 3, name="The good one")
    make_version(place, second, 4, name="The good one")
    titles = {model.title for model in chat_models(place)[2:]}
    assert titles == {"Version Rivers", f"Version The good one ({first})", f"Version The good one ({second})"}


def test_before_the_last_lesson_is_the_model_that_it_continued(tmp_path):
    place = make_situation(tmp_path / "w", 3)
    assert previous_chat_model(place, chat_models(place)) is None
    older = make_version(place, "20260103-091500-a", 2, name="The good one")
    make_version(place, VERSION, 3)
    found = previous_chat_model(place, chat_models(place))
    assert found is not None
    assert found.key == f"version/{VERSION}"  # nobody recorded what it continued
    record = {"parent": fingerprint_of(older), "created": "2026-01-05T09:15:00Z"}
    (place.trained_model / PROVENANCE).write_text(json.dumps(record))
    found = previous_chat_model(place, chat_models(place))
    assert found is not None
    assert found.title == "Version The good one"
    (place.trained_model / PROVENANCE).write_text(json.dumps({**record, "parent": "gone"}))
    assert previous_chat_model(place, chat_models(place)) is None
