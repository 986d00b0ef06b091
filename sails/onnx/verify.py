"""Does the ONNX model answer like the model it came from? Measured, with a verdict that can fail.

    certificate = verify(Path("trained_model"), Path("onnx_model"), held_out_questions)

Both models read the same prompts, eight of ours and those given. Two things are compared:
- the answers: the Generator that people chat with answers greedily, token by token through its cache, with
  its own tokenizer and chat template. PyTorch then reads prompt and answer in one go; where it would have
  chosen every one of these tokens, its own greedy answer is the same. That is the answer that `generate`
  gives, without its slow decoding: only where they part, PyTorch answers by itself;
- the logits of both at every position of prompt and answer.
PyTorch computes in fp32 on the processor. There is no padding: one prompt at a time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from sails.errors import ModelLoadError, RequestError, SailsError, classify
from sails.locks import write_atomic
from sails.onnx.chat_template import DEFAULT_CHAT_TEMPLATE, Messages, as_messages
from sails.onnx.generate import Generator

Progress = Callable[[float, str], None]

CERTIFICATE = "certificate.json"
MOST_PROMPTS = 64
# Longer prompts are left out: the logits of 512 positions over 150,000 tokens are 0.3 GB, twice.
LONGEST_PROMPT = 512
MOST_EXAMPLES = 5
# Stands for a difference that is not a number, so that every figure of a certificate is one, in JSON too.
NOT_A_NUMBER = 1e9

FIXED_PROMPTS: tuple[Messages, ...] = (
    "What is the capital of France?",
    "Explain in one sentence what a database is.",
    "Write a Python function that adds two numbers.",
    "Name three colors and something that has each of them.",
    "Why should a team write tests before it changes its code?",
    "Wie heißt der größte Planet, und was bedeutet 日本?",
    "42 + 17 = ?",
    (
        {"role": "user", "content": "My name is Robin."},
        {"role": "assistant", "content": "Nice to meet you, Robin."},
        {"role": "user", "content": "What is my name?"},
    ),
)


@dataclass(frozen=True)
class Thresholds:
    """What a certificate needs.

    `logit_difference` is the largest absolute difference of any logit. Rounding alone reaches about 1e-4 on
    a model of 30 layers, a single wrong weight matrix whole numbers. `next_token_agreement` is the share of
    positions at which both models put the same token first. Answers must be identical token for token. In
    both counts another token is excused as rounding where PyTorch itself scores it less than
    `logit_difference` below its own best.
    """

    logit_difference: float = 1e-3
    next_token_agreement: float = 0.999


THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class Example:
    """One prompt and what both models answered."""

    prompt: str
    torch: str
    onnx: str


@dataclass(frozen=True)
class Certificate:
    """The verdict and what it rests on; `reasons` say in words why it is not passed.

    `identical_answers` of `prompts` answers are the same token for token; `positions` is how many places the
    logits were compared at; `created` is UTC in ISO form; answers that differ come first in `examples`.
    """

    passed: bool
    reasons: tuple[str, ...]
    max_logit_difference: float
    mean_logit_difference: float
    next_token_agreement: float
    identical_answers: int
    prompts: int
    positions: int
    source_fingerprint: str | None
    created: str
    examples: tuple[Example, ...]
    seconds: float


@dataclass(frozen=True)
class _Comparison:
    """What one prompt showed."""

    example: Example
    same_prompt: bool
    numbers: bool  # no NaN or infinity in either model's logits
    largest: float
    total: float
    values: int
    agreeing: int
    positions: int
    identical: bool
    excused: bool  # not identical, by rounding


def verify(
    model: Path,
    onnx: Path,
    prompts: Sequence[Messages],
    *,
    max_new_tokens: int = 32,
    thresholds: Thresholds = THRESHOLDS,
    write: bool = False,
    progress: Progress | None = None,
) -> Certificate:
    """Compares the ONNX folder with its original on FIXED_PROMPTS and `prompts`, 64 at most together.

    With `write`, the certificate is also put into the ONNX folder. A model that answers differently gives a
    certificate that is not passed; one that cannot be loaded at all raises ModelLoadError.
    """
    started = time.monotonic()
    generator = Generator.open(onnx)
    original = _Original(model, generator)
    _check_vocabulary(original, generator)
    chosen = [as_messages(prompt) for prompt in [*FIXED_PROMPTS, *prompts][:MOST_PROMPTS]]
    comparisons = []
    for number, messages in enumerate(chosen):
        if progress:
            progress(number / len(chosen), f"comparing answer {number + 1} of {len(chosen)}")
        comparison = _compare(original, generator, messages, max_new_tokens, thresholds)
        if comparison:
            comparisons.append(comparison)
    certificate = _certificate(comparisons, thresholds, generator.fingerprint, time.monotonic() - started)
    if write:
        write_atomic(onnx / CERTIFICATE, json.dumps(asdict(certificate), indent=2, ensure_ascii=False) + "\n")
    if progress:
        progress(1.0, "compared")
    return certificate


def read_certificate(onnx: Path) -> Certificate | None:
    """The certificate in an ONNX folder, or None when there is none that can be read."""
    try:
        return certificate_from(json.loads((onnx / CERTIFICATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def certificate_from(content: Any) -> Certificate:
    """A certificate from its JSON form. Raises KeyError, TypeError or ValueError when it is none."""
    known = {field.name: content[field.name] for field in fields(Certificate)}
    examples = tuple(
        Example(**{key: str(text) for key, text in dict(one).items()}) for one in content["examples"]
    )
    for field in fields(Certificate):  # figures that are none would fail whoever shows them
        if field.type in ("int", "float"):
            known[field.name] = (int if field.type == "int" else float)(known[field.name])
    reasons = tuple(str(reason) for reason in content["reasons"])
    return Certificate(**known | {"reasons": reasons, "examples": examples, "created": str(known["created"])})


class _Original:
    """The PyTorch model and its tokenizer."""

    def __init__(self, folder: Path, generator: Generator) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", local_files_only=True)
        except Exception as error:
            raise _unloadable(error, folder) from error
        self._model: Any = model.eval()
        # Only what is said here counts: a model's own settings may ask for sampling or a penalty.
        ends = sorted(generator.eos_token_ids)
        self._model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=ends or None, pad_token_id=ends[0] if ends else 0
        )

    def encode(self, messages: list[dict[str, str]]) -> list[int]:
        template = None if self._tokenizer.chat_template else DEFAULT_CHAT_TEMPLATE
        return self._tokenizer.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True, tokenize=True, return_dict=False
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)

    def answer(self, token_ids: list[int], max_new_tokens: int) -> list[int]:
        """What greedy `generate` adds to these tokens."""
        import torch

        prompt = torch.tensor([token_ids])
        with torch.no_grad():
            output = self._model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=max_new_tokens
            )
        return output[0, len(token_ids) :].tolist()

    def logits(self, token_ids: list[int]) -> np.ndarray:
        import torch

        with torch.no_grad():
            return self._model(torch.tensor([token_ids])).logits[0].float().numpy()


def _compare(
    original: _Original,
    generator: Generator,
    messages: list[dict[str, str]],
    max_new_tokens: int,
    thresholds: Thresholds,
) -> _Comparison | None:
    """Both models on one prompt; None when the original cannot be asked it, or it is too long to compare."""
    try:
        prompt = original.encode(messages)
    except jinja2.TemplateError:
        return None
    try:
        same_prompt = prompt == generator.encode(generator.render(messages))
    except RequestError:
        same_prompt = False
    room = min(max_new_tokens, generator.context_length // 2, generator.context_length - len(prompt))
    if not 0 < len(prompt) <= LONGEST_PROMPT or room < 1:
        return None
    answer, text = _chat(generator, messages, room)
    ours, theirs = generator.logits(prompt + answer), original.logits(prompt + answer)
    numbers = bool(np.isfinite(ours).all() and np.isfinite(theirs).all())
    with np.errstate(invalid="ignore"):  # infinity less infinity, where they are no numbers
        difference = np.abs(ours - theirs)
        # How far below its own best PyTorch scores what the ONNX model puts first, and what it answered. Row
        # i of `choices` is what is known when token i of the answer is chosen.
        lost = theirs.max(axis=-1) - np.take_along_axis(theirs, ours.argmax(axis=-1)[:, None], axis=-1)[:, 0]
        choices = theirs[len(prompt) - 1 :][: len(answer)]
        lost_in_answer = choices.max(axis=-1) - choices[np.arange(len(answer)), answer]
    different = np.flatnonzero(choices.argmax(axis=-1) != answer)
    identical = len(answer) > 0 and len(different) == 0
    expected = text
    if not identical:
        kept = answer[: different[0]] if answer else []
        expected = original.decode(kept + original.answer(prompt + kept, room - len(kept)))
    return _Comparison(
        example=Example(messages[-1]["content"], expected, text),
        same_prompt=same_prompt,
        numbers=numbers,
        largest=float(difference.max()) if numbers else NOT_A_NUMBER,
        total=float(difference.sum(dtype=np.float64)) if numbers else NOT_A_NUMBER,
        values=difference.size,
        agreeing=int((lost < thresholds.logit_difference).sum()) if numbers else 0,
        positions=len(ours),
        identical=identical,
        excused=same_prompt and bool(answer) and bool((lost_in_answer < thresholds.logit_difference).all()),
    )


def _check_vocabulary(original: _Original, generator: Generator) -> None:
    ours, theirs = generator.decoder.vocabulary_size, original.logits([0]).shape[-1]
    if ours != theirs:
        raise ModelLoadError(
            f"The ONNX model has {ours:,} tokens and its original {theirs:,}: they do not belong together.",
            "Export the model again.",
        )


def _chat(generator: Generator, messages: list[dict[str, str]], max_new_tokens: int) -> tuple[list[int], str]:
    try:
        answer = generator.answer(messages, max_new_tokens=max_new_tokens)
    except (ModelLoadError, RequestError) as error:  # a broken model: this is what is being looked for
        return [], f"({error})"
    return list(answer.token_ids), answer.text


def _certificate(
    comparisons: list[_Comparison], thresholds: Thresholds, fingerprint: str | None, seconds: float
) -> Certificate:
    positions = sum(one.positions for one in comparisons)
    largest = max((one.largest for one in comparisons), default=NOT_A_NUMBER)
    agreement = sum(one.agreeing for one in comparisons) / max(positions, 1)
    reasons = tuple(_reasons(comparisons, thresholds, largest, agreement))
    examples = sorted(comparisons, key=lambda one: one.identical)
    return Certificate(
        passed=not reasons,
        reasons=reasons,
        max_logit_difference=largest,
        mean_logit_difference=sum(one.total for one in comparisons)
        / max(sum(one.values for one in comparisons), 1),
        next_token_agreement=agreement,
        identical_answers=sum(one.identical for one in comparisons),
        prompts=len(comparisons),
        positions=positions,
        source_fingerprint=fingerprint,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        examples=tuple(one.example for one in examples[:MOST_EXAMPLES]),
        seconds=seconds,
    )


def _reasons(
    comparisons: list[_Comparison], thresholds: Thresholds, largest: float, agreement: float
) -> list[str]:
    if not comparisons:
        return ["No prompt was short enough for this model, so nothing was compared."]
    reasons = []
    count = len(comparisons)
    if foreign := sum(not one.same_prompt for one in comparisons):
        reasons.append(
            f"The ONNX model's tokenizer or chat template writes {foreign} of {count} prompts differently."
        )
    if not all(one.numbers for one in comparisons):
        reasons.append("A model computes values that are not numbers.")
    elif largest > thresholds.logit_difference:
        allowed = thresholds.logit_difference
        reasons.append(f"The models' scores differ by up to {largest:.2g}; at most {allowed:g} is allowed.")
    if agreement < thresholds.next_token_agreement:
        needed = thresholds.next_token_agreement
        reasons.append(f"They agree on {agreement:.1%} of the next words; {needed:.1%} are needed.")
    if different := [one.example for one in comparisons if not one.identical and not one.excused]:
        reasons.append(f"{len(different)} of {count} answers differ, the first to “{different[0].prompt}”.")
    return reasons


def _unloadable(error: Exception, folder: Path) -> SailsError:
    known = classify(error)
    if known.kind != "unknown":
        return known
    return ModelLoadError(
        f"The model in {folder.name} cannot be loaded.", "Check that the folder is complete."
    )
