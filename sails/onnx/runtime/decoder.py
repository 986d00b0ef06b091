"""The ONNX graph of a language model: token ids in, logits out, keys and values carried from step to step.

Whatever a family of models asks for is read from the graph itself: with or without position ids and
attention mask, the shape of the past, and the types of the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sails.errors import ModelLoadError, SailsError, classify

Past = dict[str, np.ndarray]  # input name ► keys or values [1, heads, tokens so far, size of a head]

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_PAST, _PRESENT = "past_key_values.", "present."
_KNOWN_INPUTS = {"input_ids", "attention_mask", "position_ids"}


class Decoder:
    """Opens the graph in `file`; raises ModelLoadError or OutOfMemoryError. `threads` None: all cores."""

    def __init__(self, file: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised; a warning has no reader here
        # Threads that wait actively take the processor from everything else on a small machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _failure(error, f"{file.name} cannot be loaded: it is damaged or no ONNX model.") from error
        inputs = {value.name: value for value in session.get_inputs()}
        outputs = {value.name: value for value in session.get_outputs()}
        self._session = session
        self._types = {name: _TYPES[value.type] for name, value in inputs.items() if value.type in _TYPES}
        self._past = {name: value.shape for name, value in inputs.items() if name.startswith(_PAST)}
        self._presents = [_PRESENT + name.removeprefix(_PAST) for name in self._past]
        foreign = set(inputs) - (set(self._past) | _KNOWN_INPUTS) | (set(inputs) - set(self._types))
        complete = {"input_ids"} <= set(inputs) and {"logits", *self._presents} <= set(outputs)
        if not self._past or not complete or foreign:
            asks = f" (it asks for {', '.join(sorted(foreign)[:3])})" if foreign else ""
            raise ModelLoadError(
                f"{file.name} is not a language model exported for chatting{asks}.", "Export the model again."
            )
        size = outputs["logits"].shape[-1]
        if not isinstance(size, int):
            size = self.step([0], self.empty_past(), 0)[0].shape[-1]
        self.vocabulary_size: int = size

    def empty_past(self) -> Past:
        """Keys and values of no tokens: the batch is 1 and every other open dimension 0."""
        return {
            name: np.zeros([1, *(n if isinstance(n, int) else 0 for n in shape[1:])], self._types[name])
            for name, shape in self._past.items()
        }

    def step(self, token_ids: Sequence[int], past: Past, position: int) -> tuple[np.ndarray, Past]:
        """Logits [tokens, vocabulary] and the new past of `token_ids`, which follow `position` others."""
        logits, *presents = self._run(["logits", *self._presents], token_ids, past, position)
        return logits[0], dict(zip(self._past, presents, strict=True))

    def look(self, outputs: list[str], token_ids: Sequence[int]) -> list[np.ndarray]:
        """Compute what the graph makes of these tokens at its outputs of these names, each [tokens, …]."""
        return [values[0] for values in self._run(outputs, token_ids, self.empty_past(), 0)]

    def _run(self, outputs: list[str], token_ids: Sequence[int], past: Past, position: int) -> Any:
        end = position + len(token_ids)
        feeds = {
            "input_ids": np.asarray([token_ids]),
            "attention_mask": np.ones((1, end)),
            "position_ids": np.arange(position, end)[np.newaxis],
        }
        feeds = {
            name: value.astype(self._types[name]) for name, value in feeds.items() if name in self._types
        }
        try:
            return self._session.run(outputs, feeds | past)
        except Exception as error:
            raise _failure(error, "The ONNX model stopped while it was computing.") from error


def _failure(error: Exception, sentence: str) -> SailsError:
    """A library's error as one sentence; too little memory is no fault of the model."""
    text = str(error)
    if classify(error).kind == "out_of_memory" or "bad_alloc" in text or "Failed to allocate" in text:
        return classify(MemoryError())
    return ModelLoadError(sentence, "Export the model again.")
