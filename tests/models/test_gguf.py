import json

import pytest

from sails.errors import ModelLoadError
from sails.models.folder import inspect_model
from sails.models.gguf import convert
from tests.support.tiny_wheel import make_tiny_gguf


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def quietly(_fraction, *_words):
    pass


def test_a_converted_model_is_complete_and_reports_progress_forwards(tmp_path, folder):
    fractions = []
    convert(make_tiny_gguf(tmp_path), folder, lambda fraction, _words: fractions.append(fraction))
    assert inspect_model(folder).complete
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert json.loads((folder / "config.json").read_text())["rms_norm_eps"] == 1e-5
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True


def test_every_weight_equals_the_one_that_transformers_reads_from_the_same_file(tmp_path, folder):
    from transformers import AutoModelForCausalLM

    file = make_tiny_gguf(tmp_path)
    convert(file, folder, quietly)
    ours = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name).state_dict()
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_numbers_are_split_into_digits_even_where_a_merge_would_join_them(tmp_path, folder):
    from transformers import AutoTokenizer

    convert(make_tiny_gguf(tmp_path), folder, quietly)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("the 1212") == ["t", "he", "Ġ", "1", "2", "1", "2"]
    assert set(tokenizer("the")) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "gpt2"}, "gpt2 model"),
        ({"tokenizer": "llama-bpe"}, "unknown kind llama-bpe"),
        ({"without": "blk.1.ffn_up"}, "19 tensors instead of 20"),
    ],
)
def test_what_is_not_covered_is_refused_with_the_reason(tmp_path, folder, changes, said):
    with pytest.raises(ModelLoadError, match=said):
        convert(make_tiny_gguf(tmp_path, **changes), folder, quietly)


def test_a_file_that_is_no_gguf_is_refused(tmp_path, folder):
    (tmp_path / "model.gguf").write_bytes(b"not a model" * 100)
    with pytest.raises(ModelLoadError, match="not a GGUF file"):
        convert(tmp_path / "model.gguf", folder, quietly)
