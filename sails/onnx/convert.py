"""One model folder ► its ONNX model: built beside its place, judged, and put there at once.

    order = Order(model=Path("trained_model"), target=Path("onnx_model"), variants=VARIANTS, verify=True)
    convert(order, reporter)

All variants are built first, each in a hidden folder beside the target. Those that answer like the original
take their places; one that does not is kept apart, and what was in its place stays. Killed at any moment,
each variant in the target is the old one or the whole new one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from sails import models, system
from sails.errors import ModelLoadError, VerificationError, WorkspaceError
from sails.models import VARIANT_TITLES, ExportRecord, Variant, inspect_model, variant_folder
from sails.sessions import Reporter
from sails.system import Progress

if TYPE_CHECKING:
    from sails.onnx.certify import Certificate


# How long the parts take against each other; with 135 million parameters on two cores these are seconds.
Part = Literal["fp32", "int8", "verify"]
WEIGHTS: Mapping[Part, float] = {"fp32": 20.0, "int8": 6.0, "verify": 40.0}
MEASURES_MEMORY = True  # in processes of their own, which take some seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConversionOrder:
    """What is to be made.

    `answers` are the right ones to the `prompts` that it is verified on, or none. The ONNX model that was
    there is deleted afterwards, or goes to `keep`. With `forgiving`, an 8-bit model that fails its
    certificate is only noted.
    """

    model: Path
    target: Path
    variants: tuple[Variant, ...] = ("fp32",)
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
    state = inspect_model(order.model)
    if not state.complete:  # a version may have been deleted since it was asked for
        raise ModelLoadError(
            f"There is no complete model in {order.model} ({state.reason or 'it is missing'}).",
            "Choose another model.",
        )
    models.recover_onnx(order.target)
    with _Stages(order.target, reporter.session.id) as stages:
        work = _Work(order, state.fingerprint, reporter, stages, _Steps(progress or reporter.progress))
        built, certificates = _build(work)
        if inspect_model(order.model).fingerprint != state.fingerprint:
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
    stages: _Stages
    steps: _Steps


# --- building -------------------------------------------------------------------------------------


Built = dict[Variant, Path]


def _build(work: _Work) -> tuple[Built, dict[Variant, Certificate]]:
    """The variants, and their certificates where they are asked for."""
    lying = _lying_ready(work)
    if lying is not None:
        with contextlib.suppress(ModelLoadError):
            built, certificates = _build_from(work, lying)
            if all(certificate.passed for certificate in certificates.values()):
                return built, certificates
        log.info("The full precision model that lies there is of no use; it is made anew.")
    return _build_from(work, None)


def _build_from(work: _Work, full: Path | None) -> tuple[Built, dict[Variant, Certificate]]:
    """The same from a full-precision model that lies ready, else from one that is made first."""
    order = work.order
    wanted: dict[Part, bool] = {
        "fp32": full is None,
        "int8": "int8" in order.variants,
        "verify": order.verify,
    }
    work.steps.plan([part for part, is_wanted in wanted.items() if is_wanted])
    built: Built = {}
    if full is None:
        full = _export(work)
        if "fp32" in order.variants:
            built["fp32"] = full
    if "int8" in order.variants:
        _quantize(work, full, built)
    return built, _verify(work, built) if order.verify else {}


def _lying_ready(work: _Work) -> Path | None:
    """The full-precision model to make the 8-bit one from, where it lies in its place and is proven."""
    if "fp32" in work.order.variants:
        return None
    lying = models.inspect_variants(work.order.target, work.fingerprint)["fp32"]
    if not (lying.present and lying.stale is False and lying.certified):
        return None
    record = ExportRecord.read(lying.path)
    made_with = record.opset if record else None
    return lying.path if work.order.opset in (None, made_with) else None


def _export(work: _Work) -> Path:
    from sails.onnx.export import export_model

    staged = work.stages.empty("fp32")
    with work.steps.next() as report:
        done = export_model(
            work.order.model,
            staged,
            source_fingerprint=work.fingerprint,
            opset=work.order.opset,
            progress=report,
        )
    system.give_back_memory()
    log.info("Exported with opset %s in %.1f s.", done.opset, done.seconds)
    if done.note:
        work.reporter.note(done.note)
    return staged


def _quantize(work: _Work, full: Path, built: Built) -> None:
    """Adds the 8-bit model; where its family has none and full precision was made, only says so."""
    from sails.onnx.quantize import quantize_model
    from sails.onnx.runtime.generate import Generator

    try:
        with work.steps.next() as report:
            staged = work.stages.empty("int8")
            done = quantize_model(full, staged, progress=report)
            Generator.open(staged)
    except ModelLoadError as error:
        if not built:
            raise
        work.reporter.note(f"There is no 8-bit model: {error}")
        return
    system.give_back_memory()
    log.info("Made 8-bit in %.1f s.", done.seconds)
    built["int8"] = staged


# --- judging and placing --------------------------------------------------------------------------


def _verify(work: _Work, built: Built) -> dict[Variant, Certificate]:
    from sails.onnx import certify

    with work.steps.next() as report:
        made = certify.verify_model(
            work.order.model,
            built,
            work.order.prompts,
            work.order.answers,
            memory=MEASURES_MEMORY,
            write=True,
            progress=report,
        )
    work.reporter.result(certificates={variant: _jsonable(one) for variant, one in made.items()})
    for variant, one in made.items():
        log.info("%s: largest logit difference %.2g.", VARIANT_TITLES[variant], one.max_logit_difference)
    return made


def _jsonable(certificate: Certificate) -> dict[str, object]:
    return json.loads(json.dumps(asdict(certificate), default=str))


def _place(
    order: ConversionOrder,
    built: Built,
    certificates: Mapping[Variant, Certificate],
    reporter: Reporter,
) -> None:
    """What is good takes its place, what failed goes apart; raises VerificationError for that."""
    failures: list[tuple[str, str]] = []
    for variant, staged in built.items():
        certificate = certificates.get(variant)
        if certificate is None or certificate.passed:
            models.install(staged, order.target, variant, _keep(order, variant))
            continue
        where = models.quarantine(staged, order.target, variant)
        model = f"The {VARIANT_TITLES[variant]} ONNX model"
        sentence = f"{model} does not answer like the original: {' '.join(certificate.reasons)}"
        if variant == "int8" and order.forgiving:
            reporter.note(f"⚠️ {sentence} It is kept apart in {where}, and not used.")
        else:
            failures.append((sentence, str(where)))
    if failures:
        places = " and ".join(where for _, where in failures)
        remedy = f"It is kept apart in {places}; what was in its place is untouched. Make it again."
        raise VerificationError(" ".join(sentence for sentence, _ in failures), remedy)


def _keep(order: ConversionOrder, variant: Variant) -> Path | None:
    return order.keep and variant_folder(order.keep, variant)


class _Stages:
    """Folders beside the target to build in, gone at the end."""

    def __init__(self, target: Path, tag: str) -> None:
        self._target, self._tag = target, tag
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        with self._refusals():
            models.clear_leftovers(self._target)
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._made:
            shutil.rmtree(folder, ignore_errors=True)

    def empty(self, variant: Variant) -> Path:
        """An empty folder to build a variant in."""
        staged = models.stage_path(self._target, f"{self._tag}-{variant}")
        with self._refusals():
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
        self._made.append(staged)
        return staged

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raises `WorkspaceError` where nothing can be written."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise WorkspaceError(
                f"Nothing can be written in {self._target.parent}: {error.strerror}.",
                "Give yourself the right to write there, or choose another folder.",
            ) from error


# --- progress -------------------------------------------------------------------------------------


@dataclass
class _Steps:
    """Progress through all parts, as far as it is measured: it stands still while a library says nothing."""

    progress: Progress
    _bounds: list[tuple[float, float]] = field(default_factory=list)
    _at: float = 0.0

    def plan(self, parts: Sequence[Part]) -> None:
        """What is to come, in place of what was planned before."""
        left, start = 1 - self._at, self._at
        total = sum(WEIGHTS[part] for part in parts)
        self._bounds = []
        for part in parts:
            end = start + left * WEIGHTS[part] / total
            self._bounds.append((start, end))
            start = end

    @contextlib.contextmanager
    def next(self) -> Iterator[Progress]:
        """The next part; its progress is told as part of the whole. It never goes back."""
        start, end = self._bounds.pop(0)

        def report(fraction: float, words: str) -> None:
            self._at = max(self._at, start + (end - start) * fraction)
            self.progress(self._at, words)

        yield report
