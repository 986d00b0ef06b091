"""The questions of a certificate: eight of ours that never change, and the person's own.

    for batch in batches(questions_for(original, prompts, answers, 24, 12)):
        ...

Each as PyTorch's tokenizer writes it; those that are too long, or that the model's template refuses, are
left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import jinja2

from sails.onnx.certify.reference import Original
from sails.onnx.runtime.chat_template import Messages, as_messages

MAX_OWN_PROMPTS = 64
KNOWN_TOKENS = 48  # of a right answer; more would tell little more
BATCH, BATCH_TOKENS = 16, 1024  # questions that PyTorch answers at once, and their tokens with padding
# Longer prompts are left out: the logits of 512 positions over 150,000 tokens are 0.3 GB, twice.
MAX_PROMPT_TOKENS = 512

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


@dataclass
class Question:
    """One question as PyTorch's tokenizer writes it, with the right answer where it is known."""

    messages: list[dict[str, str]]
    prompt: list[int]
    known: list[int]
    room: int  # tokens of the answer
    own: bool

    @property
    def text(self) -> str:
        return self.messages[-1]["content"]


def questions_for(
    original: Original, prompts: Sequence[Messages], answers: Sequence[str], new_tokens: int, own_tokens: int
) -> list[Question]:
    """Ours, then the person's own, without those that are too long or that the template refuses."""
    asked = [(prompt, "", False, new_tokens) for prompt in FIXED_PROMPTS]
    theirs = prompts[:MAX_OWN_PROMPTS]
    own_answers = zip_longest(theirs, answers[: len(theirs)], fillvalue="")
    asked += [(prompt, answer, True, own_tokens) for prompt, answer in own_answers]
    questions = []
    for content, answer, own, wanted in asked:
        with contextlib.suppress(jinja2.TemplateError):
            messages = as_messages(content)
            prompt, known = original.encode(messages, answer)
            left = original.context_length - len(prompt)
            room = min(wanted, original.context_length // 2, left)
            if 0 < len(prompt) <= MAX_PROMPT_TOKENS and room > 0:
                questions.append(Question(messages, prompt, known[: min(KNOWN_TOKENS, left)], room, own))
    return questions


def batches(questions: Sequence[Question]) -> Iterator[list[Question]]:
    """In their order, so many at once that `BATCH_TOKENS` hold them, padded to the longest."""
    batch: list[Question] = []
    for question in questions:
        longest = max(len(one.prompt) + one.room for one in (*batch, question))
        if batch and (len(batch) == BATCH or longest * (len(batch) + 1) > BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(question)
    if batch:
        yield batch
