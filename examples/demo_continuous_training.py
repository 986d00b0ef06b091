"""What a training does in every situation: the six rows of the behavior matrix, then a person's own choices.

    python examples/demo_continuous_training.py        (or `make demo-matrix`)

Each situation is made on disk, in a temporary folder with models of two numbers, and decided by the code
that decides for real models. Nothing is trained and no machine-learning library is loaded.
"""

import json
import struct
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that it runs without being installed

from sails.errors import RequestError
from sails.models import EXPORT_RECORD, PROVENANCE, Workspace, inspect_model
from sails.sessions import describe_learning_rate, where
from sails.training.plan import plan_from

BASE, OTHER_BASE = "smollm2-135m-instruct", "gpt2"

# --- models of two numbers, in real files ---------------------------------------------------------


def safetensors() -> bytes:
    """A whole safetensors file: how long its header is, the header, and one tensor of two numbers."""
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack("<2f", 0.5, -0.5)


def make_trained_model(folder: Path, weights: bytes | None) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / PROVENANCE).write_text(json.dumps({"base": BASE, "session": "20260105-091500-databases"}))
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)


def make_onnx_model(folder: Path, made_from: str | None) -> None:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"a graph")
    if made_from:
        (folder / EXPORT_RECORD).write_text(json.dumps({"fingerprint": made_from}))


# --- one situation, one decision ------------------------------------------------------------------


def show(situation: str, trained: str = "missing", onnx: str = "missing", **choices: object) -> None:
    """Make the situation on disk, ask what a training would do there, and print the answer."""
    with TemporaryDirectory() as folder:
        workspace = Workspace.open(folder)
        if trained != "missing":
            whole = safetensors()
            weights = {"complete": whole, "cut off": whole[:-3], "without weights": None}[trained]
            make_trained_model(workspace.trained_model, weights)
        if onnx == "present":
            make_onnx_model(workspace.onnx_model, inspect_model(workspace.trained_model).fingerprint)
        decide(situation, workspace, **choices)


def decide(situation: str, workspace: Workspace, **choices: object) -> None:
    found = workspace.situation()
    print(f"\n{situation}")
    print(f"    on disk        trained model {found.trained.state}, ONNX model {found.onnx.state}")
    try:
        plan = plan_from(found, default_base=BASE, **choices)
    except RequestError as error:
        print(f"    refused        {error.sentence}")
        return
    print(f"    it says        {plan.reason}")
    print(f"    starts from    {where(plan)}")
    print(f"    learning rate  {describe_learning_rate(plan)}")
    for warning in plan.warnings:
        print(f"    warning        {warning}")


def heading(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}")


def main() -> None:
    sys.stdout.reconfigure(errors="replace")  # a console that knows no 🆕 shows a question mark

    heading("The six rows of the behavior matrix")
    show("Row 1: nothing here yet")
    show("Row 2: a trained model", trained="complete")
    show("Row 3: a trained model and its ONNX export", trained="complete", onnx="present")
    show("Row 4: an ONNX model whose trained model is gone", onnx="present")
    show("Row 5: a trained model that was cut off while it was copied", trained="cut off")
    show("Row 6: the weights are gone, the ONNX model is here", trained="without weights", onnx="present")

    heading("What a person may choose, here with a complete trained model")
    here = "complete"
    show("Another learning rate: --learning-rate 5e-5", here, learning_rate=5e-5)
    show("An unusual one: --learning-rate 5e-3", here, learning_rate=5e-3)
    show("An impossible one: --learning-rate 0.5", here, learning_rate=0.5)
    show("Start over: --start base", here, start="base")
    show(f"Another base model: --model-name {OTHER_BASE}", here, model_name=OTHER_BASE, same_base=False)
    show(f"Its own base model again: --model-name {BASE}", here, model_name=BASE, same_base=True)

    heading("And without one")
    show("Continue, where nothing is: --start trained", start="trained")


if __name__ == "__main__":
    main()
