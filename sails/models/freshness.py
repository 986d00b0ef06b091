"""Whether an ONNX model still fits the trained one, and whether it is proven, in all the words for it.

    FRESHNESS[jobs.freshness(workspace, situation)].headline()
    CERTIFIED[state.certified].phrase

The command line, the pages and the chat say it each at its own length, all from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Freshness = Literal["missing", "fresh", "stale", "newer", "other", "unknown", "orphaned"]


@dataclass(frozen=True)
class FreshnessWords:
    """What to say of an ONNX model that stands so to the trained model, from a sign to a sentence.

    `about` says it of a model by any name (see `headline`). `phrase` stands behind a name and a colon, `fact`
    among other facts, and is empty where there is nothing to say. `origin` says which model it was made from,
    where both lie side by side; `sentence` says what follows from it.
    """

    sign: str
    title: str
    about: str
    phrase: str
    fact: str
    origin: str
    sentence: str

    def headline(self, model: str = "ONNX model") -> str:
        """Say it so that it stands alone, of a model by this name."""
        return self.about.format(model=model)


FRESHNESS: Mapping[Freshness, FreshnessWords] = {
    "missing": FreshnessWords(
        sign="◻️",
        title="Not made",
        about="There is no {model} yet",
        phrase="missing",
        fact="",
        origin="Nothing to chat with yet; it is made from the trained model.",
        sentence="There is none yet.",
    ),
    "fresh": FreshnessWords(
        sign="✅",
        title="Fresh",
        about="The {model} is fresh",
        phrase="up to date",
        fact="",
        origin="it was made from the trained model beside it.",
        sentence="It was made from the trained model that is here now, so it knows all that was taught.",
    ),
    "stale": FreshnessWords(
        sign="⚠️",
        title="Out of date",
        about="The {model} is out of date",
        phrase="made from an earlier model",
        fact="made from another model",
        origin="it was made from an earlier model.",
        sentence="It was made from an earlier model. It answers, but without what was taught since.",
    ),
    "newer": FreshnessWords(
        sign="⚠️",
        title="Of a later model",
        about="The {model} is of a later model",
        phrase="made from a later model",
        fact="made from another model",
        origin="it was made from a later model, which grew from the trained one.",
        sentence="It was made from a later model, which grew from the one that is current now. It answers "
        "with what was taught after that one as well.",
    ),
    "other": FreshnessWords(
        sign="⚠️",
        title="Of another model",
        about="The {model} is of another model",
        phrase="made from another model",
        fact="made from another model",
        origin="it was made from another model.",
        sentence="It was made from a model other than the current one, and may answer differently.",
    ),
    "unknown": FreshnessWords(
        sign="❔",
        title="Unknown whether fresh",
        about="Nobody knows whether the {model} is fresh",
        phrase="from an unknown model",
        fact="unknown whether up to date",
        origin="nobody noted which trained model it was made from.",
        sentence="Nobody noted which model it was made from. One made anew is sure to be fresh.",
    ),
    "orphaned": FreshnessWords(
        sign="⚠️",
        title="Orphaned",
        about="The {model} is orphaned",
        phrase="not made from the trained model that is here",
        fact="made from another model",
        origin="it was made from a trained model that is no longer here.",
        sentence="It answers, but the trained model behind it is no longer here, so it cannot be made again.",
    ),
}


def refresh_advice(freshness: Freshness, model: str = "ONNX model", options: str = "") -> str:
    """Say how a model by this name stands to the trained one, and the command that makes it again."""
    words = FRESHNESS[freshness]
    return f"{words.sign} {words.headline(model)}; make it again with: sails convert{options}"


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
    None: ProofWords("❔", "Not verified", "not verified", "not verified"),
}
