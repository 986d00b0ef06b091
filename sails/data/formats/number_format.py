"""A number of an Excel cell as the sheet shows it: 0.15 as 15 %, 1.0868 as 26:05, 1234 as 01234.

    shown(0.15, "0 %"), shown(45_000, "yyyy-mm-dd"), shown(5, '"Nr." 000')

A code has up to four sections, for positive and negative numbers, zero and text. Names of months and days are
in the language that a code names, else English; decimals have a point, for which language a program speaks is
not written in a sheet. The short date of the system (format 14) is shown as 2026-01-31, which means the same
everywhere.
"""

from __future__ import annotations

import datetime
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import cache
from operator import eq, ge, gt, le, lt, ne
from typing import NamedTuple

BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00",
    12: "# ?/?", 13: "# ??/??", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy",
    18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm",
    37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)",
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 59)), "yyyy-mm-dd"),
    **dict.fromkeys((32, 33, 34, 35), "h:mm"),
}  # fmt: skip
_TOKEN = re.compile(
    r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)(?:-([^\]]*))?\]|\[(h+|m+|s+)\]|\[([^\]]*)\]'
    r"|(AM/PM|A/P)|(General)|([ymdhs]+(?:\.0+)?)|(.)",
    re.IGNORECASE | re.DOTALL,
)
_DIGITS = frozenset("0#?.,%/Ee")
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)(-?[\d.]+)")
_COMPARE = {"<": lt, "<=": le, ">": gt, ">=": ge, "=": eq, "<>": ne}
_DATE_PARTS = re.compile(r"y+|m+|d+|h+|s+(?:\.0+)?")
# Months and, from Monday, days by the last two digits of the number of a language.
_NAMES = {
    "09": "January February March April May June July August September October November December "
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "07": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember "
    "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "0C": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre "
    "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "0A": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre "
    "lunes martes miércoles jueves viernes sábado domingo",
    "10": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre "
    "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    "16": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro "
    "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    "13": "januari februari maart april mei juni juli augustus september oktober november december "
    "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "15": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada "
    "grudnia poniedziałek wtorek środa czwartek piątek sobota niedziela",
}
_EXACT = Context(prec=700)  # digits enough for any float
_LAST_DAY = 2_958_466  # of the year 9999


class _Token(NamedTuple):
    kind: str  # `text`, `elapsed`, `half` (of a day), `date`, `general`, `digit`, `condition` or `locale`
    text: str


def general(number: float) -> str:
    """Return a number as a cell without a format shows it; digits that only binary fractions have are not."""
    number = float(number)
    if number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.15g}" if 1e-4 <= abs(number) < 1e15 else f"{number:.15g}".upper()


def shown(number: float, code: str, *, since_1904: bool = False) -> str:
    """Return what a cell with this format shows of a number."""
    tokens, number = _section(code, number)
    if all(token.kind in ("text", "digit", "general", "locale") for token in tokens):
        tokens = tuple(token for token in tokens if token.kind != "locale")
    kinds = {token.kind for token in tokens}
    if kinds & {"date", "elapsed", "half"}:
        if number < 0 or tokens[:1] == (_Token("text", "-"),):
            return f"-{general(abs(number))}"
        return _moment(number, tokens, since_1904)
    if "general" in kinds:
        return "".join(general(number) if token.kind == "general" else token.text for token in tokens)
    if "digit" not in kinds:
        return "".join(token.text for token in tokens)
    return _number(number, tokens)


def _section(code: str, number: float) -> tuple[tuple[_Token, ...], float]:
    sections = _sections(code)
    for section in sections[:3]:
        condition = (
            _CONDITION.fullmatch(section[0].text) if section and section[0].kind == "condition" else None
        )
        if condition and _COMPARE[condition[1]](number, float(condition[2])):
            return section[1:], number
    sections = [section for section in sections if not section or section[0].kind != "condition"]
    if not sections:
        return (_Token("general", ""),), number
    if len(sections) > 2 and number == 0:
        return sections[2], number
    if len(sections) > 1 and number < 0:
        return sections[1], -number  # its sign is written in the section
    if number < 0 and not {token.kind for token in sections[0]} & {"general"}:
        return (_Token("text", "-"), *sections[0]), -number
    return sections[0], number


@cache
def _sections(code: str) -> list[tuple[_Token, ...]]:
    sections: list[list[_Token]] = [[]]
    for match in _TOKEN.finditer(code):
        quoted, escaped, currency, locale, elapsed, bracket, half, is_general, date, other = match.groups()
        section = sections[-1]
        if other == ";":
            sections.append([])
        elif quoted is not None or escaped or currency:
            section.append(_Token("text", quoted or escaped or currency or ""))
        elif locale:
            section.append(_Token("locale", locale))
        elif elapsed:
            section.append(_Token("elapsed", elapsed.lower()))
        elif bracket and _CONDITION.fullmatch(bracket):
            section.insert(0, _Token("condition", bracket))
        elif half or is_general:
            section.append(_Token("half" if half else "general", match[0]))
        elif date:
            section += [_Token("date", part) for part in _DATE_PARTS.findall(date.lower())]
        elif other:
            is_sign = other in "+-" and section and section[-1].text in ("E", "e")
            section.append(_Token("digit" if other in _DIGITS or is_sign else "text", other))
    return [tuple(section) for section in sections]


# --- numbers --------------------------------------------------------------------------------------


def _number(number: float, tokens: tuple[_Token, ...]) -> str:
    code = "".join(token.text if token.kind == "digit" else "x" for token in tokens)
    pattern = "".join(token.text for token in tokens if token.kind == "digit")
    if "/" in pattern:
        return _fraction(number, len(pattern.rpartition("/")[2]))
    value = Decimal(repr(number)) * 100 ** pattern.count("%")
    placeholders = pattern.rstrip("%").rstrip("-")
    while placeholders.endswith(","):  # thousands, millions
        placeholders, value = placeholders[:-1], value / 1000
    digits = re.search(r"[0#?][0#?,]*(?:\.[0#?]*)?|\.[0#?]+", pattern)
    if not digits:
        return "".join(token.text for token in tokens)
    whole, _, fraction = digits[0].partition(".")
    if re.search("E[+-]", pattern, re.IGNORECASE):
        written = f"{value:.{len(fraction)}E}"
        mantissa, _, power = written.partition("E")
        return f"{mantissa}E{power[0]}{power[1:].zfill(pattern.count('0', pattern.upper().index('E')))}"
    rounded = value.quantize(Decimal(1).scaleb(-len(fraction)), ROUND_HALF_UP, _EXACT)
    before, _, after = f"{abs(rounded):f}".partition(".")
    before = before.lstrip("0").zfill(whole.count("0"))
    if "," in whole.rstrip(","):
        before = re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", before)
    needed = len(fraction.rstrip("#?"))
    after = after[:needed] + after[needed:].rstrip("0")
    text = before + ("." + after if after else "." if fraction == "" and "." in digits[0] else "")
    return _filled(tokens, code, text, rounded < 0)


def _fraction(number: float, digits: int) -> str:
    whole, rest = divmod(Fraction(repr(number)).limit_denominator(10**digits - 1), 1)
    return " ".join(str(part) for part in (whole, rest) if part) or "0"


def _filled(tokens: tuple[_Token, ...], code: str, text: str, negative: bool) -> str:
    """The digits in place of the placeholders of a code, with the texts that stand around them."""
    first = next(n for n, sign in enumerate(code) if sign in "0#?.")
    last = max(n for n, sign in enumerate(code) if sign in "0#?.,")
    inside = [token.text for token in tokens[first : last + 1] if token.kind == "text"]
    if inside and "." not in text and all(sign in "0#?x" for sign in code[first : last + 1]):
        return _spread(tokens, first, last, text)
    before, after = ("".join(token.text for token in part) for part in (tokens[:first], tokens[last + 1 :]))
    return f"{'-' if negative else ''}{before}{text}{after}"


def _spread(tokens: tuple[_Token, ...], first: int, last: int, digits: str) -> str:
    """Digits with signs between them, as in 000-00-0000."""
    written: list[str] = []
    places = list(digits)
    for token in reversed(tokens[first : last + 1]):
        written.append(token.text if token.kind == "text" else places.pop() if places else "")
    before, after = ("".join(token.text for token in part) for part in (tokens[:first], tokens[last + 1 :]))
    return before + "".join(places) + "".join(reversed(written)) + after


# --- dates and times ------------------------------------------------------------------------------


def _moment(number: float, tokens: tuple[_Token, ...], since_1904: bool) -> str:
    if not 0 <= number < _LAST_DAY:
        return general(number)
    decimals = max((len(token.text.partition(".")[2]) for token in tokens), default=0)
    unit = 10**decimals
    ticks = round(Decimal(repr(number)) * 86_400 * unit)  # of the smallest unit that is shown
    seconds, fraction = divmod(ticks, unit)
    day_0 = datetime.datetime(1904, 1, 1) if since_1904 else datetime.datetime(1899, 12, 30)
    if not since_1904 and number < 60:  # the calendar of Excel has a 29th of February 1900
        day_0 += datetime.timedelta(days=1)
    moment = day_0 + datetime.timedelta(seconds=seconds)
    language = next((token.text[-2:].upper() for token in tokens if token.kind == "locale"), "09")
    names = _NAMES.get(language, _NAMES["09"]).split()
    parts = []
    for position, (kind, text) in enumerate(tokens):
        if kind == "elapsed":
            value = seconds // {"h": 3600, "m": 60, "s": 1}[text[0]]
            parts.append(str(value).zfill(len(text)))
        elif kind == "half":
            half = ("AM", "PM")[moment.hour >= 12]
            parts.append(half[0] if text.upper() == "A/P" else half)
        elif kind == "date":
            twelve = any(token.kind == "half" for token in tokens)
            parts.append(_part(moment, text, _is_minute(tokens, position), twelve, fraction, names))
        elif kind != "locale":
            parts.append(text)
    return "".join(parts)


def _is_minute(tokens: tuple[_Token, ...], position: int) -> bool:
    """An m that follows hours or precedes seconds is a minute."""
    before = next((t.text[0] for t in reversed(tokens[:position]) if t.kind in ("date", "elapsed")), "")
    after = next((t.text[0] for t in tokens[position + 1 :] if t.kind in ("date", "elapsed")), "")
    return before == "h" or after == "s"


def _part(
    moment: datetime.datetime, code: str, is_minute: bool, twelve: bool, fraction: int, names: list[str]
) -> str:
    letter, width = code[0], len(code.partition(".")[0])
    if letter == "y":
        return f"{moment.year:04}" if width > 2 else f"{moment.year % 100:02}"
    if letter == "m" and not is_minute and width > 2:
        month = names[moment.month - 1]
        return month[0] if width == 5 else month if width == 4 else month[:3]
    if letter == "d" and width > 2:
        day = names[12 + moment.weekday()]
        return day if width > 3 else day[:3]
    hour = (moment.hour - 1) % 12 + 1 if twelve else moment.hour
    minute_or_month = moment.minute if is_minute else moment.month
    value = {"m": minute_or_month, "d": moment.day, "h": hour, "s": moment.second}[letter]
    text = str(value).zfill(min(width, 2))
    decimals = len(code.partition(".")[2])
    return f"{text}.{fraction:0{decimals}}" if decimals else text
