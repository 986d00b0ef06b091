"""Old encodings of Chinese, Japanese, Korean and Cyrillic text, known by what real text looks like in them.

Nearly any bytes can be read in some of these encodings, and become rare characters. So a text must be
valid throughout, consist of the common characters of its script, and be so in one encoding alone; what is too
short to tell, or could be two of them, is left to whoever asked. The common characters are those that each
national standard put first: level 1 of GB 2312 and of JIS X 0208, the frequent ones of Big5, the syllables of
KS X 1001.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

SAMPLE = 1 << 18  # bytes that are looked at closely
MIN_LETTERS, MIN_DIFFERENT = 20, 12
_MIN_COMMON = 0.9  # of the letters
_MIN_FREQUENT_HAN = 0.8  # names and plants are rare characters
_MIN_KANA = 0.05
_LETTER = re.compile(r"[^\W\d_]")
_PUNCTUATION = re.compile(r"[\u2010-\u203b\u3000-\u303f\uff00-\uffef·°×÷§¨´±]")
_KANA = re.compile(r"[\u3041-\u30ff]")
_SPACED_HANGUL = re.compile(r"[가-힣] [가-힣]")
_CYRILLIC_WORD = re.compile(r"[А-ЯЁІЇЄҐЂЈЉЊЋЏЎ]?[а-яёіїєґђјљњћџўѓќ]+|[А-ЯЁІЇЄҐЂЈЉЊЋЏЎ]+")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON_CYRILLIC = """
не на что как это для или так вы от за он она мы по из где кто когда да нет есть був що як це та чи де про се
че ще и је су ли
"""
_FREQUENT_CYRILLIC = "оеаинті"
_MIN_FREQUENT = 0.3


class Legacy(NamedTuple):
    """An encoding, with the name that people know it by."""

    codec: str
    title: str


def legacy_encoding(raw: bytes) -> Legacy | None:
    """Return the one encoding in which bytes are common text; None where it is not clear."""
    found = [legacy for legacy, is_text in _TESTS if _fits(raw, legacy.codec, is_text)]
    return found[0] if len(found) == 1 or _KOREAN in found else None  # spaced syllables are nothing else


def _fits(raw: bytes, codec: str, is_text: Callable[[str, list[str]], bool]) -> bool:
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        return False
    text = text[:SAMPLE]
    beyond_ascii = [c for c in text if not c.isascii() and not _PUNCTUATION.match(c)]
    letters = [c for c in beyond_ascii if _LETTER.match(c)]
    is_enough = len(letters) >= MIN_LETTERS and len(set(letters)) >= MIN_DIFFERENT
    return is_enough and len(letters) >= _MIN_COMMON * len(beyond_ascii) and is_text(text, letters)


def _share(letters: list[str], codec: str, first: int, last: int) -> float:
    """The share of letters that stand in these rows of a standard, by the first byte of each."""
    leads = (letter.encode(codec, "ignore") for letter in letters)
    return sum(first <= lead[0] <= last for lead in leads if len(lead) == 2) / len(letters)


def _is_japanese(_: str, letters: list[str]) -> bool:
    kana = sum(map(bool, map(_KANA.match, letters))) / len(letters)
    return kana >= _MIN_KANA and kana + _share(letters, "euc_jp", 0xB0, 0xCF) >= _MIN_COMMON


def _is_korean(text: str, letters: list[str]) -> bool:
    is_spaced = 20 * len(_SPACED_HANGUL.findall(text)) >= len(letters)  # Chinese is written without spaces
    return is_spaced and _share(letters, "euc_kr", 0xB0, 0xC8) >= _MIN_COMMON


def _is_simplified(_: str, letters: list[str]) -> bool:
    no_syllable = _share(letters, "gb2312", 0xC9, 0xD7)  # the bytes before these may be Korean
    return no_syllable >= 0.1 and _share(letters, "gb2312", 0xB0, 0xD7) >= _MIN_FREQUENT_HAN


def _is_traditional(_: str, letters: list[str]) -> bool:
    no_syllable = _share(letters, "big5", 0xA4, 0xAF)
    return no_syllable >= 0.1 and _share(letters, "big5", 0xA4, 0xC6) >= _MIN_FREQUENT_HAN


def _is_cyrillic(text: str, letters: list[str]) -> bool:
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    spelled = sum(bool(_CYRILLIC_WORD.fullmatch(word)) for word in words)
    lower = text.casefold()
    frequent = sum(map(lower.count, _FREQUENT_CYRILLIC)) / len(letters)
    known = frozenset(_COMMON_CYRILLIC.split())
    common = sum(word.casefold() in known for word in words)
    small = sum(letter.islower() for letter in letters) >= len(letters) / 2
    return small and spelled >= _MIN_COMMON * len(words) and frequent >= _MIN_FREQUENT and common > 1


_KOREAN = Legacy("cp949", "EUC-KR")
_TESTS = (
    (_KOREAN, _is_korean),
    (Legacy("gb18030", "GB 18030"), _is_simplified),
    (Legacy("cp950", "Big5"), _is_traditional),
    (Legacy("cp932", "Shift-JIS"), _is_japanese),
    (Legacy("euc_jp", "EUC-JP"), _is_japanese),
    (Legacy("cp1251", "Windows-1251"), _is_cyrillic),
    (Legacy("koi8_u", "KOI8"), _is_cyrillic),
    (Legacy("cp866", "CP 866"), _is_cyrillic),
)
