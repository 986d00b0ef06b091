"""One model folder ► its ONNX model: built beside its place, judged, and put there at once.

    order = ConversionOrder(Path("trained_model"), Path("onnx_model"), VARIANTS, verify=True)
    convert_model(order, reporter)

All variants are built first, each in a hidden folder beside the target. Those that answer like the original
take their places; one that does not is kept apart, and what was in its place stays. Killed at any moment,
each variant in the target is the old one or the whole new one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sails import models, system
from sails.errors import ModelLoadError, VerificationError, WorkspaceError
from sails.models import VARIANT_TABLE, VARIANT_TITLES, VARIANTS, Variant
from sails.sessions import Reporter
from sails.system import Progress, listed

if TYPE_CHECKING:
    from sails.onnx.certify import Certificate

VERIFY_SECONDS = 40.0  # against which `build_seconds` of the variants are; only how they compare counts
MEASURE_MEMORY = "SAILS_MEASURE_MEMORY"  # 0: not in processes of their own, which take some seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConversionOrder:
    """What is to be made.

    `answers` are the right ones to the `prompts` that it is verified on, or none. The ONNX model that was
    there is deleted afterwards, or goes to `keep`. With `forgiving`, a variant built from another
    one that fails its certificate is only noted.
    """

    model: Path
    target: Path
    variants: tuple[Variant, ...] = (models.FULL_PRECISION,)
    verify: bool = False
    opset: int | None = None
    prompts: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    keep: Path | None = None
    forgiving: bool = False


def convert_model(order: ConversionOrder, reporter: Reporter, progress: Progress | None = None) -> None:
    """Carry out an order. `progress` is the reporter's own, or one that may raise `Stopped`.

    Raises `ModelLoadError` when the model is not complete, changes meanwhile or cannot be exported,
    `VerificationError` when a variant does not answer like it, `WorkspaceError` where nothing can be written.
    """
    system.require_changes()
    state = models.inspect_model(order.model)
    if not state.complete:  # a version may have been deleted since it was asked for
        raise ModelLoadError(
            f"There is no complete model in {order.model} ({state.reason or 'it is missing'}).",
            "Choose another model.",
        )
    models.recover_onnx(order.target)
    with _writing(order.target):
        models.clear_leftovers(order.target)
    with contextlib.ExitStack() as cleaning:
        work = _Work(order, state.fingerprint, reporter, cleaning, _Steps(progress or reporter.progress))
        built, certificates = _build(work)
        if models.inspect_model(order.model).fingerprint != state.fingerprint:
            raise ModelLoadError(
                "The model changed while its ONNX model was being made.", "Make the ONNX model again."
            )
        _place(order, built, certificates, reporter)


@dataclass(frozen=True)
class _Work:
    """An order in hand."""

    order: ConversionOrder
    fingerprint: str | None
    reporter: Reporter
    cleaning: contextlib.ExitStack  # of what was built and did not take its place
    steps: _Steps


Built = dict[Variant, Path]


def _build(work: _Work) -> tuple[Built, dict[Variant, Certificate]]:
    """The variants, and their certificates where they are asked for."""
    lying = _lying_ready(work)
    if lying:
        with contextlib.suppress(ModelLoadError):
            built, certificates = _build_from(work, lying)
            if all(certificate.passed for certificate in certificates.values()):
                return built, certificates
        names = listed([VARIANT_TITLES[variant] for variant in lying])
        log.info("The %s model that lies there is of no use; it is made anew.", names)
    return _build_from(work, {})


def _build_from(work: _Work, lying: Built) -> tuple[Built, dict[Variant, Certificate]]:
    """The same, where these variants to build others from lie ready; what else is needed is made first."""
    order = work.order
    needed = set(order.variants)
    for variant in reversed(VARIANTS):
        source = VARIANT_TABLE[variant].built_from
        if source and variant in needed and variant not in lying:
            needed.add(source)
    parts = [variant for variant in VARIANTS if variant in needed and variant not in lying]
    seconds = [VARIANT_TABLE[variant].build_seconds for variant in parts]
    work.steps.plan([*seconds, VERIFY_SECONDS] if order.verify else seconds)
    available, built = dict(lying), Built()
    for variant in parts:
        source = VARIANT_TABLE[variant].built_from
        try:
            with work.steps.next() as report:
                staged = _empty_stage(work, variant)
                if source and source not in available:
                    raise ModelLoadError(f"There is no {VARIANT_TITLES[source]} model to make it from.")
                BUILDERS[variant](work, available[source] if source else order.model, staged, report)
        except ModelLoadError as error:  # its family has none
            if not built:
                raise
            work.reporter.note(f"There is no {VARIANT_TITLES[variant]} model: {error}")
            continue
        system.give_back_memory()
        available[variant] = staged
        if variant in order.variants:
            built[variant] = staged
    return built, _verify(work, built) if order.verify else {}


def _lying_ready(work: _Work) -> Built:
    """What the ordered variants are built from, without being ordered, where it lies there and is proven."""
    sources = {VARIANT_TABLE[variant].built_from for variant in work.order.variants} - {*work.order.variants}
    lying = Built()
    for variant, state in models.inspect_variants(work.order.target, work.fingerprint).items():
        if variant in sources and state.present and state.stale is False and state.certified:
            record = models.ExportRecord.read(state.path)
            if work.order.opset in (None, record.opset if record else None):
                lying[variant] = state.path
    return lying


def _build_full_precision(work: _Work, source: Path, staged: Path, report: Progress) -> None:
    from sails.onnx.export import export_model

    fingerprint, opset = work.fingerprint, work.order.opset
    done = export_model(source, staged, source_fingerprint=fingerprint, opset=opset, progress=report)
    log.info("Exported with opset %s in %.1f s.", done.opset, done.seconds)
    if done.note:
        work.reporter.note(done.note)


def _build_8_bit(_: _Work, source: Path, staged: Path, report: Progress) -> None:
    from sails.onnx.quantize import quantize_model
    from sails.onnx.runtime.generate import Generator

    done = quantize_model(source, staged, progress=report)
    Generator.open(staged)
    log.info("Made 8-bit in %.1f s.", done.seconds)


# What builds a variant in an empty folder, from the folder that its declaration names.
BUILDERS: Mapping[Variant, Callable[[_Work, Path, Path, Progress], None]] = {
    "fp32": _build_full_precision,
    "int8": _build_8_bit,
}


def _verify(work: _Work, built: Built) -> dict[Variant, Certificate]:
    from sails.onnx import certify

    with work.steps.next() as report:
        made = certify.verify_model(
            work.order.model,
            built,
            work.order.prompts,
            work.order.answers,
            memory=os.environ.get(MEASURE_MEMORY) != "0",
            write=True,
            progress=report,
        )
    work.reporter.result(certificates=json.loads(json.dumps({v: asdict(one) for v, one in made.items()})))
    for variant, one in made.items():
        log.info("%s: largest logit difference %.2g.", VARIANT_TITLES[variant], one.max_logit_difference)
    return made


def _place(
    order: ConversionOrder, built: Built, certificates: Mapping[Variant, Certificate], reporter: Reporter
) -> None:
    """What is good takes its place, what failed goes apart; raises VerificationError for that."""
    failures: list[tuple[str, str]] = []
    for variant, staged in built.items():
        certificate = certificates.get(variant)
        if certificate is None or certificate.passed:
            keep = order.keep and models.variant_folder(order.keep, variant)
            models.install(staged, order.target, variant, keep)
            continue
        where = models.quarantine(staged, order.target, variant)
        model = f"The {VARIANT_TITLES[variant]} ONNX model"
        sentence = f"{model} does not answer like the original: {' '.join(certificate.reasons)}"
        if VARIANT_TABLE[variant].built_from and order.forgiving:
            reporter.note(f"⚠️ {sentence} It is kept apart in {where}, and not used.")
        else:
            failures.append((sentence, str(where)))
    if failures:
        places = listed([where for _, where in failures])
        remedy = f"It is kept apart in {places}; what was in its place is untouched. Make it again."
        raise VerificationError(" ".join(sentence for sentence, _ in failures), remedy)


def _empty_stage(work: _Work, variant: Variant) -> Path:
    """Make an empty folder beside the target to build a variant in, gone at the end."""
    staged = models.stage_path(work.order.target, f"{work.reporter.session.id}-{variant}")
    with _writing(work.order.target):
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
    work.cleaning.callback(shutil.rmtree, staged, ignore_errors=True)
    return staged


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Raises `WorkspaceError` where nothing can be written beside the target."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise WorkspaceError(
            f"Nothing can be written in {target.parent}: {error.strerror}.",
            "Give yourself the right to write there, or choose another folder.",
        ) from error


@dataclass
class _Steps:
    """Progress through all parts, as far as it is measured: it stands still while a library says nothing."""

    progress: Progress
    _seconds: list[float] = field(default_factory=list)  # that each part to come takes
    _at: float = 0.0

    def plan(self, seconds: Sequence[float]) -> None:
        """Say how long each part to come takes, in place of what was planned before."""
        self._seconds = list(seconds)

    @contextlib.contextmanager
    def next(self) -> Iterator[Progress]:
        """Begin the next part; its progress is told as part of the whole. It never goes back."""
        start = self._at
        end = start + (1 - start) * self._seconds[0] / sum(self._seconds)
        del self._seconds[0]

        def report(fraction: float, *words: str) -> None:
            self._at = max(self._at, start + (end - start) * fraction)
            self.progress(self._at, *words)

        yield report
        # A library that fell silent before its end has done its part all the same.
        self._at = end
