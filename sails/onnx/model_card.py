"""The card of a model that is handed over: what it is, what it was taught, how sure that is, its limits.

    text = card(about(workspace, fingerprint), state, certificate, runs_by_itself=True)

Markdown with the front matter that Hugging Face reads. It tells what is recorded and nothing else: what a
person taught is told in counts, a base model of theirs by its name alone.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from sails import models, sessions
from sails.errors import RequestError
from sails.models import VariantState, Workspace
from sails.onnx.certify import Certificate, certificate_checks, certificate_title
from sails.system import count, one_line


@dataclass(frozen=True)
class About:
    """What is recorded of a model, in counts. Empty where nobody knows.

    `base` is what to call the base model, `hub_id` its name on the Hugging Face hub. `session` made the
    model, the last of `lessons`; `rows` different examples were taught, `held_out` kept back for testing.
    """

    base: str = ""
    hub_id: str = ""
    licence: str = ""
    session: str = ""
    lessons: int = 0
    rows: int = 0
    held_out: int = 0


def about(workspace: Workspace, fingerprint: str | None) -> About:
    """Tell what the workspace knows of the model with this fingerprint."""
    line = sessions.ancestors(workspace, fingerprint)
    plan = line[-1].status.plan if line else None
    if plan:
        base = plan.base
    else:  # no session here made it; a note may lie in the model's own folder
        folders = [workspace.versions / version.id for version in models.list_versions(workspace)]
        states = (models.inspect_model(models.resolve(one)) for one in (workspace.trained_model, *folders))
        base = next((one.base for one in states if fingerprint and one.fingerprint == fingerprint), None)
    results = [record.status.results for record in line]
    return replace(
        _base(base),
        session=line[-1].session.id if line else "",
        lessons=len(line),
        rows=sum(found.rows_new or found.rows_taught for found in results),
        held_out=sum(found.rows_held_out for found in results),
    )


def _base(name: str | None) -> About:
    """A base model by its name; of a folder only the last part, for the rest says where somebody works."""
    if not name:
        return About()
    with contextlib.suppress(RequestError):
        entry = models.find_base_model(name)
        licence = "" if entry.licence == "unknown" else entry.licence
        return About(entry.folder.name if entry.folder else entry.name, entry.hub_id, licence)
    return About(Path(name).name)


_RUN = """\
## How to run it

1. Install Python 3.11 or newer (python.org), open a terminal in this folder, and run once, with an internet
   connection: `python -m pip install -r requirements.txt`
2. Ask one question: `python chat.py --prompt "What can you do?"`
3. Or hold a conversation: `python chat.py`

It needs no graphics card, and no internet connection after the first step. `python chat.py --help` lists all
settings.
"""
_LOAD = """\
## How to load it

```python
from optimum.onnxruntime import ORTModelForCausalLM
from transformers import AutoTokenizer

model = ORTModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
```
"""
_FILES = """\
## What is in this folder

| File | What it is |
|---|---|
| `chat.py` | talks with the model |
| `requirements.txt` | the four packages that it needs |
{papers}| `model/` | the model itself, its tokenizer and its settings |
| `sails/` | the part of MTN Sails that computes answers (Apache License 2.0) |
"""
_PAPERS = """\
| `certificate.html` | how the model was tested; open it in a browser |
| `certificate.json` | the same for programs |
"""


def card(about: About, state: VariantState, certificate: Certificate | None, *, runs_by_itself: bool) -> str:
    """Return the README.md of a zip file that runs by itself, or of a folder that other programs load."""
    name = models.VARIANT_TITLES[state.variant]
    parts = [
        _front_matter(about, state),
        f"# A language model made with MTN Sails ({name})\n",
        _warning(certificate),
        _RUN if runs_by_itself else _LOAD,
        _origin(about, state),
        _proof(certificate),
        _limits(about, state),
        _FILES.format(papers=_PAPERS if certificate else "") if runs_by_itself else "",
    ]
    return "\n".join(filter(None, parts))


def _front_matter(about: About, state: VariantState) -> str:
    """What Hugging Face reads; what is not known is left out."""
    fields = [f"license: {about.licence.lower()}"] if about.licence else []
    fields += [f"base_model: {json.dumps(about.hub_id)}"] if about.hub_id else []
    tags = ["onnx", "text-generation", "mtn-sails", *models.VARIANT_TABLE[state.variant].tags]
    fields += ["pipeline_tag: text-generation", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *fields, "---", ""])


def _warning(certificate: Certificate | None) -> str:
    if certificate is None:
        return "> ⚠️ **Nobody has proven that this model answers like the original.**\n"
    if certificate.passed:
        return ""
    reasons = "\n".join(f"> - {_one_line(reason)}" for reason in certificate.reasons)
    return f"> ⚠️ **This model failed its certificate and was handed over all the same.**\n{reasons}\n"


def _origin(about: About, state: VariantState) -> str:
    lines = ["## Where it comes from\n"]
    base = _one_line(about.hub_id or about.base) or "not recorded"
    licence = f", licence {about.licence}" if about.licence else ", licence not recorded"
    lines.append(f"- Base model: {base}{licence if about.base else ''}")
    if about.lessons:
        times = count(about.lessons, "training")
        kept = f"; {about.held_out:,} more were set aside to test it" if about.held_out else ""
        lines.append(f"- Taught: {count(about.rows, 'example')} in {times}{kept}")
        lines.append(f"- Last training: {about.session}")
    else:
        lines.append("- Taught: not recorded")
    record = models.ExportRecord.read(models.resolve(state.path))
    if record and record.created is not None:
        made = f"{_one_line(record.created)}, {models.VARIANT_TITLES[state.variant]}"
        lines.append(f"- Made into an ONNX model: {made}")
    lines.append(f"- Fingerprint of the trained model: {_one_line(state.fingerprint or 'not recorded')}")
    return "\n".join(lines) + "\n"


def _proof(certificate: Certificate | None) -> str:
    if certificate is None:
        return ""
    rows = []
    for check in certificate_checks(certificate):
        cells = (check.name, check.value, _GOOD[check.good], check.sentence)
        rows.append(f"| {' | '.join(map(_one_line, cells))} |")
    return "\n".join(
        [
            "## Does it answer like the original?\n",
            f"{certificate_title(certificate)} Both were asked the same questions, {certificate.prompts} in "
            "all.\n",
            "| Figure | Value | Good? | What it means |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


_GOOD = {True: "yes", False: "no", None: ""}


def _limits(about: About, state: VariantState) -> str:
    lines = [
        "It is a small model. It says what sounds right, which may be wrong: check what matters, and let it "
        "decide nothing about people, health, law or money.",
        "It knows what its base model knew and what it was taught, and nothing that happened since.",
        "It can keep only so much of a conversation in mind. In a long one, the oldest part is left out.",
        "Which languages it speaks was not measured.",
    ]
    if not about.licence:
        lines.append("The licence of its base model was not recorded: ask before you pass it on.")
    if limits := models.VARIANT_TABLE[state.variant].limits:
        lines.append(limits)
    return "\n".join(["## Limits\n", *(f"- {line}" for line in lines), ""])


def _one_line(text: str) -> str:
    """Any text as one line that no Markdown or HTML is read from."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", one_line(text))
