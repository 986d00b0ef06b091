"""The checks of one question with its answer: is this something a model should be taught?

An *error* says that the row teaches nothing or teaches harm, and is left out of a clean file. It must
never meet a good row, whatever its language or subject, so every error asks for strong evidence:
code, tables, lists, rhymes, names, formulas and one-word facts are all good answers. A *warning* says
that a person may want to look.

Thresholds were set on good rows in some thirty languages and on typed, looped and blank rubbish; the
tests hold a sample of both.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]
CONTRADICTION = "contradiction"  # of two rows; see `quality`
CHECKS = ("empty", "echo", "repetitive", "gibberish", "too_short", "cut_off", "markup", CONTRADICTION)


class CheckFinding(NamedTuple):
    """What one of CHECKS found; `reason` says it in a few plain words."""

    check: str
    severity: Severity
    reason: str


# Whatever is no space and no punctuation is part of a word, the vowel signs of Indian and Thai script
# included, which `\w` leaves out. Chinese and Japanese have no spaces: each character counts as a word.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PUNCTUATION = r"\s!-/:-@\[-`{-~\xa1-\xbf\u2000-\u206f\u3000-\u303f\uff00-\uff0f"
_WORD = re.compile(rf"[^{_PUNCTUATION}{_CJK}]+|[{_CJK}]")
_ASCII_TO_SPACES = str.maketrans(dict.fromkeys(string.punctuation, " "))  # the same for ASCII, only faster


def findings(pairs: Sequence[tuple[str, str]]) -> list[CheckFinding]:
    """Return the first error in a conversation's questions and answers, or all its warnings.

    Every answer is taught, so rubbish in any of them counts. The rest is asked of the last one only:
    in the midst of a chat “Hi” may well be answered with “Hi!”.
    """
    for question, answer in pairs[:-1]:
        if problem := _repetitive(answer, _words(answer)) or _gibberish(question, answer):
            return [problem]
    question, answer = pairs[-1] if pairs else ("", "")
    words = _words(answer)
    problem = _empty(question, answer) or _echo(question, answer, words)
    if not problem or problem.severity == "warning":
        problem = _repetitive(answer, words) or _gibberish(question, answer) or problem
    if problem and problem.severity == "error":
        return [problem]
    # A hint only: “4” and “Paris” are right, and a model learns more from a sentence.
    is_short = len(answer) < 12 and len(words) < 3
    short = CheckFinding("too_short", "warning", "the answer is very short") if is_short else None
    found = (problem, short, _cut_off(answer), _markup(question, answer))
    return [finding for finding in found if finding]


def _words(text: str) -> list[str]:
    text = text.casefold()
    return text.translate(_ASCII_TO_SPACES).split() if text.isascii() else _WORD.findall(text)


# ---- empty ----------------------------------------------------------------------------------------

_FILLER = re.compile(r"([.…?!,]\s*){3,}|([-_*~=]\s*){4,}")
_PLACEHOLDERS = frozenset({"n/a", "n.a.", "tbd", "idk", "nan", "null", "<na>", "nat", "#n/a"})
# No white space, no control, none of the marks that take no room: those are pasted and seen by nobody.
_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff]"
)


def _empty(question: str, answer: str) -> CheckFinding | None:
    if not _VISIBLE.search(question):
        return CheckFinding("empty", "error", "the question is empty")
    if not _VISIBLE.search(answer):
        return CheckFinding("empty", "error", "the answer is empty")
    if _FILLER.fullmatch(answer.strip()) or answer.strip().casefold() in _PLACEHOLDERS:
        return CheckFinding("empty", "error", f"the answer is only “{answer.strip()[:20]}”")
    return None


def _echo(question: str, answer: str, given: list[str]) -> CheckFinding | None:
    """An answer that adds no word to the question.

    It may still be right: “tea or coffee?” and “sort: b, a” are answered in the question's own
    words. So it is an error where it gives back more than half of what was asked, and a warning where
    it picks from it, or from the material that follows a colon, a line break or a quotation mark.
    """
    asked = _words(question)
    if not set(asked).issuperset(given):
        return None
    if not given:  # an operator, an emoji
        same = question.strip() == answer.strip()
        return CheckFinding("echo", "error", "the answer is the question again") if same else None
    share = sum((Counter(asked) & Counter(given)).values()) / len(asked)
    task, _, material = re.sub("[\n\"“„«「']", ":", question, count=1).partition(":")
    picked = set(given) <= set(_words(material)) and not set(_words(task)) <= set(given)
    if share > 0.5 and not picked and not _CODE_SIGN.search(answer):
        return CheckFinding("echo", "error", "the answer only repeats the question")
    return CheckFinding("echo", "warning", "the answer has no word that is not in the question")


# ---- repetitive -----------------------------------------------------------------------------------

_LOOP = re.compile(r"(.{1,3}?)\1{3,}|(.{4,24}?)\2{2,}")
_SENTENCE_END = re.compile(r"[.!?\n。！？।؟]+")
_SIGN = re.compile(r"[\d\s!-/:-@\[-`{-~\u2000-\u2bff]+")
_SIGN_OR_NAME = re.compile(_SIGN.pattern + "|[b-df-hj-np-tv-xz]")  # variables and placeholders: x, n, %s
_CODE_SIGN = re.compile(r"[|\[\]{}()<>=;\\]")


def _repetitive(answer: str, words: list[str]) -> CheckFinding | None:
    """Half of the answer is one loop, or it says few sentences or few words again and again."""
    answer, words = answer[:20_000], words[:4000]
    in_one_piece = len(words) < 4 or len(answer) > 10 * len(words)
    if in_one_piece and len(answer) >= 8 and "0x" not in answer and _looped(answer.casefold(), _SIGN) >= 0.5:
        return CheckFinding("repetitive", "error", "the answer repeats the same characters again and again")
    if not _may_repeat(words):
        return None
    code = _CODE_SIGN.search(answer)
    sentences = [part.split() for part in _SENTENCE_END.split(answer.casefold())]
    sentences = [" ".join(sentence) for sentence in sentences if len(sentence) >= 3]
    same_sentences = len(sentences) >= 5 and len(set(sentences)) <= 0.4 * len(sentences)
    if _looped(words, _SIGN_OR_NAME) >= 0.5 or (not code and (same_sentences or len(set(words)) == 1)):
        return CheckFinding("repetitive", "error", "the answer says the same thing again and again")
    spoken = [] if code else [word for word in words[:400] if not _SIGN.fullmatch(word)]
    if len(spoken) >= 8 and len(set(spoken)) <= max(2, len(spoken) / 8):
        return CheckFinding("repetitive", "error", "the answer uses the same few words again and again")
    return None


def _may_repeat(words: list[str]) -> bool:
    """A quick look that lets nearly all prose go: what is half loops has few different words in a row."""
    count, different = len(words), len(set(words))
    if count < 4 or different > count * 2 / 3:
        return False
    in_a_row = len(set(zip(words, words[1:], words[2:], strict=False)))
    return count < 30 or in_a_row < 0.75 * count or different <= count / 8


def _looped(items: Sequence[str], never: re.Pattern[str]) -> float:
    """The share of the items in their longest loop: four times up to three items, or three times more.

    `never` names items that are no part of a loop: numbers and signs repeat for good reasons, as in a
    matrix or a ruler.
    """
    # One letter for each different item, so that a pattern sees loops of words too; `.` skips `\n`.
    letters = {item: chr(0x10000 + number) for number, item in enumerate(set(items))}
    letters |= {item: "\n" for item in letters if never.fullmatch(item)}
    line = "".join(map(letters.__getitem__, items))
    return max((len(loop[0]) for loop in _LOOP.finditer(line)), default=0) / max(1, len(line))


# ---- gibberish ------------------------------------------------------------------------------------

# Pairs of letters that hardly occur in any language written in Latin letters: under 2 % of pairs in
# running text of each of 27 languages, 30 % where keys are hit at random.
_ODD_AFTER = {
    "b": "fgkpqvwxz", "c": "bdfgmpqvwx", "d": "bcfkpqx", "f": "bcdghjkmpqvwxz", "g": "bcfkqvwxz",
    "h": "bcdfghjpqwxz", "i": "w", "j": "bcdfghjlpqrtvwxyz", "k": "bcfgpqxz", "l": "qrx",
    "m": "cdjkqvwxz", "n": "qx", "o": "q", "p": "bcdgjkqvwxz", "q": "bcdfghjkmnprstvwxyz", "r": "x",
    "s": "dgjx", "t": "dgjkqvx", "u": "q", "v": "bcfghjkmpqtwx", "w": "bfgjkmpqtuvwx",
    "x": "bdfgjklmnqrsvwxz", "y": "jqxy", "z": "cfgjpqsx",
}  # fmt: skip
_ODD = re.compile(
    "|".join(f"{first}(?=[{second}])" for first, second in _ODD_AFTER.items())
    + "|[bcdfghjklmnpqrstvwxz](?=[bcdfghjklmnpqrstvwxz]{4})"
)
# Words that stand alone, in plain letters: no abbreviations, no parts of addresses, paths or code.
_PLAIN_WORD = re.compile(r"""(?<![^\s("'“‘«,])[A-Za-z][a-z]{2,}(?![^\s.,;:!?)"'”’»])""")
# Fingers walking along a row of keys; `qwerty` and its sisters are words by now.
_KEYBOARD_WALKS = (
    *("asdf", "asdasd", "qwer", "qweqwe", "zxcv", "lkjh", "poiu", "mnbv"),
    *("sdf", "dfg", "fgh", "ghj", "hjk", "jkl", "xcv", "cvb", "vbn", "bnm"),
)
_KEYBOARDS = frozenset({"qwerty", "qwertz"})
_SYMBOLS = re.compile(r"[!@#$%^&*]{4,}")


def _gibberish(question: str, answer: str) -> CheckFinding | None:
    if _is_noise(answer) or _is_typed_at_random(answer, question):
        return CheckFinding("gibberish", "error", "the answer is not made of words")
    if _is_noise(question) or _is_typed_at_random(question, ""):
        # “asdf” may well be answered with “I do not understand”.
        return CheckFinding("gibberish", "warning", "the question is not made of words")
    return None


def _is_noise(text: str) -> bool:
    """Signs instead of words, or the marks that stand where characters were lost."""
    if any(map(str.isalnum, text)):
        return text.count("\ufffd") > max(1, len(text) / 20)
    symbols = _SYMBOLS.search(text)
    # All of them at once are an answer to “what is punctuation?”.
    return "\ufffd" in text or (symbols is not None and len(set(symbols[0])) > 2 and len(set(text)) < 20)


def _is_typed_at_random(text: str, other: str) -> bool:
    """Words that nobody can say, apart from those that the other side uses too."""
    text = text[:4000]
    vowels = sum(map(text.count, "aeiouy"))
    if len(text) > 40 and vowels > 0.3 * (len(text) - text.count(" ")):  # keys hit at random: 0.15 to 0.23
        return False
    walked = any(walk in text for walk in _KEYBOARD_WALKS)
    if not walked and len(_ODD.findall(text)) < 3:
        return False
    plain = [word for word in _PLAIN_WORD.findall(text) if word not in other]
    if 3 * sum(map(len, plain)) < 2 * sum(map(str.isalpha, text)):
        return False
    lower = [word.lower() for word in plain if len(word) > 3]
    walks = [word for word in lower if word.startswith(_KEYBOARD_WALKS) and word not in _KEYBOARDS]
    if walked and 2 * len(walks) >= len(plain):
        return True
    if 2 * sum(map(text.count, ",;|\n")) >= len(plain):  # a list of names: mkdir, chmod, pwd
        return False
    odd = [len(_ODD.findall(word)) for word in plain]
    pairs = sum(map(len, plain)) - len(plain)
    if sum(odd) < 3 or pairs < 5 or 2 * sum(map(bool, odd)) <= len(plain):
        return False
    # One long word may be a name or a German compound, a few may be tools; many words average out.
    return sum(odd) / pairs >= (0.6 if len(plain) == 1 else 0.3 if pairs < 20 else 0.2)


# ---- cut off --------------------------------------------------------------------------------------

_DANGLING = frozenset({"the", "a", "an", "and", "or", "but", "because", "which", "whose", "than"})
_OPEN_END = frozenset(",([{،、،，")
_LIST_ITEM = re.compile(r"\s*([-*•‣–|>#]|\d+[.)]|[A-Za-z][.)]\s)")
_CODE = re.compile(r"[{}=<>$\\`|~_^]|\w[/.:]\w|--|::|\w\(")


def _cut_off(answer: str) -> CheckFinding | None:
    """Ends in the middle of a sentence or of a code block.

    Only scripts with upper and lower case end their sentences with a mark as a rule, and only a long
    last line is a sentence: a list, a poem, a signature or a title may end as it likes.
    """
    text = answer.rstrip()
    last_line = text[text.rfind("\n") + 1 :]
    last_word = last_line[last_line.rfind(" ") + 1 :]
    cased_word = last_word.isalpha() and last_word.lower() != last_word.upper()
    unfinished = cased_word and len(text) > 100 and len(last_line) > 60
    dangling = len(text) > 20 and (last_word in _DANGLING or text[-1] in _OPEN_END)
    breaks_off = (unfinished or dangling) and not (
        "```" in text or _LIST_ITEM.match(last_line) or _CODE.search(last_line[-60:])
    )
    if breaks_off or text.count("```") % 2:
        return CheckFinding("cut_off", "warning", "the answer seems to break off")
    return None


# --- markup ---------------------------------------------------------------------------------------

_ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|nbsp|apos|#\d{1,6}|#x[0-9a-fA-F]{1,5}|[aeouAEOUic](?:uml|acute|grave|circ|tilde|cedil)|[lr][sd]quo|euro|hellip|[mn]dash|szlig);"
)
_TAG = re.compile(
    r"</(?:p|b|i|u|a|div|span|strong|em|ul|ol|li|font|h[1-6]|t[dr]|table)>|<br\s*/?>", re.IGNORECASE
)
_ABOUT_MARKUP = re.compile(
    r"html|xml|css|svg|entit|tag|markup|browser|web|`|\bcode\b|jsx|&amp;lt|escap", re.IGNORECASE
)


def _markup(question: str, answer: str) -> CheckFinding | None:
    """Signs of HTML in a row that is not about such things: they are taught as they stand."""
    for what, text in (("question", question), ("answer", answer)):
        if ("&" in text and (sign := _ENTITY.search(text))) or ("<" in text and (sign := _TAG.search(text))):
            if _ABOUT_MARKUP.search(question) or _ABOUT_MARKUP.search(answer):
                return None
            return CheckFinding("markup", "warning", f"the {what} holds signs of HTML, as “{sign[0]}”")
    return None
