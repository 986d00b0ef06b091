"""What other programs train their bots and models with: SQuAD, intents, ChatterBot and Rasa.

Each gives records with `input` and `output`, or `messages`; what cannot be used is refused by its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sails.data.formats.source import Record, Refusal, Source, listed_names
from sails.data.turns import by_turns
from sails.errors import ConversationFileError
from sails.system import count

_ENTITY = re.compile(r"\[([^\]\n]*)\](?:\([^)\n]*\)|\{[^}\n]*\})")
_RASA = ("nlu", "responses", "stories", "rules", "intents", "domain", "actions", "slots")
_MAX_EXAMPLES = 10_000  # conversations that are made of one story


def source_of(kind: str, document: Any, name: str) -> Source | None:
    """Return the records of a document of a known kind; None for any other."""
    if not isinstance(document, dict):
        return None
    articles = document.get("data")
    if isinstance(articles, list) and _is_list_of(articles, "paragraphs"):
        return Source(kind, _squad(articles))
    if _is_list_of(document.get("intents"), "patterns"):
        return _intents(kind, document["intents"])
    chats = document.get("conversations")
    if "categories" in document and isinstance(chats, list) and all(map(_is_list_of_texts, chats)):
        return Source(kind, ((n, _statements(chat)) for n, chat in enumerate(chats, 1)))
    if isinstance(document.get("nlu"), list) or _is_list_of(document.get("stories"), "steps"):
        return rasa(kind, [document], name)
    if isinstance(document.get("responses"), dict) and any(
        str(key).startswith("utter_") for key in document["responses"]
    ):
        return rasa(kind, [document], name)
    return None


def _is_list_of(value: Any, key: str) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and key in value[0]


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _statements(chat: Any) -> Any:
    return {"messages": by_turns(chat)} if isinstance(chat, list) else chat


def _squad(articles: Iterable[Any]) -> Iterator[Record | Refusal]:
    """One row a question; `context` is the passage that it is about."""
    number = 0
    for article in articles:
        for paragraph in _dicts(article, "paragraphs"):
            for question in _dicts(paragraph, "qas"):
                number += 1
                answers = [answer.get("text") for answer in _dicts(question, "answers")]
                if not answers:
                    yield Refusal(
                        number, "has no answer: the file marks the question as one that cannot be answered"
                    )
                else:
                    yield (
                        number,
                        {
                            "question": question.get("question"),
                            "context": paragraph.get("context"),
                            "answers": {"text": answers},
                        },
                    )


def _intents(kind: str, intents: Iterable[Any]) -> Source:
    rows: list[Record | Refusal] = []
    notes = ["Each pattern of an intent was paired with one of its responses, in turn."]
    for intent in intents:
        patterns, responses = _texts(intent, "patterns"), _texts(intent, "responses")
        tag = str(intent.get("tag", "")) if isinstance(intent, dict) else ""
        for position, pattern in enumerate(patterns):
            if responses:
                answer = responses[position % len(responses)]
                rows.append((len(rows) + 1, {"input": pattern, "output": answer, "tag": tag}))
            else:
                rows.append(Refusal(len(rows) + 1, f"the intent “{tag[:40]}” has no response"))
        if left := len(responses[len(patterns) :]):
            notes.append(f"Not used: {count(left, 'response')} of “{tag[:40]}”, which has too few patterns.")
    return Source(kind, rows, notes=tuple(notes))


# --- Rasa -----------------------------------------------------------------------------------------


def rasa(kind: str, documents: Iterable[dict[str, Any]], name: str) -> Source:
    """Return the conversations of a Rasa bot: stories and rules, its examples and responses.

    Raises ConversationFileError where examples or responses are missing.
    """
    examples: dict[str, list[str]] = {}
    responses: dict[str, list[str]] = {}
    stories: list[tuple[str, list[Any]]] = []
    for document in documents:
        for entry in _dicts(document, "nlu"):
            if isinstance(entry.get("intent"), str) and isinstance(entry.get("examples"), str):
                lines = (line.strip() for line in entry["examples"].splitlines())
                said = [_ENTITY.sub(r"\1", line[1:].strip()) for line in lines if line.startswith("-")]
                if said := list(filter(None, said)):
                    examples.setdefault(entry["intent"], []).extend(said)
        found = document.get("responses")
        for key, variants in found.items() if isinstance(found, dict) else ():
            texts = (
                [v.get("text") for v in variants if isinstance(v, dict)] if isinstance(variants, list) else []
            )
            if texts := [text for text in texts if isinstance(text, str) and text.strip()]:
                responses.setdefault(str(key), []).extend(texts)
        for group, title in (("stories", "story"), ("rules", "rule")):
            for story in _dicts(document, group):
                stories.append((str(story.get(title, "")), _dicts(story, "steps")))
    missing = [what for what, there in (("nlu", examples), ("responses", responses)) if not there]
    if missing:
        raise ConversationFileError(
            f"{name} is a part of a Rasa bot, without {' and '.join(missing)}.",
            "Put nlu.yml, domain.yml, stories.yml and rules.yml together into one .zip, and bring that.",
        )
    note = "Each example of an intent became a conversation; of several responses they got one, in turn."
    return Source(kind, _rasa_rows(examples, responses, stories), notes=(note,))


def _rasa_rows(
    examples: dict[str, list[str]], responses: dict[str, list[str]], stories: list[tuple[str, list[Any]]]
) -> Iterator[Record | Refusal]:
    number, told = 0, set[str]()
    # Where an intent has a response of its name, that is what a story of one step would say.
    by_name = [
        (intent, [{"intent": intent}, {"action": action}])
        for intent in examples
        for action in (f"utter_{intent}", f"utter_{intent.replace('/', '_')}")
        if action in responses
    ]
    alone = {str(steps[0].get("intent")) for _, steps in stories if steps}
    for title, steps in [*stories, *(story for story in by_name if story[0] not in alone)]:
        unknown = [
            str(step.get("action") or step.get("intent"))
            for step in steps
            if (
                isinstance(step.get("action"), str)
                and step["action"].startswith("utter_")
                and step["action"] not in responses
            )
            or ("user" not in step and isinstance(step.get("intent"), str) and step["intent"] not in examples)
        ]
        if unknown:
            number += 1
            yield Refusal(
                number, f"the story “{title[:40]}” uses {listed_names(unknown)}, which no file explains"
            )
            continue
        counts = [
            len(examples[step["intent"]])
            for step in steps
            if "user" not in step and step.get("intent") in examples
        ]
        for turn in range(min(max(counts, default=1), _MAX_EXAMPLES)):
            messages = list(_story(steps, turn, examples, responses))
            if {message["role"] for message in messages} == {"user", "assistant"}:
                written = repr(messages)
                if written not in told:
                    told.add(written)
                    number += 1
                    yield number, {"messages": messages}


def _story(
    steps: list[Any], turn: int, examples: dict[str, list[str]], responses: dict[str, list[str]]
) -> Iterator[dict[str, str]]:
    for step in steps:
        intent, action = step.get("intent"), step.get("action")
        if isinstance(step.get("user"), str):
            yield {"role": "user", "content": _ENTITY.sub(r"\1", step["user"].strip())}
        elif intent in examples:
            yield {"role": "user", "content": examples[intent][turn % len(examples[intent])]}
        elif isinstance(step.get("bot"), str):
            yield {"role": "assistant", "content": step["bot"].strip()}
        elif action in responses:
            yield {"role": "assistant", "content": responses[action][turn % len(responses[action])]}


def _dicts(value: Any, key: str) -> list[dict[str, Any]]:
    items = value.get(key) if isinstance(value, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _texts(value: Any, key: str) -> list[str]:
    items = value.get(key) if isinstance(value, dict) else None
    items = [items] if isinstance(items, str) else items
    return (
        [item for item in items if isinstance(item, str) and item.strip()] if isinstance(items, list) else []
    )


def is_rasa(document: Any) -> bool:
    """Tell whether a document is a part of a Rasa bot."""
    known = set(islice(document, 20)) if isinstance(document, dict) else set()
    return bool(known & set(_RASA[:4])) and not _is_list_of(document.get("intents"), "patterns")
