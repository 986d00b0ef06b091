"""What people take for a model to train is called what it is, with the way out of its own."""

import json

import pytest

from sails.errors import ModelLoadError, RequestError
from sails.models.catalog import find_base_model
from sails.models.foreign import foreign_model
from tests.support.tiny import make_tiny_model


def adapter(folder):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/ship"}))
    (folder / "adapter_model.safetensors").write_bytes(b"x")


def gguf(folder):
    folder.mkdir()
    (folder / "ship.Q4_K_M.gguf").write_bytes(b"GGUF")


def compressed(method):
    def make(folder):
        make_tiny_model(folder)
        config = json.loads((folder / "config.json").read_text())
        content = {"bits": 4} | ({"quant_method": method} if method else {"load_in_4bit": True})
        (folder / "config.json").write_text(json.dumps({**config, "quantization_config": content}))

    return make


@pytest.mark.parametrize(
    ("make", "what", "way_out"),
    [
        (adapter, "an adapter (LoRA) of owner/ship", "Merge it into its base model first"),
        (gguf, "a GGUF file", "that it was made from"),
        (compressed("gptq"), "compressed (GPTQ)", "that it was made from"),
        (compressed("awq"), "compressed (AWQ)", "that it was made from"),
        (compressed(""), "compressed (bitsandbytes)", "that it was made from"),
    ],
)
def test_it_is_named_before_the_start_with_its_own_remedy(make, what, way_out, tmp_path):
    folder = tmp_path / "model"
    make(folder)
    with pytest.raises(RequestError) as caught:
        find_base_model(str(folder))
    assert what in str(caught.value)
    assert way_out in caught.value.remedy
    from sails.training.model import load_model

    with pytest.raises(ModelLoadError) as refused:  # as the model to continue from
        load_model(folder, "cpu")
    assert way_out in refused.value.remedy


def test_a_gguf_file_is_no_unknown_name(tmp_path):
    with pytest.raises(RequestError, match="GGUF"):
        find_base_model(str(tmp_path / "ship.gguf"))


def test_a_model_is_none_of_these(tmp_path):
    assert foreign_model(make_tiny_model(tmp_path)) is None
    assert foreign_model(tmp_path / "nothing") is None
