"""Exports of real tiny models, and folders that cannot be exported."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from sails.errors import DiskFullError, ModelLoadError
from sails.onnx.export import export_model
from sails.onnx.runtime.generate import Generator
from tests.onnx.conftest import Pair
from tests.support.tiny import FAMILIES


@pytest.fixture
def model(exported: Callable[..., Pair], tmp_path: Path) -> Path:
    """A tiny llama of its own, to be changed."""
    return Path(shutil.copytree(exported("llama").model, tmp_path / "trained_model"))


@pytest.fixture
def gpt2(exported: Callable[..., Pair], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported("gpt2").model, tmp_path / "trained_model"))


def assert_equal_logits(model: Path, folder: Path) -> None:
    ids = list(range(5, 60))
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)(
            torch.tensor([ids])
        ).logits[0]
    np.testing.assert_allclose(Generator.open(folder, threads=1).logits(ids), expected, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_is_complete_in_itself(exported: Callable[..., Pair], family: str) -> None:
    folder = exported(family).onnx
    names = {file.name for file in folder.iterdir()}
    needed = {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.onnx",
    }
    assert needed | {"chat_template.jinja", "export.json"} <= names
    record = json.loads((folder / "export.json").read_text())
    assert record["fingerprint"].startswith(f"f-{family}")
    assert record["variant"] == "fp32"
    assert record["created"].endswith("+00:00")
    assert {"sails", "torch", "transformers", "optimum-onnx", "onnxruntime"} <= set(record["versions"])
    assert record["files"] == {name: (folder / name).stat().st_size for name in names - {"export.json"}}
    written = {opset.domain: opset.version for opset in onnx.load(folder / "model.onnx").opset_import}
    assert record["opset"] == written[""]


def test_the_export_tells_what_it_did(model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[float, str]] = []
    done = export_model(
        model, tmp_path / "out", source_fingerprint=None, progress=lambda *step: told.append(step)
    )
    assert (done.folder, done.source_fingerprint, done.note) == (tmp_path / "out", None, "")
    assert dict(done.files)["model.onnx"] == (tmp_path / "out" / "model.onnx").stat().st_size
    assert done.seconds > 0
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert all(words for _, words in told)
    assert capfd.readouterr().out == ""
    assert json.loads((tmp_path / "out" / "export.json").read_text())["fingerprint"] is None
    assert logging.getLogger("transformers").handlers  # quiet during the export only


@pytest.mark.parametrize(
    ("wanted", "written", "note"),
    [
        (14, 14, ""),
        (9, 14, "Opset 9 cannot be written for this model; the export uses 14."),
        (99, 20, "Opset 99 cannot be written for this model; the export uses 20."),
    ],
)
def test_an_opset_is_kept_or_replaced_by_the_nearest(
    model: Path, tmp_path: Path, wanted: int, written: int, note: str
) -> None:
    done = export_model(model, tmp_path / "out", source_fingerprint=None, opset=wanted)
    assert (done.opset, done.note) == (written, note)
    assert onnx.load(tmp_path / "out" / "model.onnx").opset_import[0].version == written
    assert json.loads((tmp_path / "out" / "export.json").read_text())["opset"] == written
    assert_equal_logits(model, tmp_path / "out")


def test_a_slow_tokenizer_becomes_a_fast_one(gpt2: Path, tmp_path: Path) -> None:
    expected = AutoTokenizer.from_pretrained(gpt2)("What is a variable? 日本").input_ids
    bpe = json.loads((gpt2 / "tokenizer.json").read_text())["model"]
    (gpt2 / "vocab.json").write_text(json.dumps(bpe["vocab"]))
    (gpt2 / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in bpe["merges"]) + "\n"
    )
    (gpt2 / "tokenizer.json").unlink()
    config = json.loads((gpt2 / "tokenizer_config.json").read_text())
    (gpt2 / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "GPT2Tokenizer"}))
    export_model(gpt2, tmp_path / "out", source_fingerprint=None)
    assert Generator.open(tmp_path / "out", threads=1).encode("What is a variable? 日本") == expected


def test_a_generation_config_that_transformers_finds_fault_with_is_kept(model: Path, tmp_path: Path) -> None:
    settings = {"eos_token_id": [2, 7], "do_sample": False, "temperature": 0.5}
    (model / "generation_config.json").write_text(json.dumps(settings))
    export_model(model, tmp_path / "out", source_fingerprint=None)
    assert Generator.open(tmp_path / "out", threads=1).eos_token_ids == {2, 7}


def test_weights_in_the_old_format_are_exported_too(model: Path, tmp_path: Path) -> None:
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    export_model(model, tmp_path / "out", source_fingerprint=None)
    assert_equal_logits(model, tmp_path / "out")


def test_half_precision_weights_become_full_precision(model: Path, tmp_path: Path) -> None:
    weights = {name: weight.bfloat16() for name, weight in load_file(model / "model.safetensors").items()}
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    change_config(model, dtype="bfloat16")
    export_model(model, tmp_path / "out", source_fingerprint=None)
    assert Generator.open(tmp_path / "out").decoder.empty_past()["past_key_values.0.key"].dtype == np.float32
    assert_equal_logits(model, tmp_path / "out")


def test_a_graph_in_two_files_is_opened_and_watched(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What happens by itself above 2 GB.
    monkeypatch.setenv("FORCE_ONNX_EXTERNAL_DATA", "1")
    done = export_model(model, tmp_path / "out", source_fingerprint=None)
    data = tmp_path / "out" / "model.onnx_data"
    assert dict(done.files)["model.onnx_data"] == data.stat().st_size > dict(done.files)["model.onnx"]
    assert_equal_logits(model, tmp_path / "out")
    truncate(data)
    with pytest.raises(ModelLoadError, match=r"model\.onnx_data is damaged: it has"):
        Generator.open(tmp_path / "out")
    data.unlink()
    with pytest.raises(ModelLoadError, match=r"model\.onnx_data is damaged: it has 0 of"):
        Generator.open(tmp_path / "out")


class Intruder:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_code_hidden_in_old_weights_does_not_run(model: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    torch.save({"model.norm.weight": Intruder(mark)}, model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match="cannot be exported"):
        export_model(model, tmp_path / "out", source_fingerprint=None)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Intruder(mark)))
    assert mark.exists()  # it would have


def test_code_beside_the_weights_does_not_run(model: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    (model / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass Own: ...\n")
    config = json.loads((model / "config.json").read_text())
    own = {"auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (model / "config.json").write_text(json.dumps(config | own))
    export_model(model, tmp_path / "out", source_fingerprint=None)
    assert not mark.exists()


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5000])


UNUSABLE = {
    "empty": (lambda f: [file.unlink() for file in f.iterdir()], "no readable config.json in trained_model"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "no readable config.json"),
    "a list as config": (lambda f: (f / "config.json").write_text("[1]"), "no readable config.json"),
    "no model type": (lambda f: change_config(f, model_type=None), "no readable config.json"),
    "a picture model": (
        lambda f: change_config(f, model_type="vit"),
        "architecture 'vit' cannot be exported",
    ),
    "an unheard-of model": (
        lambda f: change_config(f, model_type="xyz"),
        "architecture 'xyz' cannot be exported",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "This llama model cannot be exported: "),
    "truncated weights": (
        lambda f: truncate(f / "model.safetensors"),
        "This llama model cannot be exported: ",
    ),
    "no tokenizer": (
        lambda f: [file.unlink() for file in f.glob("tokenizer*")],
        "The tokenizer in trained_model cannot be read",
    ),
    "broken tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("{"),
        "tokenizer in trained_model cannot be read",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_folder_that_cannot_be_exported_is_refused_in_one_sentence(
    model: Path, tmp_path: Path, case: str
) -> None:
    break_it, sentence = UNUSABLE[case]
    break_it(model)
    with pytest.raises(ModelLoadError, match=sentence) as caught:
        export_model(model, tmp_path / "out", source_fingerprint=None)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    assert not (tmp_path / "out" / "export.json").exists()


def test_a_disk_that_is_too_small_is_noticed_before(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=400_000))
    with pytest.raises(DiskFullError, match=r"needs about 0\.0 GB on the disk and 0\.0 GB are free"):
        export_model(model, tmp_path / "out", source_fingerprint=None)
    assert list((tmp_path / "out").iterdir()) == []
