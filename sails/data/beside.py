"""What stands in a record beside its question and answer, or beside its turns, and belongs to them.

Instructions become the system turn, a history earlier turns, a passage and choices a part of the question;
a mark that says “not this one” refuses the row. Whatever is not named here is kept and not taught.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sails.data import shapes
from sails.data.turns import Remark, RowRefused, is_blank, is_no, kind

_SYSTEM = ("system", "systemprompt", "systemmessage", "systeminstruction", "systeminstructions", "sys")
_HISTORY = ("history", "chathistory", "conversationhistory", "dialoghistory", "previousturns")
_INSTRUCTION = ("instruction", "instructions")
_CONTEXT = ("context", "passage", "paragraph", "background")
_CHOICES = ("choices", "options", "candidates", "multiplechoice")
_CHOICE = re.compile(r"(?:option|choice|answer|opt)?([a-f]|[1-6])")
_TRUE_MARKS = (
    *("iscorrect", "correct", "accepted", "approved", "isgood", "good"),
    *("keep", "label", "ktotag", "isvalid", "weight", "train", "learn"),
)
_FALSE_MARKS = ("deleted", "isdeleted", "rejected", "hidden", "spam", "isspam", "flagged")
_GRADES = (
    *("rating", "feedback", "vote", "thumb", "thumbs", "status"),
    *("quality", "score", "userrating", "review"),
)
_LOW = frozenset(
    (
        *("down", "thumbs down", "thumbs_down", "thumbsdown", "thumb_down", "👎", "downvote", "downvoted"),
        *("bad", "poor", "negative", "dislike", "disliked", "unhelpful", "wrong", "incorrect"),
        *("rejected", "deleted", "spam"),
    )
)
_YES = frozenset({"true", "yes", "1", "y", "x"})


class Beside(NamedTuple):
    """The keys of what belongs to the turns; empty where a record has none."""

    system: tuple[str, ...] = ()
    history: str | None = None
    instruction: str | None = None
    context: str | None = None
    choices: str | None = None
    choice_columns: tuple[tuple[str, str], ...] = ()  # label and key: (“a”, “Option A”)
    true_marks: tuple[str, ...] = ()  # false: the row is not to be taught
    false_marks: tuple[str, ...] = ()  # true: the row is not to be taught
    grades: tuple[str, ...] = ()


def beside(columns: Iterable[str], taken: Iterable[str] = ()) -> Beside:
    """Return what belongs to the turns of records with these columns; `taken` are those of the turns."""
    by_name = {shapes.plain_name(name): name for name in columns if name not in set(taken)}

    def first(names: Sequence[str]) -> str | None:
        return next((by_name[name] for name in names if name in by_name), None)

    def every(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(by_name[name] for name in names if name in by_name)

    labels = [(match[1], key) for name, key in by_name.items() if (match := _CHOICE.fullmatch(name))]
    return Beside(
        system=every(_SYSTEM),
        history=first(_HISTORY),
        instruction=first(_INSTRUCTION),
        context=first(_CONTEXT),
        choices=first(_CHOICES),
        choice_columns=tuple(sorted(labels)) if len(labels) > 1 else (),
        true_marks=every(_TRUE_MARKS),
        false_marks=every(_FALSE_MARKS),
        grades=every(_GRADES),
    )


def refuse_marked(fields: dict[str, Any], keys: Beside) -> None:
    """Raise RowRefused where the record says that it is not to be taught."""
    for key in keys.true_marks:
        value = fields.get(key)
        if shapes.plain_name(key) == "label":  # a number or a word may be a class
            value = value if value is False or str(value).casefold() == "false" else None
        if value not in (None, "") and is_no(value):
            raise RowRefused(f"is marked as not to be taught (“{key}” is {str(value).lower()})")
    for key in keys.false_marks:
        value = fields.get(key)
        if value is True or value == 1 or (isinstance(value, str) and value.strip().casefold() in _YES):
            raise RowRefused(f"is marked as not to be taught (“{key}” is {str(value).lower()})")
    for key in keys.grades:
        value = fields.get(key)
        low = isinstance(value, str) and value.strip().casefold() in _LOW
        negative = isinstance(value, int | float) and not isinstance(value, bool) and value < 0
        if low or negative or value is False:
            raise RowRefused(f"is rated as a bad answer (“{key}” is {str(value).lower()})")


def is_mark(key: str, value: Any) -> bool:
    """Tell whether a mark was looked at: a number as a `label` may be a class."""
    if isinstance(value, bool) or shapes.plain_name(key) == "label":
        return isinstance(value, bool) or str(value).casefold() in ("true", "false")
    return isinstance(value, int | float) or str(value).strip().casefold() in _YES or is_no(value)


def system_of(
    fields: dict[str, Any], keys: Beside, remarks: set[Remark], used: set[str], *, of_chat: bool
) -> list[str]:
    """Return the instructions for the whole conversation; of a chat, `instruction` is one as well.

    Here and below, the keys that became part of the turns are added to `used`.
    """
    names = [*keys.system, *([keys.instruction] if of_chat and keys.instruction else [])]
    texts = [text for name in names if (text := _system_text(fields.get(name), name))]
    used.update(names)
    if texts:
        remarks.add(Remark.SYSTEM)
    return list(dict.fromkeys(texts))


def _system_text(value: Any, name: str) -> str:
    if isinstance(value, dict):
        value = value.get("parts", value.get("content", value.get("text", value)))
    if isinstance(value, list) and all(isinstance(part, str | dict) for part in value):
        texts = [part.get("text") if isinstance(part, dict) else part for part in value]
        value = "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else value
    if is_blank(value):
        return ""
    if not isinstance(value, str):
        raise RowRefused(f"the instructions (“{name}”) are {kind(value)}, not text")
    return value.strip()


def history_of(fields: dict[str, Any], keys: Beside, remarks: set[Remark], used: set[str]) -> list[Any]:
    """Return the turns before the question, as `chat_turns` takes them."""
    if keys.history is None:
        return []
    value = fields.get(keys.history)
    if is_blank(value) or value == []:
        used.add(keys.history)
        return []
    items = shapes.marked_text(value, remarks)
    if items is None and isinstance(value, str):
        value = shapes.listed(value)
    if items is None and isinstance(value, list):
        pairs = [pair for pair in value if isinstance(pair, list | tuple) and len(pair) == 2]
        if len(pairs) == len(value):
            roles = ("user", "assistant")
            spoken = [zip(roles, pair, strict=True) for pair in pairs]
            items = [
                {"role": role, "content": text}
                for pair in spoken
                for role, text in pair
                if not is_blank(text)
            ]
        else:
            items = shapes.turns_of(value, remarks, texts_too=len(value) % 2 == 0)
    if items is None:
        if isinstance(value, str):
            return []  # a text that is no chat: a subject, perhaps; it is named as not taught
        raise RowRefused(f"its earlier turns (“{keys.history}”) cannot be read")
    remarks.add(Remark.EARLIER)
    used.add(keys.history)
    return items


def joined_question(
    question: str, answer: str, fields: dict[str, Any], keys: Beside, remarks: set[Remark], used: set[str]
) -> str:
    """Return the question with what belongs to it: instruction, question, passage, choices."""
    parts = [question] if question else []
    used.update(filter(None, (keys.instruction, keys.context)))
    if text := part_of(fields, keys.instruction):
        parts.insert(0, text)
    if text := part_of(fields, keys.context):
        parts.append(text)
    if lines := _choices(answer, fields, keys):
        used.update([keys.choices] if keys.choices in fields else [key for _, key in keys.choice_columns])
        remarks.add(Remark.CHOICES)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def part_of(fields: dict[str, Any], key: str | None) -> str:
    """Return what stands in a field as a part of a question; empty where there is nothing."""
    value = fields.get(key) if key else None
    if isinstance(value, dict) and isinstance(value.get("contexts"), list):
        value = value["contexts"]
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n\n".join(value)
    if is_blank(value) or value == []:
        return ""
    if not isinstance(value, str | int | float):
        raise RowRefused(f"“{key}” is {kind(value)}, not text")
    return str(value).strip("\r\n").rstrip()


def _choices(answer: str, fields: dict[str, Any], keys: Beside) -> list[str]:
    """The lines of the choices. Raises RowRefused where nobody says how the answer counts them."""
    said = answer.strip().strip("().").casefold()
    if keys.choices:
        value = shapes.listed(fields.get(keys.choices))
        if isinstance(value, dict) and {"text", "label"} <= set(value):
            value = dict(zip(map(str, value["label"]), value["text"], strict=False))
        if isinstance(value, dict) and all(isinstance(text, str | int | float) for text in value.values()):
            return [f"{label}) {text}" for label, text in value.items()]
        if isinstance(value, list) and value:
            texts = [item.get("text") if isinstance(item, dict) else item for item in value]
            if said not in {str(text).strip().casefold() for text in texts} and len(said) < 3:
                raise RowRefused(
                    f"the answer “{answer[:20]}” only counts one of “{keys.choices}”; "
                    "write its text as the answer"
                )
            return [f"- {text}" for text in texts if not is_blank(text)]
    labelled = [(label, fields.get(key)) for label, key in keys.choice_columns]
    filled = [
        (label, text)
        for label, text in labelled
        if isinstance(text, str | int | float) and not is_blank(text)
    ]
    if said in {str(text).strip().casefold() for _, text in filled} or said in {label for label, _ in filled}:
        return [f"{label.upper()}) {text}" for label, text in filled]
    return []
