"""One training run: model + batches + settings ─► candidate model, metrics, checkpoints.

    outcome = train(model, tokenizer, encoded, run, checkpoints, callbacks)

The Hugging Face `Trainer` does the steps; this module decides what goes into them. The whole session is one
schedule of batches, so a checkpoint's step number says exactly which batch comes next. The loss is computed
at label positions only: answers are a third of the tokens and the vocabulary head is a large part of the
work. The *last* weights are the result, unless a guard (`sails.training.divergence`) ended the run: then the
last good ones are. Does not cover the choice of the starting model (`sails.training.plan.behavior`) and of
the rows (`sails.training.mixture`), or what to do with the candidate (`sails.models.publish`).
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch
from torch.nn import functional
from transformers import Trainer, TrainerCallback, TrainingArguments

from sails import system
from sails.errors import DivergedError
from sails.sessions import CHECKPOINT_COMPLETE, Session
from sails.training.dataloader import Example, collate
from sails.training.divergence import Guard
from sails.training.loss import START_AGAIN, AnswerLogits, evaluate
from sails.training.model import Precision, sample_answers

CHECKPOINT_SECONDS = 300
EVALUATIONS = 5  # about how often a session looks at its held-out rows and samples answers
SAMPLING_SHARE = 0.1  # of the time of the steps
PATIENCE = 3  # evaluations without a better held-out loss, before an early stop
MIN_HELD_OUT = 20  # fewer rows are too few to judge


@dataclass(frozen=True)
class Run:
    """What one run is made of; `batches` is the whole session's schedule, epoch after epoch."""

    examples: Sequence[Example]
    batches: Sequence[Sequence[Sequence[int]]]
    held_out: Sequence[Example]
    learning_rate: float
    seed: int
    max_steps: int | None = None
    early_stop: bool = False
    prompts: Sequence[str] = ()
    earlier_losses: Sequence[float] = ()  # held-out losses seen before the checkpoint resumed from
    earlier_steps: Sequence[tuple[float, float]] = ()  # loss and gradient norm of every step before it

    @property
    def flat(self) -> list[Sequence[int]]:
        return [batch for epoch in self.batches for batch in epoch][: self.max_steps]


class Watcher(Protocol):
    """What a run tells the outside, and the one thing that it asks."""

    def metric(self, kind: str, **values: Any) -> None: ...

    def note(self, text: str) -> None: ...

    def should_stop(self) -> bool: ...


@dataclass(frozen=True)
class Outcome:
    steps: int
    total_steps: int
    stopped: bool  # asked to end before its last step
    stopped_early: bool  # its held-out loss no longer improved
    tokens: int  # without padding, this process only
    seconds: float  # of steps, this process only
    guarded: str = ""  # why a guard ended it before its last step, in a sentence


def train(
    model: Any, tokenizer: Any, run: Run, precision: Precision, session: Session, watcher: Watcher
) -> Outcome:
    """Train `model` in place along the schedule, from the newest complete checkpoint if there is one.

    At a first sign of trouble it goes back to the last good weights and on at half the learning rate; at a
    second one it ends with the last good weights. A resumed run knows no good weights but the checkpoint's.
    Raises `DivergedError` when the loss is no longer finite.
    """
    flat = run.flat
    story = _Story(model, tokenizer, run, precision, watcher)
    trainer = _SailsTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(session.checkpoints),
            num_train_epochs=1,
            per_device_train_batch_size=1,
            learning_rate=run.learning_rate,
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr_rate": 0.1},
            warmup_steps=min(10, max(1, len(flat) // 10)),
            optim="adamw_torch_fused" if precision.device != "mps" else "adamw_torch",
            max_grad_norm=1.0,
            bf16=precision.bf16,
            use_cpu=precision.device == "cpu",
            seed=run.seed,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        ),
        callbacks=[story],
        processing_class=tokenizer,
    )
    trainer.prepare(run, tokenizer.pad_token_id, story)
    checkpoint = session.newest_checkpoint()
    trainer.train(resume_from_checkpoint=os.fspath(checkpoint) if checkpoint else None)
    return Outcome(
        steps=trainer.state.global_step,
        total_steps=len(flat),
        stopped=story.stopped,
        stopped_early=story.stopped_early,
        tokens=story.tokens,
        seconds=story.seconds,
        guarded=story.guarded,
    )


class _SailsTrainer(Trainer):
    """The Trainer with our batches and our loss."""

    def prepare(self, run: Run, padding: int, story: _Story) -> None:
        self._run, self._padding, self._story = run, padding, story
        self._answer_logits = AnswerLogits(self.model)
        self.remove_callback(_printer())

    def get_train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(
            self._run.examples,  # type: ignore[arg-type]
            batch_sampler=self._run.flat,  # type: ignore[arg-type]
            collate_fn=lambda examples: collate(examples, self._padding),
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: ARG002 (the Trainer's signature)
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> torch.Tensor:
        with self._story.precision.autocast():
            logits, targets = self._answer_logits(model, inputs)
        loss = functional.cross_entropy(logits, targets)
        self._story.saw(loss.item(), int(inputs["attention_mask"].sum()))
        return loss


def _printer() -> type[TrainerCallback]:
    from transformers import PrinterCallback

    return PrinterCallback


class _Story(TrainerCallback):
    """What happens beside the steps: metrics, guards, held-out evaluation, samples, checkpoints, stopping."""

    def __init__(self, model: Any, tokenizer: Any, run: Run, precision: Precision, watcher: Watcher) -> None:
        self.model, self.tokenizer, self.run = model, tokenizer, run
        self.precision, self.watcher = precision, watcher
        self.tokens, self.seconds, self.loss = 0, 0.0, math.nan
        self.stopped = self.stopped_early = False
        self.guarded = ""
        self._guard = Guard(run.earlier_steps)
        self._good_step, self._good_weights = 0, list[torch.Tensor]()
        self._evaluate_every = max(1, math.ceil(len(run.flat) / EVALUATIONS))
        self._epoch_ends = [sum(len(e) for e in run.batches[: n + 1]) for n in range(len(run.batches))]
        self._best, self._since_best = math.inf, 0
        for earlier in run.earlier_losses:
            self._consider_early_stop(earlier)
        self._batch_tokens, self._sampling = 0, 0.0
        self._step_began = self._saved = time.monotonic()
        self._process = psutil.Process()

    def saw(self, loss: float, tokens: int) -> None:
        self.loss, self._batch_tokens = loss, tokens

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.global_step == 0:
            self._look(0)
        self._keep_weights(state.global_step)
        self._saved = time.monotonic()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._step_began = time.monotonic()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self._guard.is_good(self.loss):  # which is that of the weights before this step
            self._keep_weights(state.global_step)

    def on_log(
        self,
        args: Any,  # noqa: ARG002
        state: Any,
        control: Any,
        logs: dict[str, float],
        optimizer: Any,
        lr_scheduler: Any,
        **_: Any,
    ) -> None:
        if "grad_norm" not in logs:  # the Trainer's closing summary
            return
        step, seconds = state.global_step, time.monotonic() - self._step_began
        self.tokens += self._batch_tokens
        self.seconds += seconds
        self.watcher.metric(
            "step",
            step=step,
            total_steps=state.max_steps,
            epoch=round(self._epoch(step), 4),
            loss=self.loss,
            learning_rate=logs["learning_rate"],
            gradient_norm=logs["grad_norm"],
            tokens=self.tokens,
            tokens_per_second=round(self._batch_tokens / seconds, 1),
            memory=self._process.memory_info().rss,
        )
        if not math.isfinite(self.loss) or not math.isfinite(logs["grad_norm"]):
            raise DivergedError(
                f"The loss is no longer a finite number (step {step}).",
                START_AGAIN,
            )
        trouble = self._guard.judge(self.loss, logs["grad_norm"])
        if trouble:
            self._go_back(step, state.max_steps, trouble, optimizer, lr_scheduler)
        if self.guarded:
            control.should_training_stop = True
            return
        if step % self._evaluate_every == 0 and step < state.max_steps:
            self._look(step)
        if self.stopped_early:
            control.should_training_stop = True
        if step < state.max_steps and self.watcher.should_stop():
            self.stopped = control.should_training_stop = control.should_save = True
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Mark the checkpoint complete, then remove older ones: a crash in between leaves one to use."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        system.fsync_tree(folder)
        (folder / CHECKPOINT_COMPLETE).touch()
        system.fsync_folder(folder)
        for other in folder.parent.glob("checkpoint-*"):
            if other != folder:
                shutil.rmtree(other)
        self._saved = time.monotonic()

    @torch.no_grad()
    def _keep_weights(self, step: int) -> None:
        """Copy the weights after `step` steps, into the memory of the copy before."""
        self._good_step = step
        if not self._good_weights:
            self._good_weights = [torch.empty_like(weight) for weight in self.model.parameters()]
        for good, weight in zip(self._good_weights, self.model.parameters(), strict=True):
            good.copy_(weight)

    @torch.no_grad()
    def _go_back(self, step: int, total: int, trouble: str, optimizer: Any, lr_scheduler: Any) -> None:
        """Put the last good weights back: the first time to go on at half the learning rate, then to end."""
        for good, weight in zip(self._good_weights, self.model.parameters(), strict=True):
            weight.copy_(good)
        optimizer.state.clear()  # its averages hold what went wrong
        action = "back" if self._guard.alarms == 1 else "stop"
        if action == "back":
            lr_scheduler.base_lrs = [rate / 2 for rate in lr_scheduler.base_lrs]
            lr_scheduler._last_lr = [rate / 2 for rate in lr_scheduler._last_lr]
            for group in optimizer.param_groups:
                group["lr"] /= 2
            begun = f"At step {step} {trouble}. It went back to its weights of step {self._good_step}"
            self.watcher.note(f"⚠️ {begun} and goes on at half the learning speed (learning rate).")
        else:
            self.guarded = (
                f"The training was ended at step {step} of {total}: for the second time {trouble}. "
                f"The result is its last good weights, those of step {self._good_step}."
            )
            self.watcher.note(f"⚠️ {self.guarded}")
        self.watcher.metric(
            "guard",
            step=step,
            action=action,
            reason=trouble,
            back_to=self._good_step,
            learning_rate=lr_scheduler.base_lrs[0],
        )

    def _look(self, step: int) -> None:
        """Held-out scores and sample answers, with the time of a step not counting it."""
        scores = evaluate(self.model, self.run.held_out, self.tokenizer.pad_token_id, self.precision)
        if scores:
            values = {"loss": scores.loss, "accuracy": scores.accuracy, "rows": scores.rows}
            self.watcher.metric("evaluation", step=step, epoch=round(self._epoch(step), 4), **values)
            self._consider_early_stop(scores.loss)
        # Writing answers is slow on a small machine: at most a tenth of the time goes there.
        if self.run.prompts and (step == 0 or self._sampling <= SAMPLING_SHARE * self.seconds):
            began = time.monotonic()
            answers = sample_answers(self.model, self.tokenizer, self.run.prompts)
            self.watcher.metric("samples", step=step, prompts=list(self.run.prompts), answers=answers)
            self._sampling += time.monotonic() - began

    def _consider_early_stop(self, loss: float) -> None:
        if not self.run.early_stop or len(self.run.held_out) < MIN_HELD_OUT:
            return
        self._since_best = 0 if loss < self._best else self._since_best + 1
        self._best = min(self._best, loss)
        self.stopped_early = self._since_best >= PATIENCE

    def _epoch(self, step: int) -> float:
        """Rounds done after `step` steps, as a number with a fraction."""
        begin = 0
        for number, end in enumerate(self._epoch_ends):
            if step < end:
                return number + (step - begin) / (end - begin)
            begin = end
        return float(len(self._epoch_ends))
