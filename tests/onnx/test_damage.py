"""Whatever lies in an ONNX folder instead of a model: one sentence for the person, never a trace.

Each kind of damage is done to an export, and then it is opened, verified and asked, as chats, commands and
the judge of an export do. A damage that leaves a model which can still be used must at least fail or pass in
words.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sails.cli import app
from sails.errors import ModelLoadError, SailsError
from sails.models import variants
from sails.models.workspace import Workspace
from sails.onnx.certify import verify
from sails.onnx.certify.certificate import read_certificate
from sails.onnx.runtime.generate import Generator
from tests.onnx.conftest import Pair
from tests.support.tiny import make_tiny_model

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def _write(name: str, content: bytes | str) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data) and None


def _cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return damage


def _flip(name: str, seed: int, count: int = 40) -> Callable[[Path], None]:
    """Bytes changed here and there; the length stays."""

    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        for place in np.random.default_rng(seed).integers(0, len(content), count):
            content[place] ^= 0xFF
        (folder / name).write_bytes(bytes(content))

    return damage


def _change(name: str, key: str, value: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, key: value}))

    return damage


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _unrecorded(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """The same damage where no `export.json` says how long the files must be."""

    def both(folder: Path) -> None:
        (folder / "export.json").unlink()
        damage(folder)

    return both


def _head_of_the_file(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[:64] = bytes(64)
    (folder / "model.onnx").write_bytes(bytes(content))


def _another_graph(folder: Path) -> None:
    """An ONNX model that is none of a language."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([node], "g", [value], [result])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), folder / "g")
    (folder / "export.json").unlink()
    (folder / "g").replace(folder / "model.onnx")


def _weights_elsewhere(folder: Path) -> None:
    """The weights in a file of their own, which is gone."""
    model = onnx.load(folder / "model.onnx")
    (folder / "export.json").unlink()
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx_data")
    (folder / "model.onnx_data").unlink()


def _larger_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for number in range(600):
        vocabulary[f"extra{number}"] = len(vocabulary)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def _not_a_number(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    tensor = max(
        (t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT),
        key=lambda t: int(np.prod(t.dims)),
    )
    values = np.full_like(numpy_helper.to_array(tensor), np.nan)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, folder / "model.onnx")


def _template_in_settings(template: str) -> Callable[[Path], None]:
    """The chat template where models of old have it, beside the settings of the tokenizer."""

    def damage(folder: Path) -> None:
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        (folder / "tokenizer_config.json").write_text(f'{{"chat_template": {template}}}')

    return damage


DAMAGES: dict[str, Callable[[Path], None]] = {
    "an empty graph": _write("model.onnx", b""),
    "a PNG called model.onnx": _write("model.onnx", PNG),
    "a PNG called model.onnx, unrecorded": _unrecorded(_write("model.onnx", PNG)),
    "text called model.onnx": _unrecorded(
        _write("model.onnx", "version https://git-lfs.github.com/spec/v1\n")
    ),
    "half a graph": _cut("model.onnx", 0.5),
    "half a graph, unrecorded": _unrecorded(_cut("model.onnx", 0.5)),
    "a graph without its end, unrecorded": _unrecorded(_cut("model.onnx", 0.999)),
    "a graph without its head": _head_of_the_file,
    **{f"flipped bytes {seed}": _flip("model.onnx", seed) for seed in range(6)},
    "many flipped bytes": _flip("model.onnx", 7, 4000),
    "no graph": _remove("model.onnx"),
    "a graph of something else": _another_graph,
    "a graph whose weights are gone": _weights_elsewhere,
    "weights that are no numbers": _not_a_number,
    "no tokenizer": _remove("tokenizer.json"),
    "an empty tokenizer": _write("tokenizer.json", b""),
    "half a tokenizer": _cut("tokenizer.json", 0.5),
    "a tokenizer that is a list": _write("tokenizer.json", "[]"),
    "a tokenizer without a model": _write("tokenizer.json", "{}"),
    "a tokenizer that is a picture": _write("tokenizer.json", PNG),
    "a tokenizer with too many tokens": _larger_vocabulary,
    **{f"flipped bytes of the tokenizer {seed}": _flip("tokenizer.json", seed, 20) for seed in range(3)},
    "a broken export.json": _write("export.json", "{"),
    "an export.json that is a list": _write("export.json", "[1]"),
    "an export.json in bytes": _write("export.json", b"\xff\xfe"),
    "files in export.json that are none": _change("export.json", "files", ["model.onnx"]),
    "sizes in export.json that are none": _change("export.json", "files", {"model.onnx": "big"}),
    "a fingerprint that is none": _change("export.json", "fingerprint", {"a": 1}),
    "a broken config.json": _write("config.json", "{"),
    "a config.json that is a number": _write("config.json", "7"),
    "a context length that is none": _change("config.json", "max_position_embeddings", "long"),
    "a context length of nothing": _change("config.json", "max_position_embeddings", 0),
    "a context length below nothing": _change("config.json", "max_position_embeddings", -5),
    "a broken generation_config.json": _write("generation_config.json", "}"),
    "an end token that is none": _change("generation_config.json", "eos_token_id", "end"),
    "a broken tokenizer_config.json": _write("tokenizer_config.json", b"\x00\x01"),
    "special tokens that are none": _change("tokenizer_config.json", "bos_token", [1, 2]),
    "a broken chat template": _write("chat_template.jinja", "{% for %}"),
    "a chat template that fails": _write("chat_template.jinja", "{{ messages[7].content.nothing() }}"),
    "a chat template in bytes": _write("chat_template.jinja", b"\xff\xfe\xfd"),
    "a chat template that is a number": _template_in_settings("7"),
    "a list of chat templates without names": _template_in_settings('["x", 1]'),
    "settings nested too deep": _write("tokenizer_config.json", "[" * 100_000),
    "a broken certificate.json": _write("certificate.json", "{"),
    "a certificate.json that is a picture": _write("certificate.json", PNG),
    "a certificate.json of something else": _write("certificate.json", '{"passed": {}, "variant": 3}'),
}


# No answer comes of these; of the others some may, or a sentence.
TOLD = {
    "an empty graph",
    "a PNG called model.onnx",
    "a PNG called model.onnx, unrecorded",
    "half a graph",
    "half a graph, unrecorded",
    "no graph",
    "a graph of something else",
    "a graph whose weights are gone",
    "weights that are no numbers",
    "no tokenizer",
    "an empty tokenizer",
    "half a tokenizer",
    "a tokenizer that is a picture",
    "a tokenizer with too many tokens",
    "a broken export.json",
    "a broken config.json",
    "a broken chat template",
}


@pytest.fixture
def damaged(taught: Pair, tmp_path: Path) -> Pair:
    """An export in the place of a workspace's, to be damaged."""
    model = shutil.copytree(taught.model, tmp_path / "w" / "trained_model")
    return Pair(model, Path(shutil.copytree(taught.onnx, tmp_path / "w" / "onnx_model")))


def is_told(error: SailsError) -> bool:
    """Whether it is a sentence of ours with something to do about it."""
    text = error.sentence
    return "Traceback" not in text and text.endswith(".") and bool(error.remedy) and "\n" not in text


def refusal_of(use: Callable[[], object]) -> SailsError | None:
    """What stops it; anything but an error of ours is raised."""
    try:
        use()
    except SailsError as error:
        return error
    return None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_sentence_wherever_it_is_used(
    damaged: Pair, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[damage](damaged.onnx)
    place = Workspace.open(damaged.onnx.parent)
    for look in (
        lambda: place.situation(),
        lambda: variants.inspect_variants(damaged.onnx, "x"),
        lambda: read_certificate(damaged.onnx),
    ):
        look()  # these only look, and say what they find
    told = [
        refusal_of(use)
        for use in (
            lambda: Generator.open(damaged.onnx).answer("What is a variable?", max_new_tokens=3),
            lambda: verify.verify_model(
                damaged.model, {"fp32": damaged.onnx}, ["Count to five."], new_tokens=3, memory=False
            ),
        )
    ]
    assert all(error is None or is_told(error) for error in told), told
    capfd.readouterr()
    code = app.main(
        ["chat", "--workspace", str(place.root), "--prompt", "What is a variable?", "--max-tokens", "3"]
    )
    said = capfd.readouterr().err
    assert code in (0, 1, 2)
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if line.strip()]) <= 4
    assert damage not in TOLD or code != 0, said


def test_a_tokenizer_of_the_same_length_that_is_another_one_is_told(damaged: Pair) -> None:
    file = damaged.onnx / "tokenizer.json"
    words = json.loads(file.read_text())["model"]["vocab"]
    one, other = [word for word, number in words.items() if len(word) == 1 and word.isalpha()][:2]
    text = file.read_text()
    swapped = text.replace(f'"{one}": {words[one]},', f'"{one}": {words[other]},')
    swapped = swapped.replace(f'"{other}": {words[other]},', f'"{other}": {words[one]},')
    assert swapped != text
    file.write_text(swapped)
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json is damaged, or that of another model(?!:)"):
        Generator.open(damaged.onnx)


def test_the_tokenizer_of_another_model_is_told(damaged: Pair, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "other", "gpt2", chat_template=False)
    shutil.copyfile(other / "tokenizer.json", damaged.onnx / "tokenizer.json")
    with pytest.raises(ModelLoadError, match="that of another model"):
        Generator.open(damaged.onnx)
    (damaged.onnx / "export.json").unlink()  # nothing says how long it must be
    made = verify.verify_model(damaged.model, {"fp32": damaged.onnx}, [], new_tokens=3, memory=False)
    assert not made["fp32"].passed
    assert "tokenizer or chat template writes" in made["fp32"].reasons[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", PNG),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"model_type": "no-such-model"}'),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", PNG),
        ("tokenizer_config.json", b"["),
    ],
)
def test_an_original_that_is_damaged_is_one_sentence(damaged: Pair, name: str, content: bytes) -> None:
    (damaged.model / name).write_bytes(content)
    with pytest.raises(SailsError) as error:
        verify.verify_model(damaged.model, {"fp32": damaged.onnx}, [], new_tokens=3, memory=False)
    assert is_told(error.value), error.value.sentence
