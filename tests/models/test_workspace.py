"""What lies in a workspace: complete, missing, or incomplete and why; which model it is; what is stale."""

import json
import os
import re
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from sails.errors import WorkspaceError
from sails.models.folder import inspect_model, inspect_onnx
from sails.models.journal import journal_of, resolve
from sails.models.variants import inspect_variants
from sails.models.workspace import Workspace, check_output, new_id
from sails.system.files import read_json
from sails.training.plan import behavior
from tests.support.folders import (
    CONFIG,
    fingerprint_of,
    listing,
    make_model,
    make_onnx,
    make_sharded_model,
    tensors,
)

WEIGHTS_MISSING = "the weights are missing (model.safetensors or pytorch_model.bin)"


def judged(folder):
    """State and reason of a model folder."""
    state = inspect_model(folder)
    assert (state.fingerprint is None) == (state.state != "complete")
    assert (state.reason is None) == (state.state != "incomplete")
    return state.state, state.reason


def torch_bin(path, seed=0):
    """A real `pytorch_model.bin`, as torch saves it."""
    import torch

    torch.save({name: torch.from_numpy(np.array(t)) for name, t in tensors(seed).items()}, path)
    return path


def cut(path, size):
    os.truncate(path, size)
    return path


# --- the original's own cases ---------------------------------------------------------------------


def test_no_folder_an_empty_one_and_one_that_git_keeps_are_missing(tmp_path):
    assert judged(tmp_path / "never made") == ("missing", None)
    (tmp_path / "model").mkdir()
    assert judged(tmp_path / "model") == ("missing", None)
    (tmp_path / "model" / ".gitkeep").touch()
    assert judged(tmp_path / "model") == ("missing", None)


def test_a_config_alone_lacks_its_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert judged(tmp_path) == ("incomplete", WEIGHTS_MISSING)


def test_a_config_with_safetensors_is_complete(tmp_path):
    assert judged(make_model(tmp_path / "model")) == ("complete", None)


def test_a_config_with_a_pytorch_bin_is_complete(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    torch_bin(tmp_path / "pytorch_model.bin")
    assert judged(tmp_path) == ("complete", None)


def test_weights_alone_lack_their_config(tmp_path):
    (make_model(tmp_path / "model") / "config.json").unlink()
    assert judged(tmp_path / "model") == ("incomplete", "config.json is missing")


# --- the original's own scenarios -----------------------------------------------------------------


def next_training(workspace):
    made = behavior.plan_from(workspace.situation(), default_base="base")
    return made.row, made.start_from, made.learning_rate


def test_fresh_starts_from_base(tmp_path):
    assert next_training(Workspace.open(tmp_path)) == (1, "base", 5e-5)


def test_training_again_continues_at_a_lower_learning_rate(tmp_path):
    workspace = Workspace.open(tmp_path)
    make_model(workspace.trained_model)
    assert next_training(workspace) == (2, "trained", 1e-5)


def test_an_onnx_model_left_alone_is_row_four(tmp_path):
    workspace = Workspace.open(tmp_path)
    make_onnx(workspace.onnx_model)
    assert next_training(workspace) == (4, "base", 5e-5)


def test_both_models_are_row_three(tmp_path):
    workspace = Workspace.open(tmp_path)
    make_model(workspace.trained_model)
    make_onnx(workspace.onnx_model)
    assert next_training(workspace) == (3, "trained", 1e-5)


def test_an_incomplete_model_starts_from_base_without_and_with_onnx(tmp_path):
    workspace = Workspace.open(tmp_path)
    (make_model(workspace.trained_model) / "config.json").unlink()
    assert next_training(workspace) == (5, "base", 5e-5)
    make_onnx(workspace.onnx_model)
    assert next_training(workspace) == (6, "base", 5e-5)


def test_a_folder_made_by_the_original_command_line_opens_unchanged(tmp_path):
    make_model(tmp_path / "trained_model")
    (tmp_path / "trained_model" / "training_args.bin").write_bytes(b"\x80\x02rest")
    make_onnx(tmp_path / "onnx_model")
    before = listing(tmp_path)
    workspace = Workspace.open(tmp_path)
    situation = workspace.situation()
    trained = situation.trained
    assert (trained.state, trained.base, trained.session) == ("complete", None, None)
    assert (situation.onnx.state, situation.onnx.stale) == ("present", None)
    assert listing(tmp_path) == before


def test_opening_and_inspecting_a_workspace_that_is_not_there_creates_nothing(tmp_path):
    situation = Workspace.open(tmp_path / "new").situation()
    assert (situation.trained.state, situation.onnx.state) == ("missing", "missing")
    assert list(tmp_path.iterdir()) == []


# --- a config that cannot be used -----------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"a": 1} x', b"[]", b"null", b'"text"', b"\xff\xfe\x00", b"\x00" * 50, b"[" * 100_000],
    ids=["empty", "half", "more", "a list", "null", "a text", "binary", "zeros", "deep"],
)
def test_a_config_that_is_no_readable_object_is_incomplete(tmp_path, content):
    (make_model(tmp_path / "model") / "config.json").write_bytes(content)
    assert judged(tmp_path / "model") == ("incomplete", "config.json cannot be read")


def test_a_folder_in_the_place_of_a_file_is_no_file(tmp_path):
    (make_model(tmp_path / "model") / "config.json").unlink()
    (tmp_path / "model" / "config.json").mkdir()
    assert judged(tmp_path / "model") == ("incomplete", "config.json is missing")


# --- safetensors that cannot be used --------------------------------------------------------------


@pytest.mark.parametrize("lost", [1, 7, 200, 2_000])
def test_safetensors_cut_off_in_their_data_say_how_long_they_are_and_must_be(tmp_path, lost):
    weights = make_model(tmp_path / "model") / "model.safetensors"
    full = weights.stat().st_size
    cut(weights, full - lost)
    expected = f"model.safetensors is cut off at {full - lost:,} of {full:,} bytes"
    assert judged(tmp_path / "model") == ("incomplete", expected)
    assert expected.count(",") == (2 if full - lost > 999 else 1)


@pytest.mark.parametrize("size", [9, 20, 100])
def test_safetensors_cut_off_inside_their_header_say_so_with_both_numbers(tmp_path, size):
    weights = make_model(tmp_path / "model") / "model.safetensors"
    header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
    cut(weights, size)
    expected = f"model.safetensors is cut off at {size} of more than {header} bytes"
    assert judged(tmp_path / "model") == ("incomplete", expected)


def test_every_possible_cut_is_noticed_and_the_whole_file_is_not(tmp_path):
    weights = make_model(tmp_path / "model") / "model.safetensors"
    whole = weights.read_bytes()
    for size in [*range(400), *range(400, len(whole), 97), len(whole) - 1]:
        weights.write_bytes(whole[:size])
        state, reason = judged(tmp_path / "model")
        assert state == "incomplete"
        assert f"{size:,}" in reason
    weights.write_bytes(whole)
    assert judged(tmp_path / "model") == ("complete", None)


def header(text):
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        b"\x00" * 4096,
        b"\xff" * 4096,
        header(b"not json"),
        header(b"[]"),
        header(b"[" * 100_000),
        header(b"\xff\xfe{}"),
        header(b'{"a": 5}'),
        header(b'{"a": {"shape": [1]}}'),
        header(b'{"a": {"data_offsets": [0]}}'),
        header(b'{"a": {"data_offsets": ["0", "4"]}}'),
        header(b'{"a": {"data_offsets": [0.0, 4.0]}}') + b"1234",
        header(b'{"a": {"data_offsets": [4, 0]}}') + b"1234",
        header(b'{"a": {"data_offsets": [-4, 4]}}') + b"1234",
        header(b'{"a": {"data_offsets": [0, NaN]}}') + b"1234",
    ],
    ids=lambda content: repr(content[:60][-45:]),
)
def test_a_file_that_is_no_safetensors_file_says_so_with_its_size(tmp_path, content):
    (make_model(tmp_path / "model") / "model.safetensors").write_bytes(content)
    reason = f"model.safetensors cannot be read ({len(content):,} bytes, but no safetensors header)"
    assert judged(tmp_path / "model") == ("incomplete", reason)


def test_safetensors_with_bytes_behind_their_end_are_damaged_as_the_library_finds_too(tmp_path):
    weights = make_model(tmp_path / "model") / "model.safetensors"
    full = weights.stat().st_size
    with open(weights, "ab") as file:
        file.write(b"123")
    with pytest.raises(Exception, match="not fully covered"):
        load_file(weights)
    expected = f"model.safetensors is damaged: {full + 3:,} bytes long instead of {full:,}"
    assert judged(tmp_path / "model") == ("incomplete", expected)


def test_safetensors_without_a_single_tensor_hold_no_weights(tmp_path):
    weights = make_model(tmp_path / "model") / "model.safetensors"
    save_file({}, weights, metadata={"format": "pt"})
    assert judged(tmp_path / "model") == ("incomplete", "model.safetensors holds no weights")


def test_metadata_in_the_header_is_no_tensor(tmp_path):
    weights = make_model(tmp_path / "model") / "model.safetensors"
    save_file(tensors(), weights, metadata={"format": "pt"})
    assert judged(tmp_path / "model") == ("complete", None)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=300), where=st.integers(0, 700), name=st.sampled_from(["weights", "config"]))
def test_whatever_a_file_holds_inspecting_never_raises(tmp_path, junk, where, name):
    shutil.rmtree(tmp_path / "model", ignore_errors=True)
    make_model(tmp_path / "model")
    path = tmp_path / "model" / ("model.safetensors" if name == "weights" else "config.json")
    content = bytearray(path.read_bytes())
    content[where : where + len(junk)] = junk
    path.write_bytes(content)
    judged(tmp_path / "model")


def test_another_file_that_is_rubbish_does_not_matter(tmp_path):
    model = make_model(tmp_path / "model")
    fingerprint = fingerprint_of(model)
    (model / "adapter.safetensors").write_bytes(b"rubbish")
    (model / "optimizer.bin").touch()
    (model / "sails.json").write_text("{ half")
    assert judged(model) == ("complete", None)
    assert fingerprint_of(model) == fingerprint


# --- weights in parts -----------------------------------------------------------------------------


def test_all_shards_present_are_complete(tmp_path):
    assert judged(make_sharded_model(tmp_path / "model")) == ("complete", None)


def test_a_missing_shard_is_named_with_its_number(tmp_path):
    model = make_sharded_model(tmp_path / "model")
    (model / "model-00002-of-00002.safetensors").unlink()
    expected = "model-00002-of-00002.safetensors is missing (part 2 of 2 of the weights)"
    assert judged(model) == ("incomplete", expected)


def test_a_truncated_shard_is_named_with_both_numbers(tmp_path):
    model = make_sharded_model(tmp_path / "model")
    shard = model / "model-00001-of-00002.safetensors"
    full = shard.stat().st_size
    cut(shard, full - 1)
    expected = f"model-00001-of-00002.safetensors is cut off at {full - 1:,} of {full:,} bytes"
    assert judged(model) == ("incomplete", expected)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": ["a"]}'])
def test_a_broken_index_is_named(tmp_path, content):
    model = make_sharded_model(tmp_path / "model")
    (model / "model.safetensors.index.json").write_text(content)
    assert judged(model) == ("incomplete", "model.safetensors.index.json cannot be read")


def test_a_shard_outside_the_folder_does_not_count(tmp_path):
    model = make_sharded_model(tmp_path / "model")
    shard = "model-00001-of-00002.safetensors"
    (model / shard).rename(tmp_path / shard)
    index = model / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(shard, f"../{shard}"))
    assert judged(model) == ("incomplete", f"../{shard} is missing (part 1 of 2 of the weights)")


def test_whole_weights_count_before_parts_of_another_time(tmp_path):
    model = make_sharded_model(tmp_path / "model")
    (model / "model-00001-of-00002.safetensors").unlink()
    save_file(tensors(), model / "model.safetensors")
    assert judged(model) == ("complete", None)


def test_pytorch_shards_are_judged_as_well(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    torch_bin(tmp_path / "pytorch_model-1.bin")
    index = {"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert judged(tmp_path) == ("incomplete", "pytorch_model-2.bin is missing (part 2 of 2 of the weights)")
    torch_bin(tmp_path / "pytorch_model-2.bin")
    assert judged(tmp_path) == ("complete", None)


# --- pytorch_model.bin ----------------------------------------------------------------------------


@pytest.fixture
def with_bin(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path, tmp_path / "pytorch_model.bin"


def test_a_truncated_bin_is_cut_off(with_bin):
    folder, path = with_bin
    full = torch_bin(path).stat().st_size
    for size in (full - 1, full // 2, 10, 4):
        cut(path, size)
        assert judged(folder) == ("incomplete", f"pytorch_model.bin is cut off at {size:,} bytes")


def test_an_empty_bin_is_empty(with_bin):
    folder, path = with_bin
    path.touch()
    assert judged(folder) == ("incomplete", "pytorch_model.bin is empty")


@pytest.mark.parametrize("content", [b"dummy weights", b"PK", b"\x00" * 100, b"{}"])
def test_a_text_called_bin_is_no_weights_file(with_bin, content):
    folder, path = with_bin
    path.write_bytes(content)
    assert judged(folder) == ("incomplete", "pytorch_model.bin is not a PyTorch weights file")


def test_a_bin_from_before_pytorch_1_6_is_complete(with_bin):
    import torch

    folder, path = with_bin
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    assert judged(folder) == ("complete", None)


# --- the fingerprint ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_model, make_sharded_model])
@pytest.mark.parametrize("name", list(tensors()))
def test_the_fingerprint_changes_with_the_values_of_any_tensor(tmp_path, make, name):
    model = make(tmp_path / "model")
    before = fingerprint_of(model)
    for path in model.glob("*.safetensors"):
        content = load_file(path)
        if name in content:
            content[name] = np.asarray(content[name] + np.float32(1e-4))
            save_file(content, path)
    assert fingerprint_of(model) != before


def test_the_fingerprint_changes_with_the_config(tmp_path):
    model = make_model(tmp_path / "model")
    before = fingerprint_of(model)
    (model / "config.json").write_text(json.dumps(CONFIG | {"rope_theta": 5}))
    assert fingerprint_of(model) != before


def test_a_bin_has_a_fingerprint_that_changes_with_its_values(with_bin):
    folder, path = with_bin
    torch_bin(path, seed=1)
    before = fingerprint_of(folder)
    torch_bin(path, seed=2)
    assert fingerprint_of(folder) != before
    torch_bin(path, seed=1)
    assert fingerprint_of(folder) == before


def test_a_copy_elsewhere_and_later_has_the_same_fingerprint(tmp_path):
    model = make_model(tmp_path / "model")
    shutil.copytree(model, tmp_path / "copy", copy_function=shutil.copyfile)
    (tmp_path / "copy" / "sails.json").write_text('{"session": "another"}')
    (tmp_path / "copy" / "README.md").write_text("words")
    assert fingerprint_of(tmp_path / "copy") == fingerprint_of(model)
    assert re.fullmatch("[0-9a-f]{16}", fingerprint_of(model))


def test_a_model_is_judged_in_milliseconds_whatever_its_size(tmp_path):
    model = make_model(tmp_path / "model")
    layer = np.ones((1000, 1000), np.float32)
    save_file({f"layer.{n}": layer for n in range(13)}, model / "model.safetensors")
    assert (model / "model.safetensors").stat().st_size > 50_000_000
    began = time.perf_counter()
    assert judged(model) == ("complete", None)
    assert time.perf_counter() - began < 0.2


# --- provenance and what was found ----------------------------------------------------------------


def test_provenance_is_read_and_of_the_wrong_kind_ignored(tmp_path):
    model = make_model(tmp_path / "model")
    (model / "sails.json").write_text('{"base": "gpt2", "session": "20260101-120000-first"}')
    state = inspect_model(model)
    assert (state.base, state.session) == ("gpt2", "20260101-120000-first")
    (model / "sails.json").write_text('{"base": 5, "session": ["x"]}')
    state = inspect_model(model)
    assert (state.state, state.base, state.session) == ("complete", None, None)


def test_files_are_listed_with_their_sizes_and_the_latest_change(tmp_path):
    model = make_model(tmp_path / "model")
    (model / "config.json").write_text("{}")
    (model / ".hidden").touch()
    (model / "checkpoint-5").mkdir()
    os.utime(model / "config.json", (0, 2_000_000_000))
    state = inspect_model(model)
    assert [file.name for file in state.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert [file.size for file in state.files] == [2, (model / "model.safetensors").stat().st_size, 2]
    assert state.modified == datetime.fromtimestamp(2_000_000_000, UTC)


# --- ONNX -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.onnx", "decoder.onnx", "int8/model.onnx"])
def test_onnx_is_present_flat_or_one_level_below(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    assert inspect_onnx(tmp_path, None).present


@pytest.mark.parametrize("name", ["a/b/model.onnx", "model.onnx.data", "notes.txt", "onnx"])
def test_onnx_elsewhere_is_not_present(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    assert inspect_onnx(tmp_path, None).state == "missing"


def test_an_onnx_file_of_no_bytes_and_a_folder_of_that_name_are_not_present(tmp_path):
    (tmp_path / "model.onnx").touch()
    (tmp_path / "folder.onnx").mkdir()
    assert inspect_onnx(tmp_path, None).state == "missing"
    assert inspect_onnx(tmp_path / "never made", None).state == "missing"


def test_onnx_is_stale_when_it_came_from_another_model(tmp_path):
    workspace = Workspace.open(tmp_path)
    make_model(workspace.trained_model, seed=1)
    make_onnx(workspace.onnx_model, fingerprint_of(workspace.trained_model))
    assert workspace.situation().onnx.stale is False
    shutil.rmtree(workspace.trained_model)
    make_model(workspace.trained_model, seed=2)
    assert workspace.situation().onnx.stale is True
    shutil.rmtree(workspace.trained_model)
    assert workspace.situation().onnx.stale is True


@pytest.mark.parametrize(
    "record", [None, "{}", "{ half", '{"fingerprint": null}', '{"fingerprint": 5}', "[]"]
)
def test_whether_onnx_is_stale_is_unknown_without_a_readable_record(tmp_path, record):
    workspace = Workspace.open(tmp_path)
    make_model(workspace.trained_model)
    make_onnx(workspace.onnx_model)
    if record is not None:
        (workspace.onnx_model / "export.json").write_text(record)
    assert (workspace.situation().onnx.present, workspace.situation().onnx.stale) == (True, None)


# --- opening --------------------------------------------------------------------------------------


def test_the_folder_is_the_one_named_else_the_environments_else_workspace_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Workspace.open().root == tmp_path / "workspace"
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "elsewhere"))
    assert Workspace.open().root == tmp_path / "elsewhere"
    assert Workspace.open("named").root == tmp_path / "named"


def test_the_two_model_folders_may_lie_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    workspace = Workspace.open("~/w", output_dir="~/models/new", onnx_output=tmp_path / "x" / ".." / "onnx")
    assert workspace.trained_model == tmp_path / "models" / "new"
    assert workspace.onnx_model == tmp_path / "onnx"
    assert workspace.sessions == tmp_path / "w" / "sessions"
    default = Workspace.open("~/w")
    assert default.trained_model == tmp_path / "w" / "trained_model"
    assert default.onnx_model == tmp_path / "w" / "onnx_model"


def test_a_home_that_nobody_has_is_a_name_and_no_crash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Workspace.open("~nobody-has-this-name/w").root == tmp_path / "~nobody-has-this-name" / "w"


@pytest.mark.parametrize("which", ["root", "output_dir", "onnx_output"])
def test_a_file_where_a_folder_must_be_is_refused(tmp_path, which):
    (tmp_path / "file").touch()
    places = {"root": tmp_path / "w", which: tmp_path / "file"}
    with pytest.raises(WorkspaceError, match="is a file, not a folder"):
        Workspace.open(places.pop("root"), **places)


@pytest.mark.parametrize("onnx", [".", "w", "model", "w/trained_model", ".."])
def test_an_export_that_would_replace_a_model_or_the_workspace_is_refused(tmp_path, monkeypatch, onnx):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    output_dir = "model" if onnx == "model" else None
    with pytest.raises(WorkspaceError, match="would take the place of"):
        Workspace.open("w", output_dir=output_dir, onnx_output=onnx)


@pytest.mark.parametrize("trained", [".", "w", "..", "w/onnx_model"])
def test_a_model_folder_that_holds_more_can_be_read_but_not_published_to(tmp_path, monkeypatch, trained):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    onnx = "elsewhere" if trained == "w/onnx_model" else None
    workspace = Workspace.open("w", output_dir=trained, onnx_output=onnx)
    if onnx:
        workspace.check_publishable()
    else:
        with pytest.raises(WorkspaceError, match="would take the place of"):
            workspace.check_publishable()


DATA = ["datasets", "sessions", "jobs", "versions", "set_aside", "heldout", "corrections"]


@pytest.mark.parametrize("inside", ["", "deeper/still"])
@pytest.mark.parametrize("name", DATA)
def test_a_folder_of_a_workspaces_data_takes_no_model(tmp_path, name, inside):
    place = tmp_path / "w" / name / inside
    with pytest.raises(WorkspaceError, match=r"keeps its own data|would take the place of"):
        Workspace.open(tmp_path / "w", onnx_output=place)
    workspace = Workspace.open(tmp_path / "w", output_dir=place)  # a version can be read
    with pytest.raises(WorkspaceError, match=r"keeps its own data|would take the place of"):
        workspace.check_publishable()


@pytest.mark.parametrize("place", ["other", "other/sessions", "other/versions/first", "."])
def test_nor_does_a_folder_of_another_workspace(tmp_path, place):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "training.lock").touch()
    with pytest.raises(WorkspaceError):
        Workspace.open(tmp_path / "elsewhere" / "w", onnx_output=tmp_path / place)
    with pytest.raises(WorkspaceError):
        Workspace.open(tmp_path / "elsewhere" / "w", output_dir=tmp_path / place).check_publishable()


def test_data_that_a_link_leads_to_takes_no_model_either(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "sessions").symlink_to(tmp_path / "far")
    (tmp_path / "near").symlink_to(tmp_path / "w" / "versions")
    for place in ("far", "far/model", ".", "near/model"):
        with pytest.raises(WorkspaceError):
            Workspace.open(tmp_path / "w", output_dir=tmp_path / place).check_publishable()


def test_folders_that_only_sound_like_a_workspaces_take_a_model(tmp_path):
    (tmp_path / "datasets").mkdir()
    Workspace.open(tmp_path / "w", output_dir=tmp_path / "datasets" / "model").check_publishable()
    Workspace.open(tmp_path / "w", output_dir=tmp_path / "other" / "trained_model").check_publishable()


@pytest.mark.parametrize("which", [".", "trained_model", "onnx_model"])
def test_a_link_to_itself_is_no_folder(tmp_path, which):
    root = tmp_path / "w"
    loop = root / which
    loop.parent.mkdir(exist_ok=True)
    loop.symlink_to(loop)
    with pytest.raises(WorkspaceError, match="leads back to itself"):
        Workspace.open(root)


def test_an_onnx_folder_inside_the_models_own_can_be_exported_to_but_not_published_around(tmp_path):
    workspace = Workspace.open(tmp_path / "w", output_dir=tmp_path / "m", onnx_output=tmp_path / "m" / "onnx")
    with pytest.raises(WorkspaceError):
        workspace.check_publishable()


# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Databases", "databases"),
        ("  Web development (2nd try)! ", "web-development-2nd-try"),
        ("../../etc/passwd", "etc-passwd"),
        ("数据库", "session"),
        ("", "session"),
        ("x" * 100, "x" * 40),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_an_id_is_the_time_and_a_short_name_that_is_safe_as_a_folder(name, short):
    before = datetime.now(UTC)
    made = new_id(name)
    assert re.fullmatch(r"\d{8}-\d{6}-" + short, made)
    stamp = datetime.strptime(made[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert abs((stamp - before).total_seconds()) < 5


# --- reading through a publication ----------------------------------------------------------------


def test_between_two_renames_the_model_is_found_in_its_staging_folder(tmp_path):
    workspace = Workspace.open(tmp_path)
    make_model(tmp_path / ".trained_model.staged-x", seed=1)
    assert workspace.situation().trained.state == "missing"  # nobody said that this is the model
    journal_of(workspace.trained_model).write_text('{"staged": ".trained_model.staged-x"}')
    assert resolve(workspace.trained_model) == tmp_path / ".trained_model.staged-x"
    assert workspace.situation().trained.complete
    make_model(workspace.trained_model, seed=2)
    assert resolve(workspace.trained_model) == workspace.trained_model


@pytest.mark.parametrize("journal", ["", "{", "[]", "{}", '{"staged": 5}', '{"staged": "gone"}', "\x00"])
def test_a_journal_that_leads_nowhere_is_ignored(tmp_path, journal):
    workspace = Workspace.open(tmp_path)
    journal_of(workspace.trained_model).write_text(journal)
    assert workspace.situation().trained.state == "missing"


def test_an_unreadable_small_file_reads_as_nothing(tmp_path):
    assert read_json(tmp_path / "gone.json") is None
    assert read_json(tmp_path) is None
    (tmp_path / "list.json").write_text("[1]")
    assert read_json(Path(tmp_path / "list.json")) is None


@pytest.mark.parametrize(
    ("noted", "base"),
    [
        ("distilgpt2", "distilgpt2"),
        ("microsoft/DialoGPT-small", "microsoft/DialoGPT-small"),
        ("./trained_model", None),
        (7, None),
    ],
)
def test_a_model_made_elsewhere_is_known_by_the_base_in_its_config(noted, base, tmp_path):
    folder = make_model(tmp_path / "trained_model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_name_or_path": noted}))
    assert inspect_model(folder).base == base


def test_another_tokenizer_or_chat_template_makes_the_onnx_model_stale(tmp_path):
    place = Workspace.open(tmp_path / "workspace")
    make_model(place.trained_model)
    trained = place.situation().trained
    make_onnx(place.onnx_model, trained.fingerprint)
    assert place.situation().onnx.stale is False  # an export of old recorded none
    record = {"fingerprint": trained.fingerprint, "tokenizer": trained.tokenizer}
    (place.onnx_model / "export.json").write_text(json.dumps(record))
    assert place.situation().onnx.stale is False
    for name, content in (("chat_template.jinja", "{{ messages }}"), ("tokenizer.json", '{"a": 1}')):
        (place.trained_model / name).write_text(content)
        now = place.situation()
        assert (now.trained.fingerprint, now.onnx.stale) == (trained.fingerprint, True)
        variant = inspect_variants(place.onnx_model, now.trained.fingerprint, now.trained.tokenizer)["fp32"]
        assert variant.stale is True
        (place.trained_model / name).unlink()
        make_model(tmp_path / name)
        shutil.copy(tmp_path / name / "tokenizer.json", place.trained_model)
        assert place.situation().onnx.stale is False


@pytest.mark.parametrize(
    ("name", "is_free"),
    [
        ("sessions/one.zip", False),
        ("trained_model/config.json", False),
        ("datasets/new.csv", False),
        ("queue.json", False),
        ("new.csv", True),
        ("model.zip", True),
        ("../model.zip", True),
        ("door/queue.json", False),
    ],
)
def test_a_file_that_a_person_names_takes_the_place_of_nothing_in_a_workspace(tmp_path, name, is_free):
    workspace = Workspace.open(tmp_path / "w")
    make_model(workspace.trained_model)
    for folder in (workspace.sessions, workspace.datasets):
        folder.mkdir()
    (workspace.root / "queue.json").touch()
    (workspace.root / "model.zip").touch()
    (workspace.root / "door").symlink_to(workspace.root)
    if is_free:
        check_output(workspace.root / name)
    else:
        with pytest.raises(WorkspaceError, match="among the data"):
            check_output(workspace.root / name)


@pytest.mark.parametrize(
    ("name", "is_free"),
    [("thesis.txt", False), ("sails/__init__.py", False), ("checkpoint-3/x", True), ("config.json", True)],
)
def test_a_folder_that_holds_other_things_than_a_model_is_no_place_for_one(tmp_path, name, is_free):
    file = tmp_path / "documents" / name
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    workspace = Workspace.open(tmp_path / "w", output_dir=tmp_path / "documents")
    if is_free:
        workspace.check_publishable()
    else:
        with pytest.raises(WorkspaceError, match="holds other things"):
            workspace.check_publishable()
    Workspace.open(tmp_path / "w", output_dir=tmp_path / "new").check_publishable()
