"""LoRA: adapters alone are trained, protect what general prompts rest on, and become part of the weights."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from sails.errors import RequestError
from sails.models.folder import inspect_model
from sails.sessions import Session, Settings
from sails.training.adapters import RANK, Adapters, adaptable_layers
from sails.training.divergence import Guard
from sails.training.model import load_model, save_model
from sails.training.projection import linear_layers, load_matrices
from sails.training.run import Before
from tests.training.test_projection import logits
from tests.training.test_trainer import Notebook, run_of, same, teach, weights

RATE = 1e-3


def lora_run(examples, **changes):
    settings = Settings(seed=3, method="lora")
    return replace(run_of(examples, **{"learning_rate": RATE, "epochs": 8, **changes}), settings=settings)


def moved(adapters_of, by=1e-2):
    """Give the adapters of a model something that they learned."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in adapters_of.named_parameters():
            if "lora_B" in name:
                weight += by * torch.randn(weight.shape, generator=generator)


def test_adapters_change_nothing_before_they_learn_and_are_all_that_is_trained(tiny, model, general):
    before, names = logits(model, tiny, general), [*weights(model)]
    layers = linear_layers(model)
    adapters = Adapters(model, None, RATE, 1)
    assert torch.equal(logits(model, tiny, general), before)
    trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
    assert len(trained) == len(layers)
    assert all("lora_B" in name and RANK in w.shape for name, w in trained.items())
    assert [*adapters.frozen] == names


def test_the_merged_model_answers_as_the_model_with_adapters_and_is_a_plain_one(tiny, model, general):
    start, kinds = weights(model), {name: type(layer) for name, layer in model.named_modules()}
    layers = {f"{name}.weight" for name in linear_layers(model)}
    adapters = Adapters(model, None, RATE, 1)
    moved(model)
    with_adapters = logits(model, tiny, general)
    adapters.merge()
    assert torch.allclose(logits(model, tiny, general), with_adapters, rtol=0, atol=2e-5)
    assert not torch.allclose(with_adapters, logits(load_model(tiny[0], "cpu"), tiny, general), atol=0.1)
    assert {name: type(layer) for name, layer in model.named_modules()} == kinds
    assert {name for name, w in weights(model).items() if not torch.equal(w, start[name])} == layers
    assert not any("embed" in name or "wte" in name or "lm_head" in name for name in layers)
    assert all(w.requires_grad and w.dtype == torch.float32 for w in model.parameters())
    assert not hasattr(model, "peft_config")


def test_what_is_learned_across_what_general_prompts_rest_on_changes_them_less(
    tiny, model, matrices, general
):
    changes = []
    as_it_is = {name: torch.eye(len(matrix)) for name, matrix in matrices.items()}
    for projected_by in (as_it_is, matrices):
        before = logits(model, tiny, general[1::2])
        adapters = Adapters(model, projected_by, 1.0, 1)  # a rate at which nothing is made longer
        moved(model, by=1e-3)  # so little that answers change in proportion
        changes.append((logits(model, tiny, general[1::2]) - before).norm().item())
        adapters.merge()
        model.load_state_dict(load_model(tiny[0], "cpu").state_dict())
    assert changes[1] < 0.5 * changes[0]


def test_a_lesson_is_learned_with_and_without_protection(tiny, matrices, lesson, tmp_path):
    for number, projected_by in enumerate((None, matrices)):
        run = replace(lora_run(lesson, epochs=12), matrices=projected_by)
        taught, outcome, notes = teach(tiny, run, tmp_path / str(number))
        losses = [step["loss"] for step in notes.of("step")]
        assert losses[-1] < 0.7 * losses[0]
        assert outcome.steps == outcome.total_steps == 36
        assert max(step["learning_rate"] for step in notes.of("step")) == RATE
        assert not any("lora" in name for name in weights(taught))


def test_a_run_that_was_stopped_goes_on_as_an_uninterrupted_one(tiny, matrices, lesson, tmp_path):
    run = replace(lora_run(lesson), matrices=matrices)
    whole, _, _ = teach(tiny, run, tmp_path / "whole")
    session = Session(tmp_path / "parts")
    _, stopped, notes = teach(tiny, run, session.folder, Notebook(stop_after=7))
    assert (stopped.stopped, stopped.steps) == (True, 7)
    checkpoint = session.newest_checkpoint()
    assert same(weights(load_model(checkpoint, "cpu")), weights(load_model(tiny[0], "cpu")))
    again = replace(run, matrices=load_matrices(session.projection), before=Before(steps=notes.of("step")))
    resumed, ended, _ = teach((checkpoint, tiny[1]), again, session.folder)
    assert ended.steps == 24
    assert same(weights(whole), weights(resumed))


def test_a_run_in_trouble_goes_back_to_its_last_good_adapters(tiny, lesson, tmp_path, monkeypatch):
    """At the second trouble it ends: at the weights of a run that took the good steps alone."""
    judged = []

    def judge(self, *step):
        judged.append(step)
        if len(judged) not in (14, 15):
            return None
        self.alarms += 1
        return "the loss rose"

    run = lora_run(lesson)
    monkeypatch.setattr(Guard, "judge", judge)
    monkeypatch.setattr(Guard, "is_good", lambda *_: len(judged) == 10)
    guarded, outcome, notes = teach(tiny, run, tmp_path / "guarded")
    monkeypatch.undo()
    assert outcome.guarded
    assert [back["back_to"] for back in notes.of("guard")] == [10, 10]
    good, _, _ = teach(tiny, run, tmp_path / "good", Notebook(stop_after=10))
    assert same(weights(guarded), weights(good))


def test_the_saved_model_has_the_files_names_and_types_of_one_trained_in_full(tiny, lesson, tmp_path):
    headers = []
    for run in (run_of(lesson, epochs=1), lora_run(lesson, epochs=1)):
        folder = tmp_path / run.settings.method
        taught, _, _ = teach(tiny, run, folder / "session")
        save_model(taught, tiny[1], folder / "model")
        assert inspect_model(folder / "model").complete
        with open(folder / "model" / "model.safetensors", "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        names = sorted(path.name for path in (folder / "model").iterdir())
        config = json.loads((folder / "model" / "config.json").read_text())
        headers.append(
            (names, {name: (t["dtype"], t["shape"]) for name, t in header.items() if name[0] != "_"}, config)
        )
    assert headers[0] == headers[1]


def test_a_model_without_a_layer_that_is_known_is_refused_in_words():
    shape = {"num_hidden_layers": 0, "hidden_size": 8, "vocab_size": 16, "num_attention_heads": 2}
    empty = AutoModelForCausalLM.from_config(LlamaConfig(**shape))
    with pytest.raises(RequestError, match="no layers that LoRA is known to work with") as refusal:
        adaptable_layers(empty)
    assert "--method full" in refusal.value.remedy
    with pytest.raises(RequestError):
        Adapters(empty, None, RATE, 1)
