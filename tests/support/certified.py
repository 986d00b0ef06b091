"""ONNX folders with a certificate, passed or failed, without computing one."""

import json
import shutil
from pathlib import Path

from sails.models.export_record import EXPORT_RECORD
from sails.models.variants import Variant, failed_folder, variant_folder
from sails.onnx.certify import report
from sails.onnx.certify.certificate import AnswerPair, Certificate, Speed
from sails.system.files import read_json

OWN_QUESTION = "Where does Aunt Ottilie hide the key?"


def certify(onnx: Path, variant: Variant = "fp32", *, apart: bool = False, **changes: object) -> Certificate:
    """A certificate in the folder of a variant, or of one kept `apart`; passed unless told otherwise."""
    folder = failed_folder(onnx, variant) if apart else variant_folder(onnx, variant)
    record = read_json(folder / EXPORT_RECORD) or {}
    fields = {
        "variant": variant,
        "passed": not apart,
        "reasons": (f"They agree on 91.0% of the next words, the first to “{OWN_QUESTION}”.",)
        if apart
        else (),
        "max_logit_difference": 3.8e-6 if variant == "fp32" else 0.4,
        "mean_logit_difference": 1e-7 if variant == "fp32" else 0.02,
        "spread": 2.0,
        "next_token_agreement": 0.91 if apart else 0.9991,
        "identical_answers": 12 if apart else 24,
        "prompts": 24,
        "own_prompts": 16,
        "positions": 812,
        "known_answers": 16,
        "original_loss": 1.21,
        "loss": 1.21,
        "original_speed": Speed(0.4, 12.5, 1_900_000_000),
        "speed": Speed(0.1, 25.0, 900_000_000) if variant == "fp32" else Speed(0.05, 55.0, 400_000_000),
        "original_bytes": 538_000_000,
        "bytes": 540_000_000 if variant == "fp32" else 150_000_000,
        "source_fingerprint": record.get("fingerprint"),
        "created": "2026-01-05T09:15:00+00:00",
        "examples": (
            AnswerPair(OWN_QUESTION, "Under the blue pot.", "Under the blue pot."),
            AnswerPair("What is the capital of France?", "Paris.", "Paris."),
        ),
        "seconds": 12.5,
        **changes,
    }
    made = Certificate(**fields)
    report.write_certificate(folder, made)
    return made


def add_variant(onnx: Path, variant: Variant = "int8", *, apart: bool = False) -> Path:
    """The full precision model once more, called another variant: a stand-in that loads and answers."""
    target = failed_folder(onnx, variant) if apart else variant_folder(onnx, variant)
    target.mkdir(parents=True)
    for file in onnx.iterdir():
        if file.is_file() and not file.name.startswith("certificate"):
            shutil.copyfile(file, target / file.name)
    record = {**(read_json(target / EXPORT_RECORD) or {}), "variant": variant}
    (target / EXPORT_RECORD).write_text(json.dumps(record))
    return target
