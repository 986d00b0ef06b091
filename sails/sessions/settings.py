"""The settings of a training, each declared once: type, range, default, and what a person reads of it.

    settings = checked_settings(epochs=3, preset="quick")     # or one `RequestError` in words

The command line's options, the fields of the pages, the words of the errors, "run again" and the comparison
of sessions are made from the `Option` of each field. A new setting is a field here, and its use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le
from pydantic import BaseModel, Field, ValidationError, model_validator

from sails.errors import RequestError
from sails.sessions.presets import DEFAULT_PRESET, PRESETS
from sails.system import listed

Publishing = Literal["gate", "always", "never"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Method = Literal["full", "lora"]


@dataclass(frozen=True)
class Option:
    """What a person reads of a setting, and the range of its field; see `option` for the values of one."""

    title: str  # of its field on a page
    what: str  # as an error names it: "The number of rounds"
    help: str  # of its option on the command line
    hint: str = ""  # of its field on a page
    label: str = ""  # of its line where sessions are compared; empty: the title
    unset: str = ""  # where sessions are compared, when it was left to the program
    # A choice of words: each value as a page names it.
    choices: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)  # the same where sessions are compared
    percent: bool = False
    max_on_page: int | None = None  # where the field of a page is narrower than the range
    low: float | None = None  # of the range, both ends included
    high: float | None = None

    @property
    def highest_on_page(self) -> float | None:
        return self.max_on_page or self.high


class Settings(BaseModel, frozen=True, extra="forbid"):
    """How to train. None means: the preset chooses, from the number of rows."""

    preset: Annotated[
        str,
        Option(
            title="How thorough (preset)",
            what="The preset",
            help=f"How thoroughly to learn: {listed(list(PRESETS), last='or')}.",
            choices={name: preset.title for name, preset in PRESETS.items()},
        ),
    ] = DEFAULT_PRESET
    epochs: Annotated[
        int | None,
        Field(ge=1, le=1000),
        Option(
            title="Rounds (epochs)",
            what="The number of rounds",
            help="Rounds through the data, exactly. Default: until the lesson is known, and no more than the "
            "preset allows for that number of rows.",
            hint="How often it goes through all examples, exactly. Empty: until it knows them.",
        ),
    ] = None
    batch_size: Annotated[  # fixes the rows of a batch instead of its tokens
        int | None,
        Field(ge=1, le=4096),
        Option(
            title="Examples at a time (batch size)",
            what="The batch size",
            help="Rows in a batch. Default: as many as fit into the preset's token budget.",
            unset="automatic",
        ),
    ] = None
    max_steps: Annotated[
        int | None,
        Field(ge=1, le=10**9),
        Option(
            title="Step limit",
            what="The highest number of steps",
            help="End after this many steps, whatever the rounds.",
            hint="In each step it learns from a few examples. Empty: all rounds are gone through.",
            label="Steps at most",
            unset="no limit",
        ),
    ] = None
    learning_rate: Annotated[  # None: the behavior matrix chooses
        float | None,
        Option(
            title="Learning speed (learning rate)",
            what="The learning rate",
            help="How big each learning step is. Default: 5e-5 from base, 1e-5 when continuing.",
            hint="Higher learns faster and forgets more. Empty: automatic.",
        ),
    ] = None
    seed: Annotated[
        int,
        Field(ge=0, le=2**32 - 1),
        Option(
            title="Seed",
            what="The seed",
            help="The same seed on the same machine gives the same losses.",
            hint="The same seed and examples give the same training.",
            label="Number for chance (seed)",
        ),
    ] = 42
    max_length: Annotated[  # tokens of one conversation
        int,
        Field(ge=16),
        Option(
            title="Longest conversation (max length)",
            what="The longest conversation",
            help="Longest conversation, in tokens; longer ones are shortened.",
            hint="In word pieces (tokens), about four letters each. What is longer is cut off at its end.",
            label="Longest example, in word pieces (tokens)",
            max_on_page=8192,
        ),
    ] = 512
    early_stop: Annotated[
        bool,
        Option(
            title="Stop early",
            what="Whether it stops early",
            help="End when rows set aside for testing no longer get better.",
            hint="End when the examples set aside for testing no longer get better. Needs 20 of them.",
            label="Stops early when it no longer helps",
        ),
    ] = False
    device: Annotated[
        Device,
        Option(
            title="Compute on (device)",
            what="The device",
            help="Where to train; auto takes a GPU if there is one.",
            label="Computed on",
            choices={
                "auto": "The fastest that is here",
                "cpu": "Processor",
                "cuda": "NVIDIA graphics card",
                "mps": "Apple graphics chip",
            },
        ),
    ] = "auto"
    replay_share: Annotated[  # of an epoch's rows, as far as there are earlier ones
        float,
        Field(ge=0, le=0.9),
        Option(
            title="Share of earlier lessons in each round",
            what="The share of earlier lessons",
            help="How much of each round repeats earlier lessons, as far as there are any: 0 to 0.9.",
            label="Share of a round that repeats earlier lessons (replay)",
            percent=True,
        ),
    ] = 0.5
    protect: Annotated[  # of a batch's rows; 0: not at all
        float,
        Field(ge=0, le=0.5),
        Option(
            title="Protect general knowledge",
            what="The protection of general knowledge",
            help="How much of each step repeats the base model's own answers, so that it keeps what it knew "
            "before any lesson: 0 to 0.5.",
            hint="How much of each step repeats what the base model says anyway, so that it keeps that. "
            "More protects better, and takes longer.",
            label="Share of a step that protects general knowledge",
            percent=True,
        ),
    ] = 0.3
    method: Annotated[
        Method,
        Option(
            title="What is trained (method)",
            what="The method",
            help="full trains the weights of the model themselves; lora trains small additions to them, "
            "which become part of the model at the end (LoRA): in about half the memory.",
            label="Trained",
            choices={"full": "The model itself (full)", "lora": "Small additions to it (lora)"},
            outcomes={"full": "the model itself", "lora": "small additions to it (LoRA)"},
        ),
    ] = "full"
    teach_again: Annotated[  # from base: all rows of the earlier lessons too
        bool,
        Option(
            title="Teach the earlier lessons again",
            what="Whether the earlier lessons are taught again",
            help="Starting over from base: teach all rows of earlier lessons again.",
            label="Teaches all earlier lessons again",
        ),
    ] = False
    blend: Annotated[
        bool,
        Option(
            title="Take back what was not needed",
            what="Whether it takes back what was not needed",
            help="At the end, go back part of the way to the model before, as far as the lesson stays known.",
            hint="At the end it tries to keep only 50, 70 or 85 % of each change, and takes the least with "
            "which it knows the lesson as well. Where general knowledge is protected, that seldom helps.",
        ),
    ] = False
    publish: Annotated[
        Publishing,
        Option(
            title="What happens with the new model",
            what="What happens with the new model",
            help="What becomes of the new model: gate publishes it unless it forgot something, always does "
            "so in any case, never holds it until you decide.",
            hint="Published, it becomes the current model, and the one before is kept as a version. Held "
            "back, it waits on the page Sessions for your decision.",
            label="Replaces the current model",
            choices={
                "gate": "Publish it unless it forgot something (gate)",
                "always": "Publish it in any case (always)",
                "never": "Keep it aside until I decide (never)",
            },
            outcomes={
                "gate": "unless it forgot",
                "always": "always",
                "never": "only when a person decides so",
            },
        ),
    ] = "gate"

    @property
    def until_known(self) -> bool:
        """Whether a session ends as soon as it knows its lesson: unless a person chose the rounds."""
        return self.epochs is None

    @model_validator(mode="after")
    def _choose_what_there_is(self) -> Self:
        if self.preset not in PRESETS:
            raise ValueError(f"there is no preset {self.preset}")
        return self


@cache
def option(name: str) -> Option:
    """Return what is declared of the setting `name`, with the ends of its range."""
    metadata = Settings.model_fields[name].metadata
    declared = next(part for part in metadata if isinstance(part, Option))
    low = next((part.ge for part in metadata if isinstance(part, Ge)), None)
    high = next((part.le for part in metadata if isinstance(part, Le)), None)
    return Option(**{**vars(declared), "low": low, "high": high})


def flag(name: str) -> str:
    """Return how the command line calls the setting `name`: `--batch-size`."""
    return f"--{name.replace('_', '-')}"


def checked_settings(base: Settings | None = None, *, flags: bool = False, **values: Any) -> Settings:
    """Return `base`, else the defaults, with these values.

    `RequestError` names in words the first that cannot be, with `flags` by its option as well.
    """
    try:
        return Settings.model_validate({**(base.model_dump() if base else {}), **values})
    except ValidationError as error:
        name = next((str(part) for part in error.errors()[0]["loc"]), "preset")
        if name not in Settings.model_fields:
            raise RequestError(f"There is no setting {name[:40]}.", "Leave it out.") from error
        about, value = option(name), values[name]
        written = f"{value:,}" if isinstance(value, int) and about.high == 10**9 else str(value)[:40]
        what = f"{about.what} ({flag(name)})" if flags else about.what
        raise RequestError(f"{what} cannot be {written}.", f"{_remedy(name, about, value)}.") from error


def _remedy(name: str, about: Option, value: Any) -> str:
    if about.choices:
        *others, last = about.choices
        return f"Choose {', '.join(others)} or {last}"
    if isinstance(value, int | float) and about.low is not None and value < about.low:
        return f"Choose a value greater than or equal to {about.low:g}"
    if isinstance(value, int | float) and about.high is not None and value > about.high:
        return f"Choose a value less than or equal to {about.high:.15g}"
    whole = isinstance(Settings.model_fields[name].default, int) or about.high is None or about.high > 1
    return "Choose a whole number" if whole else "Choose a number"
