"""The sizes of an ONNX model: where each lies, how fresh and how certain it is, and which one answers.

    onnx_model/            fp32: full precision, flat, where `from_pretrained` finds it
    onnx_model/int8/       int8: 8-bit weights, a third of the size and several times as fast
    onnx_model_failed/     one folder for each variant whose certificate failed: kept apart, not offered

Another variant is one more entry in `VARIANT_TABLE` and its builder in `sails.onnx.convert`. Reads only
small files, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sails.models.export_record import ExportRecord
from sails.models.folder import FoundFile, found_files, has_tokenizer, modified
from sails.models.journal import resolve, steadily
from sails.system import listed, read_json

CERTIFICATE = "certificate.json"


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


@dataclass(frozen=True)
class VariantDeclaration:
    """What there is to say of a variant.

    `title` is what a person reads, `option_help` stands behind its name in `--help`, `description` beside it
    on the page, `tags` and `limits` in its model card. It is built from the variant `built_from`, which
    stands before it in the table, or from the trained model when that is None; `build_seconds` is how long
    that takes for 135 million parameters on two cores. Of those that are certified the chat takes the
    highest `preference`, where none is the lowest. `thresholds` are what its certificate needs, `certificate`
    is what that says of it.
    """

    title: str
    option_help: str
    description: str
    build_seconds: float
    preference: int
    thresholds: Thresholds
    certificate: str
    built_from: str | None = None
    tags: tuple[str, ...] = ()
    limits: str = ""


# By the name on disk and on the command line. The first is that of files which name none.
VARIANT_TABLE: Mapping[str, VariantDeclaration] = {
    "fp32": VariantDeclaration(
        title="full precision",
        option_help="full precision",
        description="Every number as exact as in the trained model.",
        build_seconds=20.0,
        preference=0,
        # The same numbers computed in another order: rounding alone reaches about 1e-4 on a model of 30
        # layers, a single wrong weight matrix whole numbers.
        thresholds=Thresholds(
            logit_difference=1e-3,
            mean_difference=None,
            next_token_agreement=0.999,
            identical_answers=1.0,
            loss=1e-3,
            margin=1e-3,
        ),
        certificate="This one keeps every number of the original as exact as it is (full precision).",
    ),
    "int8": VariantDeclaration(
        title="8-bit",
        option_help="the small and fast 8-bit model",
        description="A third of the size, several times as fast. Answers as well, but not always word for "
        "word.",
        build_seconds=6.0,
        preference=1,
        # Rounded numbers move every score a little. On sound models the mean difference was 1 to 8 % of the
        # spread, the agreement at least 99.0 %, the loss at most 0.013 higher, and nine of ten answers the
        # same or parting at a token that PyTorch finds nearly as likely (0.3 nats: at most 1.35 times less).
        # PyTorch itself, computing in bf16 instead of fp32, agrees with itself on 98.0 to 99.6 % by the same
        # measure. One matrix out of order costs 16 % of the spread and more; one weight that is a hundred
        # times too large is seen in the agreement or the loss. Fewer answers are asked for because the eight
        # that never change are few.
        thresholds=Thresholds(
            logit_difference=None,
            mean_difference=0.15,
            next_token_agreement=0.98,
            identical_answers=0.6,
            loss=0.03,
            margin=0.3,
        ),
        certificate="This one keeps the numbers in 8 bits instead of 32: it needs about a third of the "
        "space and answers several times as fast, and its numbers are rounded.",
        built_from="fp32",
        tags=("int8", "quantized"),
        limits="Its numbers are rounded to 8 bits. It needs about a third of the space, and now and then it "
        "answers in other words than the original.",
    ),
}
VARIANTS = tuple(VARIANT_TABLE)
FULL_PRECISION = VARIANTS[0]
VARIANT_TITLES: Mapping[str, str] = {name: about.title for name, about in VARIANT_TABLE.items()}
# Those that the chat takes before full precision, once they are certified.
PREFERRED_TITLES = listed(
    [v.title for v in VARIANT_TABLE.values() if v.preference > VARIANT_TABLE[FULL_PRECISION].preference], "or"
)

if TYPE_CHECKING:
    Variant = str
else:  # so that pydantic and typer refuse any other
    Variant = Literal[VARIANTS]


@dataclass(frozen=True)
class VariantState:
    """What lies in a variant's folder.

    `stale`: made from another model than the trained one; None when nobody recorded from which. `certified`:
    whether its certificate was passed; None when there is none, or it is that of another export.
    """

    variant: Variant
    path: Path
    present: bool = False
    fingerprint: str | None = None
    stale: bool | None = None
    certified: bool | None = None
    files: tuple[FoundFile, ...] = ()
    modified: datetime | None = None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def variant_folder(onnx: Path, variant: Variant) -> Path:
    """Return where a variant of the ONNX model in the folder `onnx` lies."""
    return onnx if variant == FULL_PRECISION else onnx / variant


def failed_folder(onnx: Path, variant: Variant) -> Path:
    """Return where a variant whose certificate failed is kept, beside the folder `onnx`."""
    return onnx.with_name(f"{onnx.name}_failed") / variant


def inspect_variants(
    onnx: Path, trained_fingerprint: str | None, tokenizer: str | None = None
) -> dict[Variant, VariantState]:
    """Judge all variants of the ONNX model in a folder, present or not; never see a change half done.

    `tokenizer` is that of the trained model, where it is known: an export with another one is stale, too.
    """

    def inspect_all(folder: Path) -> dict[Variant, VariantState]:
        states = {
            v: inspect_variant(variant_folder(folder, v), v, trained_fingerprint, tokenizer) for v in VARIANTS
        }
        return {v: replace(state, path=variant_folder(onnx, v)) for v, state in states.items()}

    return steadily(onnx, inspect_all)


def inspect_failed_variants(onnx: Path, trained_fingerprint: str | None) -> dict[Variant, VariantState]:
    """Judge those that are kept apart, which may be none."""
    states = {v: inspect_variant(failed_folder(onnx, v), v, trained_fingerprint) for v in VARIANTS}
    return {variant: state for variant, state in states.items() if state.present}


def inspect_variant(
    folder: Path, variant: Variant, trained_fingerprint: str | None, tokenizer: str | None = None
) -> VariantState:
    """Judge the folder of one variant by its files; never raises for what it finds inside."""
    real = resolve(folder)
    files = found_files(real)
    if not any(file.name.endswith(".onnx") and file.size > 0 for file in files):
        return VariantState(variant, folder)
    record = ExportRecord.read(real)
    fingerprint = record.fingerprint if record else None
    certificate = read_json(real / CERTIFICATE) or {}
    passed, measured = certificate.get("passed"), certificate.get("variant", FULL_PRECISION)
    belongs = measured == variant and certificate.get("source_fingerprint") == fingerprint
    return VariantState(
        variant=variant,
        path=folder,
        present=True,
        fingerprint=fingerprint,
        stale=None
        if record is None or fingerprint is None
        else fingerprint != trained_fingerprint or not has_tokenizer(record, tokenizer),
        certified=passed if belongs and isinstance(passed, bool) else None,
        files=files,
        modified=modified(real, files),
    )


def preferred_variant(states: Mapping[Variant, VariantState]) -> Variant | None:
    """Return the variant to chat with and to hand over, of those that were found; None when there is none.

    What is fresh comes before what is not, what did not fail before what did, and then of what is certified
    the highest preference (8-bit), where nothing is the lowest (full precision).
    """

    def worth(state: VariantState) -> tuple[bool, bool, int, int]:
        preference = VARIANT_TABLE[state.variant].preference
        certified = preference if state.certified is True else 0
        return (state.stale is False, state.certified is not False, certified, -preference)

    present = [state for state in states.values() if state.present]
    return max(present, key=worth).variant if present else None
