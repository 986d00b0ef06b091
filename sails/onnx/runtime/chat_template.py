"""From messages to the text that a model reads: its own chat template, or a plain one where it has none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from sails.errors import ModelLoadError, RequestError
from sails.onnx.runtime import sandbox

Messages = Sequence[Mapping[str, Any]] | str

_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

# For a model that brings no chat template. Training saves the same text, so that both sides agree.
DEFAULT_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' ~ message['content'] ~ '\\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ 'Assistant: ' ~ message['content'] ~ eos_token ~ '\\n' }}"
    "{% else %}{{ message['content'] ~ '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def as_messages(messages: Messages) -> list[dict[str, Any]]:
    """Return the conversation as a list; a str is one user message. Raises RequestError when it is none."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    checked = [dict(message) for message in messages]
    if not checked or not all(isinstance(m.get(key), str) for m in checked for key in ("role", "content")):
        raise RequestError(
            "A conversation is a list of messages, each with a role and its content as text.",
            "Give at least one message with the role user.",
        )
    return checked


def special_tokens(tokenizer_config: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens that a tokenizer's settings name, as templates read them: text by name."""
    tokens = {name: tokenizer_config.get(name) for name in _SPECIAL_TOKENS}
    texts = {name: one.get("content") if isinstance(one, dict) else one for name, one in tokens.items()}
    return {name: text for name, text in texts.items() if text and isinstance(text, str)}


class Rendering(NamedTuple):
    """What is rendered: up to where an answer begins, if one is asked for."""

    messages: Messages
    ask: bool = True
    tools: Sequence[Mapping[str, Any]] | None = None


class ChatTemplate:
    """A template with the model's special tokens. Raises ModelLoadError when it is no template."""

    def __init__(self, text: str, special_tokens: Mapping[str, str]) -> None:
        self._text = text
        # Templates ask `is not none`, which an undefined name is not.
        self._values = {"documents": None, **special_tokens}
        self._unbounded: RequestError | None = None
        try:
            sandbox.check(text)
        except sandbox.TemplateError as error:
            raise ModelLoadError(
                "The model's chat template cannot be read.", "Export the model again."
            ) from error

    @property
    def identity(self) -> str:
        """All that decides what it renders; of one that asks for the date, that of today."""
        today = str(date.today()) if "strftime_now" in self._text else ""
        return json.dumps([self._text, self._values, today], sort_keys=True, default=str)

    def render(
        self, messages: Messages, ask: bool = True, tools: Sequence[Mapping[str, Any]] | None = None
    ) -> str:
        """The conversation, up to where an answer begins if one is asked for; RequestError if refused."""
        (text,) = self.render_all([Rendering(messages, ask, tools)])
        if isinstance(text, RequestError):
            raise text
        return text

    def render_all(self, several: Sequence[Rendering]) -> list[str | RequestError]:
        """Several conversations, in far less time; one that is refused has its error.

        Where one text took more time or memory than any chat needs, every other one is refused at once.
        """
        if self._unbounded:
            return [self._unbounded] * len(several)
        values = [
            {
                "messages": as_messages(one.messages),
                **self._values,
                "tools": one.tools,
                "add_generation_prompt": one.ask,
            }
            for one in several
        ]
        return [
            self._error(text) if isinstance(text, sandbox.TemplateError) else text
            for text in sandbox.render(self._text, values)
        ]

    def _error(self, error: sandbox.TemplateError) -> RequestError:
        if isinstance(error, sandbox.LimitError):
            self._unbounded = self._unbounded or RequestError(
                "The model's chat template takes more time or memory than any chat needs.",
                "Choose another model, or mend its chat template.",
            )
            return self._unbounded
        reason = str(error).split("\n", 1)[0].rstrip(".")
        return RequestError(
            f"The model's chat template refuses this conversation: {reason}.",
            "Begin with a user message and let user and assistant take turns.",
        )
