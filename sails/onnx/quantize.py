"""A full-precision ONNX folder ► one with 8-bit weights: a third of the size, several times as fast.

    quantize_model(Path("onnx_model"), staging)

Every matrix is cut into blocks of 16 weights of one output, each block with a scale of its own (the format
that onnxruntime's MatMulNBits reads, symmetric, with sums of 8-bit products), after what goes into it was
evened out (`sails.onnx.smooth`). Blocks of 32 are a seventh to a quarter faster, and off by a third more,
which turned answers (`benchmarks/README.md`). An embedding that is also the last matrix is stored once. That
nothing is left out is counted: a graph whose matrices are not recognised is written just as well and saves
nothing.

Memory, measured: about 3.2 times the full-precision weights (1.7 GB for a model of 135M parameters).
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sails.errors import ModelLoadError, SailsError
from sails.models import EXPORT_RECORD, ExportRecord
from sails.onnx.export import Export, check_disk, explained, save_graph, write_record
from sails.onnx.fuse import CONTRIBUTED, Graph, fuse
from sails.onnx.smooth import smooth
from sails.system import Progress, silent

BITS, BLOCK = 8, 16
ACCURACY_LEVEL = 4  # of MatMulNBits: products of 8-bit numbers
MAX_NUMBER, ZERO_POINT = 127, 128  # numbers are 1 to 255, and 128 stands for 0
DISK_SHARE = 1.3  # of the full-precision graph, which is written once more for a moment
MODEL = "model.onnx"
_EXPORT_AGAIN = "Export the model in full precision again."
# Certificates of the full-precision graph, and what says how that one was made.
_ITS_OWN = (EXPORT_RECORD, "certificate.json", "certificate.html")


@dataclass(frozen=True)
class _Product:
    """A node that multiplies with a constant matrix: the tensor `source`, [outputs, inputs] if `turned`."""

    node: onnx.NodeProto
    source: str
    turned: bool


def quantize_model(full: Path, output: Path, *, progress: Progress | None = None) -> Export:
    """Write the ONNX folder `full` into `output` with 8-bit weights; everything else is the same.

    Raises ModelLoadError when a matrix cannot be written so, DiskFullError or OutOfMemoryError.
    """
    started = time.monotonic()
    report = progress or silent
    record, config = ExportRecord.parse(_read(full / EXPORT_RECORD)), _read(full / "config.json")
    check_disk(full.glob("*.onnx*"), DISK_SHARE, output)
    try:
        report(0.0, "reading the full-precision model")
        graph = Graph(onnx.load(full / MODEL))
        fused = fuse(graph, config)
        for file in full.iterdir():
            if file.is_file() and ".onnx" not in file.name and file.name not in _ITS_OWN:
                shutil.copyfile(file, output / file.name)
        _check_all_known(graph, _products(graph))
        report(0.1, "looking at what is large in it")
        smooth(graph, output)
        products = _products(graph)  # once more: it may have been put in another order
        for number, product in enumerate(products):
            report(0.4 + 0.4 * number / len(products), f"matrix {number + 1} of {len(products)}")
            _replace(graph, product)
        _replace_embedding(graph)
        graph.tidy()
        written = sum(node.op_type == "MatMulNBits" for node in graph.proto.node)
        assert written == len(products), f"{written} of {len(products)} matrices are 8-bit"
        report(0.8, "writing the 8-bit model")
        save_graph(graph.model, output / MODEL)
    except SailsError:
        raise
    except Exception as error:
        raise explained(error, str(config.get("model_type"))) from error
    opset = record.opset or 0
    files = write_record(
        output,
        record.fingerprint,
        opset,
        tokenizer=record.tokenizer,
        variant="int8",
        fused_attentions=fused or record.fused_attentions or 0,
        quantized_matrices=len(products),
        block=BLOCK,
    )
    report(1.0, "exported")
    return Export(output, files, record.fingerprint, time.monotonic() - started, opset)


def _products(graph: Graph) -> list[_Product]:
    makers = graph.makers()
    products = []
    for node in graph.proto.node:
        if node.op_type == "MatMul":
            turn = makers.get(node.input[1])
            if node.input[1] in graph.weights:
                products.append(_Product(node, node.input[1], turned=False))
            elif turn is not None and turn.op_type == "Transpose" and turn.input[0] in graph.weights:
                products.append(_Product(node, turn.input[0], turned=True))
    return products


def _replace(graph: Graph, product: _Product) -> None:
    """Put MatMulNBits in the place of a product."""
    node = product.node
    values = graph.values(product.source)
    weights = values if product.turned else values.T
    numbers, scales = _stored(graph, product.source, weights)
    outputs, inputs = weights.shape
    graph.add(
        "MatMulNBits",
        [node.input[0], numbers, scales],
        [graph.take(node)],
        domain=CONTRIBUTED,
        N=outputs,
        K=inputs,
        bits=BITS,
        block_size=BLOCK,
        accuracy_level=ACCURACY_LEVEL,
    )


def _replace_embedding(graph: Graph) -> None:
    """Let the look-up of the tokens read 8-bit rows: those of the last matrix, where it is the same one."""
    makers = graph.makers()

    def are_tokens(name: str) -> bool:
        while name in makers and makers[name].op_type in ("Reshape", "Cast"):
            name = makers[name].input[0]
        return name == "input_ids"

    for node in list(graph.proto.node):
        if node.op_type == "Gather" and node.input[0] in graph.weights and are_tokens(node.input[1]):
            weights = graph.values(node.input[0])
            if weights.ndim != 2 or weights.shape[1] % BLOCK:
                continue
            numbers, scales = _stored(graph, node.input[0], weights)
            shape = graph.add_weight(f"{numbers}/shape", np.array([0, -1], dtype=np.int64))
            graph.add("Reshape", [numbers, shape], [f"{numbers}/rows"])
            graph.add(
                "GatherBlockQuantized",
                [f"{numbers}/rows", node.input[1], scales],
                [graph.take(node)],
                domain=CONTRIBUTED,
                bits=BITS,
                block_size=BLOCK,
                gather_axis=0,
                quantize_axis=1,
            )


def _stored(graph: Graph, source: str, weights: np.ndarray) -> tuple[str, str]:
    """The names of the blocks and scales of a tensor; what several nodes use is stored once."""
    numbers, scales = f"{source}/8bit", f"{source}/scales"
    if numbers not in graph.weights:
        for name, array in zip((numbers, scales), blocks(weights), strict=True):
            graph.add_weight(name, array)
    return numbers, scales


def blocks(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`weights` [outputs, inputs] as numbers [outputs, blocks, BLOCK] of 8 bits and scales [outputs, blocks].

    A weight is about (number - ZERO_POINT) · scale; the largest of each block is met exactly.
    """
    outputs, inputs = weights.shape
    count = -(-inputs // BLOCK)
    padded = np.zeros((outputs, count * BLOCK), dtype=np.float32)
    padded[:, :inputs] = weights
    padded = padded.reshape(outputs, count, BLOCK)
    scales = np.abs(padded).max(axis=-1) / np.float32(MAX_NUMBER)
    scales[scales == 0] = 1
    padded /= scales[..., np.newaxis]
    return (np.rint(padded, out=padded) + ZERO_POINT).astype(np.uint8), scales


def _check_all_known(graph: Graph, products: list[_Product]) -> None:
    """Raises ModelLoadError when the graph has no matrices, or some that would stay in full precision."""
    known = {product.node.name for product in products}
    left = [
        node.name
        for node in graph.proto.node
        if node.op_type in ("MatMul", "Gemm") and node.name not in known
        if any(len(graph.weights[name].dims) > 1 for name in node.input if name in graph.weights)
    ]
    if left or not products:
        what = f"{len(left)} of its matrices are" if left else "its matrices are"
        raise ModelLoadError(
            f"This model cannot be made 8-bit: {what} of a form that is not known.",
            "Use the model in full precision.",
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
        raise ValueError(file.name)
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{file.name} in {file.parent.name} cannot be read.", _EXPORT_AGAIN) from error
