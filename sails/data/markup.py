"""A chat that is written into one text, as turns: the signs of chat templates, and names before a colon.

    turns_in("Human: Hi\\n\\nAssistant: Hello!")  →  [{"role": "user", "content": "Hi"}, …]

Not here: files that are such a text as a whole (`formats.dialogue_text`).
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from functools import cache
from typing import Any, NamedTuple

from sails.data.speakers import role_of

# Where a turn begins, its speaker as the group, and what ends it. Each family of models has its own.
_TEMPLATES = (
    (re.compile(r"<\|im_start\|>[^\S\n]*(\w+)[^\S\n]*\n?"), re.compile(r"<\|im_end\|>")),
    (
        re.compile(r"<\|(?:start_header_id|header_start)\|>\s*(\w+)\s*<\|(?:end_header_id|header_end)\|>\n*"),
        re.compile(r"<\|(?:eot_id|eom_id|eot|end_of_text)\|>"),
    ),
    (re.compile(r"<start_of_turn>[^\S\n]*(\w+)[^\S\n]*\n?"), re.compile("<end_of_turn>|<eos>")),
    (re.compile(r"<\|start_of_role\|>(\w+)<\|end_of_role\|>"), re.compile(r"<\|end_of_text\|>")),
    (re.compile(r"<\|(system|user|assistant)\|>\n?"), re.compile(r"</s>|<\|end\|>|<\|endoftext\|>")),
    (re.compile("<｜(User|Assistant)｜>"), re.compile("<｜end▁of▁sentence｜>")),
)
_BEGINS = re.compile(r"\A(?:\s|<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<\|endoftext\|>)+")
_ENDS = re.compile(r"(?:\s|</?s>|<eos>|<\|endoftext\|>|<\|end_of_text\|>)+\Z")
_INSTRUCTION = re.compile(r"\[INST\](.*?)\[/INST\]", re.DOTALL)
_INSTRUCTION_SYSTEM = re.compile(r"\A\s*<<SYS>>(.*?)<</SYS>>", re.DOTALL)


class _Names(NamedTuple):
    """What stands before the colon."""

    user: str
    assistant: str
    system: str = ""
    is_chat: bool = False  # turns follow each other; else each question stands for itself
    sign: str = "[:：]"  # what follows the name


NAMES = (
    _Names("q|question|ｑ", "a|answer|ans|correct answer|ａ"),
    _Names("f|frage", "a|antwort"),
    _Names("q|question", "r|réponse|reponse"),
    _Names("p|pregunta|pergunta", "r|respuesta|resposta"),
    _Names("d|domanda", "r|risposta"),
    _Names("问|問|问题|問題|質問|q", "答|答案|回答|a"),
    *(
        _Names(*pair)
        for pair in (
            ("вопрос", "ответ"),
            ("питання|запитання", "відповідь"),
            ("въпрос", "отговор"),
            ("pytanie", "odpowiedź|odpowiedz"),
            ("otázka|otazka", "odpověď|odpoveď|odpoved"),
            ("vraag", "antwoord"),
            ("fråga|spørgsmål|spørsmål", "svar"),
            ("kysymys", "vastaus"),
            ("kérdés", "válasz"),
            ("întrebare|intrebare", "răspuns|raspuns"),
            ("pitanje|vprašanje", "odgovor"),
            ("soru", "cevap|yanıt"),
            ("ερώτηση", "απάντηση"),
            ("câu hỏi", "câu trả lời|trả lời"),
            ("pertanyaan|tanya", "jawaban|jawab"),
            ("질문", "답변|대답|답"),
            ("سؤال|السؤال", "جواب|الجواب|الإجابة"),
            ("שאלה", "תשובה"),
            ("प्रश्न", "उत्तर"),
        )
    ),
    _Names("instruction|input", "response|output"),
    _Names("prompt", "response|completion"),
    _Names(
        "user|human|customer|client|you said|you|me",
        "assistant|ai|bot|chatbot|gpt|chatgpt said|chatgpt|claude|agent|model",
        "system",
        is_chat=True,
    ),
)
# “Q. … A. …”: letters alone, in files without names before a colon, and not where choices go on with “B.”
_DOTTED = tuple(_Names(asks, answers, sign=r"[.)](?=\s)") for asks, answers in ("qa", "fa", "qr", "pr", "dr"))
_SECOND_CHOICE = re.compile(r"^[^\S\n]*\(?b[.)]\s", re.IGNORECASE | re.MULTILINE)
_ALL = _Names("|".join(names.user for names in NAMES), "|".join(names.assistant for names in NAMES), "system")


def turns_in(text: str) -> list[dict[str, Any]] | None:
    """Return the turns that are written into a text; None where it shows no known signs of a chat."""
    return _of_template(text) or _of_instructions(text) or _of_names(text)


def opens_a_chat(text: str) -> bool:
    """Tell whether a text begins as a chat does, perhaps to go on elsewhere: a prompt with its signs."""
    rest = _BEGINS.sub("", text)
    if rest.startswith("[INST]") or any(begin.match(rest) for begin, _ in _TEMPLATES):
        return True
    return any(marks(names).match(rest) and _asks_for_answer(names, rest) for names in NAMES)


def _asks_for_answer(names: _Names, text: str) -> bool:
    found = list(marks(names).finditer(text))
    return not text[found[-1].end() :].strip() and speaker(names, found[-1]) == "assistant"


def _of_template(text: str) -> list[dict[str, Any]] | None:
    rest = _BEGINS.sub("", text)
    for begin, end in _TEMPLATES:
        found = [mark for mark in begin.finditer(rest) if _begins_turn(mark, end, rest)]
        # Only DeepSeek's instructions stand before the first sign; elsewhere a text may just name one.
        if not found or (found[0].start() and "｜" not in begin.pattern):
            continue
        before = rest[: found[0].start()].strip()
        turns = [{"role": "system", "content": before}] if before else []
        for number, mark in enumerate(found):
            until = found[number + 1].start() if number + 1 < len(found) else len(rest)
            content = _without_signs(rest[mark.end() : until])
            last = list(end.finditer(content))[-1:]
            if last and last[0].end() == len(content):  # elsewhere a text just names it
                content = _without_signs(content[: last[0].start()])
            turns.append({"role": mark[1], "content": content})
        if all(role_of(turn["role"]) for turn in turns) and _has_both(turns):
            return turns
    return None


def _begins_turn(mark: re.Match[str], end: re.Pattern[str], text: str) -> bool:
    """Tell whether a turn may begin here: at the start, in a new line or behind the end of another turn.

    Within a line a text just names the sign.
    """
    before = text[: mark.start()].rstrip(" \t")
    if not before or before[-1] == "\n" or "｜" in mark.re.pattern:
        return True
    return any(sign.end() == len(before) for sign in end.finditer(before, max(0, len(before) - 40)))


def _of_instructions(text: str) -> list[dict[str, Any]] | None:
    """Llama 2 and Mistral."""
    rest = _BEGINS.sub("", text)
    if not rest.startswith("[INST]"):
        return None
    pieces = _INSTRUCTION.split(rest)
    turns: list[dict[str, Any]] = []
    for question, answer in zip(pieces[1::2], pieces[2::2], strict=False):
        if system := _INSTRUCTION_SYSTEM.match(question):
            turns.append({"role": "system", "content": system[1].strip()})
            question = question[system.end() :]
        turns.append({"role": "user", "content": question.strip()})
        if answer := _without_signs(answer).removeprefix(" "):
            turns.append({"role": "assistant", "content": answer})
    return turns if _has_both(turns) else None


def _of_names(text: str) -> list[dict[str, Any]] | None:
    inline = False
    names = names_in(text)
    if names is None:
        inline = True
        names = names_in(text, inline=True)
    if names is None:
        return None
    rest = _BEGINS.sub("", text)
    found = find_marks(names, rest, inline)
    before = rest[: found[0].start()].strip()
    turns = [{"role": "system", "content": before}] if before else []
    for number, mark in enumerate(found):
        until = found[number + 1].start() if number + 1 < len(found) else len(rest)
        content = _without_signs(said_between(mark, rest, until))
        if content.strip():
            turns.append({"role": speaker(names, mark), "content": content})
    return turns if _has_both(turns) else None


def names_in(text: str, *, inline: bool = False, dotted: bool = False) -> _Names | None:
    """Return the names before colons that tell the turns of a text apart; None where there are none.

    Some ask, in all but chats the first one, and some answer. `inline` looks within lines too, where only
    clear signs count: `### Human:` and `USER:`. `dotted` also knows letters before a full stop.
    """
    best, most = None, 0
    said = None if inline else {match["name"].casefold() for match in marks(_ALL).finditer(text)}
    if dotted:
        said = None if _SECOND_CHOICE.search(text) is None else set()
    for names in _DOTTED if dotted else NAMES:
        if said is not None and (
            said.isdisjoint(names.user.split("|")) or said.isdisjoint(names.assistant.split("|"))
        ):
            continue
        found = find_marks(names, text, inline)
        if inline and found and not names.is_chat and text[: found[0].start()].strip():
            continue  # within prose, “A:” may be anything
        roles = [speaker(names, mark) for mark in found]
        begins = names.is_chat or roles[:1] != ["assistant"]
        if len(found) > most and begins and {"user", "assistant"} <= set(roles):
            best, most = names, len(found)
    return best


@cache
def marks(names: _Names, inline: bool = False) -> re.Pattern[str]:
    """Return the pattern of a name with its colon; `speaker` tells whose it is."""
    words = "|".join(filter(None, (names.user, names.assistant, names.system)))
    if inline:
        return re.compile(rf"###[^\S\n]*((?i:{words}))[^\S\n]*:[^\S\n]*\n?|\b({words.upper()}):[^\S\n]*")
    bold = r"(?:\*\*|__)?"
    opens = r"(?P<bold>\*\*|__)?"
    return re.compile(
        rf"^[^\S\n]*(?:(?:[-*+>]|\d+[.)])[^\S\n]+)?(?P<heading>#{{1,6}}[^\S\n]*)?{opens}(?P<name>{words})"
        rf"(?:[^\S\n]*\#?\d+)?{bold}[^\S\n]*(?:{names.sign}{bold}[^\S\n]*\n?|(?(heading)(?:\n|\Z)|(?!)))",
        re.IGNORECASE | re.MULTILINE,
    )


def find_marks(names: _Names, text: str, inline: bool = False) -> list[re.Match[str]]:
    """Return where names begin a turn: not those in code, nor those that are quoted with an indent.

    A name is quoted that stands further to the right than most do, unless an answer is due there.
    """
    found = list(marks(names, inline).finditer(text))
    if inline or len(found) < 2:
        return found
    fences = [match.start() for match in re.finditer("```", text)]
    if len(fences) % 2 == 0:
        found = [mark for mark in found if bisect(fences, mark.start()) % 2 == 0]
    indents = [_indent(mark) for mark in found]
    if len(set(indents)) < 2:
        return found
    roles = [speaker(names, mark) for mark in found]
    counts = Counter(zip(roles, indents, strict=True))
    usual: dict[str, int] = {}
    for (role, indent), often in sorted(counts.items()):  # of equally many the smallest indent
        if role not in usual or often > counts[role, usual[role]]:
            usual[role] = indent
    kept: list[re.Match[str]] = []
    before = ""
    for mark, role, indent in zip(found, roles, indents, strict=True):
        if indent <= max(usual.values()) or (role == "assistant" and before == "user"):
            kept.append(mark)
            before = role
    return kept


def _indent(mark: re.Match[str]) -> int:
    return len(mark[0]) - len(mark[0].lstrip(" \t"))


def speaker(names: _Names, mark: re.Match[str]) -> str:
    """Return the role of a name that `marks` found."""
    name = (mark.groupdict().get("name") or next(filter(None, mark.groups()))).casefold()
    for role in ("user", "assistant", "system"):
        if name in getattr(names, role).split("|"):
            return role
    return ""


def said_between(mark: re.Match[str], text: str, until: int) -> str:
    """Return what was said from a name up to `until`; of `**Q: Why?**` without the signs of bold."""
    said = text[mark.end() : until]
    bold = mark.groupdict().get("bold")
    if bold and mark[0].count(bold) == 1:
        first, line_end, rest = said.partition("\n")
        said = first.rstrip().removesuffix(bold) + line_end + rest
    return said


def _without_signs(text: str) -> str:
    return _ENDS.sub("", text)


def _has_both(turns: list[dict[str, Any]]) -> bool:
    return {"user", "assistant"} <= {role_of(turn["role"]) for turn in turns}
