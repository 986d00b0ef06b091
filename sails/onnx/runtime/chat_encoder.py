"""Messages ─► tokens, the same in training and in every chat.

    encoder = ChatEncoder(tokenizer, ChatTemplate(text, special), eos_token_id)
    encoder.prompt(messages)            # what a model is asked
    encoder.taught(messages)            # that, and the answer in the last message up to its end

Answers are found by position: they are rendered between two signs that no text holds. A sign of the template
inside a person's text (an answer that explains `<|im_end|>`) is read as the plain text that it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers import __version__ as tokenizers_version

from sails.errors import RequestError
from sails.onnx.runtime.chat_template import (
    DEFAULT_CHAT_TEMPLATE,
    ChatTemplate,
    Messages,
    Rendering,
    as_messages,
)
from sails.onnx.runtime.thoughts import THOUGHT_END, THOUGHT_START, is_open, without_thought

VERSION = 1  # of how conversations become tokens here: to be raised when other tokens come out
# Code points that Unicode keeps for a program's own use: no file holds them.
_BEGIN, _END, _BREAK, _ALIAS = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
# Signs of a template that may be words to the tokenizer: <|end|>, </s>, [INST], ### Answer:
_WRITTEN_SIGN = re.compile(r"<[|/]?[\w.:-]+[|/]?>|\[/?\w+\]|<<\w+>>|#{2,} ?\w+:?")
_SYSTEM = "Sails 7315"  # a system message that no template writes by itself
_QUESTION = {"role": "user", "content": "Hello"}
_THOUGHTFUL = f"{THOUGHT_START}\nOne.\n{THOUGHT_END}\n\nTwo."


@dataclass(frozen=True)
class EncodedPrompt:
    """What a model is asked: its text, and its tokens."""

    text: str
    token_ids: list[int]


@dataclass(frozen=True)
class TaughtAnswer:
    """An answer behind its prompt: `answer` are its tokens, the last of them ends the turn."""

    prompt: list[int]
    answer: list[int]
    thought_left_out: bool = False  # the template has no place for it, so the answer is taught alone


class ChatEncoder:
    """A tokenizer with its chat template. Keeps nothing between calls but what it found out about both."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate, eos_token_id: int | None) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._eos = eos_token_id
        tokenizer.no_padding()
        tokenizer.no_truncation()

    def prompt(self, messages: Messages) -> EncodedPrompt:
        """Encode a conversation up to where the model's answer begins. Raises `RequestError` if refused."""
        text = self._template.render(self._prepared(messages))
        return EncodedPrompt(text.replace(_BREAK, ""), self._ids(text))

    @cached_property
    def identity(self) -> bytes:
        """32 bytes that are the same where the same conversation has the same tokens."""
        parts = [VERSION, tokenizers_version, self._tokenizer.to_str(), self._template.identity, self._eos]
        return hashlib.sha256(json.dumps(parts).encode()).digest()

    def taught(self, messages: Messages, tools: Sequence[Mapping[str, Any]] = ()) -> TaughtAnswer:
        """Encode the last message, an answer, behind what is asked for it; `tools` are those it may call.

        Raises `RequestError` when the template refuses the conversation or does not write the answer, or
        what tools were called and returned.
        """
        (taught,) = self.taught_all([(messages, tools)])
        if isinstance(taught, RequestError):
            raise taught
        return taught

    def taught_all(
        self, chats: Sequence[tuple[Messages, Sequence[Mapping[str, Any]]]]
    ) -> list[TaughtAnswer | RequestError]:
        """Encode several as `taught` does one, in far less time; one that it refuses has its error."""
        found: dict[int, TaughtAnswer | RequestError] = {}
        steps = [self._steps(*chat) for chat in chats]
        said: dict[int, str | RequestError | None] = dict.fromkeys(range(len(chats)))
        while said:
            asked: dict[int, Rendering] = {}
            for number, text in said.items():
                try:
                    step = steps[number]
                    asked[number] = step.throw(text) if isinstance(text, RequestError) else step.send(text)
                except StopIteration as end:
                    found[number] = end.value
                except RequestError as error:
                    found[number] = error
            said = dict(zip(asked, self._template.render_all(list(asked.values())), strict=True))
        return [found[number] for number in range(len(chats))]

    def _steps(
        self, messages: Messages, tools: Sequence[Mapping[str, Any]]
    ) -> Generator[Rendering, str | None, TaughtAnswer]:
        """Encode one answer; yields what the template is to render, and is sent the text."""
        *before, last = self._prepared(messages)
        offered = self._unsigned(list(tools)) if tools and self._writes_tools else None
        if any(message.get("tool_calls") for message in (*before, last)):
            self._require_calls([*before, last], self._unsigned(list(tools)))
        asked = yield Rendering(before, tools=offered)
        assert asked is not None
        kept = without_thought(last["content"]) if self._drops_thoughts else last["content"]
        if last.get("tool_calls"):
            whole = yield Rendering([*before, {**last, "content": kept}], False, offered)
            behind = self._calls_behind(asked, whole or "")
        else:
            whole = yield Rendering([*before, _answer(_marked(kept))], False, offered)
            start, shown, rest = _parts(whole or "")
            if not shown.strip():
                raise RequestError("The answer is empty.", "Write an answer, or leave the row out.")
            # A template may write earlier turns in another way once they are answered: what is asked counts.
            gap = start.removeprefix(asked) if start.startswith(asked) else self._gap
            behind = gap + shown + self._end_of(rest)
        prompt, ids = self._ids(asked), self._ids(asked + behind)
        if ids[: len(prompt)] != prompt:  # one token would reach over the border
            ids = [*prompt, *self._ids(behind)]
        if ids[-1] not in self.end_token_ids and self._eos is not None:
            ids.append(self._eos)  # the template marks no end of turn: else the model would never stop
        answer = ids[len(prompt) :]
        if answer[-1] not in self.end_token_ids or self.end_token_ids.intersection(answer[:-1]):
            problem = "Its end cannot be told from its text."
            raise RequestError(problem, "Leave the signs of the model's chat template out of the answer.")
        return TaughtAnswer(prompt, answer, kept != last["content"])

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendered text: nothing is added, a chat template brings its special tokens."""
        return self._ids(text.replace(_BREAK, ""))

    def text_of(self, token_ids: Sequence[int]) -> str:
        """Return the text of these tokens, the signs of the template included."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=False)

    # --- what the template does -------------------------------------------------------------------

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system message reaches the model: some chat templates leave it out or refuse it."""
        try:
            return _SYSTEM in self._template.render([{"role": "system", "content": _SYSTEM}, _QUESTION])
        except RequestError:
            return False

    @cached_property
    def end_token_ids(self) -> frozenset[int]:
        """The token that ends an answer: the template's, else the end-of-text token; empty without both."""
        ends = [number for text, (number, _) in self._added.items() if self._end.endswith(text)]
        return frozenset(ends or ([] if self._eos is None else [self._eos]))

    @cached_property
    def end_text(self) -> str:
        """What ends a turn in a template that has no token for it; mostly empty. No part of an answer."""
        return "" if self._end.endswith(tuple(self._added)) else self._end.strip()

    def ends_turn(self, behind: str) -> bool | None:
        """Tell whether `end_text` ends a turn with this text behind it; None while it is too early to tell.

        An answer may name that text. Where its turn ends, the end-of-text token or the next turn follows.
        """
        if self._eos is None or (self._next_turn and behind.lstrip().startswith(self._next_turn)):
            return True
        return None if self._next_turn.startswith(behind.strip()) else False

    def without_end(self, said: str) -> tuple[str, bool]:
        """Return a whole answer without the text that ends its turn, and whether it had one."""
        for sign in re.finditer(re.escape(self.end_text), said) if self.end_text else ():
            if self.ends_turn(said[sign.end() :]) is not False:
                return said[: sign.start()], True
        return said, False

    @cached_property
    def _next_turn(self) -> str:
        """What a template writes between the end of an answer and the next question."""
        try:
            chat = [_QUESTION, _answer(_marked("Yes")), {"role": "user", "content": _SYSTEM}]
            rest = _parts(self._template.render(chat, False))[2]
        except RequestError:
            return ""
        return rest.partition(_SYSTEM)[0].strip().removeprefix(self.end_text).strip()

    @cached_property
    def _drops_thoughts(self) -> bool:
        """Whether an answer that begins with a thought is not written as it stands behind its prompt."""
        asked, gap, _ = self._probe
        answered = self._template.render([_QUESTION, _answer(_THOUGHTFUL)], False)
        return not answered.startswith(asked + gap + _THOUGHTFUL)

    @cached_property
    def _probe(self) -> tuple[str, str, str]:
        """A prompt, what lies between it and its answer, and what behind the answer, in the plainest chat."""
        try:
            asked = self._template.render([_QUESTION])
            start, _, rest = _parts(self._template.render([_QUESTION, _answer(_marked("Yes"))], False))
        except RequestError:  # it may take another conversation; training refuses such a template
            return "", "", ""
        return asked, start.removeprefix(asked) if start.startswith(asked) else "", rest

    @property
    def _gap(self) -> str:
        return self._probe[1]

    @cached_property
    def _end(self) -> str:
        return self._end_of(self._probe[2])

    def _end_of(self, rest: str) -> str:
        """What ends the turn in a template's text behind an answer: up to its first sign, if there is one."""
        ends = [rest.index(sign) + len(sign) for sign in self._added if sign in rest]
        return rest[: min(ends)] if ends else rest.rstrip()

    # --- tools ------------------------------------------------------------------------------------

    @cached_property
    def _writes_tools(self) -> bool:
        """Whether the template tells the model which tools there are."""
        tool = {"name": _BEGIN, "description": "", "parameters": {"type": "object", "properties": {}}}
        try:
            asked = self._template.render([_QUESTION], tools=[{"type": "function", "function": tool}])
        except RequestError:
            return False
        return _BEGIN in asked

    def _require_calls(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> None:
        """Raise `RequestError` where the template leaves out a tool, a call or what a tool returned."""
        signs: list[str] = []

        def sign() -> str:
            signs.append(f"{_BEGIN}{len(signs)}{_END}")
            return signs[-1]

        def named(tool: dict[str, Any]) -> dict[str, Any]:
            function = tool["function"]
            signed = {**function, "name": sign() + function["name"]}
            if isinstance(function.get("arguments"), dict):
                signed["arguments"] = {**function["arguments"], "signed": sign()}
            return {**tool, "function": signed}

        signed = []
        for message in messages:
            if message["role"] == "tool":
                message = {**message, "content": sign() + message["content"]}
            if message.get("tool_calls"):
                message = {**message, "tool_calls": [named(call) for call in message["tool_calls"]]}
            signed.append(message)
        text = self._template.render(signed, False, [named(tool) for tool in tools] or None)
        if not all(one in text for one in signs):
            problem = "The model's chat template does not write how tools are called and what they return."
            raise RequestError(problem, "Choose another base model, or leave these rows out.")

    def _calls_behind(self, asked: str, whole: str) -> str:
        """What of a rendered conversation lies behind what is asked, up to the end of the turn."""
        behind = whole.removeprefix(asked)
        if not whole.startswith(asked) or self._end not in behind:
            problem = "Where the call of a tool begins and ends cannot be told from its text."
            raise RequestError(problem, "Choose another base model, or leave these rows out.")
        return behind[: behind.index(self._end) + len(self._end)] if self._end else behind.rstrip()

    # --- tokens -----------------------------------------------------------------------------------

    def _prepared(self, messages: Messages) -> list[dict[str, Any]]:
        """The messages as the template takes them, with no sign of it in what a person wrote.

        A system message stands in the first question where the template has no place for it.
        """
        checked = as_messages(messages)
        if checked[0]["role"] == "system" and len(checked) > 1 and not self.takes_system:
            system, first, *rest = checked
            checked = [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]
        return [{**self._unsigned(message), "role": message["role"]} for message in checked]

    def _unsigned(self, value: Any) -> Any:
        """A text, or all that stand in a value of JSON, with the signs of the template broken."""
        if isinstance(value, dict):
            return {key: self._unsigned(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._unsigned(one) for one in value]
        if isinstance(value, str):
            for sign in (*self._signs, *self._spelled):
                if sign in value:
                    value = value.replace(sign, _broken(sign))
        return value

    def _ids(self, text: str) -> list[int]:
        text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no text
        if _BREAK not in text:
            return self._tokenizer.encode(text, add_special_tokens=False).ids
        written = [*self._signs, *map(_broken, self._spelled)]
        for number, sign in enumerate(written):
            text = text.replace(sign, _alias(number))
        tokenizer, meant = self._splitting
        ids = tokenizer.encode(text.replace(_BREAK, ""), add_special_tokens=False).ids
        return [one for token in ids for one in meant.get(token, (token,))]

    @cached_property
    def _added(self) -> dict[str, tuple[int, AddedToken]]:
        """The tokens that are signs rather than words, with their numbers, by their text."""
        tokens = self._tokenizer.get_added_tokens_decoder().items()
        return {token.content: (number, token) for number, token in tokens if token.content.strip()}

    @cached_property
    def _signs(self) -> list[str]:
        """The signs that are special, or that the template writes; thoughts are for a person to write."""
        written = self._probe[0] + self._probe[2]
        found = [text for text, (_, token) in self._added.items() if token.special or text in written]
        found = [text for text in found if len(text) > 1 and text not in (THOUGHT_START, THOUGHT_END)]
        return sorted(found, key=len, reverse=True)

    @cached_property
    def _spelled(self) -> dict[str, list[int]]:
        """The signs that the template writes in several tokens, with those of their letters.

        A person's text has them letter by letter, so that the model does not read them as the template's.
        """
        spelled = {}
        for sign in dict.fromkeys(_WRITTEN_SIGN.findall(self._probe[0] + self._probe[2])):
            letters = [self._tokenizer.token_to_id("Ġ" if letter == " " else letter) for letter in sign]
            if sign not in (*self._added, THOUGHT_START, THOUGHT_END) and None not in letters:
                spelled[sign] = [letter for letter in letters if letter is not None]
        return spelled

    @cached_property
    def _splitting(self) -> tuple[Tokenizer, dict[int, list[int]]]:
        """A tokenizer that takes signs for plain text, and the tokens that our names for them mean, by id."""
        content = json.loads(self._tokenizer.to_str())
        for token in content["added_tokens"]:
            token["special"] = token["special"] or token["content"] in self._signs
        tokenizer = Tokenizer.from_str(json.dumps(content))
        tokenizer.encode_special_tokens = True
        meant: dict[int, list[int]] = {}
        for number, sign in enumerate(self._signs):
            token_id, token = self._added[sign]
            flags = {"single_word": token.single_word, "lstrip": token.lstrip, "rstrip": token.rstrip}
            tokenizer.add_tokens([AddedToken(_alias(number), normalized=False, special=False, **flags)])
            meant[tokenizer.token_to_id(_alias(number))] = [token_id]
        for number, letters in enumerate(self._spelled.values(), len(self._signs)):
            tokenizer.add_tokens([AddedToken(_alias(number), normalized=False, special=False)])
            meant[tokenizer.token_to_id(_alias(number))] = letters
        return tokenizer, meant


def with_whole_prompt(template: str, special: Mapping[str, str]) -> str:
    """Return a chat template whose prompt reaches up to where an answer begins.

    Some prompts open a thought, or end before the sign of who speaks; a model that is taught plain answers is
    asked for one by a prompt that closes the thought. Whoever uses the saved model asks as it was taught.
    Raises `ModelLoadError` for what is no template, and `RequestError` when it refuses the plainest chat.
    """
    compiled = ChatTemplate(template, special)
    asked = compiled.render([_QUESTION])
    start, _, _ = _parts(compiled.render([_QUESTION, _answer(_marked("Yes"))], False))
    missing = start.removeprefix(asked).rstrip(" ") if start.startswith(asked) else ""
    if is_open(asked + missing):
        missing += f"{'' if (asked + missing).endswith(chr(10)) else chr(10)}\n{THOUGHT_END}\n\n"
    if not missing.strip():
        return template
    condition = "add_generation_prompt and enable_thinking is not defined"
    template = template.removesuffix("\n")  # jinja drops it at the end of a template, and only there
    return f"{template}{{% if {condition} %}}{{{{ {json.dumps(missing)} }}}}{{% endif %}}"


def default_chat_template(tokenizer: Tokenizer, special: Mapping[str, str]) -> str:
    """Return the template of a model that brings none, with the begin-of-text token that its texts have."""
    begin = special.get("bos_token", "")
    begun = tokenizer.encode("a", add_special_tokens=True).ids[:1] if begin else []
    adds = bool(begun) and begun[0] == tokenizer.token_to_id(begin)
    return ("{{ bos_token }}" if adds else "") + DEFAULT_CHAT_TEMPLATE


def _answer(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _marked(content: str) -> str:
    """The content with our two signs around it, inside the white space that a template may strip."""
    core = content.strip()
    lead = content[: len(content) - len(content.lstrip())] if core else content
    return f"{lead}{_BEGIN}{core}{_END}{content[len(lead) + len(core) :]}"


def _parts(text: str) -> tuple[str, str, str]:
    """What lies before, between and behind our two signs. Raises `RequestError` where they are not whole."""
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise RequestError("The chat template of this model drops an answer.", "Choose another base model.")
    start, rest = text.split(_BEGIN)
    return start, *rest.split(_END)  # type: ignore[return-value]


def _broken(sign: str) -> str:
    return sign[:1] + _BREAK + sign[1:]


def _alias(number: int) -> str:
    return f"{_ALIAS}{number}{_ALIAS}"
