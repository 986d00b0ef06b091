"""Words for pages: what a person wrote as harmless text, moments, and how a session ended.

Needs no streamlit. Names, paths and answers come from people and files, so they never reach a page as
Markdown: `code` and `plain` make of them exactly the text that they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sails import chat, sessions, system
from sails.chat import Origin
from sails.models import ModelState
from sails.sessions import Phase, SessionRecord, Status, describe_learning_rate

# --- text that is only text -----------------------------------------------------------------------

_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")  # every ASCII character that Markdown may take for a sign
_SPACES = re.compile(r"^\s+|\s+$|\s{2,}")
_SHORTCODE = re.compile(r":(?=\w)")  # `:smile:` and `:material/…:`, which no backslash prevents
_AUTOLINK = re.compile(r"(?<=http)(?=s?://)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)  # nor these


def code(text: object) -> str:
    """Write any text as Markdown's inline code, whatever backticks it holds."""
    line = " ".join(str(text).split()) or "(empty)"
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if "`" in (line[0], line[-1]) else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def plain(text: object) -> str:
    """Write any text as one line of Markdown that shows exactly that text."""
    return _MARKUP.sub(r"\\\1", _unlinked(" ".join(str(text).split())))


def literal(text: object) -> str:
    """Write any text as Markdown that shows exactly that text, line by line, with its indentation."""
    lines = str(text).splitlines() or [""]
    wide = [(line, line.expandtabs(4)) for line in lines]
    indented = ("\u00a0" * (len(spaced) - len(spaced.lstrip())) + plain(line) for line, spaced in wide)
    return "  \n".join(line or "\u00a0" for line in indented)


def marked(pieces: Iterable[tuple[str, bool]], color: str) -> str:
    """Write pieces of a text in a row, every space and line kept; marked ones are bold on a colour."""
    lines = [""]
    for text, is_marked in pieces:
        for number, line in enumerate(text.split("\n")):
            if number:
                lines.append("")
            if line:
                lines[-1] += f":{color}-background[{_bold(line)}]" if is_marked else _spaced(line)
    return "  \n".join(line or "\u00a0" for line in lines)


def _bold(line: str) -> str:
    core = line.strip()
    before, after = line[: len(line) - len(line.lstrip())], line[len(line.rstrip()) :] if core else ""
    return _spaced(before) + (f"**{_spaced(core)}**" if core else "") + _spaced(after)


def _spaced(line: str) -> str:
    """The text with all its spaces, of which Markdown would show one in a row, and none at an end."""
    line = _unlinked(line.expandtabs(4))
    return _SPACES.sub(lambda run: "\u00a0" * len(run[0]), _MARKUP.sub(r"\\\1", line))


def _unlinked(line: str) -> str:
    """The line with U+2060, which joins words and is invisible, where a sign or a link would begin."""
    return _AUTOLINK.sub("\u2060", _SHORTCODE.sub(":\u2060", line))


def answer(text: str) -> str:
    """Write what a model answered as Markdown that shows exactly that text, or that there is none."""
    return literal(text) if text.strip() else "*(no answer)*"


def exact_model(origin: Origin) -> str | None:
    """Say exactly which model it was, in Markdown for behind a question mark; None where nobody knows."""
    ids = plain(chat.describe_ids(origin))
    return ids[:1].upper() + ids[1:] or None


# --- signs -----------------------------------------------------------------------------------------

_SYMBOLS = {
    "▶️": "play_circle",
    "⏳": "hourglass_empty",
    "↩️": "undo",
    "◻️": "radio_button_unchecked",
    "❔": "help",
}


def symbol(sign: str) -> str:
    """Return the Material symbol for a sign of the terminal; the signs that pages show, too, stay."""
    return f":material/{_SYMBOLS[sign]}:" if sign in _SYMBOLS else sign


# --- moments --------------------------------------------------------------------------------------


def moment(time: datetime, zone: str | None = None) -> str:
    """Write a moment in the person's own time zone, else in this machine's: 22 Nov 2025, 13:07."""
    try:
        local = time.astimezone(ZoneInfo(zone) if zone else None)
    except (ZoneInfoNotFoundError, ValueError):
        local = time.astimezone()
    return f"{local:%d %b %Y, %H:%M}".lstrip("0")


# --- sessions -------------------------------------------------------------------------------------

PHASES: dict[Phase, str] = {
    "queued": "Waiting",
    "prepare": "Preparing the conversations",
    "train": "Learning",
    "judge": "Judging what was learned",
    "publish": "Putting the new model in place",
    "export": "Making the ONNX model",
    "done": "Finishing",
}


def progress(status: Status) -> str:
    """Say how far a session is: Learning, step 12 of 60: round 0.8, loss 1.204."""
    steps = f", step {status.step} of {status.total_steps}" if status.phase == "train" else ""
    return f"{PHASES[status.phase]}{steps}" + (f": {status.message}" if status.message else "")


_VERDICTS = {
    "published": ("✅", "Done: the new model became the current one."),
    "held": ("✋", "Held back: the new model waits for your decision, the old one stays."),
    "discarded": (":material/undo:", "Discarded: the old model stays."),
}
_STATES = {
    "queued": (":material/hourglass_empty:", "It waits for its turn."),
    "running": (":material/play_circle:", "It runs now."),
    "succeeded": ("✅", "Finished."),
    "stopped": ("⏹️", "Stopped on request; it can be resumed, and the old model stays."),
    "interrupted": ("⚠️", "Interrupted before its end; it can be resumed, and the old model stays."),
}


_JOB_STATES = {  # of what is not resumed and makes no model that could take over
    "stopped": ("⏹️", "Stopped on request; it can be started again."),
    "interrupted": ("⚠️", "Interrupted before its end; it can be started again."),
}


def outcome(record: SessionRecord) -> tuple[str, str]:
    """Say how a session or job ended: a sign, and a sentence that says it without the sign."""
    status = record.status
    if status.failure:
        return "❌", f"Failed: {status.failure.message} {status.failure.remedy}".strip()
    if status.verdict == "held" and not record.session.model.exists():
        return (
            "✋",
            f"Held back: the old model stayed, and the new one is not here. {status.verdict_reason}".strip(),
        )
    if status.verdict:
        sign, sentence = _VERDICTS[status.verdict]
        return sign, f"{sentence} {status.verdict_reason}".strip()
    if record.spec.kind != "train" and status.state in _JOB_STATES:
        return _JOB_STATES[status.state]
    if (status.state, status.phase, status.started) == ("stopped", "queued", None):
        return "⏹️", "Cancelled before it began; it can be put back into the queue."
    return _STATES.get(status.state, ("❌", "Failed; its log says why."))


def afterwards(record: SessionRecord, trained: ModelState, records: Sequence[SessionRecord]) -> str:
    """Say what became of a model that was the current one and is not any more; empty for any other.

    `trained` is the current model, `records` are all sessions.
    """
    if record.status.verdict != "published" or sessions.maker_of(trained, records) == record.session.id:
        return ""
    return "Another model is the current one now." if trained.complete else "Its model is not here any more."


def describe_people(record: SessionRecord) -> str:
    """Say who started it, stopped it, resumed it and decided on its model, as far as that was noted."""
    status = record.status
    decided = "made its model the current one" if status.verdict == "published" else "discarded its model"
    acts = {
        "Started": record.spec.started_by,
        "stopped": status.stopped_by,
        "resumed": status.resumed_by,
        decided: status.decided_by,
    }
    said = [
        f"{system.name_of(who)} {act}" if act == decided else f"{act} by {system.name_of(who)}"
        for act, who in acts.items()
        if who is not None
    ]
    return "; ".join(said)


def describe_learning(record: SessionRecord) -> str:
    """Say what a session did, in figures: learning rate and who chose it, loss before and after, time."""
    plan, results = record.status.plan, record.status.results
    parts = []
    if plan:
        parts.append(f"learning rate {describe_learning_rate(plan)}")
    if results.taught_before and results.taught_after:
        before, after = results.taught_before.loss, results.taught_after.loss
        direction = "fell" if after < before else "did not fall"
        parts.append(f"loss on the taught examples {direction}: {before:.2f} → {after:.2f}")
    if record.seconds is not None and record.status.ended:
        parts.append(f"took {system.duration(record.seconds)}")
    return ", ".join(parts)
