"""Conversations ─► tokens and labels: only answers are learned, each with the token that ends it.

    encoded = encode_rows(conversations, encoder, max_length=512)

A conversation is one example as long as the prompt for its last answer holds the earlier turns as they were
taught. Where a chat template writes earlier turns in another way (without their thoughts, say), each answer
behind that has an example of its own, with the prompt that it will be asked by. Needs no torch, so that what
training does with a row can be told before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress, islice
from pathlib import Path
from typing import TYPE_CHECKING

from sails.data import Conversation
from sails.errors import BadDataError, RequestError
from sails.onnx import ChatTemplate, special_tokens
from sails.system import read_json
from sails.training.token_cache import Entry

if TYPE_CHECKING:
    from sails.onnx import ChatEncoder, TaughtAnswer
    from sails.training.token_cache import TokenCache

IGNORED = -100  # the label that torch's cross entropy leaves out
UNLIMITED = 10**9  # tokens
MAX_NAMED = 10  # rows in a sentence
TOGETHER = 200  # conversations that the chat template is asked for at a time

TOO_LONG = "The answer lies beyond the longest conversation that the model is taught."


@dataclass(frozen=True)
class Example:
    """Tokens of a conversation; `labels` is as long as `tokens`, `IGNORED` where nothing is learned."""

    tokens: list[int]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, tokens: list[int], learned: Sequence[bool]) -> Example:
        """Return the example of which these tokens are learned."""
        return cls(
            tokens, [token if known else IGNORED for token, known in zip(tokens, learned, strict=True)]
        )


@dataclass(frozen=True)
class Encoded:
    """What is learned of some conversations; rows are numbers into these."""

    examples: tuple[Example, ...]
    kept: tuple[int, ...]  # for each example, the number of its conversation
    max_length: int
    cut: tuple[int, ...] = ()  # conversations of which only the first `max_length` tokens are learned
    refused: dict[int, str] = field(default_factory=dict)  # those of which nothing is, and why
    system_moved: tuple[int, ...] = ()  # whose system turn stands in the first question
    thought_left_out: tuple[int, ...] = ()  # of whose answers the thought is not taught

    @property
    def lengths(self) -> list[int]:
        return [len(example) for example in self.examples]

    @property
    def shortened(self) -> int:
        return len(self.cut)

    @property
    def left_out(self) -> int:
        return len(self.refused)

    def within(self, max_length: int) -> Encoded:
        """Return what is learned of the same conversations where each is cut behind so many tokens."""
        examples: list[Example] = []
        kept: list[int] = []
        cut: set[int] = set()
        for number, whole in zip(self.kept, self.examples, strict=True):
            fitting = Example(whole.tokens[:max_length], whole.labels[:max_length])
            if len(whole) > max_length:
                cut.add(number)
            # The first token is never predicted, so its label teaches nothing.
            if any(label != IGNORED for label in fitting.labels[1:]):
                examples.append(fitting)
                kept.append(number)
        beyond = dict.fromkeys({*self.kept} - {*kept}, TOO_LONG)
        return replace(
            self,
            examples=tuple(examples),
            kept=tuple(kept),
            max_length=max_length,
            cut=tuple(sorted(cut - beyond.keys())),
            refused=dict(sorted({**self.refused, **beyond}.items())),
            system_moved=tuple(n for n in self.system_moved if n not in beyond),
            thought_left_out=tuple(n for n in self.thought_left_out if n not in beyond),
        )

    def renumbered(self, numbers: Sequence[int]) -> Encoded:
        """Return the same for conversations that have these numbers among others."""
        return replace(
            self,
            kept=tuple(numbers[n] for n in self.kept),
            cut=tuple(numbers[n] for n in self.cut),
            refused={numbers[n]: reason for n, reason in self.refused.items()},
            system_moved=tuple(numbers[n] for n in self.system_moved),
            thought_left_out=tuple(numbers[n] for n in self.thought_left_out),
        )

    def notes(self, conversations: Sequence[Conversation]) -> list[str]:
        """Say what is not taught as it stands, and of which rows: one sentence for each reason."""
        notes = describe_left_out({_row(n, conversations): reason for n, reason in self.refused.items()})
        if self.cut:
            one = len(self.cut) == 1
            what = f"{len(self.cut)} {'conversation' if one else 'conversations'}"
            cut = f"{what} longer than {self.max_length} tokens {'was' if one else 'were'} shortened"
            notes.append(f"{cut}: {_rows(self.cut, conversations)}.")
        for rows, said in (
            (self.system_moved, "The model takes no system message, so it stands in the first question"),
            (
                self.thought_left_out,
                "The model's chat template keeps no thoughts, so the answer is taught alone",
            ),
        ):
            if rows:
                notes.append(f"{said}: {_rows(rows, conversations)}.")
        return notes


def encode_rows(
    conversations: Sequence[Conversation],
    encoder: ChatEncoder,
    max_length: int,
    cache: TokenCache | None = None,
    progress: Callable[[float], object] = lambda _: None,
) -> Encoded:
    """Tokenize conversations of at most `max_length` tokens; longer ones are cut at their end.

    What cannot be taught is left out, with the reason. Never raises for a row. `cache` knows tokens already.
    """
    examples: list[Example] = []
    kept: list[int] = []
    refused: dict[int, str] = {}
    thoughtless: list[int] = []
    for start in range(0, len(conversations), TOGETHER):
        part = conversations[start : start + TOGETHER]
        progress(start / len(conversations))
        for number, found in enumerate(_encode_some(part, encoder, cache), start):
            if isinstance(found, RequestError):
                refused[number] = str(found)
                continue
            whole, thought_left_out = found
            if thought_left_out:
                thoughtless.append(number)
            examples += whole
            kept += [number] * len(whole)
    moved = [n for n in dict.fromkeys(kept) if conversations[n].turns[0].role == "system"]
    return Encoded(
        tuple(examples),
        tuple(kept),
        UNLIMITED,
        (),
        refused,
        tuple(moved) if moved and not encoder.takes_system else (),
        tuple(thoughtless),
    ).within(max_length)


def encoder_in(folder: Path | None) -> ChatEncoder | None:
    """Return what training encodes by with the model in `folder`; None where its files cannot be read."""
    if folder is None:
        return None
    from tokenizers import Tokenizer

    from sails.onnx import (
        ChatEncoder,
        default_chat_template,
        read_settings,
        read_template,
        with_whole_prompt,
    )

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = read_settings(folder)
        special = special_tokens(settings)
        text = read_template(folder, settings)
        text = with_whole_prompt(text, special) if text else default_chat_template(tokenizer, special)
        return ChatEncoder(
            tokenizer, ChatTemplate(text, special), tokenizer.token_to_id(special.get("eos_token", ""))
        )
    except Exception:  # noqa: BLE001 (tokenizers raises bare Exceptions; whatever is wrong, nobody can tell)
        return None


def within_context(folder: Path, max_length: int) -> int:
    """Return `max_length`, or the longest text that the model in `folder` takes where that is shorter."""
    config = read_json(folder / "config.json") or {}
    longest = config.get("max_position_embeddings") or config.get("n_positions")
    return min(max_length, longest) if isinstance(longest, int) else max_length


def nothing_left(conversations: Sequence[Conversation], encoded: Encoded) -> BadDataError:
    """Return the error for conversations of which none can be taught."""
    others = [reason for reason in encoded.refused.values() if reason != TOO_LONG]
    none = (
        f"None of the {len(conversations):,} conversations" if len(conversations) > 1 else "No conversation"
    )
    if others:
        problem = f"{none} can be taught to this model. {others[0]}"
        return BadDataError(problem, "Choose another base model, or change the conversations.")
    return BadDataError(
        f"{none} has an answer within {encoded.max_length} tokens.",
        "Shorten the questions, or allow longer conversations.",
    )


def _encode_some(
    conversations: Sequence[Conversation], encoder: ChatEncoder, cache: TokenCache | None
) -> Iterator[tuple[list[Example], bool] | RequestError]:
    """The examples of each, and whether a thought was left out of an answer; or why it cannot be taught."""
    known = cache.find(conversations) if cache else {}
    chats = []
    for number, conversation in enumerate(conversations):
        messages = conversation.messages() if number not in known else []
        answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        places = compress(answers, conversation.learned)
        chats.append([(messages[: place + 1], conversation.tools) for place in places])
    taught = iter(encoder.taught_all([answer for chat in chats for answer in chat]))
    for number, (conversation, chat) in enumerate(zip(conversations, chats, strict=True)):
        if number in known:
            examples, thought_left_out = known[number]
            yield [Example.of(*example) for example in examples], thought_left_out
            continue
        found = _examples(list(islice(taught, len(chat))))
        if cache and not isinstance(found, RequestError):
            whole = tuple(
                (example.tokens, [label != IGNORED for label in example.labels]) for example in found[0]
            )
            cache.keep(conversation, Entry(whole, found[1]))
        yield found


def _examples(taught: Sequence[TaughtAnswer | RequestError]) -> tuple[list[Example], bool] | RequestError:
    if not taught:
        return RequestError("It has no answer.")
    examples: list[Example] = []
    thought_left_out = False
    for answer in taught:
        if isinstance(answer, RequestError):
            return answer
        thought_left_out |= answer.thought_left_out
        labels = [IGNORED] * len(answer.prompt)
        if examples and answer.prompt[: len(examples[-1])] == examples[-1].tokens:
            earlier = examples.pop().labels
            labels[: len(earlier)] = earlier
        examples.append(Example([*answer.prompt, *answer.answer], [*labels, *answer.answer]))
    return examples, thought_left_out


def _row(number: int, conversations: Sequence[Conversation]) -> int:
    return conversations[number].row or number + 1


def _rows(numbers: Sequence[int], conversations: Sequence[Conversation]) -> str:
    return name_rows([_row(number, conversations) for number in numbers])


def describe_left_out(reasons: Mapping[int, str]) -> list[str]:
    """Name the rows that are left out, by their numbers in the source: one sentence for each reason."""
    rows: dict[str, list[int]] = {}
    for row, reason in reasons.items():
        rows.setdefault(reason, []).append(row)
    return [f"⚠️ Left out: {name_rows(some)}. {reason}" for reason, some in rows.items()]


def name_rows(rows: Sequence[int]) -> str:
    """Name rows by their numbers in the source; the first few of many."""
    named = ", ".join(f"{row:,}" for row in rows[:MAX_NAMED])
    more = f" and {len(rows) - MAX_NAMED:,} more" if len(rows) > MAX_NAMED else ""
    return f"row{'' if len(rows) == 1 else 's'} {named}{more}"
