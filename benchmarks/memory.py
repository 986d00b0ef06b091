"""How much memory a training takes, against what is predicted before it: the model itself, and LoRA.

    .venv/bin/python -m benchmarks.memory [--models smollm2-135m-instruct 360m] [--steps 3]

Each is a whole session from base in a process of its own, with the settings that a person finds, ended after
a few steps; the lesson's rows fill its batches. `360m` and `1.7b` are models of random weights with the shape
of SmolLM2's larger ones, made in a temporary folder with the embedded model's tokenizer: what they say is
noise, but takes as much memory. So that they need not write hundreds of answers, only a few general
prompts of each kind are asked. Printed is the peak of the process beside the prediction, which is to be met
within 15 %.

The peak depends on whether this machine calculates in bf16, and a little on how the C library keeps what is
freed. Not here: whether what is trained is any good (`benchmarks.retention`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.retention import Bill, import_everything, in_a_child, teach
from sails import data, jobs, models
from sails.data import assess, read
from sails.models import Workspace
from sails.sessions import Settings, option
from sails.training.plan import Choices, forecast_training

WITHIN = 0.15
ROWS, WORDS = 40, 60  # of the lesson: batches are full
ASKED = 8  # general prompts of each kind
SHAPES: dict[str, dict[str, Any]] = {
    "360m": {
        "hidden_size": 960,
        "intermediate_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
    },
    "1.7b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
}


def make_model(shape: str, folder: Path) -> None:
    """Write a model of random weights of that shape, with the embedded model's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    embedded = models.ensure_base_model(models.DEFAULT_BASE_MODEL, lambda *_: None)
    shutil.copytree(embedded, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = AutoConfig.from_pretrained(embedded)
    config.update(SHAPES[shape])
    config.head_dim = config.hidden_size // config.num_attention_heads
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)


def ask_few() -> None:
    """Let sessions ask only a batch of the general prompts of each kind."""
    from sails import retention
    from sails.jobs import train
    from sails.training import scoring

    closed, opened, rehearsed = (
        retention.closed_questions(),
        retention.open_prompts(),
        retention.rehearsal_prompts(),
    )
    scoring.closed_questions = lambda: closed[:ASKED]
    scoring.open_prompts = lambda: opened[:ASKED]
    train.rehearsal_prompts = lambda: rehearsed[:ASKED]


def lesson(workspace: Workspace) -> str:
    """A dataset whose rows are as long as a batch may be in all."""
    rows = [
        {"input": f"Say word {n} often.", "output": " ".join(f"word{(n * k) % 97}" for k in range(WORDS))}
        for n in range(ROWS)
    ]
    file = workspace.root / "words.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows))
    reading = read(file)
    return data.add(
        workspace, file, reading, assess(reading.conversations, reading.refused), keep_all=True
    ).name


def measured(model: str, settings: Settings, folder: Path) -> tuple[int, int]:
    """The bytes that were predicted for a session from that model, and those that it took."""
    workspace = Workspace.open(folder / settings.method)
    dataset = lesson(workspace)
    forecast = forecast_training(workspace, Choices((dataset,), settings, model_name=model))
    assert forecast.need is not None
    record = teach(workspace, dataset, settings, Bill(), model_name=model)
    shutil.rmtree(workspace.root)
    return forecast.need.memory, record.status.results.peak_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", default=[models.DEFAULT_BASE_MODEL, "360m"], help="names or shapes"
    )
    parser.add_argument("--methods", nargs="+", default=[*option("method").choices])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--protect", type=float, default=Settings().protect)
    wanted = parser.parse_args()
    for name, value in jobs.PATIENT_THREADS.items():
        os.environ.setdefault(name, value)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    missed = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        embedded = models.ensure_base_model(models.DEFAULT_BASE_MODEL, lambda *_: None)
        os.environ["SAILS_CACHE"] = str(folder / "cache")  # what is answered here is of no use to anybody
        (folder / "cache").mkdir()
        (folder / "cache" / embedded.name).symlink_to(embedded, target_is_directory=True)
        for model in wanted.models:
            # Made in a child, so that nothing of it is counted for the sessions, which are forked from here.
            source = model
            if model in SHAPES:
                source = str(folder / model)
                in_a_child(partial(make_model, model, folder / model), folder)
            import_everything()
            ask_few()
            for method in wanted.methods:
                asked = {"method": method, "max_steps": wanted.steps, "protect": wanted.protect}
                predicted, took = measured(source, Settings(publish="always", **asked), folder)
                off = predicted / took - 1
                missed += [f"{model} {method}"] if abs(off) > WITHIN else []
                figures = f"predicted {predicted / 1e9:5.2f} GB  took {took / 1e9:5.2f} GB  {off:+.0%}"
                print(f"{model:24} {method:6} {figures}", flush=True)
    if missed:
        raise SystemExit(f"Not within {WITHIN:.0%}: {', '.join(missed)}")


if __name__ == "__main__":
    main()
