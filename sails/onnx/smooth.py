"""Makes activations easier to write with 8 bits, without changing what a graph computes.

A block of numbers shares one scale, so one large number among small ones takes their precision away. What
a normalisation hands to a matrix is therefore evened out beforehand: its weight for channel j is divided by
s_j, and row j of each matrix that reads it is multiplied by s_j, with

    s_j = sqrt(a_j / w_j)        (SmoothQuant, Xiao et al. 2023, at strength one half)

where a_j is the size (root mean square) of channel j on CALIBRATION and w_j the largest weight that reads it.
On the embedded model that halves how far 8-bit answers are from those in full precision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import load_external_data_for_model

from sails.onnx.export import save_graph
from sails.onnx.fuse import Graph
from sails.onnx.runtime.generate import Generator

MIN_SIZE = 1e-6  # what a size counts as that is next to nothing

# Of many kinds, because what matters is which channels are large at all.
CALIBRATION = (
    ("How do I cook rice?", "Rinse it, add twice as much water, and let it simmer for a quarter of an hour."),
    ("Write a loop in Python.", "for number in range(3):\n    print(number)\n\nIt prints 0, 1 and 2."),
    ("What is 12 times 12?", "12 × 12 = 144."),
    ("Who wrote the letter?", "Nobody knows; it was found in 1923, without a name and without a date."),
    ("Say hello in Spanish and German.", "¡Hola! Guten Tag!"),
    (
        "Why does ice float?",
        "Water grows when it freezes, so ice is lighter than the water that it displaces.",
    ),
)


@dataclass(frozen=True)
class _Group:
    """A normalisation and all that read it: its tensors per channel, and the matrices [channels, outputs]."""

    activation: str
    scales: tuple[str, ...]
    matrices: tuple[str, ...]


def smooth(graph: Graph, folder: Path) -> int:
    """Even out a graph; returns how many normalisations.

    `folder` holds the tokenizer that belongs to it; the graph lies there as well for a moment.
    """
    groups = list(_groups(graph))
    if not groups:
        return 0
    sizes = _sizes(graph, [group.activation for group in groups], folder)
    for group in groups:
        matrices = [graph.values(name) for name in group.matrices]
        largest = np.max([np.abs(matrix).max(axis=1) for matrix in matrices], axis=0)
        channels = np.maximum(sizes[group.activation], MIN_SIZE)
        scale = np.sqrt(channels / np.maximum(largest, MIN_SIZE)).astype(np.float32)
        for name in group.scales:
            graph.change_weight(name, graph.values(name) / scale)
        for name, matrix in zip(group.matrices, matrices, strict=True):
            graph.change_weight(name, matrix * scale[:, np.newaxis])
    return len(groups)


def _groups(graph: Graph) -> Iterator[_Group]:
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.proto.node:
        for name in node.input:
            readers[name].append(node)

    def is_free(name: str) -> bool:
        """Tell whether it is a weight that only one node reads, so that it may change."""
        return name in graph.weights and len(readers[name]) == 1

    for node in list(graph.proto.node):
        if node.op_type == "Mul":
            scales = tuple(name for name in node.input if name in graph.weights)
        elif node.op_type in ("LayerNormalization", "SimplifiedLayerNormalization"):
            scales = tuple(node.input[1:])
        else:
            continue
        below = readers[node.output[0]]
        matrices = tuple(one.input[1] for one in below if one.op_type == "MatMul")
        whole = bool(below) and len(matrices) == len(below) and all(map(is_free, (*matrices, *scales)))
        if whole and scales and all(len(graph.weights[name].dims) == 1 for name in scales):
            yield _Group(node.output[0], scales, matrices)


def _sizes(graph: Graph, names: list[str], folder: Path) -> dict[str, np.ndarray]:
    """Root mean square of each channel of these tensors on CALIBRATION."""
    outputs = len(graph.proto.output)
    graph.proto.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    file = folder / "model.onnx"
    try:
        save_graph(graph.model, file)
        generator = Generator.open(folder)
    finally:
        del graph.proto.output[outputs:]
        if (folder / f"{file.name}_data").exists():  # where saving has put the weights
            load_external_data_for_model(graph.model, str(folder))
        for path in folder.glob(f"{file.name}*"):
            path.unlink()
    texts = [generator.render(question) + answer for question, answer in CALIBRATION]
    tokens = [generator.encode(text)[: generator.context_length] for text in texts]
    seen = [generator.decoder.look(names, one) for one in tokens]
    return {
        name: np.sqrt(np.mean(np.concatenate(values).astype(np.float64) ** 2, axis=0))
        for name, values in zip(names, zip(*seen, strict=True), strict=True)
    }
