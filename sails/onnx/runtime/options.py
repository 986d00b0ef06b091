"""The options of sampling, each declared once: its default, its range, and what a person reads of it.

    sampling = Sampling(temperature=0.7, seed=1)     # or one `RequestError` in words

The fields of the page Chat, the options of `sails chat` and the words of the errors come from here. A new
option is a field of `SamplingOptions`, and its use in `sails.onnx.runtime.sampling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, NamedTuple

from sails.errors import RequestError


class SamplingOption(NamedTuple):
    """What is declared of an option: its range, and the words for it."""

    what: str  # as an error names it
    limit: str  # its range, as an error says it
    low: float
    high: float = inf
    above: bool = False  # whether `low` itself is ruled out
    title: str = ""  # of its field on the page Chat; empty: there is none
    hint: str = ""  # of that field
    lowest: float | None = None  # that the field offers, where it is narrower than the range
    highest: float | None = None
    step: float | None = None
    help: str = ""  # of its option on the command line
    flag: str | None = None  # of that option, where it is not the field's own name

    @property
    def offered(self) -> tuple[float, float]:
        """The lowest and the highest value that a field offers."""
        lowest = self.low if self.lowest is None else self.lowest
        return lowest, self.high if self.highest is None else self.highest

    def allows(self, value: float) -> bool:
        """Return whether `value` is a finite number in the range."""
        above_low = self.low < value if self.above else self.low <= value
        return above_low and value <= self.high and value < inf


def _declare(default: Any, *words: Any, **declared: Any) -> Any:
    return field(default=default, metadata={"option": SamplingOption(*words, **declared)})


@dataclass(frozen=True)
class SamplingOptions:
    """What a person chooses of how an answer is drawn; temperature 0 takes the likeliest token."""

    max_new_tokens: int = _declare(
        256,
        "The number of new tokens",
        "at least 1",
        low=1,
        title="Longest answer, in word pieces (tokens)",
        highest=4096,
        help="Longest answer, in tokens.",
        flag="--max-tokens",
    )
    temperature: float = _declare(
        0.0,
        "The temperature",
        "0 or more",
        low=0.0,
        title="Variety (temperature)",
        hint="0 always gives the likeliest answer. Higher gives other answers, and more mistakes.",
        highest=2,
        step=0.1,
        help="0 always gives the likeliest answer.",
    )
    top_p: float = _declare(
        1.0,
        "Top-p",
        "above 0 and at most 1",
        low=0.0,
        high=1.0,
        above=True,
        title="Choice of words (top-p)",
        hint="Below 1, unlikely words are never drawn. It only matters with some variety.",
        lowest=0.01,
        step=0.05,
        help="Choose among the likeliest words.",
    )
    repetition_penalty: float = _declare(
        1.0,
        "The repetition penalty",
        "above 0 (1 is off)",
        low=0,
        above=True,
        title="Against repeating itself (repetition penalty)",
        hint="1 is off. A little above, such as 1.1, keeps small models from going round in circles.",
        lowest=0.1,
        highest=2,
        step=0.05,
        help="Above 1 avoids repeating.",
    )
    seed: int | None = _declare(
        None,
        "The seed",
        "0 or more",
        low=0,
        title="Seed",
        hint="The same seed gives the same answer again. It only matters with some variety.",
        highest=2**32 - 1,
        help="Makes random answers repeatable.",
    )


@dataclass(frozen=True)
class Sampling(SamplingOptions):
    """How an answer is drawn, checked: raises `RequestError` for what is out of its range.

    `max_length` limits prompt and answer together, in tokens; None leaves that to the model.
    """

    top_k: int = _declare(0, "Top-k", "0 (off) or more", low=0)
    max_length: int | None = _declare(None, "The longest conversation", "2 tokens or more", low=2)
    stop: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, option in sampling_options(type(self)).items():
            value = getattr(self, name)
            if value is not None and not option.allows(value):
                raise RequestError(
                    f"{option.what} must be {option.limit}.", "Correct the setting and ask again."
                )
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop
        object.__setattr__(self, "stop", tuple(text for text in stop if text))


def sampling_options(kind: type = SamplingOptions) -> dict[str, SamplingOption]:
    """Return what is declared of each option of `kind`, by its name."""
    return {each.name: each.metadata["option"] for each in fields(kind) if "option" in each.metadata}
