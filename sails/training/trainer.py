"""One training run: model + batches + settings ─► trained model, metrics, checkpoints.

    outcome = train(model, tokenizer, run, precision, session, watcher)

`train` is one plain loop on `accelerate` that reads from top to bottom: optimizer, schedule, and then what
happens in every step, in that order. A worker (`python -m sails.jobs.worker SESSION_DIR`) calls it. Started
in several processes (`torchrun --nproc-per-node 2 …`, on GPUs also `accelerate launch`) it runs unchanged:
each takes its rows of every batch, all take the same steps, and only the main one writes, evaluates and asks
whether to stop.

The whole session is one schedule of batches, so a checkpoint's step number says exactly which batch comes
next. It goes through all of them at a learning rate that falls along a cosine; or, where the run has a
`KnownRule`, at a constant one until the lesson is known. The *last* weights are the result, unless a guard
(`sails.training.divergence`) ended the run: then the last good ones are.

Does not cover the model, its loss and its scores (`sails.training.model`), the choice of the starting model
(`sails.training.plan.behavior`) and of the rows (`sails.training.mixture`), or what to do with the candidate
(`sails.models.publish`); nor processes on several machines, nor gradient accumulation: a batch fits in
memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import psutil
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list, set_seed
from torch.nn import functional
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import get_constant_schedule_with_warmup, get_cosine_with_min_lr_schedule_with_warmup
from transformers.trainer_pt_utils import get_parameter_names

from sails.data import ENOUGH_TO_JUDGE
from sails.errors import DivergedError
from sails.sessions import Session
from sails.training.adapters import Adapters
from sails.training.checkpoint import load_checkpoint, save_checkpoint
from sails.training.dataloader import IGNORED, collate, usual_labels
from sails.training.divergence import Guard
from sails.training.frozen import FrozenStates
from sails.training.known import LearningCurve
from sails.training.loss import START_AGAIN, AnswerLogits, evaluate, targets_of
from sails.training.model import Precision, sample_answers
from sails.training.projection import Projection, save_matrices
from sails.training.rehearsal import soft_loss
from sails.training.run import Outcome, Run, Watcher

WARM_UP_STEPS = 10  # at most, and at most a tenth of all
LOWEST_RATE = 0.1  # of the learning rate, at the last step of a run whose end is known
MAX_GRADIENT_NORM = 1.0
REHEARSAL_WEIGHT = 3.0  # of its loss, beside that of the lesson
CHECKPOINT_SECONDS = 300
EVALUATIONS = 5  # about how often a session looks at its held-out rows and samples answers
SAMPLING_SHARE = 0.1  # of the time of the steps
TAUGHT = ("taught_loss", "taught_tokens", "taught_right")  # sums over a step's rows of the lesson itself
PATIENCE = 3  # evaluations without a better held-out loss, before an early stop

# --- the run --------------------------------------------------------------------------------------


def train(
    model: Any, tokenizer: Any, run: Run, precision: Precision, session: Session, watcher: Watcher
) -> Outcome:
    """Train `model` in place along the schedule, from the newest complete checkpoint if there is one.

    At a first sign of trouble it goes back to the last good weights and on at half the learning rate; at a
    second one it ends with the last good weights. A resumed run knows no good weights but the checkpoint's.
    Raises `DivergedError` when the loss is no longer finite.
    """
    total = len(run.flat)
    ends = run.round_ends
    evaluate_every = max(1, math.ceil(total / EVALUATIONS))

    # The optimizer, the schedule, and the loss that takes the gradients of all processes together.
    accelerator = Accelerator(
        cpu=precision.device == "cpu",
        mixed_precision="no",  # `precision` says what is cast
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],  # no second copy
    )
    adapters, projection = None, None
    if run.settings.method == "lora":
        adapters = Adapters(model, run.matrices, run.learning_rate, run.settings.seed)
    elif run.matrices:
        projection = Projection(model, run.matrices, run.learning_rate, precision)
    set_seed(run.settings.seed, device_specific=True)  # dropout differs from process to process
    optimizer = AdamW(parameter_groups(model), lr=run.learning_rate, fused=precision.device != "mps")
    warm_up = min(WARM_UP_STEPS, max(1, total // 10))
    if run.known:
        scheduler = get_constant_schedule_with_warmup(optimizer, warm_up)
    else:
        scheduler = get_cosine_with_min_lr_schedule_with_warmup(
            optimizer, num_warmup_steps=warm_up, num_training_steps=total, min_lr_rate=LOWEST_RATE
        )
    examples = [*run.examples, *(run.rehearsal.examples if run.rehearsal else ())]
    own = slice(accelerator.process_index, None, accelerator.num_processes)
    of_rows = [batch[own] for batch in run.flat]
    frozen = FrozenStates.of(model, examples, of_rows, tokenizer.pad_token_id, precision)
    answer_loss = accelerator.prepare(AnswerLoss(model, precision, run, frozen)).train()

    # Where it begins. A loader draws a random number, so it comes before the state of chance is put back.
    checkpoint = session.newest_checkpoint()
    done = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    loader: DataLoader[Any] = DataLoader(
        range(len(examples)),  # type: ignore[arg-type]
        batch_sampler=run.flat[done:],  # type: ignore[arg-type]
        collate_fn=lambda numbers: {
            **collate([examples[number] for number in numbers], tokenizer.pad_token_id),
            "numbers": torch.tensor(numbers),
        },
    )
    batches = iter(loader)
    counts = [sum(label != IGNORED for label in example.labels[1:]) for example in examples]
    first = len(run.examples)
    usual = usual_labels([*counts[:first], *[0] * (len(counts) - first)], run.batches)
    usual_rehearsed = usual_labels([*[0] * first, *counts[first:]], run.batches)
    if checkpoint:
        load_checkpoint(checkpoint, accelerator, model, optimizer, scheduler, adapters)
        if projection:
            projection.restart()

    guard = Guard((step["loss"], step["gradient_norm"]) for step in run.before.steps)
    good = GoodWeights(model, done)
    curve = LearningCurve(ends, run.known)
    for number, seen in enumerate(run.before.steps, 1):
        curve.add(number, *(seen.get(name, 0.0) for name in TAUGHT))
    held_out_losses = list(run.before.held_out_losses)
    tokens, seconds, sampling_seconds = 0, 0.0, 0.0
    stopped, stopped_early, guarded = False, False, ""
    process = psutil.Process()

    if done == 0 and accelerator.is_main_process:
        held_out_losses += record_evaluation(model, tokenizer, run, precision, done, watcher)
        sampling_seconds += record_samples(model, tokenizer, run, precision, done, watcher)
    saved = time.monotonic()

    step = done
    for step, batch in enumerate(() if curve.enough else batches, done + 1):
        began = time.monotonic()

        # Loss: summed over the answer tokens of the whole batch and divided by how many a batch of this round
        # has, so that each weighs the same in a small batch, too; that of the rehearsal likewise.
        # Each of n processes takes every n-th row. Gradients are averaged over the processes, hence the
        # factor. A process without a row of its own takes part with one that counts for nothing, since the
        # others wait for its gradients.
        labels = (batch["labels"][:, 1:] != IGNORED).sum(1)
        rehearsed = batch["numbers"] >= len(run.examples)
        answer_tokens, rehearsed_tokens = int(labels[~rehearsed].sum()), int(labels[rehearsed].sum())
        batch_tokens = int(batch["attention_mask"].sum())
        has_rows = accelerator.process_index < len(batch["labels"])
        rows = {
            key: value[own if has_rows else slice(1)].to(accelerator.device) for key, value in batch.items()
        }
        sums = answer_loss(rows) * has_rows  # lesson, rehearsal; of what is taught: loss, tokens, right
        share = sums[0] / usual[step - 1]
        if rehearsed_tokens:
            share = share + REHEARSAL_WEIGHT * sums[1] / usual_rehearsed[step - 1]
        accelerator.backward(share * accelerator.num_processes)
        of_lesson, of_rehearsal, *of_taught = accelerator.reduce(sums.detach()).tolist()
        loss, drift = of_lesson / answer_tokens, of_rehearsal / max(rehearsed_tokens, 1)
        repeated_tokens = answer_tokens - round(of_taught[1])  # of earlier lessons

        # Clipping, a copy of the weights before the step where they are good, and the step.
        norm = accelerator.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        if guard.is_good(loss):
            good.keep(step - 1)
        learning_rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        if projection:
            projection.after_step()
        scheduler.step()
        optimizer.zero_grad()

        # Metrics.
        gradient_norm = norm.item()
        step_seconds = time.monotonic() - began
        tokens += batch_tokens
        seconds += step_seconds
        if accelerator.is_main_process:
            watcher.metric(
                "step",
                step=step,
                total_steps=total,
                epoch=round(run.epochs_after(step), 4),
                loss=loss,
                **dict(zip(TAUGHT, of_taught, strict=True)),
                **(
                    {"repeated_loss": (of_lesson - of_taught[0]) / repeated_tokens} if repeated_tokens else {}
                ),
                **({"drift": drift} if rehearsed_tokens else {}),
                learning_rate=learning_rate,
                gradient_norm=gradient_norm,
                tokens=tokens,
                tokens_per_second=round(batch_tokens / step_seconds, 1),
                memory=process.memory_info().rss,
            )

        # Guard: what all processes have seen is the same, so all of them decide the same.
        if not math.isfinite(loss) or not math.isfinite(gradient_norm):
            raise DivergedError(f"The loss is no longer a finite number (step {step}).", START_AGAIN)
        trouble = guard.judge(loss, gradient_norm)
        if trouble:
            good.restore()
            if projection:
                projection.restart()
            optimizer.state.clear()  # its averages hold what went wrong
            if guard.alarms == 1:
                scheduler.base_lrs = [rate / 2 for rate in scheduler.base_lrs]
                for group in optimizer.param_groups:
                    group["lr"] /= 2
                note = (
                    f"At step {step} {trouble}. It went back to its weights of step {good.step} "
                    "and goes on at half the learning speed (learning rate)."
                )
            else:
                note = guarded = (
                    f"The training was ended at step {step} of {total}: for the second time {trouble}. "
                    f"The result is its last good weights, those of step {good.step}."
                )
            if accelerator.is_main_process:
                watcher.note(f"⚠️ {note}")
                action, rate = "stop" if guarded else "back", scheduler.base_lrs[0]
                watcher.metric(
                    "guard", step=step, action=action, reason=trouble, back_to=good.step, learning_rate=rate
                )
            if guarded:
                break

        # Whether the lesson is known, at the end of each round: all processes have the same sums.
        curve.add(step, *of_taught)

        # Evaluation and samples; writing answers is slow on a small machine, so it has its share of the time.
        if accelerator.is_main_process and step % evaluate_every == 0 and step < total:
            held_out_losses += record_evaluation(model, tokenizer, run, precision, step, watcher)
            if sampling_seconds <= SAMPLING_SHARE * seconds:
                sampling_seconds += record_samples(model, tokenizer, run, precision, step, watcher)

        # Early stop, stop and checkpoint: the main process decides for all.
        if run.settings.early_stop and len(run.held_out) >= ENOUGH_TO_JUDGE:
            stopped_early = no_longer_improves(held_out_losses)
        at_rest = projection is None or projection.at_rest
        open_end = at_rest and step < total and not curve.enough
        stopped = accelerator.is_main_process and open_end and watcher.should_stop()
        save = stopped or (at_rest and time.monotonic() - saved > CHECKPOINT_SECONDS)
        stopped, stopped_early, save = broadcast_object_list([stopped, stopped_early, save])
        if save:
            if run.matrices and accelerator.is_main_process and not session.projection.exists():
                session.checkpoints.mkdir(parents=True, exist_ok=True)
                save_matrices(run.matrices, session.projection)
            folder = session.checkpoints / f"checkpoint-{step}"
            save_checkpoint(folder, accelerator, model, tokenizer, optimizer, scheduler, adapters)
            saved = time.monotonic()
        if stopped or stopped_early or curve.enough:
            break

    if projection:
        projection.finish()
    if adapters:
        adapters.merge()
    rounds = sum(end <= step for end in ends)
    return Outcome(step, total, stopped, stopped_early, curve.enough, rounds, tokens, seconds, guarded)


# --- optimizer and loss ---------------------------------------------------------------------------


def parameter_groups(model: Any) -> list[dict[str, Any]]:
    """Return the parameters with weight decay, and those without: biases and norms.

    Weight decay is zero, but the order of the parameters is that of the optimizer's state in a checkpoint.
    """
    without = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
    decayed = set(get_parameter_names(model, [torch.nn.LayerNorm], without))
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return [
        {"params": [p for name, p in named if name in decayed], "weight_decay": 0.0},
        {"params": [p for name, p in named if name not in decayed], "weight_decay": 0.0},
    ]


class AnswerLoss(torch.nn.Module):
    """The loss of a batch as a module, for only a module's gradients are shared between processes."""

    def __init__(self, model: Any, precision: Precision, run: Run, frozen: FrozenStates | None) -> None:
        super().__init__()
        self.model, self._precision, self._frozen = model, precision, frozen
        self._answer_logits = AnswerLogits.of(model)
        self._rehearsal, self._rehearsed_from = run.rehearsal, len(run.examples)
        self._taught = len(run.examples) if run.taught is None else run.taught

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return five sums over the batch: the loss of answers, that of rehearsed ones, and `TAUGHT`.

        Losses are in nats. Only the first two have gradients.
        """
        inputs = self._answer_logits.inputs(self.model, batch)
        with self._frozen.given(batch, inputs) if self._frozen else nullcontext(), self._precision.autocast():
            logits = self._answer_logits.of_inputs(self.model, inputs)
        targets = targets_of(batch)
        counts = (batch["labels"][:, 1:] != IGNORED).sum(1)
        numbers = batch["numbers"].repeat_interleave(counts)
        lesson, taught = numbers < self._rehearsed_from, numbers < self._taught
        losses = functional.cross_entropy(logits, targets, reduction="none")
        kept = logits.new_zeros(())
        if self._rehearsal and not lesson.all():
            rows = [number - self._rehearsed_from for number in batch["numbers"].tolist()]
            soft = [
                torch.cat([parts[row] for row in rows if row >= 0]).to(logits.device)
                for parts in (self._rehearsal.log_probs, self._rehearsal.tokens)
            ]
            kept = soft_loss(logits[~lesson], *soft)
        right = (logits.argmax(-1) == targets)[taught].sum()
        known = [losses[taught].detach().sum(), taught.sum(), right]
        return torch.stack([losses[lesson].sum(), kept, *(value.to(losses.dtype) for value in known)])


class GoodWeights:
    """A copy of the model's last good weights, those after `step` steps, to go back to."""

    def __init__(self, model: Any, step: int) -> None:
        self.step = step
        self._weights = [weight for weight in model.parameters() if weight.requires_grad]
        self._copies = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def keep(self, step: int) -> None:
        """Copy the weights after `step` steps, into the memory of the copy before."""
        self.step = step
        for copy, weight in zip(self._copies, self._weights, strict=True):
            copy.copy_(weight)

    @torch.no_grad()
    def restore(self) -> None:
        """Put the copied weights back into the model."""
        for copy, weight in zip(self._copies, self._weights, strict=True):
            weight.copy_(copy)


# --- evaluation and samples -----------------------------------------------------------------------


def record_evaluation(
    model: Any, tokenizer: Any, run: Run, precision: Precision, step: int, watcher: Watcher
) -> list[float]:
    """Write the held-out scores down, and return the loss; nothing of both without held-out rows."""
    scores = evaluate(model, run.held_out, tokenizer.pad_token_id, precision)
    if scores is None:
        return []
    values = {"loss": scores.loss, "accuracy": scores.accuracy, "rows": scores.rows}
    watcher.metric("evaluation", step=step, epoch=round(run.epochs_after(step), 4), **values)
    return [scores.loss]


def record_samples(
    model: Any, tokenizer: Any, run: Run, precision: Precision, step: int, watcher: Watcher
) -> float:
    """Write the model's answers to the run's prompts down, and return the seconds that they took."""
    if not run.prompts:
        return 0.0
    began = time.monotonic()
    with precision.autocast():
        answers = sample_answers(model, tokenizer, run.prompts)
    watcher.metric("samples", step=step, prompts=list(run.prompts), answers=answers)
    return time.monotonic() - began


def no_longer_improves(losses: Sequence[float]) -> bool:
    """Return whether none of the last `PATIENCE` losses is below the best one before them."""
    return len(losses) > PATIENCE and min(losses[-PATIENCE:]) >= min(losses[:-PATIENCE])
