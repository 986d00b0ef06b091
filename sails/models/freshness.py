"""Whether an ONNX model still fits the trained one, and whether it is proven, in all the words for it.

    FRESHNESS[jobs.freshness(situation)].headline
    CERTIFIED[state.certified].phrase

The command line, the pages and the chat say it each at its own length, all from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Freshness = Literal["missing", "fresh", "stale", "unknown", "orphaned"]


@dataclass(frozen=True)
class FreshnessWords:
    """What to say of an ONNX model that stands so to the trained model, from a sign to a sentence.

    `headline` stands alone, `phrase` behind a name and a colon. `origin` says which model it was made from,
    where both lie side by side; `sentence` says what follows from it.
    """

    sign: str
    title: str
    headline: str
    phrase: str
    origin: str
    sentence: str


FRESHNESS: Mapping[Freshness, FreshnessWords] = {
    "missing": FreshnessWords(
        sign="◻️",
        title="Not made",
        headline="There is no ONNX model yet",
        phrase="missing",
        origin="Nothing to chat with yet; it is made from the trained model.",
        sentence="There is none yet.",
    ),
    "fresh": FreshnessWords(
        sign="✅",
        title="Fresh",
        headline="The ONNX model is fresh",
        phrase="up to date",
        origin="it was made from the trained model beside it.",
        sentence="It was made from the trained model that is here now, so it knows all that was taught.",
    ),
    "stale": FreshnessWords(
        sign="⚠️",
        title="Out of date",
        headline="The ONNX model is out of date",
        phrase="made from an earlier model",
        origin="it was made from an earlier model.",
        sentence="It was made from an earlier model. It answers, but without what was taught since.",
    ),
    "unknown": FreshnessWords(
        sign="❔",
        title="Unknown whether fresh",
        headline="Nobody knows whether the ONNX model is fresh",
        phrase="from an unknown model",
        origin="nobody noted which trained model it was made from.",
        sentence="Nobody noted which model it was made from. One made anew is sure to be fresh.",
    ),
    "orphaned": FreshnessWords(
        sign="⚠️",
        title="Orphaned",
        headline="The ONNX model is orphaned",
        phrase="not made from the trained model that is here",
        origin="it was made from a trained model that is no longer here.",
        sentence="It answers, but the trained model behind it is no longer here, so it cannot be made again.",
    ),
}


@dataclass(frozen=True)
class ProofWords:
    """What to say of an ONNX model with such a certificate; `doubt` is empty where there is none."""

    sign: str
    title: str
    phrase: str
    doubt: str


# By whether the certificate was passed; None where there is none.
CERTIFIED: Mapping[bool | None, ProofWords] = {
    True: ProofWords("✅", "Certified: it answers like the original", "certified", ""),
    False: ProofWords("❌", "Its certificate failed", "its certificate failed", "failed its certificate"),
    None: ProofWords("❔", "Not verified", "not verified", "not proven"),
}
