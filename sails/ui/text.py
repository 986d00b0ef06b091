"""Words for pages: what a person wrote as harmless text, moments, and how a session ended.

Needs no streamlit. Names, paths and answers come from people and files, so they never reach a page as
Markdown: `code` and `plain` make of them exactly the text that they are.
"""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sails import system
from sails.sessions import Phase, SessionRecord, Status, describe_learning_rate

# --- text that is only text -----------------------------------------------------------------------

_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")  # every ASCII character that Markdown may take for a sign
_SHORTCODE = re.compile(r":(?=\w)")  # `:smile:` and `:material/…:`, which no backslash prevents


def code(text: object) -> str:
    """Write any text as Markdown's inline code, whatever backticks it holds."""
    line = " ".join(str(text).split()) or "(empty)"
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if "`" in (line[0], line[-1]) else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def plain(text: object) -> str:
    """Write any text as one line of Markdown that shows exactly that text."""
    line = _SHORTCODE.sub(":\u2060", " ".join(str(text).split()))  # U+2060 joins words and is invisible
    return _MARKUP.sub(r"\\\1", line)


def literal(text: object) -> str:
    """Write any text as Markdown that shows exactly that text, line by line, with its indentation."""
    lines = str(text).splitlines() or [""]
    wide = [(line, line.expandtabs(4)) for line in lines]
    indented = ("\u00a0" * (len(spaced) - len(spaced.lstrip())) + plain(line) for line, spaced in wide)
    return "  \n".join(line or "\u00a0" for line in indented)


def answer(text: str) -> str:
    """Write what a model answered as Markdown that shows exactly that text, or that there is none."""
    return literal(text) if text.strip() else "*(no answer)*"


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
    "discarded": ("↩️", "Discarded: the old model stays."),
}
_STATES = {
    "queued": ("⏳", "It waits for its turn."),
    "running": ("▶️", "It runs now."),
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
    if status.verdict:
        sign, sentence = _VERDICTS[status.verdict]
        return sign, f"{sentence} {status.verdict_reason}".strip()
    if record.spec.kind != "train" and status.state in _JOB_STATES:
        return _JOB_STATES[status.state]
    return _STATES.get(status.state, ("❌", "Failed; its log says why."))


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
