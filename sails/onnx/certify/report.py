"""How a person reads a certificate, and the two files that it lies in.

    for check in certificate_checks(certificate):
        print(check.name, check.value, check.sentence)
    write_certificate(Path("onnx_model/int8"), certificate)

`certificate.json` is for programs, `certificate.html` for people. Pages, commands, model cards and
the readable page share the words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from sails import system
from sails.models import CERTIFICATE, VARIANT_TABLE, VARIANT_TITLES
from sails.onnx.certify.certificate import Certificate
from sails.system import count, seconds, signed, size, write_atomic

CERTIFICATE_PAGE = "certificate.html"


@dataclass(frozen=True)
class Check:
    """One figure, and a sentence that says what it means; `good` is None where there is nothing to judge."""

    name: str
    value: str
    good: bool | None
    sentence: str


def certificate_title(certificate: Certificate) -> str:
    """Return the verdict in one sentence."""
    model = f"The {VARIANT_TITLES[certificate.variant]} model"
    return f"{model} {'answers' if certificate.passed else 'does not answer'} like the original."


def certificate_checks(certificate: Certificate) -> list[Check]:
    """Return all figures: those that are judged first, then speed, memory and size beside the original's."""
    return [*_judged(certificate), *_told(certificate)]


def _judged(certificate: Certificate) -> Iterator[Check]:
    needed = VARIANT_TABLE[certificate.variant].thresholds
    same, asked = certificate.identical_answers + certificate.excused_answers, certificate.prompts
    yield Check(
        "Answers that are the same",
        f"{same} of {asked}",
        # Certificates of old do not say how many were excused.
        asked > 0 and (same >= needed.identical_answers * asked or certificate.passed),
        _how_many(certificate),
    )
    yield Check(
        "Next word pieces on which both agree",
        f"{certificate.next_token_agreement:.2%}",
        certificate.next_token_agreement >= needed.next_token_agreement,
        "Of all places in the answers, where one that the original finds about as likely counts too; at "
        f"least {needed.next_token_agreement:.1%} are needed.",
    )
    if needed.logit_difference is not None:
        largest = certificate.max_logit_difference
        yield Check(
            "Largest difference of any score",
            "less than 0.00001" if largest < 1e-5 else f"{largest:,.5f}",
            largest <= needed.logit_difference,
            f"At most {needed.logit_difference:g} is allowed. Rounding stays below that; a real fault "
            "goes far beyond it.",
        )
    if needed.mean_difference is not None:
        yield Check(
            "Mean difference of the scores",
            f"{certificate.mean_share:.1%}",
            certificate.mean_share <= needed.mean_difference,
            "Each word piece gets a score. This is how far off it is, as a share of how far all scores "
            f"lie apart; at most {needed.mean_difference:.0%} is allowed. The largest difference is "
            f"{certificate.max_logit_difference:,.2f}.",
        )
    difference, known = certificate.loss_difference, certificate.known_answers
    if difference is not None:
        about = "On what the original answers"
        if known:
            about = f"On the right answers to {count(known, 'question')}"
        yield Check(
            "More prediction error (loss)",
            signed(difference, 4),
            difference <= needed.loss,
            f"{about}, {certificate.loss:.3f} against {certificate.original_loss:.3f} of the original; "
            f"less is better, and at most {needed.loss:g} more is allowed.",
        )


def _how_many(certificate: Certificate) -> str:
    """How many answers are the same, which of them are not to the word, and how many are needed."""
    needed = VARIANT_TABLE[certificate.variant].thresholds.identical_answers
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


def _told(certificate: Certificate) -> Iterator[Check]:
    ours, theirs = certificate.speed, certificate.original_speed
    if ours:
        took = seconds(theirs.first_token_seconds, 2) if theirs else ""
        beside = f"PyTorch took {took} for the same questions." if theirs else ""
        yield Check("Time to the first word", seconds(ours.first_token_seconds, 2), None, beside)
        if theirs and theirs.tokens_per_second > 0:
            times = ours.tokens_per_second / theirs.tokens_per_second
            beside = (
                f"Word pieces a second; PyTorch wrote {theirs.tokens_per_second:,.1f}, so this is "
                f"{times:.1f} times as fast."
            )
        yield Check("Speed", f"{ours.tokens_per_second:,.1f} a second", None, beside)
    if ours and ours.memory_bytes:
        measured = theirs and theirs.memory_bytes
        beside = f"A program with PyTorch takes {size(measured)}." if measured else ""
        yield Check("Memory", size(ours.memory_bytes), None, f"With the libraries it needs. {beside}".strip())
    if certificate.bytes:
        beside = f"The original has {size(certificate.original_bytes)}." if certificate.original_bytes else ""
        yield Check("Size", size(certificate.bytes), None, beside)


def certificate_files(certificate: Certificate) -> dict[str, bytes]:
    """Return the certificate for people and for programs, by the name of the file."""
    content = json.dumps(asdict(certificate), indent=2, ensure_ascii=False) + "\n"
    # In this order they lie in a bundle, where the same model gives the same bytes.
    texts = {CERTIFICATE_PAGE: as_page(certificate), CERTIFICATE: content}
    return {name: text.encode("utf-8", "replace") for name, text in texts.items()}


def write_certificate(folder: Path, certificate: Certificate) -> None:
    """Put the certificate into an ONNX folder, for programs and for people."""
    system.require_changes()
    for name, content in certificate_files(certificate).items():
        write_atomic(folder / name, content.decode())


def as_page(certificate: Certificate) -> str:
    """`certificate.html`: complete in itself, readable without knowing any of the words."""
    import jinja2  # here, since whoever only reads certificates does not need it

    # A question or an answer is text, whatever it looks like.
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    try:
        measured = f"{datetime.fromisoformat(certificate.created).astimezone(UTC):%d %B %Y, %H:%M} UTC"
    except (ValueError, OverflowError):
        measured = certificate.created
    source = files(__package__).joinpath("certificate.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        certificate=certificate,
        variant=VARIANT_TITLES[certificate.variant],
        verdict=certificate_title(certificate),
        about=VARIANT_TABLE[certificate.variant].certificate,
        checks=certificate_checks(certificate),
        measured=measured,
    )
