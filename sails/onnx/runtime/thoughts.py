"""What a model thinks before it answers, between `<think>` and `</think>`: no part of the answer."""

from __future__ import annotations

THOUGHT_START, THOUGHT_END = "<think>", "</think>"


def without_thought(text: str) -> str:
    """Return an answer without the thought before it, and unchanged where there is none."""
    _, end, answer = text.rpartition(THOUGHT_END)
    return answer.lstrip() if end else text


def is_open(prompt: str) -> bool:
    """Tell whether a rendered prompt ends within a thought, so that the model goes on thinking."""
    return prompt.rstrip().endswith(THOUGHT_START)


class ThoughtFilter:
    """Takes an answer piece by piece and gives back what is no thought; `open`: it begins within one."""

    def __init__(self, open: bool = False) -> None:
        self._thinking: bool | None = True if open else None  # None: too early to tell
        self._opened_by_prompt = open
        self._held = ""

    def add(self, piece: str) -> str:
        """Return what may be shown by now."""
        if self._thinking is False:
            return piece
        self._held += piece
        if self._thinking is None:
            begun = self._held.lstrip()
            if THOUGHT_START.startswith(begun):
                return ""
            self._thinking = begun.startswith(THOUGHT_START)
        if self._thinking:
            _, end, rest = self._held.partition(THOUGHT_END)
            if not end or not rest.strip():
                return ""
            self._held = rest.lstrip()
        self._thinking = False
        shown, self._held = self._held, ""
        return shown

    def end(self, *, by_itself: bool) -> str:
        """Return what was held back at the end of an answer.

        A model that ends its turn within a thought that only the prompt had opened did answer.
        """
        answered = self._thinking is None or (self._opened_by_prompt and by_itself)
        return self._held if answered and THOUGHT_END not in self._held else ""


def answer_in(text: str, prompt: str, *, by_itself: bool) -> str:
    """Return what of a model's whole answer to a rendered prompt is no thought."""
    thoughts = ThoughtFilter(is_open(prompt))
    return thoughts.add(text) + thoughts.end(by_itself=by_itself)
