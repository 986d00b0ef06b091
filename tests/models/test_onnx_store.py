"""Variants of an ONNX model in their places: replaced alone, kept apart, brought back, and killed."""

import os
import shutil
from pathlib import Path

import pytest

from sails.errors import RequestError, ViewOnlyError
from sails.models import journal, onnx_store, publish, variants
from sails.models.variants import (
    VARIANTS,
    failed_folder,
    inspect_failed_variants,
    inspect_variants,
    variant_folder,
)
from sails.models.workspace import Workspace
from sails.system import access, files, locks
from tests.support.folders import make_onnx
from tests.support.killing import deaths, folder_in_memory

OLD, NEW = "old", "new"


def stage(onnx: Path) -> Path:
    """Where a process built it that is dead by now."""
    return onnx.with_name(f".{onnx.name}.staged-test.1-1")


def built(onnx: Path, fingerprint: str = NEW, content: bytes = b"new") -> Path:
    """A variant as an export leaves it beside its place."""
    folder = stage(onnx)
    shutil.rmtree(folder, ignore_errors=True)
    return make_onnx(folder, fingerprint, content)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    """Both variants of an old model."""
    folder = make_onnx(tmp_path / "w" / "onnx_model", OLD)
    make_onnx(variant_folder(folder, "int8"), OLD)
    return folder


def prints(onnx: Path) -> dict[str, str | None]:
    return {variant: state.fingerprint for variant, state in inspect_variants(onnx, NEW).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_variant_is_replaced_and_the_other_stays(onnx, variant):
    onnx_store.install(built(onnx), onnx, variant)
    assert prints(onnx) == {one: NEW if one == variant else OLD for one in VARIANTS}
    assert sorted(path.name for path in onnx.parent.iterdir() if path.name[0] != ".") == ["onnx_model"]
    assert (onnx / "int8" / "config.json").exists()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_variant_makes_the_folder(tmp_path, variant):
    onnx = tmp_path / "w" / "onnx_model"
    onnx.parent.mkdir()
    onnx_store.install(built(onnx), onnx, variant)
    assert prints(onnx) == {one: NEW if one == variant else None for one in VARIANTS}


def test_full_precision_joins_an_8_bit_model_that_is_there_alone(tmp_path):
    onnx = tmp_path / "onnx_model"
    make_onnx(variant_folder(onnx, "int8"), OLD)
    onnx_store.install(built(onnx), onnx, "fp32")
    assert prints(onnx) == {"fp32": NEW, "int8": OLD}
    assert not onnx.with_name("onnx_model-set-aside").exists()


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_no_export_of_ours_is_set_aside(tmp_path, variant):
    onnx = tmp_path / "onnx_model"
    mine = variant_folder(onnx, variant)
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("years of work")
    onnx_store.install(built(onnx), onnx, variant)
    aside = tmp_path / ("onnx_model-set-aside" if variant == "fp32" else "onnx_model-int8-set-aside")
    assert (aside / "thesis.txt").read_text() == "years of work"
    assert prints(onnx)[variant] == NEW


def test_the_old_one_can_be_kept_as_a_whole(onnx, tmp_path):
    onnx_store.install(built(onnx), onnx, "fp32", keep=tmp_path / "kept")
    assert prints(tmp_path / "kept") == {"fp32": OLD, "int8": OLD}
    assert prints(onnx) == {"fp32": NEW, "int8": None}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_failed_variant_is_kept_apart_until_it_is_wanted(onnx, variant):
    where = onnx_store.quarantine(built(onnx), onnx, variant)
    assert where == failed_folder(onnx, variant)
    assert prints(onnx) == {"fp32": OLD, "int8": OLD}
    assert {v: state.fingerprint for v, state in inspect_failed_variants(onnx, NEW).items()} == {variant: NEW}
    onnx_store.keep_failed(onnx, variant)
    assert prints(onnx) == {one: NEW if one == variant else OLD for one in VARIANTS}
    assert inspect_failed_variants(onnx, NEW) == {}
    assert not where.parent.exists()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_good_one_ends_what_failed_before_and_only_that(onnx, variant):
    for one in VARIANTS:
        onnx_store.quarantine(built(onnx, "bad"), onnx, one)
    onnx_store.quarantine(built(onnx, "worse"), onnx, variant)
    assert inspect_failed_variants(onnx, NEW)[variant].fingerprint == "worse"
    onnx_store.install(built(onnx), onnx, variant)
    assert set(inspect_failed_variants(onnx, NEW)) == set(VARIANTS) - {variant}


def test_a_failed_one_can_be_deleted(onnx):
    onnx_store.quarantine(built(onnx), onnx, "int8")
    onnx_store.discard_failed(onnx, "int8")
    assert inspect_failed_variants(onnx, NEW) == {}
    with pytest.raises(RequestError, match="No 8-bit model is kept apart"):
        onnx_store.discard_failed(onnx, "int8")
    with pytest.raises(RequestError, match="No full precision model is kept apart"):
        onnx_store.keep_failed(onnx, "fp32")


def test_who_may_only_look_changes_nothing(onnx, monkeypatch):
    ready = built(onnx)
    onnx_store.quarantine(built(onnx), onnx, "int8")
    ready = built(onnx)
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    for attempt in (
        lambda: onnx_store.install(ready, onnx, "int8"),
        lambda: onnx_store.quarantine(ready, onnx, "int8"),
        lambda: onnx_store.keep_failed(onnx, "int8"),
        lambda: onnx_store.discard_failed(onnx, "int8"),
    ):
        with pytest.raises(ViewOnlyError):
            attempt()
    assert prints(onnx) == {"fp32": OLD, "int8": OLD}


def test_a_reset_takes_what_failed_along(onnx):
    place = Workspace.open(onnx.parent)
    onnx_store.quarantine(built(onnx), onnx, "int8")
    publish.unpublish(place)
    assert not onnx.exists()
    assert inspect_failed_variants(onnx, NEW) == {}


# --- killed at every line -------------------------------------------------------------------------

CHANGES = {
    "fp32": lambda onnx: onnx_store.install(stage(onnx), onnx, "fp32"),
    "int8": lambda onnx: onnx_store.install(stage(onnx), onnx, "int8"),
    "apart": lambda onnx: onnx_store.quarantine(stage(onnx), onnx, "int8"),
    "kept": lambda onnx: onnx_store.keep_failed(onnx, "fp32"),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("change", CHANGES)
def test_killed_anywhere_each_variant_is_old_or_whole_and_the_next_one_finishes(change):
    with folder_in_memory() as memory:
        onnx = memory / "w" / "onnx_model"
        target = {"fp32": onnx, "int8": onnx / "int8", "apart": failed_folder(onnx, "int8"), "kept": onnx}

        def prepare():
            shutil.rmtree(memory / "w", ignore_errors=True)
            make_onnx(onnx, OLD)
            make_onnx(onnx / "int8", OLD)
            make_onnx(failed_folder(onnx, "fp32" if change == "kept" else "int8"), "failed before")
            built(onnx)

        ours = (onnx_store, publish, journal, locks, files, shutil)
        fresh = "failed before" if change == "kept" else NEW
        for death in deaths(prepare, lambda: CHANGES[change](onnx), ours, memory):
            for finished in (False, True):
                if finished:
                    onnx_store.recover_onnx(onnx)
                found = {path: variants.inspect_variant(path, "fp32", NEW) for path in (onnx, onnx / "int8")}
                states = inspect_variants(onnx, NEW)
                assert all(state.present and len(state.files) == 3 for state in states.values()), death
                allowed = {OLD, fresh}
                assert {state.fingerprint for state in states.values()} <= allowed, death
                untouched = {"fp32": ["int8"], "int8": ["fp32"], "kept": ["int8"], "apart": list(VARIANTS)}
                assert all(states[v].fingerprint == OLD for v in untouched[change]), death
                if finished:
                    assert all(state.present for state in found.values()), death
            journal.clear_leftovers(onnx)
            if death.survived:
                assert variants.inspect_variant(target[change], "fp32", NEW).fingerprint == fresh
