"""One record as a list of turns, in whichever of the many shapes that programs and datasets write chats.

A reader takes a record and gives its turns, as `turns.chat_turns` takes them, or None where the record is
not of its shape after all. Records with a column for the question and one for the answer are not here.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, TypeGuard

from sails.data import column_names, markup
from sails.data.columns import chat_column, recognise
from sails.data.speakers import role_of
from sails.data.turns import Remark, RowRefused, by_turns, is_blank, is_turn, kind, turn_of

Items = list[Any]


class ChatReader(NamedTuple):
    """How the turns of a record are found, and the keys that they are found in, with what these are."""

    roles: dict[str, str]
    read: Callable[[dict[str, Any], set[Remark]], Items | None]


USUAL_NAMES = ("messages", "conversations", "conversation", "turns")
CHAT_NAMES = (*column_names.CHAT.split(), "chats", "contents", "data", "utterances", "log")
TEXT_NAMES = ("text", "content", "sample", "prompt", "formatted_text", "full_text", *CHAT_NAMES)
_PREFERENCES = (
    ("chosen", "rejected"),
    ("preferredoutput", "nonpreferredoutput"),
    ("preferred", "dispreferred"),
)
QUESTION_NAMES = ("prompt", "question", "instruction", "input", "query")
_BETWEEN_DICTS = re.compile(r"\}\s*\n\s*\{")  # how numpy prints a list of records
_LONGEST_CELL = 1_000_000  # characters of a Python list in a cell


def chat_readers(columns: Iterable[str]) -> tuple[ChatReader, ...]:
    """Return the readers for records with these columns, in the order in which they are tried."""
    by_name = {plain_name(name): name for name in columns}
    return tuple(
        ChatReader(keys if isinstance(keys, dict) else dict.fromkeys(keys, "conversations"), read)
        for keys, read in _readers(by_name)
    )


def _readers(by_name: dict[str, str]) -> Iterator[tuple[Sequence[str] | dict[str, str], Any]]:
    if "mapping" in by_name:
        yield [by_name["mapping"], "current_node"], _chatgpt
    if "chatmessages" in by_name:
        yield [by_name["chatmessages"]], _claude
    if "prompt" in by_name:
        yield [by_name["prompt"]], _oasst_tree
    for preferred, other in _PREFERENCES:
        if preferred not in by_name or other not in by_name:
            continue
        question = next((by_name[name] for name in QUESTION_NAMES if name in by_name), None)
        chats = [by_name[name] for name in map(plain_name, CHAT_NAMES) if name in by_name]
        before = chats[0] if chats else question
        keys = {before: "question"} if before else {}
        keys |= {by_name[preferred]: "answer"}
        yield keys, partial(_preferred, by_name[preferred], before)
    chats = [by_name[name] for name in map(plain_name, CHAT_NAMES) if name in by_name]
    answers = [name for name in by_name.values() if column_names.is_named(str(name), column_names.ANSWER)]
    for chat in chats:
        if len(answers) == 1 and chat != answers[0]:
            yield {chat: "question", answers[0]: "answer"}, partial(_answered, chat, answers[0])
        yield [chat], _reader_of(chat, chats)
    if "role" in by_name and "content" in by_name:
        role, content = by_name["role"], by_name["content"]
        yield [role, content], lambda fields, _: _columns({key: fields.get(key) for key in (role, content)})


def unwrapped(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return a record with what its records hold, where only these have a question and an answer, or a chat.

    Logs and tools for labels have them so: {"inputs": {"question": …}, "outputs": {"answer": …}}.
    """
    inside = [value for value in fields.values() if isinstance(value, dict)]
    if not inside:
        return None
    merged = {name: value for name, value in fields.items() if not isinstance(value, dict)}
    if _is_readable(tuple(merged)) or _has_chat(tuple(fields)):
        return None
    for record in inside:
        if not merged.keys().isdisjoint(record):
            return None
        merged |= record
    names = tuple(map(str, merged))
    mapping = recognise(names).mapping
    texts = mapping and all(isinstance(merged.get(name), str) for name in (mapping.input, mapping.output))
    return merged if texts or isinstance(merged.get(chat_column(names) or ""), list) else None


@cache
def _is_readable(names: tuple[Any, ...]) -> bool:
    columns = tuple(map(str, names))
    return _has_chat(names) or bool(recognise(columns))


@cache
def _has_chat(names: tuple[Any, ...]) -> bool:
    return chat_column(map(str, names)) is not None


def group_of(fields: Any) -> str | None:
    """Return the key of a list of questions with their answers, each for itself: {"topic", "questions": […]}.

    Under a name of chats such a list is one conversation, and where the keys are speakers.
    """
    if not isinstance(fields, dict) or _is_readable(tuple(fields)):
        return None
    groups = [key for key, value in fields.items() if _is_group(value)]
    return groups[0] if len(groups) == 1 else None


def _is_group(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    mappings = [recognise(map(str, item)).mapping for item in value[:20]]
    return all(m is not None and not (role_of(m.input) or role_of(m.output)) for m in mappings)


def text_readers(columns: Iterable[str]) -> tuple[ChatReader, ...]:
    """Return the readers for records whose chat may be written into one text."""
    by_name = {plain_name(name): name for name in columns}
    names = [by_name[name] for name in map(plain_name, TEXT_NAMES) if name in by_name]
    return tuple(ChatReader({name: "conversations"}, _text_reader_of(name)) for name in dict.fromkeys(names))


def _text_reader_of(name: str) -> Callable[[dict[str, Any], set[Remark]], Items | None]:
    return lambda fields, remarks: marked_text(fields.get(name), remarks)


def _reader_of(name: str, rivals: Sequence[str]) -> Callable[[dict[str, Any], set[Remark]], Items | None]:
    def read(fields: dict[str, Any], remarks: set[Remark]) -> Items | None:
        usual = plain_name(name) in USUAL_NAMES
        items = turns_of(fields.get(name), remarks, usual=usual, texts_too=plain_name(name) != "messages")
        if items is None:
            return None
        if _is_texts(fields[name]) and (other := _texts_beside(fields, name)):
            raise RowRefused(
                f"holds several lists of texts, “{name}” and “{other}”; keep one, with its speakers"
            )
        others = [
            other for other in rivals if other != name and turns_of(fields.get(other), set()) is not None
        ]
        if others and any(fields[other] != fields[name] for other in others):
            raise RowRefused(f"holds several lists of turns, “{name}” and “{others[0]}”; keep one of them")
        return items

    return read


def _answered(chat: str, answer: str, fields: dict[str, Any], remarks: set[Remark]) -> Items | None:
    """A chat that ends with a question, and the answer that stands beside it."""
    said = fields.get(answer)
    after = [{"role": "assistant", "content": said}] if isinstance(said, str) else _listed_turns(said)
    items = turns_of(fields.get(chat), remarks, usual=True) if after and not is_blank(said) else None
    if not items or not after or not isinstance(items[-1], dict) or _role(items[-1]) != "user":
        return None
    return [*items, *after]


def _texts_beside(fields: dict[str, Any], name: str) -> str | None:
    """Another list of as many texts, which may be their speakers or their answers."""
    texts = fields[name]
    others = ((key, value) for key, value in fields.items() if _is_texts(value) and value != texts)
    return next((key for key, value in others if len(value) == len(texts)), None)


def _is_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def lone_chat(
    fields: dict[str, Any], remarks: set[Remark], without: frozenset[str]
) -> tuple[Items, str] | None:
    """Return the one list of turns in a record, whatever its name, with its key."""
    chats = {
        key: items
        for key, value in fields.items()
        if key not in without and (items := turns_of(value, remarks)) is not None
    }
    if (group := group_of(fields)) in chats and len(fields[group]) > 1:
        raise RowRefused(f"holds several questions with their answers, “{group}”; write each into a row")
    if len(chats) > 1:
        named = " and ".join(f"“{key}”" for key in chats)
        raise RowRefused(f"holds several lists of turns, {named}; keep one of them")
    return next(((items, key) for key, items in chats.items()), None)


def marked_text(value: Any, remarks: set[Remark]) -> Items | None:
    """Return the turns that are written into a text."""
    turns = markup.turns_in(value) if isinstance(value, str) else None
    if turns is not None:
        remarks.add(Remark.MARKUP)
    return turns


def turns_of(
    value: Any, remarks: set[Remark], *, usual: bool = False, texts_too: bool = False
) -> Items | None:
    """Return a value as a list of turns, in any form that lists of turns have; None for anything else.

    `usual`: its name says that it is one, whatever it holds. `texts_too`: a list of plain texts is one, too.
    """
    value = unpacked(value)
    if isinstance(value, dict):
        inside = value.get("messages")
        return turns_of(inside, remarks, usual=True) if isinstance(inside, list) else _columns(value)
    if not isinstance(value, list):
        return None
    if texts_too and _is_texts(value):
        remarks.add(Remark.BY_TURNS)
        return by_turns(value)
    if texts_too and all(isinstance(item, list) and len(item) == 2 for item in value):
        texts = [text for item in value for text in item]
        if _is_texts(texts) and not all(map(turn_of, value)):
            remarks.add(Remark.BY_TURNS)
            return by_turns(texts)
    turns, found = list[Any](), 0
    for item in value:
        spoken = None
        if isinstance(item, dict):
            spoken = [item] if is_turn(item) or _is_of_tools(item) else spoken_keys(item)
        if spoken is None and (turn := turn_of(item)) is not None:
            spoken = [turn]
        found += spoken is not None
        turns += [item] if spoken is None else spoken
    return turns if found or (usual and not any(isinstance(item, list) for item in value)) else None


def unpacked(value: Any) -> Any:
    """Return a record, or a list of records, that is written in a text; anything else as it is."""
    found = listed(value)
    is_chat = isinstance(found, dict) or (isinstance(found, list) and any(isinstance(i, dict) for i in found))
    return found if is_chat else value


def listed(value: Any) -> Any:
    """Return a list or record that is written in a text, whatever it holds; anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        found = _of_python(value)
        return value if found is None else found


def _of_python(text: str) -> Any:
    """pandas writes lists into CSV as Python prints them."""
    if len(text) > _LONGEST_CELL:
        return None
    for written in (text, _BETWEEN_DICTS.sub("}, {", text)):
        try:
            return ast.literal_eval(written.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _is_of_tools(item: dict[str, Any]) -> bool:
    return bool(item.get("tool_calls") or item.get("function_call"))


def spoken_keys(item: dict[str, Any]) -> Items | None:
    """Return the turns of a record whose keys are the speakers: {"human": …, "assistant": …}."""
    names = {"input": "user", "output": "assistant", "question": "user", "answer": "assistant"}
    names |= {"q": "user", "a": "assistant", "query": "user", "response": "assistant", "prompt": "user"}
    roles = {key: role_of(key) or names.get(str(key).casefold()) for key in item}
    known = [(role, item[key]) for key, role in roles.items() if role and not is_blank(item[key])]
    spoken = [role for role, _ in known if role in ("user", "assistant")]
    if not spoken or len(spoken) != len(set(spoken)) or (len(item) > 1 and len(spoken) < 2):
        return None
    order = ("system", "user", "assistant", "tool")
    marks = {key: value for key, value in item.items() if key in ("weight", "train", "loss")}
    return [
        {"role": role, "content": content} | (marks if role == "assistant" else {})
        for role, content in sorted(known, key=lambda turn: order.index(turn[0]))
    ]


def _columns(value: dict[str, Any]) -> Items | None:
    """{"role": ["user", …], "content": ["Hi", …]}, as columns of lists are saved."""
    lists = {key: items for key, items in value.items() if isinstance(items, list | tuple)}
    if len(lists) < 2 or len({len(items) for items in lists.values()}) != 1:
        return None
    turns = [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]
    return turns if turns and all(map(is_turn, turns)) else None


def pair_of_lists(question: Any, answer: Any, remarks: set[Remark]) -> Items | None:
    """Return a question and an answer of which one is a list of turns already, or opens a chat in a text."""
    if isinstance(question, str) and isinstance(answer, str):
        if question[:1] in "[{" and isinstance(unpacked(question), list):
            question = unpacked(question)
        elif ("\n" in question or question.startswith(("<", "[INST]"))) and markup.opens_a_chat(question):
            return marked_text(question + answer, remarks)
    before = _listed_turns(question)
    after = _listed_turns(answer)
    if before is None and after is None:
        return None
    before = before if before is not None else [{"role": "user", "content": question}]
    after = after if after is not None else [{"role": "assistant", "content": answer}]
    return [*before, *after]


def _listed_turns(value: Any) -> Items | None:
    value = [value] if isinstance(value, dict) and is_turn(value) else value
    is_chat = isinstance(value, list) and value and all(map(is_turn, value))
    return list(value) if is_chat else None


# --- preferences ----------------------------------------------------------------------------------


def _preferred(chosen: str, before: str | None, fields: dict[str, Any], remarks: set[Remark]) -> Items | None:
    answer, asked = unpacked(fields.get(chosen)), unpacked(fields.get(before)) if before else None
    if is_blank(answer):
        return None
    if isinstance(asked, dict) and isinstance(asked.get("messages"), list):
        asked = asked["messages"]
    remarks.add(Remark.CHOSEN)
    listed = _listed_turns(answer)
    if listed and _role(listed[0]) != "assistant":
        return listed  # the whole chat, the question included
    if isinstance(answer, str) and (turns := markup.turns_in(answer)):
        return turns
    if listed is None and not isinstance(answer, str):
        raise RowRefused(f"the preferred answer (“{chosen}”) is {kind(answer)}, not text")
    if is_blank(asked) or not before:
        raise RowRefused("lacks the question of the preferred answer")
    both = pair_of_lists(asked, answer, remarks)
    return both or [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _role(turn: dict[str, Any]) -> str | None:
    return role_of(turn.get("role") or turn.get("from"))


# --- what chat services export --------------------------------------------------------------------


def _chatgpt(fields: dict[str, Any], remarks: set[Remark]) -> Items | None:
    """A conversation of ChatGPT: a tree of messages, walked from its current end to its root."""
    nodes = fields.get("mapping")
    if not isinstance(nodes, dict) or not all(isinstance(node, dict) for node in nodes.values()):
        return None
    parents = {_id(node.get("parent")) for node in nodes.values()}
    ends = [name for name in nodes if name not in parents]
    name = _id(fields.get("current_node"))
    if name not in nodes:
        name = ends[-1] if ends else ""
    if len(ends) > 1:
        remarks.add(Remark.BRANCHES)
    messages: Items = []
    for _ in nodes:  # a tree has no more; a circle would go on
        if name not in nodes:
            break
        messages.append(nodes[name].get("message"))
        name = _id(nodes[name].get("parent"))
    turns = (_chatgpt_turn(message, remarks) for message in reversed(messages) if isinstance(message, dict))
    return [turn for turn in turns if turn is not None]


def _chatgpt_turn(message: dict[str, Any], remarks: set[Remark]) -> Items | dict[str, Any] | None:
    author, content = message.get("author"), message.get("content")
    metadata = message.get("metadata") if isinstance(message.get("metadata"), dict) else {}
    role = author.get("role") if isinstance(author, dict) else None
    hidden = metadata and metadata.get("is_visually_hidden_from_conversation")
    if not isinstance(content, dict) or hidden or message.get("weight") == 0:
        return None
    written = content.get("content_type")
    if written in ("thoughts", "reasoning_recap"):
        remarks.add(Remark.THOUGHTS)
        return None
    to_tool = message.get("recipient") not in (None, "all")
    if role in ("assistant", "tool") and (to_tool or role == "tool"):
        return _chatgpt_tool(role, message, content)
    parts = content.get("parts")
    if written in ("text", "multimodal_text") and isinstance(parts, list):
        if role != "tool" and all(part == "" for part in parts):
            return None
        if metadata and metadata.get("attachments"):
            remarks.add(Remark.FILES)
        return {"role": role, "content": parts}
    if written in ("user_editable_context", "model_editable_context"):
        return None
    return {"role": "tool", "content": ""}  # code that was run, a page that was looked at


def _chatgpt_tool(role: str, message: dict[str, Any], content: dict[str, Any]) -> dict[str, Any] | None:
    """What ChatGPT asked of a tool, or what that returned."""
    parts = content.get("parts")
    said = parts if isinstance(parts, list) else content.get("text", content.get("result"))
    if said is None:
        return {"role": "tool", "content": ""}
    if role == "tool":
        named = message["author"].get("name")
        return {"role": "tool", "content": said} | ({"name": named} if isinstance(named, str) else {})
    text = "".join(part for part in said if isinstance(part, str)) if isinstance(said, list) else str(said)
    asked = listed(text)
    arguments = asked if isinstance(asked, dict) else {"input": text}
    called = {"name": message["recipient"], "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"function": called}]}


def _claude(fields: dict[str, Any], remarks: set[Remark]) -> Items | None:
    """A conversation of Claude; where messages were written anew, what was written last."""
    messages = fields.get("chat_messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return None
    by_id = {name: message for message in messages if (name := _id(message.get("uuid")))}
    parents = [_id(message.get("parent_message_uuid")) for message in messages]
    if len(by_id) == len(messages) and any(parent in by_id for parent in parents):
        branch: list[dict[str, Any]] = []
        message = messages[-1]
        while message is not None and len(branch) < len(messages):
            branch.append(message)
            message = by_id.get(_id(message.get("parent_message_uuid")))
        if len(branch) < len(messages):
            remarks.add(Remark.BRANCHES)
        messages = branch[::-1]
    turns = []
    for message in messages:
        content = message.get("content")
        is_parts = isinstance(content, list) and any(isinstance(part, dict) for part in content)
        said: Any = content if is_parts else [message.get("text") or ""]
        attached = message.get("attachments")
        attached = attached if isinstance(attached, list) else []
        pasted = [one.get("extracted_content") for one in attached if isinstance(one, dict)]
        pasted = [text for text in pasted if isinstance(text, str) and text.strip()]
        turn = {"role": message.get("sender"), "content": [*said, *(f"\n\n{text}" for text in pasted)]}
        turns.append(turn | {"files": message.get("files") or len(attached) > len(pasted)})
    return turns


def _id(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _oasst_tree(fields: dict[str, Any], remarks: set[Remark]) -> Items | None:
    """A tree of messages as Open Assistant has them, along the replies that people liked best."""
    node = fields.get("prompt")
    if not isinstance(node, dict) or not isinstance(node.get("replies"), list):
        return None
    turns = []
    while node is not None:
        turns.append({"role": node.get("role"), "content": node.get("text")})
        replies = node.get("replies")
        node = best_reply(replies if isinstance(replies, list) else [], remarks)
    return turns


def best_reply(replies: Sequence[Any], remarks: set[Remark]) -> dict[str, Any] | None:
    """Return the reply with the best rank (the lowest number), of those that were not deleted or rejected."""
    records = [reply for reply in replies if isinstance(reply, dict)]
    good = [
        reply for reply in records if not reply.get("deleted") and reply.get("review_result") is not False
    ]
    if len(records) > 1:
        remarks.add(Remark.BRANCHES)
    return min(good, key=_rank, default=None)


def _rank(reply: dict[str, Any]) -> float:
    rank = reply.get("rank")
    try:
        return float(rank) if rank not in (None, "") else float("inf")
    except (TypeError, ValueError, OverflowError):
        return float("inf")


def plain_name(name: str) -> str:
    """A name without case, spaces and signs: `systemPrompt` and `System prompt` are one."""
    return "".join(c for c in str(name).casefold() if c.isalnum())
