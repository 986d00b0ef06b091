"""Tiny models and their exports, made once for all tests of the ONNX room. Tests must not change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from sails.onnx.export import export_model
from tests.support.tiny import make_tiny_model

# What the taught model knows by heart: characters of several bytes, and one answer to be stopped in.
TAUGHT = {
    "Say it in Japanese.": "日本語で話しましょう。",
    "Send me a family.": "Here: 👩‍👩‍👧 🎉 done",
    "Where is Köln?": "Köln liegt am Rhein – schön!",
    "Count to five.": "one two three STOP four five",
    "Say good bye.": "Good bye ST",
    "What is a variable?": "A variable is a name that stands for a value.",
}


@dataclass(frozen=True)
class Pair:
    """A model folder and the ONNX folder that was exported from it."""

    model: Path
    onnx: Path


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On matrices this small a second thread only waits, and badly where the machine has other work."""
    with _one_thread():
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """`exported("gpt2")`: an untrained tiny model and its export; `seed` and `chat_template` as there."""

    @cache
    def make(family: str, chat_template: bool = True, seed: int = 0) -> Pair:
        folder = tmp_path_factory.mktemp(family)
        model = make_tiny_model(folder / "model", family, chat_template=chat_template, seed=seed)
        return _export(model)

    return make


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A tiny llama that knows TAUGHT by heart, and its export."""
    model = make_tiny_model(tmp_path_factory.mktemp("taught") / "model")
    with _one_thread():
        _teach(model, TAUGHT)
    return _export(model)


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _export(model: Path) -> Pair:
    export_model(model, model.with_name("onnx"), source_fingerprint="f-" + model.parent.name)
    return Pair(model, model.with_name("onnx"))


def _teach(folder: Path, pairs: dict[str, str]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], tokenize=False
        )
        for question, answer in pairs.items()
    ]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
