"""An export from its order to its place: what is made, what fails, what is kept and what is said."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import sails.onnx.export
import sails.onnx.quantize
from sails import sessions
from sails.cli.export import follow_export
from sails.errors import JobError, ModelLoadError, VerificationError
from sails.jobs import launcher
from sails.jobs.export import export_base, export_current
from sails.models import onnx_store
from sails.models.variants import (
    VARIANTS,
    failed_folder,
    inspect_failed_variants,
    inspect_variants,
    variant_folder,
)
from sails.onnx.certify.certificate import read_certificate
from sails.onnx.certify.report import CERTIFICATE_PAGE
from sails.onnx.convert import ConversionOrder, convert_model
from sails.onnx.runtime.generate import Generator
from sails.sessions import ExportSpec, Results, Status
from sails.sessions.reporter import Reporter
from tests.support.exported import copy_talking, make_talking
from tests.support.folders import listing
from tests.support.helpers import run_worker

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_talking(tmp_path_factory.mktemp("talking") / "workspace")


@pytest.fixture
def place(template, tmp_path):
    return copy_talking(template, tmp_path / "workspace")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """No worker starts by itself."""
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)


@pytest.fixture
def reporter(place):
    reporter = Reporter(export_base(place, str(place.trained_model), place.root / "elsewhere"))
    yield reporter
    reporter.end("failed")


@pytest.fixture
def broken(monkeypatch):
    """`broken("int8")`: what is built of this variant from now on has one tensor out of order."""

    def breaking(variant):
        module, name = {
            "fp32": (sails.onnx.export, "export_model"),
            "int8": (sails.onnx.quantize, "quantize_model"),
        }[variant]
        build = getattr(module, name)

        def build_and_break(source, output, **options):
            made = build(source, output, **options)
            break_weights(output / "model.onnx")
            return made

        monkeypatch.setattr(module, name, build_and_break)

    return breaking


def break_weights(file):
    model = onnx.load(file)
    matrices = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) > 1000]
    for tensor in matrices:
        values = np.random.default_rng(0).permutation(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, file)


def order(place, **changes):
    return ConversionOrder(
        place.trained_model, place.onnx_model, **{"variants": VARIANTS, "verify": True} | changes
    )


def fresh(place):
    return {
        variant: s.stale is False
        for variant, s in inspect_variants(place.onnx_model, fingerprint(place)).items()
    }


def fingerprint(place):
    return place.situation().trained.fingerprint


def make_stale(place):
    """Both variants lie there, made from an earlier model."""
    shutil.copytree(place.onnx_model, place.root / "earlier")
    shutil.move(place.root / "earlier", place.onnx_model / "int8")
    for folder in (place.onnx_model, place.onnx_model / "int8"):
        record = json.loads((folder / "export.json").read_text())
        (folder / "export.json").write_text(json.dumps({**record, "fingerprint": "of an earlier model"}))


def test_both_variants_lie_in_their_places_with_a_certificate_each_for_programs_and_for_people(
    place, reporter
):
    told = []
    convert_model(
        order(place, prompts=("What is a variable?",), answers=("A name.",)),
        reporter,
        lambda *t: told.append(t),
    )
    for variant in VARIANTS:
        folder = variant_folder(place.onnx_model, variant)
        certificate = read_certificate(folder)
        assert (certificate.variant, certificate.passed) == (variant, True)
        assert (certificate.own_prompts, certificate.known_answers) == (1, 1)
        assert (folder / CERTIFICATE_PAGE).read_text().startswith("<!doctype html>")
        assert json.loads((folder / "export.json").read_text())["variant"] == variant
        assert Generator.open(folder).fingerprint == fingerprint(place)
    assert fresh(place) == {"fp32": True, "int8": True}
    assert set(reporter.status.results.certificates) == set(VARIANTS)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert [path.name for path in place.root.glob(".onnx_model.staged*")] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_variant_that_was_asked_for_changes(place, reporter, variant):
    make_stale(place)
    convert_model(order(place, variants=(variant,), verify=False), reporter)
    assert fresh(place) == {one: one == variant for one in VARIANTS}


def test_8_bit_is_made_from_a_proven_full_precision_model_that_lies_there(place, reporter, monkeypatch):
    convert_model(order(place, variants=("fp32",)), reporter)
    monkeypatch.setattr(sails.onnx.export, "export_model", None)  # it would be called in vain
    before = listing(place.onnx_model)
    convert_model(order(place, variants=("int8",)), reporter)
    after = listing(place.onnx_model)
    assert {name: after[name] for name in before} == before
    assert fresh(place) == {"fp32": True, "int8": True}


def test_8_bit_in_another_opset_is_not_made_from_what_lies_there(place, reporter):
    convert_model(order(place, variants=("fp32",)), reporter)
    convert_model(order(place, variants=("int8",), opset=20, verify=False), reporter)
    made = {
        variant: json.loads((variant_folder(place.onnx_model, variant) / "export.json").read_text())["opset"]
        for variant in VARIANTS
    }
    assert made["int8"] == 20 != made["fp32"]


def test_a_full_precision_model_that_was_damaged_since_it_was_proven_does_not_spoil_the_8_bit_one(
    place, reporter
):
    convert_model(order(place, variants=("fp32",)), reporter)
    break_weights(place.onnx_model / "model.onnx")
    told = []
    convert_model(order(place, variants=("int8",)), reporter, lambda done, _: told.append(done))
    assert inspect_variants(place.onnx_model, fingerprint(place))["int8"].certified is True
    assert told == sorted(told)
    (place.onnx_model / "model.onnx").write_bytes(b"no model")
    convert_model(order(place, variants=("int8",)), reporter)
    assert inspect_variants(place.onnx_model, fingerprint(place))["int8"].certified is True


def test_8_bit_alone_needs_no_full_precision_model_and_leaves_none(place, reporter):
    shutil.rmtree(place.onnx_model)
    convert_model(order(place, variants=("int8",)), reporter)
    assert fresh(place) == {"fp32": False, "int8": True}
    assert [path.name for path in place.onnx_model.iterdir() if path.name[0] != "."] == ["int8"]


@pytest.mark.parametrize("bad", VARIANTS)
def test_a_variant_that_fails_is_kept_apart_and_the_other_is_put_in_place(place, reporter, broken, bad):
    make_stale(place)
    before = listing(variant_folder(place.onnx_model, bad))
    broken(bad)
    monkey = order(place, variants=VARIANTS)
    with pytest.raises(VerificationError) as refusal:
        convert_model(monkey, reporter)
    words = {"fp32": "full precision", "int8": "8-bit"}[bad]
    assert f"The {words} ONNX model does not answer like the original" in str(refusal.value)
    assert str(failed_folder(place.onnx_model, bad)) in refusal.value.remedy
    kept = inspect_failed_variants(place.onnx_model, fingerprint(place))
    assert kept[bad].certified is False
    assert reporter.status.results.certificates[bad]["passed"] is False
    if bad == "int8":
        assert fresh(place) == {"fp32": True, "int8": False}
        assert listing(place.onnx_model / "int8") == before
    else:  # what is made from a broken model is broken too
        assert set(kept) == set(VARIANTS)
        assert fresh(place) == {"fp32": False, "int8": False}


def test_a_failed_one_goes_when_a_good_one_is_made_and_can_be_used_deliberately_before(
    place, reporter, broken, monkeypatch
):
    with monkeypatch.context():
        broken("int8")
        for _ in range(2):
            with pytest.raises(VerificationError):
                convert_model(order(place), reporter)
    onnx_store.keep_failed(place.onnx_model, "int8")
    assert inspect_variants(place.onnx_model, fingerprint(place))["int8"].certified is False
    assert inspect_failed_variants(place.onnx_model, None) == {}


def test_in_a_training_session_a_failed_8_bit_model_is_a_note(place, reporter, broken):
    broken("int8")
    convert_model(order(place, forgiving=True), reporter)
    note = reporter.status.notes[-1]
    assert note.startswith("⚠️ The 8-bit ONNX model does not answer like the original")
    assert str(failed_folder(place.onnx_model, "int8")) in note
    assert fresh(place) == {"fp32": True, "int8": False}


def test_in_a_training_session_a_failed_full_precision_model_still_fails(place, reporter, broken):
    broken("fp32")
    with pytest.raises(VerificationError, match="The full precision ONNX model"):
        convert_model(order(place, variants=("fp32",), forgiving=True), reporter)


def test_a_family_without_8_bit_gets_full_precision_and_a_note(place, reporter, monkeypatch):
    def refuse(*_, **__):
        raise ModelLoadError("Its matrices are of a form that is not known.", "Use it in full precision.")

    monkeypatch.setattr(sails.onnx.quantize, "quantize_model", refuse)
    convert_model(order(place), reporter)
    assert reporter.status.notes == (
        "There is no 8-bit model: Its matrices are of a form that is not known.",
    )
    assert fresh(place) == {"fp32": True, "int8": False}
    with pytest.raises(ModelLoadError, match="of a form that is not known"):
        convert_model(order(place, variants=("int8",)), reporter)


def test_without_a_trained_model_before_it_the_old_onnx_model_is_kept_as_a_whole(place, reporter):
    make_stale(place)
    convert_model(order(place, verify=False, keep=place.set_aside / "old"), reporter)
    assert {s.fingerprint for s in inspect_variants(place.set_aside / "old", None).values()} == {
        "of an earlier model"
    }
    assert fresh(place) == {"fp32": True, "int8": True}


def test_a_worker_carries_out_what_the_spec_of_a_job_says(place):
    job = export_current(place, verify=False, variants=("int8",))
    assert run_worker(job).state == "succeeded"
    assert inspect_variants(place.onnx_model, fingerprint(place))["int8"].stale is False


def test_a_job_with_a_failed_8_bit_model_fails_and_says_where_it_is(place, broken):
    broken("int8")
    status = run_worker(export_current(place))
    assert status.state == "failed"
    assert status.failure.kind == "verification"
    assert "8-bit" in status.failure.message
    assert "onnx_model_failed" in status.failure.remedy


def test_the_command_prints_both_certificates_and_exits_1_when_one_failed(place, broken, capsys):
    broken("int8")
    job = export_current(place)
    run_worker(job)
    capsys.readouterr()
    with pytest.raises(JobError, match="The export failed: The 8-bit ONNX model does not") as failure:
        follow_export(job)
    assert failure.value.exit_code == 1
    said = capsys.readouterr().out
    assert "✅ The full precision model answers like the original." in said
    assert "❌ The 8-bit model does not answer like the original." in said
    assert "Next word pieces on which both agree" in said


def test_a_spec_and_a_status_of_old_know_one_variant():
    old = {"kind": "export", "id": "a", "name": "a", "created": "2026-01-05T09:15:00Z", "model": "m"}
    assert ExportSpec.model_validate({**old, "onnx_output": "o"}).variants == ("fp32",)
    certificate = {"passed": True, "prompts": 24}
    assert Results.model_validate({"certificate": certificate}).certificates == {"fp32": certificate}
    assert Results.model_validate({"certificate": None}).certificates == {}
    status = Status.model_validate({"results": {"certificate": certificate}})
    assert sessions.Status.model_validate_json(status.model_dump_json()).results.certificates == {
        "fp32": certificate
    }
