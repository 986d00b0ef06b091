"""How fast a lesson is learned: the recipe that this product began with, TRL's SFTTrainer, and ours.

    .venv/bin/python -m benchmarks.training [--arms "trl 8" "ours 256"] [--seeds 3]
    .venv/bin/python -m benchmarks.training --rounds 1 --model distilgpt2 [--precision fp32]

Each arm teaches the same rows of `examples/programming_basics.json` to the same model at a constant 5e-5
behind a short warm-up, in a process of its own, until a whole round had 99 % of the answer tokens right, or
for so many `--rounds`.

- original: fp32, batches of 4 rows, each padded to 512 tokens; all tokens learned. Only two of its steps are
  taken as they are; how many rounds it needs is seen from the same steps without the padding, which changes
  no gradient.
- trl 4, 8, 16: SFTTrainer with prompts and completions in batches of so many rows. Left out where trl is not
  installed.
- ours 256, 512, 1024: the product's loop, so many tokens a batch, with general knowledge protected as by
  default; its matrices are made within the seconds. *wide*: at a rate that grows with the root of the batch.
- free 256, 512, 1024: the same without protection, which is what the others do. lora: protected.

Printed, as medians over the seeds: rounds, tokens of rows without padding and what is rehearsed beside them a
CPU second, CPU seconds until known, times as fast as the first arm of the table, peak memory of the process,
the share of this machine's matrix multiplications (6 operations a weight and token, measured beside each arm
at the same precision), and at the end loss (nats an answer token) and share right on rows kept back.
`distilgpt2` is a model of that shape with random weights, for speed alone. CPU seconds, for other work on the
machine changes those of a clock; it still slows memory down, so compare within one run.

Not here: what is forgotten (`benchmarks.retention`), and all that a session does beside its steps.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from benchmarks.retention import import_everything, in_a_child
from sails import jobs, models, training
from sails.data import Conversation, read
from sails.retention import rehearsal_prompts
from sails.sessions import Method, Session, Settings
from sails.training import Precision
from sails.training.dataloader import IGNORED, Example, collate
from sails.training.known import KnownRule
from sails.training.loss import evaluate
from sails.training.rehearsal import rehearsal_of

ROWS = Path(__file__).resolve().parent.parent / "examples" / "programming_basics.json"
KEPT_BACK = 10  # rows
RATE, WARM_UP = 5e-5, 10
KNOWN, MAX_ROUNDS = 0.99, 30
PADDED, BATCH, PADDED_STEPS = 512, 4, 2  # of the original recipe
PROTECT = Settings().protect
COLUMNS = (
    "arm",
    "rounds",
    "tokens/CPU s",
    "CPU s",
    "times",
    "peak GB",
    "of peak",
    "kept back: loss",
    "right",
)


@dataclass(frozen=True)
class Arm:
    """One way to train: `size` is in rows for the original and TRL, in tokens for ours."""

    kind: str
    size: int
    rate: float = RATE
    protect: float = 0.0
    method: Method = "full"


ARMS = {
    "original": Arm("original", BATCH),
    **{f"trl {size}": Arm("trl", size) for size in (4, 8, 16)},
    **{f"free {size}": Arm("ours", size) for size in (256, 512, 1024)},
    **{f"ours {size}": Arm("ours", size, protect=PROTECT) for size in (256, 512, 1024)},
    **{f"ours {size} wide": Arm("ours", size, RATE * (size / 256) ** 0.5, PROTECT) for size in (512, 1024)},
    "lora 256": Arm("ours", 256, protect=PROTECT, method="lora"),
}


@dataclass(frozen=True)
class Lesson:
    """The model's folder, and the rows to teach and those kept back, encoded too."""

    folder: Path
    taught: Sequence[Conversation]
    kept_back: Sequence[Conversation]
    seed: int
    rounds: int | None
    precision: Precision

    def open(self) -> tuple[Any, Any, list[Example], list[Example]]:
        tokenizer, model = training.load_tokenizer(self.folder), training.load_model(self.folder, "cpu")
        encoded = [
            training.encode(rows, tokenizer, PADDED).examples for rows in (self.taught, self.kept_back)
        ]
        return tokenizer, model, list(encoded[0]), list(encoded[1])


@dataclass
class Figures:
    """What an arm took; `cpu_seconds` and `tokens` are of all its steps."""

    rounds: float
    tokens: int
    cpu_seconds: float


# --- the arms -------------------------------------------------------------------------------------


def ours(arm: Arm, lesson: Lesson, scratch: Path) -> tuple[Any, Figures]:
    """The product's own loop."""
    tokenizer, model, taught, _ = lesson.open()
    rounds = lesson.rounds or MAX_ROUNDS
    lengths = [len(example) for example in taught]
    batches = training.schedule(
        lengths, [range(len(taught))] * rounds, seed=lesson.seed, token_budget=arm.size
    )
    rehearsal = None
    if arm.protect:
        rehearsal = rehearsal_of(lesson.folder, tokenizer, lesson.precision, rehearsal_prompts())
        batches = training.with_rehearsal(
            batches, first=len(taught), count=len(rehearsal), share=arm.protect, seed=lesson.seed
        )
    student = training.Student(model, tokenizer, PADDED, lesson.precision)
    began = time.process_time()
    run = training.Run(
        examples=taught,
        batches=batches,
        held_out=(),
        learning_rate=arm.rate,
        settings=Settings(seed=lesson.seed, method=arm.method, protect=arm.protect),
        known=KnownRule(2.0 if lesson.rounds else KNOWN),  # the rate is constant with a rule
        rehearsal=rehearsal,
        matrices=training.matrices_for(student, rehearsal),
    )
    outcome = training.train(model, tokenizer, run, lesson.precision, Session(scratch), Silent())
    return model, Figures(outcome.rounds, outcome.tokens, time.process_time() - began)


class Silent:
    """Watches a run and says nothing."""

    def metric(self, kind: str, **values: Any) -> None: ...

    def note(self, text: str) -> None: ...

    def should_stop(self) -> bool:
        return False


def original(arm: Arm, lesson: Lesson, _scratch: Path) -> tuple[Any, Figures]:
    """fp32, rows padded to a fixed length, all tokens learned."""
    tokenizer, model, taught, _ = lesson.open()
    padding = tokenizer.pad_token_id
    batches = [
        [taught[number] for number in numbers]
        for epoch in training.schedule(
            [len(example) for example in taught],
            [range(len(taught))] * (lesson.rounds or MAX_ROUNDS),
            seed=lesson.seed,
            batch_size=arm.size,
        )
        for numbers in epoch
    ]
    in_round = -(-len(taught) // arm.size)
    padded = Figures(0, 0, 0.0)
    twin = training.load_model(lesson.folder, "cpu").train()
    optimizer = torch.optim.AdamW(twin.parameters(), lr=arm.rate)
    for batch in batches[:PADDED_STEPS]:
        began = time.process_time()
        _step(twin, optimizer, batch, padding, PADDED)
        padded.cpu_seconds += time.process_time() - began
        padded.tokens += sum(len(example) for example in batch)
    del twin, optimizer
    rounds = lesson.rounds or _rounds_until_known(model, arm, batches, in_round, padding)
    tokens = rounds * sum(len(example) for example in taught)
    return model, Figures(rounds, tokens, padded.cpu_seconds * tokens / padded.tokens)


def _rounds_until_known(
    model: Any, arm: Arm, batches: Sequence[Sequence[Example]], in_round: int, padding: int
) -> int:
    optimizer = torch.optim.AdamW(model.parameters(), lr=arm.rate)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / WARM_UP, total_iters=WARM_UP)
    model.train()
    right = of = 0
    for number, batch in enumerate(batches, 1):
        found = _step(model, optimizer, batch, padding, None)
        warm_up.step()
        right, of = right + found[0], of + found[1]
        if number % in_round == 0:
            if right >= KNOWN * of:
                break
            right = of = 0
    return number // in_round


def _step(
    model: Any, optimizer: Any, batch: Sequence[Example], padding: int, width: int | None
) -> tuple[int, int]:
    """A step on all tokens; returns how many answer tokens were predicted right, and of how many."""
    rows = collate(batch, padding)
    ids, mask = rows["input_ids"], rows["attention_mask"]
    more = (width or ids.shape[1]) - ids.shape[1]
    ids, mask = functional.pad(ids, (0, more), value=padding), functional.pad(mask, (0, more))
    result = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, IGNORED))
    result.loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    wanted = functional.pad(rows["labels"], (0, more), value=IGNORED)[:, 1:]
    right = (result.logits[:, :-1].argmax(-1) == wanted).sum()
    return int(right), int((wanted != IGNORED).sum())


def trl(arm: Arm, lesson: Lesson, scratch: Path) -> tuple[Any, Figures]:
    """SFTTrainer, without what would only slow it down here."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    tokenizer, model, taught, _ = lesson.open()
    rows = [
        {
            "prompt": [{"role": "user", "content": row.input}],
            "completion": [{"role": "assistant", "content": row.output}],
        }
        for row in lesson.taught
    ]

    class UntilKnown(TrainerCallback):
        """Ends a run once the mean over a round's steps is enough."""

        def __init__(self) -> None:
            self.shares: list[float] = []

        def on_log(self, *_: Any, logs: Any = None, **_more: Any) -> None:
            if logs and "mean_token_accuracy" in logs:
                self.shares.append(logs["mean_token_accuracy"])

        def on_epoch_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
            if not lesson.rounds and statistics.mean(self.shares) >= KNOWN:
                control.should_training_stop = True
            self.shares.clear()

    config = SFTConfig(
        output_dir=str(scratch),
        per_device_train_batch_size=arm.size,
        num_train_epochs=lesson.rounds or MAX_ROUNDS,
        learning_rate=arm.rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=WARM_UP,
        max_length=PADDED,
        bf16=lesson.precision.bf16,
        use_cpu=True,
        gradient_checkpointing=False,
        seed=lesson.seed,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[UntilKnown()],
    )
    began = time.process_time()
    trainer.train()
    seconds = time.process_time() - began
    rounds = round(trainer.state.epoch or 0)
    return trainer.model, Figures(rounds, rounds * sum(len(example) for example in taught), seconds)


KINDS: dict[str, Callable[[Arm, Lesson, Path], tuple[Any, Figures]]] = {
    "original": original,
    "trl": trl,
    "ours": ours,
}

# --- measuring ------------------------------------------------------------------------------------


def measure(arm: Arm, lesson: Lesson, file: Path) -> None:
    """Train so and write down what it took, as a line of JSON."""
    torch.set_num_threads(1)
    if arm.kind == "original":
        lesson = replace(lesson, precision=Precision("cpu", False))
    peak = operations_a_second(lesson.precision)
    model, figures = KINDS[arm.kind](arm, lesson, file.parent)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tokenizer, _, _, kept_back = lesson.open()
    scores = evaluate(model, kept_back, tokenizer.pad_token_id, lesson.precision)
    assert scores is not None
    weights = sum(weight.numel() for weight in model.parameters())
    done = 6 * weights * figures.tokens / figures.cpu_seconds
    line = {
        **vars(figures),
        "memory": memory,
        "of_peak": done / peak,
        "loss": scores.loss,
        "right": scores.accuracy,
    }
    with open(file, "a", encoding="utf-8") as output:
        output.write(json.dumps(line) + "\n")


@torch.no_grad()
def operations_a_second(precision: Precision, size: int = 2048) -> float:
    """The most that one thread of this machine multiplied and added a CPU second, of five tries."""
    one = torch.randn(size, size, dtype=torch.bfloat16 if precision.bf16 else torch.float32)
    fastest = 0.0
    for _ in range(6):
        began = time.process_time()
        one @ one
        fastest = max(fastest, 2 * size**3 / (time.process_time() - began))
    return fastest


def make_distilgpt2(folder: Path, tokenizer: Path) -> None:
    """Write a model of that shape with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    spoken = training.load_tokenizer(tokenizer)
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=6, vocab_size=len(spoken), eos_token_id=spoken.eos_token_id, bos_token_id=None
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    spoken.save_pretrained(folder)


def line_of(name: str, lines: Sequence[dict[str, float]], first: float) -> tuple[str, ...]:
    def median(key: str) -> float:
        return statistics.median(line[key] for line in lines)

    seconds = median("cpu_seconds")
    speed = statistics.median(line["tokens"] / line["cpu_seconds"] for line in lines)
    return (
        name,
        f"{median('rounds'):g}",
        f"{speed:.1f}",
        f"{seconds:.0f}",
        f"{first / seconds:.2f}",
        f"{median('memory') / 1e9:.1f}",
        f"{median('of_peak'):.0%}",
        f"{median('loss'):.2f}",
        f"{median('right'):.0%}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=[*ARMS], default=[*ARMS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, help="else until known")
    parser.add_argument("--rows", type=int, help="of the lesson; else all")
    parser.add_argument("--model", default=models.DEFAULT_BASE_MODEL, help="or distilgpt2")
    parser.add_argument("--precision", choices=["bf16", "fp32"], help="else what is native")
    wanted = parser.parse_args()
    os.environ.update(jobs.PATIENT_THREADS, TOKENIZERS_PARALLELISM="false")
    rows = read(ROWS).conversations
    taught, kept_back = rows[KEPT_BACK:][: wanted.rows], rows[:KEPT_BACK]
    precision = Precision("cpu", wanted.precision == "bf16") if wanted.precision else Precision.of("cpu")
    arms = {name: ARMS[name] for name in wanted.arms}
    if importlib.util.find_spec("trl") is None:
        arms = {name: arm for name, arm in arms.items() if arm.kind != "trl"}
        print("trl is not installed, so it is not measured.")
    print(f"One thread, {precision.name}. | {' | '.join(COLUMNS)} |", flush=True)
    import_everything()
    with tempfile.TemporaryDirectory() as temporary:
        folder = models.ensure_base_model(models.DEFAULT_BASE_MODEL, lambda *_: None)
        if wanted.model == "distilgpt2":
            made = Path(temporary) / "distilgpt2"
            in_a_child(partial(make_distilgpt2, made, folder), Path(temporary))
            folder = made
        lines: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
        for seed in range(wanted.seeds):
            for name, arm in arms.items():
                file = Path(temporary) / f"{name}-{seed}" / "figures.jsonl"
                file.parent.mkdir()
                lesson = Lesson(folder, taught, kept_back, seed, wanted.rounds, precision)
                in_a_child(partial(measure, arm, lesson, file), file.parent)
                lines[name].append(json.loads(file.read_text()))
                first = statistics.median(line["cpu_seconds"] for line in next(iter(lines.values())))
                print(f"seed {seed}: {' | '.join(line_of(name, lines[name][-1:], first))}", flush=True)
    first = statistics.median(line["cpu_seconds"] for line in next(iter(lines.values())))
    print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name, some in lines.items():
        print(f"| {' | '.join(line_of(name, some, first))} |")


if __name__ == "__main__":
    main()
