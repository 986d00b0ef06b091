"""Does an ONNX model answer like the model it came from? Measured, with a verdict that can fail.

    folders = {"fp32": Path("onnx_model"), "int8": Path("onnx_model/int8")}
    certificates = verify_model(Path("trained_model"), folders, questions, answers)

The PyTorch model is loaded once, in fp32 on the processor; all variants are compared with it on the same
questions: eight of ours that never change, and the person's own.
- What PyTorch answers greedily is found for many questions at once. Then each model reads the question, that
  answer and, where it is known, the right answer; the logits are compared at every place. A model that puts
  every word piece of PyTorch's answer first would have given the same answer: that is what its own greedy
  decoding computes, without the time it takes.
- To our eight questions each variant really answers, token by token through its cache, as people chat with
  it. Three of these are answered by PyTorch's `generate` too, by turns and with a watch: that is the speed.
- The memory of each is measured in a process of its own (`sails.onnx.certify.memory`), all the while.
Own questions are compared for as long as `OWN_SECONDS` allow, and 16 of them in any case.
"""

from __future__ import annotations

import contextlib
import copy
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sails.errors import ModelLoadError, RequestError
from sails.models import VARIANT_TABLE, Variant, found_files
from sails.onnx.certify.certificate import NOT_A_NUMBER, AnswerPair, Certificate, Speed
from sails.onnx.certify.memory import Kind, Probes
from sails.onnx.certify.questions import Question, batches, questions_for
from sails.onnx.certify.reference import Original, ReferenceRun, lost, nats, until_end
from sails.onnx.certify.report import write_certificate
from sails.onnx.runtime.chat_template import Messages
from sails.onnx.runtime.generate import Generator
from sails.system import Progress, silent

NEW_TOKENS, OWN_NEW_TOKENS = 24, 12  # of an answer to one of our questions, to one of the person's own
OWN_SECONDS, MIN_OWN_PROMPTS = 20.0, 16
TIMED = 3  # questions that are answered with a watch
MAX_EXAMPLES = 5


def verify_model(
    model: Path,
    folders: Mapping[Variant, Path],
    prompts: Sequence[Messages],
    answers: Sequence[str] = (),
    *,
    new_tokens: int = NEW_TOKENS,
    own_new_tokens: int = OWN_NEW_TOKENS,
    memory: bool = True,
    write: bool = False,
    progress: Progress | None = None,
) -> dict[Variant, Certificate]:
    """Compare ONNX folders with their original on FIXED_PROMPTS and `prompts`, the person's own.

    `answers` are the right ones, in the order of the prompts; empty when nobody knows them. With `write`,
    each certificate is also put into its ONNX folder. A model that answers differently gives a certificate
    that is not passed; one that cannot be loaded at all raises ModelLoadError. Without `memory`, that is not
    measured.
    """
    if not folders:
        return {}
    report = progress or silent
    report(0.0, "loading the models to compare")
    comparisons = {
        variant: VariantComparison(variant, Generator.open(folder)) for variant, folder in folders.items()
    }
    original = Original(model, next(iter(comparisons.values())).generator.eos_token_ids)
    theirs = original.vocabulary_size
    for comparison in comparisons.values():
        if (ours := comparison.generator.decoder.vocabulary_size) != theirs:
            raise ModelLoadError(
                f"The ONNX model has {ours:,} tokens and its original {theirs:,}: "
                "they do not belong together.",
                "Export the model again.",
            )
    verification = Verification(original, list(comparisons.values()), report)
    questions = questions_for(original, prompts, answers, new_tokens, own_new_tokens)
    verification.time(questions)
    measured: dict[str, tuple[Kind, Path]] = {"torch": ("torch", model)}
    measured |= {variant: ("onnx", folder) for variant, folder in folders.items()}
    with Probes(measured if memory else {}) as probes:
        verification.compare(questions)
        report(0.98, "measuring the memory that they take")
        used = probes.bytes()
    made: dict[Variant, Certificate] = {}
    for variant, folder in folders.items():
        made[variant] = comparisons[variant].certificate(
            original_bytes=_size(model),
            size=_size(folder),
            original_speed=verification.clock.speed(used.get("torch", 0)),
            memory=used.get(variant, 0),
        )
        if write:
            write_certificate(folder, made[variant])
    report(1.0, "compared")
    return made


class _Clock:
    """Seconds to the first token and tokens a second, over some answers."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._rates: list[float] = []

    def add(self, first: float, last: float, tokens: int) -> None:
        self._first.append(first)
        if tokens > 1 and last > first:
            self._rates.append((tokens - 1) / (last - first))

    def speed(self, memory: int) -> Speed | None:
        if not self._first or not self._rates:
            return None
        return Speed(statistics.median(self._first), statistics.median(self._rates), memory)


class VariantComparison:
    """One variant beside the original, and what the questions showed so far."""

    def __init__(self, variant: Variant, generator: Generator) -> None:
        self.generator = generator
        self.clock = _Clock()
        self._variant: Variant = variant
        self._needed = VARIANT_TABLE[variant].thresholds
        self._began = time.monotonic()
        # Under the watch no token ends an answer, so that all are equally long.
        self._endless = copy.copy(generator)
        self._endless.eos_token_ids = frozenset()
        self._examples: list[tuple[bool, AnswerPair]] = []
        self._foreign = self._identical = self._excused = self._own = self._known = 0
        self._prompts = self._positions = self._chosen = self._agreeing = self._values = 0
        self._numbers = True
        self._largest = self._total = self._spread = 0.0
        self._known_losses: list[tuple[float, float]] = []  # on the right answers, PyTorch's first
        self._losses: list[tuple[float, float]] = []  # the same on what PyTorch answers
        self._timed: dict[str, list[int]] = {}
        self._different = ""  # the first question that was answered differently

    def answer(self, question: Question) -> list[int]:
        """Answer token by token, as people chat with it; empty when it breaks down."""
        try:
            answer = self.generator.answer(question.messages, max_new_tokens=question.room)
        except (ModelLoadError, RequestError):  # this is what is being looked for
            return []
        return list(answer.token_ids)

    def time(self, question: Question) -> None:
        """Answer with a watch, so that no token ends it."""
        with contextlib.suppress(ModelLoadError, RequestError):
            answer = self._endless.answer(question.messages, max_new_tokens=question.room)
            self.clock.add(answer.seconds_to_first_token, answer.seconds, len(answer.token_ids))
            self._timed[question.text] = until_end(answer.token_ids, self.generator.eos_token_ids)

    def compare(self, question: Question, original: Original, theirs: ReferenceRun) -> None:
        """Count one question, and what PyTorch made of it."""
        self._prompts += 1
        self._own += question.own
        self._known += bool(question.known)
        try:
            own_prompt = self.generator.encode(self.generator.render(question.messages))
        except RequestError:
            own_prompt = []
        self._foreign += question.prompt != own_prompt
        ours = self._read(question, theirs)
        self._add(ours.prompt, theirs.prompt)
        for text, here, there, losses in (
            (question.known, ours.known, theirs.known, self._known_losses),
            (theirs.answer, ours.answered, theirs.answered, self._losses),
        ):
            if text:
                # At how many places both put the same token first, or tokens that are as good.
                self._chosen += len(there)
                if self._add(here, there):
                    self._agreeing += int((lost(there, here.argmax(axis=-1)) < self._needed.margin).sum())
                losses += zip(nats(there, text), nats(here, text), strict=True)
        self._add_answer(question, original, theirs, ours)

    def _read(self, question: Question, theirs: ReferenceRun) -> ReferenceRun:
        """The same texts; `answer` is what it puts first behind the prompt and each part of PyTorch's."""
        decoder, length = self.generator.decoder, len(question.prompt)
        try:
            prompt, past = decoder.step(question.prompt, decoder.empty_past(), 0)
            found = [prompt]
            for text in (question.known, theirs.answer):
                behind = [decoder.step(text[:-1], past, length)[0]] if len(text) > 1 else []
                found.append(np.concatenate([prompt[-1:], *behind]) if text else prompt[:0])
        except (ModelLoadError, RequestError):  # it stopped while it was computing
            read = (theirs.prompt, theirs.known, theirs.answered)
            found = [np.full_like(logits, np.nan) for logits in read]
        prompt, known, answered = (logits.astype(np.float32) for logits in found)
        return ReferenceRun(prompt, np.nan_to_num(answered).argmax(axis=-1).tolist(), answered, known)

    def _add(self, ours: np.ndarray, theirs: np.ndarray) -> bool:
        """Count what both read at some places; says whether all of it are numbers."""
        self._positions += len(theirs)
        self._values += theirs.size
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            self._numbers = False
            return False
        difference = np.abs(ours - theirs)
        self._largest = max(self._largest, float(difference.max()))
        self._total += float(difference.sum(dtype=np.float64))
        self._spread += float(theirs.std(axis=-1).sum())
        return True

    def _add_answer(
        self, question: Question, original: Original, theirs: ReferenceRun, ours: ReferenceRun
    ) -> None:
        """Whether its greedy answer is PyTorch's, or parts from it where two tokens are as good as equal."""
        expected, answer = theirs.answer, ours.answer
        if not question.own:
            answer = self._timed.get(question.text) or self.answer(question)
        parting = next((i for i, token in enumerate(expected) if answer[i : i + 1] != [token]), None)
        identical = parting is None and self._numbers
        excused = False
        if parting is not None and parting < len(answer):
            token = np.array(answer[parting : parting + 1])
            excused = bool(lost(theirs.answered[parting : parting + 1], token)[0] < self._needed.margin)
        self._identical += identical
        self._excused += excused
        if not identical and not excused and not self._different:
            self._different = question.text
        if identical or sum(not same for same, _ in self._examples) < MAX_EXAMPLES:
            if not identical and question.own:  # what was read was PyTorch's answer, not its own
                answer = self.answer(question)
            wanted, said = original.decode(expected).strip(), self.generator.decode(answer).strip()
            self._examples.append((identical, AnswerPair(question.text, wanted, said)))

    def certificate(
        self, *, original_bytes: int, size: int, original_speed: Speed | None, memory: int
    ) -> Certificate:
        read = self._known_losses or self._losses
        losses = np.mean(read, axis=0).tolist() if read and self._numbers else [None, None]
        examples = [example for _, example in sorted(self._examples, key=lambda one: one[0])]
        certificate = Certificate(
            variant=self._variant,
            passed=False,
            reasons=(),
            max_logit_difference=self._largest if self._numbers and self._positions else NOT_A_NUMBER,
            mean_logit_difference=self._total / max(self._values, 1) if self._numbers else NOT_A_NUMBER,
            next_token_agreement=self._agreeing / max(self._chosen, 1),
            identical_answers=self._identical,
            prompts=self._prompts,
            positions=self._positions,
            source_fingerprint=self.generator.fingerprint,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            examples=tuple(examples[:MAX_EXAMPLES]),
            seconds=time.monotonic() - self._began,
            spread=self._spread / max(self._positions, 1),
            excused_answers=self._excused,
            own_prompts=self._own,
            known_answers=self._known,
            original_loss=losses[0],
            loss=losses[1],
            original_speed=original_speed,
            speed=self.clock.speed(memory),
            original_bytes=original_bytes,
            bytes=size,
        )
        reasons = tuple(self._reasons(certificate))
        return replace(certificate, passed=not reasons, reasons=reasons)

    def _reasons(self, certificate: Certificate) -> Iterator[str]:
        """Why it is not passed, in words."""
        count, needed = certificate.prompts, self._needed
        largest, share = certificate.max_logit_difference, certificate.mean_share
        if not count:
            yield "No prompt was short enough for this model, so nothing was compared."
            return
        if self._foreign:
            yield (
                f"The ONNX model's tokenizer or chat template writes {self._foreign} of {count} prompts "
                "differently."
            )
        if not self._numbers:
            yield "A model computes values that are not numbers."
        elif needed.logit_difference is not None and largest > needed.logit_difference:
            at_most = f"at most {needed.logit_difference:g} is allowed"
            yield f"The models' scores differ by up to {largest:.2g}; {at_most}."
        elif needed.mean_difference is not None and share > needed.mean_difference:
            at_most = f"at most {needed.mean_difference:.0%} is allowed"
            yield f"The models' scores differ by {share:.1%} of how far they lie apart; {at_most}."
        if certificate.next_token_agreement < needed.next_token_agreement:
            yield (
                f"They agree on {certificate.next_token_agreement:.1%} of the next words; "
                f"{needed.next_token_agreement:.1%} are needed."
            )
        same = certificate.identical_answers + certificate.excused_answers
        if same < needed.identical_answers * count:
            yield f"{count - same} of {count} answers differ, the first to “{self._different}”."
        if certificate.loss_difference is not None and not certificate.loss_difference <= needed.loss:
            yield (
                f"It finds the answers less likely than the original, by {certificate.loss_difference:.3g} "
                f"nats a word piece; at most {needed.loss:g} is allowed."
            )


@dataclass
class Verification:
    """All questions to all models, with progress at every step."""

    original: Original
    comparisons: Sequence[VariantComparison]
    report: Progress
    clock: _Clock = field(default_factory=_Clock)

    def time(self, questions: Sequence[Question]) -> None:
        """Put some questions to PyTorch and to every variant by turns, once all are warm."""
        timed = [question for question in questions if not question.own][:TIMED]
        for question in timed[:1]:
            self.report(0.05, "warming up")
            self.original.timed(question.prompt, 2)
            for comparison in self.comparisons:
                comparison.answer(replace(question, room=2))
        for number, question in enumerate(timed):
            self.report(0.05 + 0.15 * number / len(timed), f"timing answer {number + 1} of {len(timed)}")
            times = self.original.timed(question.prompt, question.room)
            if times:
                self.clock.add(times[0], times[-1], len(times))
            for comparison in self.comparisons:
                comparison.time(question)

    def compare(self, questions: Sequence[Question]) -> None:
        """Put our questions to all, and the person's own as long as there is time."""
        ours = [question for question in questions if not question.own]
        own = [question for question in questions if question.own]
        self._compare_some(ours, 0.2, 0.4 if own else 0.98)
        began, done = time.monotonic(), 0
        for batch in batches(own):
            spent = time.monotonic() - began
            if done >= MIN_OWN_PROMPTS and spent * (1 + len(batch) / done) > OWN_SECONDS:
                break
            end = done + len(batch)
            self._compare_some(batch, *(0.4 + 0.58 * count / len(own) for count in (done, end)))
            done = end

    def _compare_some(self, questions: Sequence[Question], start: float, end: float) -> None:
        if not questions:
            return
        middle = (start + end) / 2
        readings = self.original.read(
            [question.prompt for question in questions],
            [question.known for question in questions],
            max(question.room for question in questions),
            lambda done: self.report(start + (middle - start) * done, "the original answers some questions"),
        )
        for number, (question, reading) in enumerate(zip(questions, readings, strict=True)):
            words = f"comparing answer {number + 1} of {len(questions)}"
            self.report(middle + (end - middle) * number / len(questions), words)
            for comparison in self.comparisons:
                comparison.compare(question, self.original, reading)


def _size(folder: Path) -> int:
    return sum(file.size for file in found_files(folder))
