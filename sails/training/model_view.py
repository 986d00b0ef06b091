"""Conversations as the model will see them: what training reads of each, and what of it is learned, as text.

    view = view_rows(workspace, rows[:3], max_length=512)
    view.conversations[0].examples[0].passages     # Passage("<|im_start|>user …", learned=False), …

Made of the very tokens and labels that training makes, decoded; nothing is rendered a second time. Needs the
small files of the model that the next training starts from, no torch, and downloads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from sails import models
from sails.data import Conversation
from sails.models import Workspace
from sails.system import Stamp, stamp_or_none
from sails.training.encoding import IGNORED, UNLIMITED, Example, encode_rows, encoder_in, within_context
from sails.training.plan import plan_training

if TYPE_CHECKING:
    from sails.onnx import ChatEncoder

_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "config.json",
)


@dataclass(frozen=True)
class Passage:
    """A piece of text that is learned, or read only."""

    text: str
    learned: bool


@dataclass(frozen=True)
class ExampleView:
    """What is read at a time; `beyond` stands behind the longest conversation, and is neither."""

    passages: tuple[Passage, ...]
    beyond: str = ""
    tokens_beyond: int = 0


@dataclass(frozen=True)
class ConversationView:
    """A conversation: mostly one example; none where the model's chat template refuses it."""

    examples: tuple[ExampleView, ...]
    notes: tuple[str, ...]  # what is not taught as it stands, a sentence each


@dataclass(frozen=True)
class RowsView:
    """Some conversations as one model sees them, or the sentence that says why that cannot be shown."""

    model: str  # as a person knows it
    max_length: int  # tokens
    conversations: tuple[ConversationView, ...] = ()
    missing: str = ""


def view_rows(
    workspace: Workspace, rows: Sequence[Conversation], max_length: int, model_name: str | None = None
) -> RowsView:
    """Show rows as that model sees them which a training started now would begin with.

    Raises `RequestError` for a base model that does not exist.
    """
    plan = plan_training(workspace, model_name=model_name)
    if plan.start_from == "trained":
        name, folder = "your trained model", workspace.situation().trained.path
    else:
        base = models.find_base_model(plan.model)
        found = models.base_model_path(base)
        name = base.name
        if found is None:
            missing = f"{name} is not on this machine yet; it is fetched when the first training begins."
            return RowsView(name, max_length, missing=missing)
        folder = found
    longest = within_context(folder, max_length)
    stamps = tuple(stamp_or_none(folder / file) for file in _FILES)
    views = _view(tuple(rows), tuple(row.row for row in rows), folder, stamps, longest)
    if views is None:
        return RowsView(name, longest, missing=f"The files that say how {name} reads cannot be read here.")
    return RowsView(name, longest, views)


@lru_cache(maxsize=16)
def _view(
    rows: tuple[Conversation, ...],
    numbers: tuple[int, ...],  # noqa: ARG001  equal rows may have other numbers, which notes name
    folder: Path,
    stamps: tuple[Stamp | None, ...],  # noqa: ARG001  the files may be others by now
    max_length: int,
) -> tuple[ConversationView, ...] | None:
    encoder = encoder_in(folder)
    return tuple(view_conversation(row, encoder, max_length) for row in rows) if encoder else None


def view_conversation(row: Conversation, encoder: ChatEncoder, max_length: int) -> ConversationView:
    """Decode what training makes of a row, learned and read parts apart."""
    encoded = encode_rows([row], encoder, UNLIMITED)
    taught = encoded.within(max_length)
    left = list(taught.examples)
    examples = []
    for whole in encoded.examples:
        fitting = Example(whole.tokens[:max_length], whole.labels[:max_length])
        if fitting in left:
            left.remove(fitting)
        else:  # nothing of it is taught
            fitting = replace(fitting, labels=[IGNORED] * len(fitting))
        examples.append(_view_example(fitting, whole.tokens, encoder))
    return ConversationView(tuple(examples), tuple(replace(taught, cut=()).notes([row])))


def _view_example(example: Example, whole: list[int], encoder: ChatEncoder) -> ExampleView:
    # The first token is never predicted, so nothing is learned of it.
    marks = [False, *(label != IGNORED for label in example.labels[1:])]
    runs = [(learned, len(list(run))) for learned, run in groupby(marks)]
    ends = [*accumulate(length for _, length in runs), len(whole)]
    texts, start, before = [], 0, ""
    for end in ends:  # with what stands before: some tokenizers leave out the space that a text begins with
        text = encoder.text_of(whole[:end])
        alone = not text.startswith(before)
        texts.append(encoder.text_of(whole[start:end]) if alone else text.removeprefix(before))
        start, before = end, text
    passages = (Passage(text, learned) for text, (learned, _) in zip(texts, runs, strict=False))
    return ExampleView(tuple(passages), texts[-1], len(whole) - len(example))
