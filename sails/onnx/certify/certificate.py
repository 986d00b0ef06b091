"""The certificate of an ONNX model: what was measured, and what is needed.

    certificate = read_certificate(Path("onnx_model/int8"))
    certificate.passed, certificate.next_token_agreement

`sails.onnx.certify.verify` measures, `sails.onnx.certify.report` writes it down, for programs
(`certificate.json`) and for people.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBool
from pydantic.dataclasses import dataclass

from sails.models import CERTIFICATE, FULL_PRECISION, Variant

# Stands for a difference that is not a number, so that every figure of a certificate is one, in JSON too.
NOT_A_NUMBER = 1e9

# One that is none would fail whoever shows it.
Figure = Annotated[float, AfterValidator(lambda number: number if math.isfinite(number) else NOT_A_NUMBER)]
Count = Annotated[int, Field(lt=2**63)]  # more is no figure that anything can be computed from


@dataclass(frozen=True)
class AnswerPair:
    """One prompt and what both models answered."""

    prompt: str
    torch: str
    onnx: str


@dataclass(frozen=True)
class Speed:
    """How fast answers come, as medians over some prompts, and what that takes.

    `memory_bytes` is the most that loading the model and answering adds to a process of its own, with the
    libraries that it needs.
    """

    first_token_seconds: Figure
    tokens_per_second: Figure
    memory_bytes: Count


@dataclass(frozen=True)
class Certificate:
    """The verdict and what it rests on; `reasons` say in words why it is not passed.

    Logits were compared at `positions` places; `spread` is the standard deviation of a position's logits.
    `identical_answers` of `prompts` greedy answers are the same token for token, `excused_answers` more part
    at a tie. `own_prompts` of the prompts are the person's own. `original_loss` and `loss` are nats a token
    of the PyTorch model and of this one, on the right answers to `known_answers` of the prompts, else on what
    the original answers. `created` is UTC in ISO form; answers that differ come first in `examples`.
    """

    variant: Variant
    passed: StrictBool
    reasons: tuple[str, ...]
    max_logit_difference: Figure
    mean_logit_difference: Figure
    next_token_agreement: Figure
    identical_answers: Count
    prompts: Count
    positions: Count
    source_fingerprint: str | None
    created: str
    examples: tuple[AnswerPair, ...]
    seconds: Figure
    spread: Figure = 0.0
    excused_answers: Count = 0
    own_prompts: Count = 0
    known_answers: Count = 0
    original_loss: Figure | None = None
    loss: Figure | None = None
    original_speed: Speed | None = None
    speed: Speed | None = None
    original_bytes: Count = 0
    bytes: Count = 0

    @property
    def mean_share(self) -> float:
        """The mean logit difference as a share of the logits' spread."""
        return min(self.mean_logit_difference / self.spread, NOT_A_NUMBER) if self.spread else 0.0

    @property
    def loss_difference(self) -> float | None:
        """By how many nats a token this model is worse than its original; below 0 when it is better."""
        if self.loss is None or self.original_loss is None:
            return None
        return self.loss - self.original_loss


def read_certificate(folder: Path) -> Certificate | None:
    """Return the certificate in an ONNX folder, or None when there is none that can be read."""
    try:
        content = json.loads((folder / CERTIFICATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return read_content(content)


def read_content(content: Any) -> Certificate | None:
    """Return a certificate from its JSON form; None for what is none, or of another release."""
    try:
        return Certificate(**{"variant": FULL_PRECISION, **content})  # one of old names no variant
    except (TypeError, ValueError):
        return None
