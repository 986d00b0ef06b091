"""One run: it learns, it repeats itself exactly, it stops and resumes to the same weights."""

import math
import random
import shutil
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from sails.errors import DivergedError, ModelLoadError
from sails.sessions import CHECKPOINT_COMPLETE, Session
from sails.training import loss as training
from sails.training import model, trainer
from sails.training.dataloader import IGNORED, collate, encode, load_tokenizer, schedule
from sails.training.loss import AnswerLogits, evaluate, score_rows
from sails.training.model import Precision, load_model
from sails.training.trainer import Run, train
from tests.support.helpers import write_lesson
from tests.support.tiny import make_tiny_model

RATE = 5e-3  # a two-layer model needs bigger steps than a real one
FP32 = Precision("cpu", bf16=False)


class Notebook:
    """A watcher that writes everything down and asks to stop after a given step."""

    def __init__(self, stop_after=None):
        self.metrics, self.notes, self.stop_after = [], [], stop_after

    def metric(self, kind, **values):
        self.metrics.append({"kind": kind, **values})

    def note(self, text):
        self.notes.append(text)

    def should_stop(self):
        return self.stop_after is not None and len(self.of("step")) >= self.stop_after

    def of(self, kind):
        return [metric for metric in self.metrics if metric["kind"] == kind]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny"), "gpt2")  # gpt2 has dropout, so chance matters
    return folder, load_tokenizer(folder)


@pytest.fixture(scope="module")
def examples(tiny, tmp_path_factory):
    from sails.data import read

    reading = read(write_lesson(tmp_path_factory.mktemp("data") / "lesson.json", rows=24))
    return encode(reading.conversations, tiny[1], 128).examples


def run_of(examples, epochs=3, **changes):
    batches = schedule(
        [len(e) for e in examples], [range(len(examples))] * epochs, seed=changes.get("seed", 3), batch_size=4
    )
    values = {"held_out": (), "learning_rate": RATE, "seed": 3, **changes}
    return Run(examples, batches, **values)


def teach(tiny, run, folder, watcher=None):
    model = load_model(tiny[0], "cpu")
    watcher = watcher or Notebook()
    outcome = train(model, tiny[1], run, FP32, Session(folder), watcher)
    return model, outcome, watcher


def weights(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_logits_at_label_positions_give_the_loss_of_the_full_model(family, tmp_path):
    folder = make_tiny_model(tmp_path, family)
    tokenizer, model = load_tokenizer(folder), load_model(folder, "cpu").eval()
    from sails.data import read

    rows = read(write_lesson(tmp_path / "lesson.json", rows=6)).conversations
    batch = collate(encode(rows, tokenizer, 128).examples, tokenizer.pad_token_id)
    answer_logits = AnswerLogits(model)
    logits, targets = answer_logits(model, batch)
    assert len(targets) == int((batch["labels"][:, 1:] != IGNORED).sum())
    full = model(**batch).loss
    assert functional.cross_entropy(logits, targets).item() == pytest.approx(full.item(), rel=1e-5)
    assert answer_logits._body is not None  # the short way was really taken


def test_a_model_that_changes_its_logits_after_the_head_is_computed_in_full(tiny, examples):
    model = load_model(tiny[0], "cpu").eval()
    whole = model.forward
    model.forward = lambda **inputs: _halved(whole(**inputs))
    batch = collate(examples[:3], tiny[1].pad_token_id)
    logits, _ = AnswerLogits(model)(model, batch)
    full = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    chosen = batch["labels"][:, 1:] != IGNORED
    torch.testing.assert_close(logits, full[:, :-1][chosen], rtol=1e-4, atol=1e-4)


def _halved(output):
    output.logits = output.logits / 2
    return output


def test_each_row_is_scored_by_itself_in_the_order_given(tiny, examples, monkeypatch):
    monkeypatch.setattr(training, "SCORING_TOKENS", 100)  # several rows in most batches, padded
    model, padding = load_model(tiny[0], "cpu"), tiny[1].pad_token_id
    mixed = sorted(examples[:9], key=lambda example: len(example) % 5)
    model.train()
    scored = score_rows(model, mixed, padding, FP32)
    assert model.training
    assert len(scored) == 9
    model.eval()
    for example, row in zip(mixed, scored, strict=True):
        logits = model(input_ids=torch.tensor([example.tokens])).logits[0, :-1]
        targets = torch.tensor(example.labels[1:])
        kept = targets != IGNORED
        assert row.tokens == int(kept.sum())
        assert row.right == int((logits.argmax(-1) == targets)[kept].sum())
        loss = functional.cross_entropy(logits[kept], targets[kept], reduction="sum")
        assert row.loss == pytest.approx(loss.item(), rel=1e-4)
    whole = evaluate(model, mixed, padding, FP32)
    assert whole.rows == 9
    assert whole.accuracy == sum(row.right for row in scored) / sum(row.tokens for row in scored)
    assert evaluate(model, [], padding, FP32) is None


def test_a_model_whose_weights_are_no_numbers_is_not_scored(tiny, examples):
    model = load_model(tiny[0], "cpu")
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    with pytest.raises(DivergedError, match="no use"):
        score_rows(model, examples[:2], tiny[1].pad_token_id, FP32)


def test_a_small_model_learns_its_lesson(tiny, examples, tmp_path):
    before = evaluate(load_model(tiny[0], "cpu"), examples, tiny[1].pad_token_id, FP32)
    model, outcome, _ = teach(tiny, run_of(examples, epochs=12), tmp_path)
    after = evaluate(model, examples, tiny[1].pad_token_id, FP32)
    assert outcome.steps == outcome.total_steps == 72
    assert after.loss < before.loss / 3
    assert after.accuracy > before.accuracy + 0.4
    assert next(model.parameters()).dtype == torch.float32


def test_the_same_seed_gives_the_same_losses_and_another_seed_does_not(tiny, examples, tmp_path):
    losses = []
    for number, seed in enumerate((3, 3, 4)):
        _, _, notes = teach(tiny, run_of(examples, epochs=1, seed=seed), tmp_path / str(number))
        losses.append([metric["loss"] for metric in notes.of("step")])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_every_step_is_measured(tiny, examples, tmp_path):
    _, outcome, notes = teach(tiny, run_of(examples, epochs=2), tmp_path)
    steps = notes.of("step")
    assert [metric["step"] for metric in steps] == list(range(1, 13))
    assert [metric["epoch"] for metric in steps][5::6] == [1.0, 2.0]
    assert steps[-1]["tokens"] == outcome.tokens == 2 * sum(len(example) for example in examples)
    for metric in steps:
        assert metric["gradient_norm"] > 0
        assert metric["tokens_per_second"] > 0
        assert metric["memory"] > 10_000_000


def test_the_learning_rate_warms_up_and_falls_to_a_tenth(tiny, examples, tmp_path):
    _, _, notes = teach(tiny, run_of(examples, epochs=10), tmp_path)
    rates = [metric["learning_rate"] for metric in notes.of("step")]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(RATE)
    assert 0 < top <= 10
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(RATE / 10, rel=0.05)


def test_a_run_that_was_stopped_and_resumed_ends_with_the_weights_of_an_uninterrupted_one(
    tiny, examples, tmp_path
):
    whole, _, whole_notes = teach(tiny, run_of(examples), tmp_path / "whole")
    stopped = teach(tiny, run_of(examples), tmp_path / "parts", Notebook(stop_after=8))[1]
    assert stopped.stopped
    assert stopped.steps == 8  # in the middle of the second round
    resumed, outcome, notes = teach(tiny, run_of(examples), tmp_path / "parts")
    assert outcome.steps == 18
    assert not outcome.stopped
    assert [m["loss"] for m in notes.of("step")] == [m["loss"] for m in whole_notes.of("step")][8:]
    for name, value in weights(whole).items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_checkpoint_that_was_not_written_to_its_end_is_not_resumed_from(tiny, examples, tmp_path):
    teach(tiny, run_of(examples), tmp_path, Notebook(stop_after=4))
    session = Session(tmp_path)
    checkpoint = session.newest_checkpoint()
    assert checkpoint.name == "checkpoint-4"
    half = shutil.copytree(checkpoint, checkpoint.with_name("checkpoint-9"))
    (half / CHECKPOINT_COMPLETE).unlink()
    assert session.newest_checkpoint() == checkpoint


def test_checkpoints_are_written_as_time_passes_and_only_the_newest_is_kept(
    tiny, examples, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
    teach(tiny, run_of(examples, epochs=1), tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-6"]


def test_a_loss_that_is_not_finite_ends_the_run(tiny, examples, tmp_path):
    with pytest.raises(DivergedError, match="no longer a finite number"):
        teach(tiny, run_of(examples, learning_rate=1e30), tmp_path)


class Keeper(Notebook):
    """A watcher that copies the weights at every step and whenever a guard changed them."""

    def __init__(self, model, stop_after=None):
        super().__init__(stop_after)
        self.model, self.weights, self.restored = model, {0: weights(model)}, []

    def metric(self, kind, **values):
        super().metric(kind, **values)
        if kind == "step":
            self.weights[values["step"]] = weights(self.model)
        if kind == "guard":
            self.restored.append(weights(self.model))


def rubbish(examples):
    """The same questions, with answers that nobody could guess."""
    chance = random.Random(5)
    return [
        type(e)(e.tokens, [IGNORED if v == IGNORED else chance.randrange(500) for v in e.labels])
        for e in examples
    ]


def spoiled(examples, *, at, batches=12, **changes):
    """A run of 90 steps with rubbish in so many batches behind each of the steps `at`."""
    run = run_of(examples, epochs=15)
    schedule = run.flat
    for step in at:
        for number in range(batches):
            schedule[step + number] = [len(examples) + (4 * number + row) % 24 for row in range(4)]
    return replace(run, examples=[*examples, *rubbish(examples)], batches=[schedule], **changes)


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_after_a_spike_it_goes_back_to_good_weights_and_on_at_half_the_learning_rate(
    tiny, examples, tmp_path
):
    model = load_model(tiny[0], "cpu")
    keeper = Keeper(model)
    outcome = train(model, tiny[1], spoiled(examples, at=[42]), FP32, Session(tmp_path), keeper)
    (event,) = keeper.of("guard")
    assert event["action"] == "back"
    assert 42 < event["step"] <= 54
    assert event["back_to"] == 40
    assert event["learning_rate"] == RATE / 2
    assert same(keeper.restored[0], keeper.weights[40])
    assert keeper.notes == [
        f"⚠️ At step {event['step']} {event['reason']}. It went back to its weights of step 40 "
        "and goes on at half the learning speed (learning rate)."
    ]
    assert (outcome.steps, outcome.guarded) == (90, "")
    rates = {step["step"]: step["learning_rate"] for step in keeper.of("step")}
    _, _, usual = teach(tiny, run_of(examples, epochs=15), tmp_path / "usual")
    for step in usual.of("step"):
        half = 2 if step["step"] > event["step"] else 1
        assert rates[step["step"]] == pytest.approx(step["learning_rate"] / half)
    assert keeper.of("step")[-1]["loss"] < 2 * usual.of("step")[-1]["loss"] + 0.3


def test_a_second_spike_ends_the_run_with_the_last_good_weights(tiny, examples, tmp_path):
    model = load_model(tiny[0], "cpu")
    keeper = Keeper(model)
    outcome = train(model, tiny[1], spoiled(examples, at=[42, 75]), FP32, Session(tmp_path), keeper)
    first, second = keeper.of("guard")
    assert (first["action"], second["action"]) == ("back", "stop")
    assert outcome.steps == second["step"] < outcome.total_steps
    assert not outcome.stopped
    assert not outcome.stopped_early
    assert second["back_to"] >= first["back_to"]
    assert same(weights(model), keeper.weights[second["back_to"]])
    assert outcome.guarded == (
        f"The training was ended at step {second['step']} of 90: for the second time {second['reason']}. "
        f"The result is its last good weights, those of step {second['back_to']}."
    )
    assert keeper.notes[1] == f"⚠️ {outcome.guarded}"


def test_a_resumed_run_remembers_that_a_guard_went_back_and_at_which_learning_rate(tiny, examples, tmp_path):
    run = spoiled(examples, at=[42])
    whole, _, whole_notes = teach(tiny, run, tmp_path / "whole")
    _, stopped, notes = teach(tiny, run, tmp_path / "parts", Notebook(stop_after=60))
    assert stopped.steps == 60
    steps = [(step["loss"], step["gradient_norm"]) for step in notes.of("step")]
    shutil.copytree(tmp_path / "parts", tmp_path / "spoiled again")
    resumed, _, rest = teach(tiny, replace(run, earlier_steps=steps), tmp_path / "parts")
    assert rest.of("guard") == []
    assert [m["loss"] for m in rest.of("step")] == [m["loss"] for m in whole_notes.of("step")][60:]
    assert same(weights(whole), weights(resumed))
    worse = spoiled(examples, at=[42, 75], earlier_steps=steps)
    _, outcome, _ = teach(tiny, worse, tmp_path / "spoiled again")
    assert outcome.guarded


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("rate", [RATE, RATE / 10])
def test_no_guard_fires_on_an_ordinary_run(rate, seed, tiny, examples, tmp_path):
    run = run_of(examples, epochs=12, seed=seed, learning_rate=rate)
    _, outcome, notes = teach(tiny, run, tmp_path)
    assert notes.of("guard") == notes.notes == []
    assert outcome.guarded == ""


def test_held_out_rows_are_scored_along_the_way(tiny, examples, tmp_path):
    _, _, notes = teach(tiny, run_of(examples[:16], held_out=examples[16:]), tmp_path)
    evaluations = notes.of("evaluation")
    assert evaluations[0]["step"] == 0
    assert len(evaluations) >= 4
    assert all(math.isfinite(metric["loss"]) for metric in evaluations)


@pytest.mark.parametrize(("share", "several"), [(1e9, True), (0.0, False)])
def test_sample_answers_change_and_take_no_more_than_their_share_of_the_time(
    share, several, tiny, examples, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainer, "SAMPLING_SHARE", share)
    run = run_of(examples, prompts=("Which mountain stands near Paris number 0?",))
    _, _, notes = teach(tiny, run, tmp_path)
    answers = [metric["answers"][0] for metric in notes.of("samples")]
    assert (len(answers) > 1) == several
    assert (answers[0] != answers[-1]) == several


@pytest.mark.parametrize(("rows", "ends_early"), [(24, True), (12, False)])
def test_early_stop_needs_to_be_asked_for_and_twenty_held_out_rows(
    rows, ends_early, tiny, examples, tmp_path
):
    # The held-out labels are shifted, so learning the lesson can only make them worse.
    wrong = [type(e)(e.tokens, [IGNORED if v == IGNORED else 7 for v in e.labels]) for e in examples[:rows]]
    run = run_of(examples, epochs=20, held_out=wrong, early_stop=True)
    _, outcome, _ = teach(tiny, run, tmp_path / "asked")
    assert outcome.stopped_early == ends_early
    assert (outcome.steps < outcome.total_steps) == ends_early
    if ends_early:
        _, unasked, _ = teach(
            tiny, run_of(examples, epochs=20, held_out=wrong), tmp_path / "not asked", Notebook()
        )
        assert unasked.steps == unasked.total_steps


def test_the_longest_run_can_be_cut_short_by_steps(tiny, examples, tmp_path):
    _, outcome, _ = teach(tiny, run_of(examples, epochs=5, max_steps=7), tmp_path)
    assert outcome.steps == outcome.total_steps == 7


def test_a_saved_model_stops_at_the_end_of_a_turn(tmp_path):
    from transformers import GenerationConfig

    folder = make_tiny_model(tmp_path / "from", "llama")
    tokenizer = load_tokenizer(folder)
    model.save_model(load_model(folder, "cpu"), tokenizer, tmp_path / "to")
    config = GenerationConfig.from_pretrained(tmp_path / "to")
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in ends


def test_a_broken_model_is_refused_in_one_sentence(tmp_path):
    make_tiny_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(ModelLoadError) as caught:
        load_model(tmp_path, "cpu")
    assert "\n" not in caught.value.sentence
