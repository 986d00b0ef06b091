"""One run: it learns, it repeats itself exactly, it stops and resumes to the same weights."""

import json
import math
import pickle
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean

import pytest
import torch
from torch.utils.data import DataLoader

from sails.errors import DivergedError
from sails.sessions import CHECKPOINT_COMPLETE, Session, Settings
from sails.training import trainer
from sails.training.dataloader import IGNORED, collate, encode, load_tokenizer, schedule
from sails.training.known import KnownRule
from sails.training.loss import evaluate
from sails.training.model import Precision, load_model
from sails.training.rehearsal import ask, with_rehearsal
from sails.training.run import Before, Run
from sails.training.trainer import TAUGHT, no_longer_improves, train
from tests.support.helpers import write_lesson
from tests.support.launched import Heard, Job
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
    folder = with_dropout(make_tiny_model(tmp_path_factory.mktemp("tiny"), "gpt2"))  # so chance matters
    return folder, load_tokenizer(folder)


def with_dropout(folder):
    """The folder of a gpt2 whose activations are dropped now and then in training."""
    config = json.loads((folder / "config.json").read_text())
    config |= dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.1)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def examples(tiny, tmp_path_factory):
    from sails.data.reading import parse as read

    reading = read(write_lesson(tmp_path_factory.mktemp("data") / "lesson.json", rows=24))
    return encode(reading.conversations, tiny[1], 128).examples


def run_of(examples, epochs=3, **changes):
    batches = schedule(
        [len(e) for e in examples], [range(len(examples))] * epochs, seed=changes.get("seed", 3), batch_size=4
    )
    chosen = {name: changes.pop(name) for name in ("seed", "max_steps", "early_stop") if name in changes}
    return Run(
        examples,
        batches,
        **{"held_out": (), "learning_rate": RATE, "settings": Settings(**{"seed": 3, **chosen}), **changes},
    )


def test_rounds_are_counted_where_they_end_however_many_steps_each_has():
    run = Run((), [[[0], [1]], [[0], [1], [2], [3]], [[0]]], (), RATE, Settings())
    assert [run.epochs_after(step) for step in (0, 1, 2, 4, 6, 7)] == [0, 0.5, 1, 1.5, 2, 3]


def teach(tiny, run, folder, watcher=None):
    model = load_model(tiny[0], "cpu")
    watcher = watcher or Notebook()
    outcome = train(model, tiny[1], run, FP32, Session(folder), watcher)
    return model, outcome, watcher


def weights(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


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


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_the_steps_are_those_of_a_plain_loop_with_the_full_loss(family, tmp_path):
    """An optimizer and a schedule of others, written out; with dropout, chance is the same as well."""
    from transformers import get_cosine_with_min_lr_schedule_with_warmup

    from sails.data.reading import parse as read

    folder = make_tiny_model(tmp_path / "model", family)
    if family == "gpt2":
        with_dropout(folder)
    tokenizer = load_tokenizer(folder)
    rows = read(write_lesson(tmp_path / "lesson.json", rows=26)).conversations
    run = run_of(encode(rows, tokenizer, 128).examples)
    notes = teach((folder, tokenizer), run, tmp_path / "session")[2]

    model = load_model(folder, "cpu").train()
    torch.manual_seed(run.settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    scheduler = get_cosine_with_min_lr_schedule_with_warmup(optimizer, 2, 21, min_lr_rate=0.1)
    collator = partial(collate, padding=tokenizer.pad_token_id)
    batches = DataLoader(run.examples, batch_sampler=run.flat, collate_fn=collator)
    for batch, step, labels in zip(batches, notes.of("step"), usual_labels_of(run), strict=True):
        loss = model(**batch).loss
        (loss * labels_in(batch) / labels).backward()  # each label weighs the same, whatever its batch
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert step["loss"] == pytest.approx(loss.item(), rel=1e-4)
        assert step["gradient_norm"] == pytest.approx(norm.item(), rel=1e-3)
        assert step["learning_rate"] == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()


def labels_in(batch):
    return int((batch["labels"][:, 1:] != IGNORED).sum())


def usual_labels_of(run):
    """How many labels a batch of its round has on average, for each step."""
    counts = [sum(label != IGNORED for label in example.labels[1:]) for example in run.examples]
    return [mean(sum(counts[n] for n in batch) for batch in epoch) for epoch in run.batches for _ in epoch]


def test_a_checkpoint_of_the_former_version_is_resumed_from(tiny, examples, tmp_path):
    """It was the Trainer of transformers that wrote them, with the same optimizer, schedule and batches."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    run = run_of(examples)
    whole = teach(tiny, run, tmp_path / "whole")[2]
    folder = tmp_path / "former" / "checkpoints"

    class Former(Trainer):
        def get_train_dataloader(self):
            collator = partial(collate, padding=tiny[1].pad_token_id)
            return DataLoader(run.examples, batch_sampler=run.flat, collate_fn=collator)

        def compute_loss(self, model, inputs, **_):  # with the weights of today
            return model(**inputs).loss * labels_in(inputs) / usual_labels_of(run)[0]

    class SaveAndStop(TrainerCallback):
        def on_step_end(self, args, state, control, **_):  # noqa: ARG002
            control.should_save = control.should_training_stop = state.global_step == 8

    former = Former(
        load_model(tiny[0], "cpu"),
        TrainingArguments(
            str(folder),
            num_train_epochs=1,
            learning_rate=run.learning_rate,
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr_rate": 0.1},
            warmup_steps=1,
            optim="adamw_torch_fused",
            use_cpu=True,
            seed=run.settings.seed,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        callbacks=[SaveAndStop()],
        processing_class=tiny[1],
    )
    former.train()
    (folder / "checkpoint-8" / CHECKPOINT_COMPLETE).touch()
    _, outcome, notes = teach(tiny, run, tmp_path / "former")
    assert outcome.steps == 18
    losses = [metric["loss"] for metric in notes.of("step")]
    assert losses == pytest.approx([metric["loss"] for metric in whole.of("step")][8:], rel=1e-3)


def test_two_processes_train_as_one_does(tmp_path):
    """On the same batches, one of a single row; a guard, a stop and a resumption are those of both.

    So are what is rehearsed, and the round after which the lesson is known.
    """
    from sails.data.reading import parse as read

    plain = make_tiny_model(tmp_path / "llama")
    chancy = with_dropout(make_tiny_model(tmp_path / "gpt2", "gpt2"))
    rows = read(write_lesson(tmp_path / "lesson.json", rows=25)).conversations
    of_plain, of_chancy = (encode(rows, load_tokenizer(folder), 128).examples for folder in (plain, chancy))
    run = run_of(of_plain, held_out=of_plain[:6], prompts=("Which mountain stands near Paris number 0?",))
    # What does not come out even is spread; a batch of one row leaves the other process none.
    run = replace(run, batches=[[*epoch[:-1], epoch[-1][:1], epoch[-1][1:]] for epoch in run.batches])
    assert min(len(batch) for batch in run.flat) == 1
    rehearsal = ask(load_model(plain, "cpu"), load_tokenizer(plain), FP32, ("What is a cloud?", "Say hello."))
    until_known = run_of(of_plain, epochs=12, known=KnownRule(0.6), taught=20, rehearsal=rehearsal)
    rows = {"first": len(of_plain), "count": len(rehearsal), "share": 0.25, "seed": 3}
    rehearsed = replace(until_known, batches=with_rehearsal(until_known.batches, **rows))
    jobs = [
        Job("plain", plain, tmp_path / "plain", run),
        Job("guarded", plain, tmp_path / "guarded", spoiled(of_plain[:24], at=[42, 75])),
        Job("rehearsed", plain, tmp_path / "rehearsed", rehearsed),
        Job("whole", chancy, tmp_path / "whole", run_of(of_chancy)),
        Job("part", chancy, tmp_path / "parts", run_of(of_chancy), stop_after=8),
        Job("rest", chancy, tmp_path / "parts", run_of(of_chancy)),
    ]
    (tmp_path / "jobs.pickle").write_bytes(pickle.dumps(jobs))
    launch = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    launch += ["--nproc-per-node", "2", "-m", "tests.support.launched", str(tmp_path)]
    subprocess.run([sys.executable, *launch], cwd=Path(__file__).parents[2], check=True)

    heard = {}
    for job in jobs:
        main, other = (torch.load(tmp_path / f"{job.name}-{n}.pt", weights_only=False) for n in (0, 1))
        assert main["processes"] == 2
        assert other["metrics"] == other["notes"] == []
        assert other["times_asked"] == 0
        assert other["outcome"].steps == main["outcome"].steps
        assert same(main["weights"], other["weights"])
        heard[job.name] = main
    for job in jobs[:3]:
        alone, two = Heard(), heard[job.name]
        outcome = train(
            load_model(job.model, "cpu"),
            load_tokenizer(job.model),
            job.run,
            FP32,
            Session(tmp_path / f"{job.name} alone"),
            alone,
        )
        assert replace(two["outcome"], seconds=0, guarded="") == replace(outcome, seconds=0, guarded="")
        assert len(two["notes"]) == len(alone.notes)
        assert events_of(two["metrics"]) == events_of(alone.metrics)
        assert losses_of(two["metrics"]) == pytest.approx(losses_of(alone.metrics), rel=1e-3)
        for name in (*TAUGHT, "drift"):
            sums = [
                [metric.get(name, 0) for metric in metrics if metric["kind"] == "step"]
                for metrics in (two["metrics"], alone.metrics)
            ]
            assert sums[0] == pytest.approx(sums[1], rel=2e-3, abs=1e-5), name
    assert heard["rehearsed"]["outcome"].enough == "known"
    assert max(metric.get("drift", 0) for metric in heard["rehearsed"]["metrics"]) > 1e-3
    assert heard["guarded"]["outcome"].guarded
    assert heard["part"]["outcome"].stopped
    assert heard["part"]["outcome"].steps == 8
    assert losses_of(heard["rest"]["metrics"]) == losses_of(heard["whole"]["metrics"])[8:]
    assert same(heard["rest"]["weights"], heard["whole"]["weights"])


def events_of(metrics):
    """What happened at which step, without the samples, whose share is one of time."""
    keys = ("kind", "step", "tokens", "learning_rate", "action", "back_to")
    return [[metric.get(key) for key in keys] for metric in metrics if metric["kind"] != "samples"]


def losses_of(metrics):
    return [metric["loss"] for metric in metrics if metric["kind"] in ("step", "evaluation")]


@pytest.mark.parametrize(
    ("losses", "ended"),
    [
        ([], False),
        ([1.0, 2.0, 2.0], False),
        ([1.0, 2.0, 2.0, 2.0], True),
        ([1.0, 1.0, 1.0, 1.0], True),
        ([3.0, 2.0, 1.0, 2.0, 2.0], False),
        ([3.0, 2.0, 1.0, 2.0, 0.9, 2.0, 2.0], False),
        ([3.0, 0.9, 1.0, 2.0, 3.0], True),
    ],
)
def test_losses_no_longer_improve_when_the_last_three_beat_none_before_them(losses, ended):
    assert no_longer_improves(losses) == ended


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
    before = Before(steps=notes.of("step"))
    shutil.copytree(tmp_path / "parts", tmp_path / "spoiled again")
    resumed, _, rest = teach(tiny, replace(run, before=before), tmp_path / "parts")
    assert rest.of("guard") == []
    assert [m["loss"] for m in rest.of("step")] == [m["loss"] for m in whole_notes.of("step")][60:]
    assert same(weights(whole), weights(resumed))
    worse = spoiled(examples, at=[42, 75], before=before)
    _, outcome, _ = teach(tiny, worse, tmp_path / "spoiled again")
    assert outcome.guarded


@pytest.mark.parametrize("seed", [1, 2])
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


# --- until the lesson is known --------------------------------------------------------------------


def rounds_of(notes, name="taught_right", steps=6):
    """Of each round of so many steps, what they sum up to."""
    values = [metric[name] for metric in notes.of("step")]
    return [sum(values[begin : begin + steps]) for begin in range(0, len(values), steps)]


def shares_of(notes):
    """The share of the lesson's tokens that was right in each round."""
    right, tokens = rounds_of(notes), rounds_of(notes, "taught_tokens")
    return [one / count for one, count in zip(right, tokens, strict=True)]


def test_new_and_repeated_examples_have_a_loss_each(tiny, examples, tmp_path):
    run = run_of(examples, epochs=1)
    _, _, notes = teach(tiny, replace(run, taught=len(examples) // 2), tmp_path / "half")
    mixed = [step for step in notes.of("step") if step["taught_tokens"] and "repeated_loss" in step]
    assert mixed
    for step in mixed:
        new = step["taught_loss"] / step["taught_tokens"]
        assert (
            min(new, step["repeated_loss"]) - 1e-6 <= step["loss"] <= max(new, step["repeated_loss"]) + 1e-6
        )
    _, _, notes = teach(tiny, run, tmp_path / "all")
    assert not any("repeated_loss" in step for step in notes.of("step"))


def test_it_ends_after_the_first_whole_round_in_which_the_lesson_is_known(tiny, examples, tmp_path):
    _, outcome, notes = teach(tiny, run_of(examples, epochs=20, known=KnownRule(0.8)), tmp_path)
    *earlier, last = shares_of(notes)
    assert max(earlier) < 0.8 <= last
    assert (outcome.enough, outcome.rounds, outcome.steps) == ("known", len(earlier) + 1, 6 * outcome.rounds)
    assert 1 < outcome.rounds < 20
    assert outcome.total_steps == 120
    assert not outcome.stopped
    assert not outcome.stopped_early


def test_the_lesson_is_not_known_in_the_middle_of_a_round(tiny, examples, tmp_path):
    """Half of the rows are known from the start: a round that begins with them looks better than it is."""
    known, _, _ = teach(tiny, run_of(examples[:12], epochs=20), tmp_path / "first")
    run = run_of([*examples[:12], *rubbish(examples[:12])], epochs=4, known=KnownRule(0.8))
    halves = [[range(begin, begin + 4) for begin in range(0, 24, 4)]] * 4
    notes = Notebook()
    outcome = train(known, tiny[1], replace(run, batches=halves), FP32, Session(tmp_path / "second"), notes)
    steps = notes.of("step")
    assert sum(m["taught_right"] for m in steps[:3]) > 0.8 * sum(m["taught_tokens"] for m in steps[:3])
    assert (outcome.enough, outcome.rounds, outcome.steps) == (None, 4, 24)


def test_two_rounds_in_a_row_are_waited_for_where_the_rule_asks_for_them(tiny, examples, tmp_path):
    _, outcome, notes = teach(tiny, run_of(examples, epochs=20, known=KnownRule(0.8, rounds=2)), tmp_path)
    shares = shares_of(notes)
    assert outcome.enough == "known"
    assert [share >= 0.8 for share in shares] == [False] * (len(shares) - 2) + [True, True]


def test_exact_rounds_go_on_to_the_end_however_well_the_lesson_is_known(tiny, examples, tmp_path):
    _, outcome, notes = teach(tiny, run_of(examples, epochs=8), tmp_path)
    assert max(shares_of(notes)[:-1]) > 0.8
    assert (outcome.enough, outcome.rounds, outcome.steps) == (None, 8, 48)


def test_until_the_lesson_is_known_the_learning_rate_warms_up_and_stays(tiny, examples, tmp_path):
    _, _, notes = teach(tiny, run_of(examples, epochs=10, known=KnownRule(1.0)), tmp_path)
    rates = [metric["learning_rate"] for metric in notes.of("step")]
    top = rates.index(max(rates))
    assert 0 < top < 10
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == [RATE] * len(rates[top:])


def test_a_lesson_that_is_learned_no_better_ends_as_well(tiny, examples, tmp_path):
    run = run_of(examples, epochs=20, known=KnownRule(0.8), learning_rate=1e-9)
    _, outcome, _ = teach(tiny, run, tmp_path)
    assert (outcome.enough, outcome.rounds) == ("level", 5)


def test_a_lesson_that_is_not_known_in_time_ends_with_its_last_round(tiny, examples, tmp_path):
    _, outcome, _ = teach(tiny, run_of(examples, epochs=2, known=KnownRule(0.8)), tmp_path)
    assert (outcome.enough, outcome.rounds, outcome.steps) == (None, 2, 12)


@pytest.mark.parametrize("stop_after", [5, 6, 26])
def test_a_resumed_run_knows_its_lesson_when_the_uninterrupted_one_does(stop_after, tiny, examples, tmp_path):
    run = run_of(examples, epochs=20, known=KnownRule(0.8, rounds=2))
    whole, outcome, whole_notes = teach(tiny, run, tmp_path / "whole")
    assert outcome.steps == 30
    _, stopped, notes = teach(tiny, run, tmp_path / "parts", Notebook(stop_after))
    assert (stopped.stopped, stopped.steps) == (True, stop_after)
    run = replace(run, before=Before(steps=notes.of("step")))
    resumed, again, rest = teach(tiny, run, tmp_path / "parts")
    assert (again.enough, again.steps, again.rounds) == ("known", outcome.steps, outcome.rounds)
    assert notes.of("step")[-1]["step"] + 1 == rest.of("step")[0]["step"]
    assert [m["loss"] for m in rest.of("step")] == [m["loss"] for m in whole_notes.of("step")][stop_after:]
    assert same(weights(whole), weights(resumed))


def test_a_run_that_was_killed_behind_its_last_checkpoint_knows_that_it_has_ended(
    tiny, examples, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
    run = run_of(examples, epochs=20, known=KnownRule(0.6))
    whole, outcome, notes = teach(tiny, run, tmp_path)
    resumed, again, rest = teach(tiny, replace(run, before=Before(steps=notes.of("step"))), tmp_path)
    assert rest.of("step") == []
    assert (again.enough, again.steps, again.rounds) == ("known", outcome.steps, outcome.rounds)
    assert same(weights(whole), weights(resumed))


def test_only_the_rows_of_the_lesson_itself_say_whether_it_is_known(tiny, examples, tmp_path):
    """Beside it rubbish is repeated, which nobody ever knows."""
    run = run_of([*examples, *rubbish(examples)], epochs=12, known=KnownRule(0.6))
    _, outcome, notes = teach(tiny, replace(run, taught=len(examples)), tmp_path / "lesson")
    assert outcome.enough == "known"
    answers = sum(label != IGNORED for example in examples for label in example.labels)
    assert rounds_of(notes, "taught_tokens", steps=12) == [answers] * outcome.rounds
    _, everything, _ = teach(tiny, run, tmp_path / "everything")
    assert everything.enough != "known"
    assert everything.steps > outcome.steps


def test_a_label_weighs_the_same_in_a_small_batch_as_in_a_full_one(tiny, examples, tmp_path):
    """The gradient of each step is that of the summed loss, over the labels that a batch has on average."""
    short = sorted(examples, key=len)[:9]
    batches = [[[*range(1, 9)], [0]]]
    run = replace(run_of(short, learning_rate=1e-12), batches=batches)
    plain = make_tiny_model(tmp_path / "plain", "gpt2")  # without dropout
    notes = teach((plain, tiny[1]), run, tmp_path)[2]
    counts = [sum(label != IGNORED for label in example.labels[1:]) for example in short]
    for batch, step in zip(batches[0], notes.of("step"), strict=True):
        model = load_model(plain, "cpu").train()
        labels = sum(counts[number] for number in batch)
        loss = model(**collate([short[number] for number in batch], tiny[1].pad_token_id)).loss * labels
        (loss / (sum(counts) / 2)).backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        assert step["gradient_norm"] == pytest.approx(norm.item(), rel=1e-3)
        assert step["loss"] == pytest.approx(loss.item() / labels, rel=1e-4)
