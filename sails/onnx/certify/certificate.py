"""The certificate of an ONNX model: what was measured, what is needed, and how a person reads it.

    certificate = read_certificate(Path("onnx_model/int8"))
    for check in checks(certificate):
        print(check.name, check.value, check.sentence)

`sails.onnx.certify.verify` measures. Here are the thresholds, the two files that a certificate lies in
(`certificate.json` for programs, `certificate.html` for people), and the words that pages, commands and the
readable page share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from sails.models.variants import CERTIFICATE, TITLES, VARIANTS, Variant
from sails.system import access
from sails.system.locks import write_atomic

PAGE = "certificate.html"
# Stands for a difference that is not a number, so that every figure of a certificate is one, in JSON too.
NOT_A_NUMBER = 1e9

# --- what is needed -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thresholds:
    """What a certificate needs. None: not judged.

    `logit_difference`: the largest absolute difference of any logit. `mean_difference`: the mean absolute
    difference, as a share of the standard deviation of a position's logits. `next_token_agreement`: the share
    of places in answers at which both models put the same token first. `identical_answers`: the share of
    greedy answers that are the same token for token. `loss`: by how many nats a token the ONNX model may be
    worse on the text that both read. In the agreement and in the answers another token is excused where
    PyTorch itself scores it less than `margin` below its own best: there rounding decides.
    """

    logit_difference: float | None
    mean_difference: float | None
    next_token_agreement: float
    identical_answers: float
    loss: float
    margin: float


THRESHOLDS: Mapping[Variant, Thresholds] = {
    # The same numbers computed in another order: rounding alone reaches about 1e-4 on a model of 30 layers, a
    # single wrong weight matrix whole numbers.
    "fp32": Thresholds(
        logit_difference=1e-3,
        mean_difference=None,
        next_token_agreement=0.999,
        identical_answers=1.0,
        loss=1e-3,
        margin=1e-3,
    ),
    # Rounded numbers move every score a little. On sound models the mean difference was 1 to 8 % of the
    # spread, the agreement at least 99.0 %, the loss at most 0.013 higher, and nine of ten answers the same
    # or parting at a token that PyTorch finds nearly as likely (0.3 nats: at most 1.35 times less). PyTorch
    # itself, computing in bf16 instead of fp32, agrees with itself on 98.0 to 99.6 % by the same measure. One
    # matrix out of order costs 16 % of the spread and more; one weight that is a hundred times too large is
    # seen in the agreement or the loss. Fewer answers are asked for because the eight that never change are
    # few.
    "int8": Thresholds(
        logit_difference=None,
        mean_difference=0.15,
        next_token_agreement=0.98,
        identical_answers=0.6,
        loss=0.03,
        margin=0.3,
    ),
}

# --- what was measured ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """One prompt and what both models answered."""

    prompt: str
    torch: str
    onnx: str


@dataclass(frozen=True)
class Speed:
    """How fast answers come, as medians over some prompts, and what that takes.

    `memory_bytes` is the most that loading the model and answering adds to a process of its own, with the
    libraries that it needs.
    """

    first_token_seconds: float
    tokens_per_second: float
    memory_bytes: int


@dataclass(frozen=True)
class Certificate:
    """The verdict and what it rests on; `reasons` say in words why it is not passed.

    Logits were compared at `positions` places; `spread` is the standard deviation of a position's logits.
    `identical_answers` of `prompts` greedy answers are the same token for token, `excused_answers` more part
    at a tie. `own_prompts` of the prompts are the person's own. `original_loss` and `loss` are nats a token
    of the PyTorch model and of this one, on the right answers to `known_answers` of the prompts, else on what
    the original answers. `created` is UTC in ISO form; answers that differ come first in `examples`.
    """

    variant: Variant
    passed: bool
    reasons: tuple[str, ...]
    max_logit_difference: float
    mean_logit_difference: float
    next_token_agreement: float
    identical_answers: int
    prompts: int
    positions: int
    source_fingerprint: str | None
    created: str
    examples: tuple[Example, ...]
    seconds: float
    spread: float = 0.0
    excused_answers: int = 0
    own_prompts: int = 0
    known_answers: int = 0
    original_loss: float | None = None
    loss: float | None = None
    original_speed: Speed | None = None
    speed: Speed | None = None
    original_bytes: int = 0
    bytes: int = 0

    @property
    def mean_share(self) -> float:
        """The mean logit difference as a share of the logits' spread."""
        return min(self.mean_logit_difference / self.spread, NOT_A_NUMBER) if self.spread else 0.0

    @property
    def loss_difference(self) -> float | None:
        """By how many nats a token this model is worse than its original; below 0 when it is better."""
        if self.loss is None or self.original_loss is None:
            return None
        return self.loss - self.original_loss


# --- its files ------------------------------------------------------------------------------------


def write(folder: Path, certificate: Certificate) -> None:
    """Put the certificate into an ONNX folder, for programs and for people."""
    access.require_changes()
    content = json.dumps(asdict(certificate), indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / CERTIFICATE, content.encode("utf-8", "replace").decode("utf-8"))
    write_atomic(folder / PAGE, as_page(certificate).encode("utf-8", "replace").decode("utf-8"))


def read_certificate(folder: Path) -> Certificate | None:
    """The certificate in an ONNX folder, or None when there is none that can be read."""
    try:
        return certificate_from(json.loads((folder / CERTIFICATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def certificate_from(content: Any) -> Certificate:
    """A certificate from its JSON form; one without a variant is of full precision.

    Raises KeyError, TypeError or ValueError when it is none.
    """
    content = {"variant": "fp32", **content}
    known: dict[str, Any] = {}
    for field in fields(Certificate):
        if field.name not in content and field.default is not MISSING:
            continue
        value = content[field.name]
        kind = str(field.type)
        if value is None and "None" in kind:
            known[field.name] = None
        elif kind == "int":
            known[field.name] = int(float(value))  # which refuses what no figure can be computed from
        elif kind.startswith("float"):  # figures that are none would fail whoever shows them
            known[field.name] = _finite(value)
        elif kind.startswith("Speed"):
            known[field.name] = Speed(
                _finite(value["first_token_seconds"]),
                _finite(value["tokens_per_second"]),
                int(float(value["memory_bytes"])),
            )
        else:
            known[field.name] = value
    if known["variant"] not in VARIANTS:
        raise ValueError(f"{known['variant']!r} is no variant of an ONNX model")
    examples = tuple(
        Example(**{key: str(text) for key, text in dict(one).items()}) for one in known["examples"]
    )
    return Certificate(
        **known
        | {
            "passed": known["passed"] is True,
            "reasons": tuple(str(reason) for reason in known["reasons"]),
            "examples": examples,
            "created": str(known["created"]),
        }
    )


def _finite(value: Any) -> float:
    number = float(value)
    return number if math.isfinite(number) else NOT_A_NUMBER


# --- as a person reads it -------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One figure, and a sentence that says what it means; `good` is None where there is nothing to judge."""

    name: str
    value: str
    good: bool | None
    sentence: str


def title(certificate: Certificate) -> str:
    """The verdict in one sentence."""
    model = f"The {TITLES[certificate.variant]} model"
    return f"{model} {'answers' if certificate.passed else 'does not answer'} like the original."


def checks(certificate: Certificate) -> list[Check]:
    """All figures: those that are judged first, then speed, memory and size beside the original's."""
    return [*_judged(certificate), *_told(certificate)]


def _judged(certificate: Certificate) -> list[Check]:
    needed = THRESHOLDS[certificate.variant]
    same, excused, asked = certificate.identical_answers, certificate.excused_answers, certificate.prompts
    found = [
        Check(
            "Answers that are the same",
            f"{same + excused} of {asked}",
            # Certificates of old do not say how many were excused.
            asked > 0 and (same + excused >= needed.identical_answers * asked or certificate.passed),
            _how_many(certificate),
        ),
        Check(
            "Next word pieces on which both agree",
            f"{certificate.next_token_agreement:.2%}",
            certificate.next_token_agreement >= needed.next_token_agreement,
            "Of all places in the answers, where one that the original finds about as likely counts too; at "
            f"least {needed.next_token_agreement:.1%} are needed.",
        ),
    ]
    if needed.logit_difference is not None:
        largest = certificate.max_logit_difference
        found.append(
            Check(
                "Largest difference of any score",
                "less than 0.00001" if largest < 1e-5 else f"{largest:,.5f}",
                largest <= needed.logit_difference,
                f"At most {needed.logit_difference:g} is allowed. Rounding stays below that; a real fault "
                "goes far beyond it.",
            )
        )
    if needed.mean_difference is not None:
        found.append(
            Check(
                "Mean difference of the scores",
                f"{certificate.mean_share:.1%}",
                certificate.mean_share <= needed.mean_difference,
                "Each word piece gets a score. This is how far off it is, as a share of how far all scores "
                f"lie apart; at most {needed.mean_difference:.0%} is allowed. The largest difference is "
                f"{certificate.max_logit_difference:,.2f}.",
            )
        )
    difference = certificate.loss_difference
    if difference is not None:
        about = (
            f"On the right answers to {certificate.known_answers} questions"
            if certificate.known_answers
            else "On what the original answers"
        )
        found.append(
            Check(
                "Surprise at the answers (loss)",
                f"{difference:+.4f}",
                difference <= needed.loss,
                f"{about}, {certificate.loss:.3f} against {certificate.original_loss:.3f} of the original; "
                f"less is better, and at most {needed.loss:g} more is allowed.",
            )
        )
    return found


def _how_many(certificate: Certificate) -> str:
    """How many answers are the same, which of them are not to the word, and how many are needed."""
    needed = THRESHOLDS[certificate.variant].identical_answers
    rule = "All must be the same." if needed == 1.0 else f"At least {needed:.0%} are needed."
    same, excused = certificate.identical_answers, certificate.excused_answers
    if not excused:
        # Certificates of old do not say how many were excused.
        others = certificate.passed and same < certificate.prompts and needed == 1.0
        ties = " The others part where rounding decides." if others else ""
        return f"Word for word.{ties} {rule}"
    return (
        f"{same} are the same word for word. {excused} more part at a word piece that the original finds "
        f"about as likely, which counts as the same. {rule}"
    )


def _told(certificate: Certificate) -> list[Check]:
    found = []
    ours, theirs = certificate.speed, certificate.original_speed
    if ours:
        beside = f"PyTorch took {theirs.first_token_seconds:.2f} s for the same questions." if theirs else ""
        found.append(Check("Time to the first word", f"{ours.first_token_seconds:.2f} s", None, beside))
        if theirs and theirs.tokens_per_second > 0:
            times = ours.tokens_per_second / theirs.tokens_per_second
            beside = (
                f"Word pieces a second; PyTorch wrote {theirs.tokens_per_second:,.1f}, so this is "
                f"{times:.1f} times as fast."
            )
        found.append(Check("Speed", f"{ours.tokens_per_second:,.1f} a second", None, beside))
        beside = f"A program with PyTorch takes {_size(theirs.memory_bytes)}." if theirs else ""
        found.append(
            Check("Memory", _size(ours.memory_bytes), None, f"With the libraries it needs. {beside}".strip())
        )
    if certificate.bytes:
        beside = (
            f"The original has {_size(certificate.original_bytes)}." if certificate.original_bytes else ""
        )
        found.append(Check("Size", _size(certificate.bytes), None, beside))
    return found


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def as_page(certificate: Certificate) -> str:
    """`certificate.html`: complete in itself, readable without knowing any of the words."""
    sign = "✅" if certificate.passed else "❌"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in certificate.reasons)
    rows = "".join(map(_row, checks(certificate)))
    examples = "".join(map(_example, certificate.examples))
    name = f"Certificate of the {TITLES[certificate.variant]} model"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(name)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(name)}</h1>
<p class="verdict">{sign} {escape(title(certificate))}</p>
{f"<ul>{reasons}</ul>" if reasons else ""}
<p>An ONNX model is a copy of a trained model in another form, so that it runs without PyTorch.
{_ABOUT[certificate.variant]} To find out whether the copy still answers like the original, both were asked
the same {_asked(certificate)}, and what they answered was compared word piece by word piece. A word piece is
a short word or a part of a long one.</p>
<h2>What was measured</h2>
<div class="wide"><table>
<thead><tr><th scope="col">Figure</th><th scope="col">Value</th><th scope="col">Good?</th>
<th scope="col">What it means</th></tr></thead>
<tbody>{rows}</tbody>
</table></div>
{f"<h2>Answers side by side</h2><p>{_SHOWN}</p>{examples}" if examples else ""}
<footer>Measured {escape(_moment(certificate.created))} in {certificate.seconds:.0f} seconds, on the model
with the fingerprint <code>{escape(str(certificate.source_fingerprint or "unknown"))}</code>.</footer>
</main>
</body>
</html>
"""


def _row(check: Check) -> str:
    judged = {True: "✅ good", False: "❌ not good", None: ""}[check.good]
    return (
        f'<tr><th scope="row">{escape(check.name)}</th><td class="value">{escape(check.value)}</td>'
        f'<td class="judged">{judged}</td><td>{escape(check.sentence)}</td></tr>'
    )


def _example(example: Example) -> str:
    answers = (("Original", example.torch), ("This model", example.onnx))
    sides = "".join(
        f"<div><h3>{who}</h3><pre>{escape(answer) or '(nothing)'}</pre></div>" for who, answer in answers
    )
    same = "the same" if example.torch == example.onnx else "not the same"
    return (
        f'<section><p class="question">{escape(example.prompt)} <small>({same})</small></p>'
        f'<div class="sides">{sides}</div></section>'
    )


def _asked(certificate: Certificate) -> str:
    own = certificate.own_prompts
    if not own:
        return f"{certificate.prompts} questions"
    fixed = certificate.prompts - own
    return f"{certificate.prompts} questions ({own} of its lesson, {fixed} that never change)"


def _moment(created: str) -> str:
    try:
        return f"{datetime.fromisoformat(created).astimezone(UTC):%d %B %Y, %H:%M} UTC"
    except (ValueError, OverflowError):
        return created


_SHOWN = (
    "Answers that are not the same come first, all cut off after a few word pieces. Where one word piece "
    "differs, each goes on from there in its own way."
)
_ABOUT: Mapping[Variant, str] = {
    "fp32": "This one keeps every number of the original as exact as it is (full precision).",
    "int8": "This one keeps the numbers in 8 bits instead of 32: it needs about a third of the space and "
    "answers several times as fast, and its numbers are rounded.",
}
_STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --box: #f6f8fa; --faint: #57606a; }
@media (prefers-color-scheme: dark) { :root { --line: #3d444d; --box: #151b23; --faint: #9198a1; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 56rem; margin: 0 auto; padding: 1rem; }
.verdict { font-size: 1.25rem; font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid var(--line); }
.value { white-space: nowrap; font-variant-numeric: tabular-nums; }
td.judged { white-space: nowrap; }
@media (max-width: 40rem) {
  thead { display: none; }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  th, td { display: block; padding: .1rem 0; border: 0; }
}
section { border-top: 1px solid var(--line); margin-top: 1rem; }
.question { font-weight: 600; overflow-wrap: anywhere; }
.sides { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); }
h3 { font-size: .9rem; margin: 0 0 .25rem; color: var(--faint); }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 6px; padding: .6rem; margin: 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; }
small, footer { color: var(--faint); font-weight: 400; }
footer { margin: 2rem 0 1rem; overflow-wrap: anywhere; }
"""
