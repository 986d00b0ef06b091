"""The ONNX graph of a language model: token ids in, logits out, keys and values carried from step to step.

Whatever a family of models asks for is read from the graph itself: with or without position ids and
attention mask, the shape of the past, and the types of the numbers. A graph that says so (`IN_PLACE`) writes
new keys and values behind the old ones; of any other, each step copies them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sails.errors import ModelLoadError, SailsError, classify

# Input name ► keys or values [1, heads, tokens so far, size of a head]; in place, with room behind them.
Past = dict[str, np.ndarray]
IN_PLACE = "sails.in_place"  # key of a graph's metadata

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
        self._in_place = IN_PLACE in session.get_modelmeta().custom_metadata_map
        self._logits_type = _TYPES.get(outputs["logits"].type, np.float32)
        size = outputs["logits"].shape[-1]
        self.vocabulary_size: int = size if isinstance(size, int) else self.look(["logits"], [0])[0].shape[-1]

    def empty_past(self) -> Past:
        """Keys and values of no tokens: the batch is 1 and every other open dimension 0."""
        return {
            name: np.zeros([1, *(n if isinstance(n, int) else 0 for n in shape[1:])], self._types[name])
            for name, shape in self._past.items()
        }

    def step(self, token_ids: Sequence[int], past: Past, position: int) -> tuple[np.ndarray, Past]:
        """Logits [tokens, vocabulary] and the new past of `token_ids`, which follow `position` others.

        What `past` holds behind these may be written over: one may go on from it again, in another way.
        """
        if self._in_place:
            return self._guarded(self._step_in_place, token_ids, past, position)
        feeds = self._feeds(token_ids, position) | past
        logits, *presents = self._guarded(self._session.run, ["logits", *self._presents], feeds)
        return logits[0], dict(zip(self._past, presents, strict=True))

    def _step_in_place(self, token_ids: Sequence[int], past: Past, position: int) -> tuple[np.ndarray, Past]:
        past = {name: _with_room(array, position, len(token_ids)) for name, array in past.items()}
        logits: np.ndarray = np.empty((1, len(token_ids), self.vocabulary_size), self._logits_type)
        feeds = self._feeds(token_ids, position)
        binding = self._session.io_binding()

        def bind(to: Any, name: str, array: np.ndarray) -> None:
            to(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

        for name, array in (feeds | past).items():
            bind(binding.bind_input, name, array)
        bind(binding.bind_output, "logits", logits)
        for name, array in zip(self._presents, past.values(), strict=True):
            bind(binding.bind_output, name, array)
        self._session.run_with_iobinding(binding)
        return logits[0], past

    def look(self, outputs: list[str], token_ids: Sequence[int]) -> list[np.ndarray]:
        """Compute what the graph makes of these tokens at its outputs of these names, each [tokens, …]."""
        feeds = self._feeds(token_ids, 0) | self.empty_past()
        return [values[0] for values in self._guarded(self._session.run, outputs, feeds)]

    def _feeds(self, token_ids: Sequence[int], position: int) -> dict[str, np.ndarray]:
        end = position + len(token_ids)
        feeds = {
            "input_ids": np.asarray([token_ids]),
            "attention_mask": np.ones((1, end)),
            "position_ids": np.arange(position, end)[np.newaxis],
        }
        return {name: value.astype(self._types[name]) for name, value in feeds.items() if name in self._types}

    def _guarded(self, run: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return run(*arguments)
        except Exception as error:
            raise _failure(error, "The ONNX model stopped while it was computing.") from error


def _with_room(array: np.ndarray, position: int, more: int) -> np.ndarray:
    """The same keys or values, or a copy of the first `position` with room for twice what is needed."""
    needed = position + more
    if needed <= array.shape[2]:
        return array
    longer = np.zeros((*array.shape[:2], 2 * needed, array.shape[3]), array.dtype)
    longer[:, :, :position] = array[:, :, :position]
    return longer


def _failure(error: Exception, sentence: str) -> SailsError:
    """A library's error as one sentence; too little memory is no fault of the model."""
    text = str(error)
    if classify(error).kind == "out_of_memory" or "bad_alloc" in text or "Failed to allocate" in text:
        return classify(MemoryError())
    return ModelLoadError(sentence, "Export the model again.")
