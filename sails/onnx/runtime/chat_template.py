"""From messages to the text that a model reads: its own chat template, or a plain one where it has none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sails.errors import ModelLoadError, RequestError

Messages = Sequence[Mapping[str, str]] | str

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


def as_messages(messages: Messages) -> list[dict[str, str]]:
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


class ChatTemplate:
    """A compiled template with the model's special tokens. Raises ModelLoadError when it is no template."""

    def __init__(self, text: str, special_tokens: Mapping[str, str]) -> None:
        try:
            self._template = _environment().from_string(text)
        except jinja2.TemplateError as error:
            raise ModelLoadError(
                "The model's chat template cannot be read.", "Export the model again."
            ) from error
        # Templates ask `is not none`, which an undefined name is not.
        self._values = {"tools": None, "documents": None, **special_tokens}

    def render(self, messages: Messages, ask: bool = True) -> str:
        """The conversation, up to where an answer begins if one is asked for; RequestError if refused."""
        values = {**self._values, "add_generation_prompt": ask}
        try:
            return self._template.render(messages=as_messages(messages), **values)
        except RequestError:
            raise
        except Exception as error:  # a template is a program that came with the model: it may raise anything
            reason = str(error).split("\n", 1)[0].rstrip(".")
            raise RequestError(
                f"The model's chat template refuses this conversation: {reason}.",
                "Begin with a user message and let user and assistant take turns.",
            ) from error


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}` marks the answers for training; in a chat, what is inside counts as it is."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    """The sandbox, and the names, that Hugging Face chat templates are written for."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def strftime_now(style: str) -> str:
        return datetime.now().strftime(style)

    def tojson(value: Any, ensure_ascii: bool = False, **style: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **style)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": raise_exception, "strftime_now": strftime_now}
    return environment
