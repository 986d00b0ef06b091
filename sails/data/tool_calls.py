"""Calls of tools in a person's file: each with its name and arguments, and whole with what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from sails.data.conversation import CALLS, RESULT_OF

_RESULTS = frozenset({"tool", "function", "observation", "tool_response", "tool_result"})
_CALLERS = frozenset({"function_call", "tool_call"})  # who speaks where a call is a turn of its own
# As Hermes and Qwen write them into a text.
_WRITTEN_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_WRITTEN_RESULT = re.compile(r"\s*<tool_response>(.*)</tool_response>\s*", re.DOTALL)
BROKEN = "broken"  # the role of a turn that calls a tool in a way that nobody knows


def read_turn(
    role: str, speaker: str, item: dict[str, Any], content: Any
) -> tuple[str, dict[str, Any] | None, Any]:
    """Return the role of a turn, what it has beside its content where tools are called, and its content."""
    named = speaker.strip().casefold()
    if role == "assistant" and isinstance(content, str) and (written := _WRITTEN_CALL.findall(content)):
        found = [call for one in written for call in _calls_in(one) or ()]
        if len(found) == len(written):
            return role, {CALLS: found}, _WRITTEN_CALL.sub("", content).strip()
    result = _WRITTEN_RESULT.fullmatch(content) if role == "tool" and isinstance(content, str) else None
    if result:
        content = result[1].strip()
    if named in _CALLERS:
        calls, content = _calls_in(content), None
    elif item.get("tool_calls") or item.get("function_call"):
        calls = _calls_in(item.get("tool_calls") or item["function_call"]) if role == "assistant" else None
    elif role == "tool":
        returned = {key: item[key] for key in RESULT_OF if isinstance(item.get(key), str)}
        return ("tool" if named in _RESULTS else BROKEN), returned or None, content
    else:
        return role, None, content
    return ("assistant", {CALLS: calls}, content) if calls else (BROKEN, None, content)


def opened(item: dict[str, Any], parts: list[Any], key: str) -> list[dict[str, Any]]:
    """Return a turn whose `parts` call tools or hold what they returned as the turns that it stands for.

    Anthropic's messages have `tool_use` and `tool_result` among their texts, Google's `functionCall` and
    `functionResponse`, Amazon's `toolUse` and `toolResult`. `key` is that of the parts.
    """
    turns: list[dict[str, Any]] = []
    texts: list[Any] = []
    calls: list[Any] = []

    def close() -> None:
        if texts or calls:
            turns.append({**item, key: [*texts], **({CALLS: [*calls]} if calls else {})})
            texts.clear()
            calls.clear()

    for part in parts:
        call, result = _called(part), _returned(part)
        if call is not None:
            calls.append(call)
        elif result is not None:
            close()
            turns.append(result)
        else:
            if calls:
                close()
            texts.append(part)
    close()
    return turns


def _called(part: Any) -> dict[str, Any] | None:
    if not isinstance(part, dict):
        return None
    if part.get("type") in ("tool_use", "server_tool_use"):
        function = {"name": part.get("name"), "arguments": part.get("input")}
        return {"id": part.get("id"), "function": function}
    if isinstance(used := part.get("toolUse"), dict):
        return {"id": used.get("toolUseId"), "function": {**used, "arguments": used.get("input")}}
    called = part.get("functionCall", part.get("function_call"))
    return {"function": called} if isinstance(called, dict) else None


def _returned(part: Any) -> dict[str, Any] | None:
    if not isinstance(part, dict):
        return None
    if isinstance(part.get("toolResult"), dict):
        part = {
            **part["toolResult"],
            "type": "tool_result",
            "tool_use_id": part["toolResult"].get("toolUseId"),
        }
    if part.get("type") == "tool_result":
        returned, name = part.get("content", ""), part.get("name")
    elif isinstance(answer := part.get("functionResponse", part.get("function_response")), dict):
        returned, name = answer.get("response", ""), answer.get("name")
    else:
        return None
    if isinstance(returned, dict):
        returned = json.dumps(returned, ensure_ascii=False)
    named = {"name": name, "tool_call_id": part.get("tool_use_id")}
    return {"role": "tool", "content": returned} | {k: v for k, v in named.items() if isinstance(v, str)}


def are_whole(turns: Iterable[tuple[str, bool]]) -> bool:
    """Tell whether each call has its result behind it, unless it is the last word, and each result its call.

    `turns` are the role of each, and whether it has something beside its content.
    """
    kinds = ["call" if role == "assistant" and beside else role for role, beside in turns]
    for before, kind in pairwise(["", *kinds]):
        if kind == BROKEN or (kind == "tool" and before not in ("call", "tool")):
            return False
        if before == "call" and kind != "tool":
            return False
    return True


def _calls_in(value: Any) -> list[dict[str, Any]] | None:
    """The calls of an answer as chat templates want them; None where that is not what they are."""
    value = _parsed(value)
    calls = []
    for call in value if isinstance(value, list) else [value]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return None
        arguments = _parsed(function.get("arguments", function.get("args")) or {})
        if not isinstance(arguments, dict):
            return None
        named = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        called = {"name": function["name"], "arguments": arguments}
        calls.append({**named, "type": "function", "function": called})
    return calls or None


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
