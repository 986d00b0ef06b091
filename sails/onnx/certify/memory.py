"""How much memory a model takes that answers, measured in a process of its own.

    with Probes({"int8": ("onnx", Path("onnx_model/int8"))}) as probes:    # one after the other
        ...
        probes.bytes()                                                     # {"int8": 312000000}

Each is `python -m sails.onnx.certify.memory KIND FOLDER`. Nothing else tells it honestly: in a process that
has loaded and exported other models before, memory that was freed is used again. The libraries count, because
whoever wants answers needs them.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from sails import system

Kind = Literal["torch", "onnx"]

QUESTION = "What is the capital of France?"
TOKENS = 8
SECONDS = 120.0  # after which nobody waits any more


class Probes:
    """Loads each model, lets it answer once, and finds out what that took."""

    def __init__(self, models: Mapping[str, tuple[Kind, Path]]) -> None:
        self._models = models
        self._found: dict[str, int] = {}
        self._process: subprocess.Popen[str] | None = None
        self._guard = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._ended = True
            if self._process:
                self._process.kill()
        self._thread.join()

    def bytes(self) -> dict[str, int]:
        """Return the bytes of memory by name, without those that could not be measured."""
        self._thread.join(SECONDS)
        return dict(self._found)

    def _measure(self) -> None:
        for name, (kind, folder) in self._models.items():
            with self._guard:
                if self._ended:
                    return
                self._process = _start(kind, folder)
            output, _ = self._process.communicate()
            with contextlib.suppress(ValueError):  # it failed, or was ended
                self._found[name] = int(output)


def _start(kind: Kind, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sails.onnx.certify.memory", kind, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=system.module_environment(),
        text=True,
    )


def main(kind: str, folder: str) -> None:
    before = system.peak_memory()
    # Kept until the end: what the model holds is part of what it takes.
    kept = (_answer_with_torch if kind == "torch" else _answer_with_onnx)(Path(folder))
    sys.stdout.write(str(system.peak_memory() - before))
    del kept


def _answer_with_onnx(folder: Path) -> Any:
    from sails.onnx.runtime.generate import Generator

    generator = Generator.open(folder)
    generator.answer(QUESTION, max_new_tokens=TOKENS)
    return generator


def _answer_with_torch(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", local_files_only=True)
    prompt = torch.tensor([tokenizer.encode(QUESTION)])
    with torch.no_grad():
        model.eval().generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=TOKENS
        )
    return model


if __name__ == "__main__":
    main(*sys.argv[1:3])
