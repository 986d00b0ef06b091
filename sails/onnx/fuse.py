"""Makes an exported graph compute faster without changing what it computes.

Three rewrites, all by the names of modules that the exporter leaves in its nodes:
- a GPT-2 layer of the kind Conv1D (flatten, Gemm, unflatten) becomes MatMul and Add, so that its matrix can
  be quantized like any other;
- the nine nodes of a normalisation by the root mean square become one;
- what makes queries, keys and values becomes one matrix, and the hundred nodes of an attention become one
  GroupQueryAttention of onnxruntime, which also turns keys and queries (rotary positions) and appends to the
  keys and values. Padding is kept out by the mask.

What is of no known form stays as it is, and so does what was fused before. Nothing here judges the result:
that is the certificate's part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sails.onnx.runtime.decoder import IN_PLACE

CONTRIBUTED = "com.microsoft"  # onnxruntime's own operators
ROTARY_FAMILIES = ("llama", "mistral", "qwen2")

_ROTARY = re.compile(r"(/model/layers\.(\d+)/self_attn)/q_proj/MatMul")
_PACKED = re.compile(r"(/transformer/h\.(\d+)/attn)/c_attn/MatMul")
_NORM = re.compile(r"(/model/(?:layers\.\d+/(?:input|post_attention)_layer)?norm)/Mul_1")
_CONV1D = re.compile(r"(/transformer/h\.\d+/(?:attn|mlp)/(?:c_attn|c_proj|c_fc))/Gemm")


class Graph:
    """An exported graph that is rewritten: its nodes and weights by name; `tidy` drops what is unused."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.proto = model.graph
        self._look()
        if all(one.domain != CONTRIBUTED for one in model.opset_import):
            model.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))

    def _look(self) -> None:
        self.nodes: dict[str, onnx.NodeProto] = {node.name: node for node in self.proto.node}
        self.weights: dict[str, onnx.TensorProto] = {one.name: one for one in self.proto.initializer}

    def add(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Add a node, named after what it makes; `domain` is an attribute of it like any other."""
        node = helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes)
        self.proto.node.append(node)
        self.nodes[node.name] = self.proto.node[-1]

    def add_weight(self, name: str, values: np.ndarray) -> str:
        self.proto.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        self.weights[name] = self.proto.initializer[-1]
        return name

    def values(self, weight: str) -> np.ndarray:
        return numpy_helper.to_array(self.weights[weight])

    def change_weight(self, name: str, values: np.ndarray) -> None:
        self.weights[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))

    def makers(self) -> dict[str, onnx.NodeProto]:
        """For each name the node that makes it."""
        return {name: node for node in self.proto.node for name in node.output if name}

    def take(self, node: onnx.NodeProto) -> str:
        """Free the name of what a node makes for another node, and return it."""
        made = node.output[0]
        node.output[0] = f"{made}/apart"
        return made

    def read_instead(self, old: str, new: str) -> None:
        """Let every node that reads `old` read `new`."""
        for node in self.proto.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def tidy(self) -> None:
        """Keep what the outputs rest on, each node behind those that it reads."""
        makers = self.makers()
        ordered: dict[str, onnx.NodeProto] = {}
        begun: set[str] = set()
        waiting = [output.name for output in reversed(self.proto.output)]
        while waiting:
            node = makers.get(waiting[-1])
            if node is None or node.output[0] in ordered:
                waiting.pop()
            elif node.output[0] in begun:
                ordered[node.output[0]] = onnx.NodeProto.FromString(node.SerializeToString())
                waiting.pop()
            else:
                begun.add(node.output[0])
                waiting += reversed(node.input)
        read = {name for node in ordered.values() for name in node.input}
        del self.proto.node[:]
        self.proto.node.extend(ordered.values())
        for index in reversed(range(len(self.proto.initializer))):
            if self.proto.initializer[index].name not in read:
                del self.proto.initializer[index]
        del self.proto.value_info[:]
        self._look()


def fuse(graph: Graph, config: Mapping[str, Any]) -> int:
    """Rewrite what has a known form, by the model's `config`; returns how many attentions were fused."""
    # Each layer gets vectors of its own: the exporter stores equal ones only once.
    for node in graph.proto.node:
        weight = node.input[0] if node.op_type == "Identity" else ""
        if weight in graph.weights and len(graph.weights[weight].dims) == 1:
            graph.add_weight(graph.take(node), graph.values(weight))
    _plain_layers(graph)
    if config.get("model_type") in ROTARY_FAMILIES and config.get("rms_norm_eps"):
        _fuse_norms(graph, float(config["rms_norm_eps"]))
    fused = _fuse_attentions(graph, config)
    graph.tidy()
    _mark_in_place(graph)
    return fused


def _mark_in_place(graph: Graph) -> None:
    """Say in the graph that all its attentions write behind the keys and values that they are given."""
    makers = graph.makers()
    presents = [makers[one.name].op_type for one in graph.proto.output if one.name.startswith("present.")]
    if presents and {*presents} == {"GroupQueryAttention"}:
        helper.set_model_props(
            graph.model, {one.key: one.value for one in graph.model.metadata_props} | {IN_PLACE: "1"}
        )


def _plain_layers(graph: Graph) -> None:
    for node in list(graph.proto.node):
        if not (found := _CONV1D.fullmatch(node.name)):
            continue
        scope = found[1]
        flattened = graph.nodes.get(f"{scope}/Reshape")
        within = (one for one in graph.proto.node if one.name.startswith(f"{scope}/"))
        outside = [one for one in within if node.output[0] in one.input and one.op_type == "Reshape"]
        if flattened is None or flattened.output[0] != node.input[0] or len(outside) != 1:
            continue
        given, made = flattened.input[0], outside[0].output[0]
        graph.add("MatMul", [given, node.input[1]], [f"{scope}/MatMul"])
        graph.add("Add", [f"{scope}/MatMul", node.input[2]], [f"{scope}/Plain"])
        if all(output.name != made for output in graph.proto.output):
            graph.read_instead(made, f"{scope}/Plain")


def _fuse_norms(graph: Graph, epsilon: float) -> None:
    for node in list(graph.proto.node):
        if not (found := _NORM.fullmatch(node.name)):
            continue
        scope, square = found[1], graph.nodes.get(f"{found[1]}/Pow")
        weights = [name for name in node.input if name in graph.weights]
        if square is None or len(weights) != 1:
            continue
        cast = graph.nodes.get(f"{scope}/Cast")
        given = cast.input[0] if cast and square.input[0] == cast.output[0] else square.input[0]
        graph.add(
            "SimplifiedLayerNormalization",
            [given, weights[0]],
            [graph.take(node)],
            axis=-1,
            epsilon=epsilon,
            stash_type=1,
        )


def _fuse_attentions(graph: Graph, config: Mapping[str, Any]) -> int:
    family = config.get("model_type")
    if any(node.op_type == "GroupQueryAttention" for node in graph.proto.node):
        return 0
    sliding = config.get("sliding_window") and config.get("use_sliding_window", True)
    if family in ROTARY_FAMILIES and not config.get("rope_scaling") and not sliding:
        heads = int(config["num_attention_heads"])
        shape = {"num_heads": heads, "kv_num_heads": int(config.get("num_key_value_heads") or heads)}
        size = int(config.get("head_dim") or config["hidden_size"] // heads)
        tables = _rotary_tables(graph, size, config)
        form = (["q_proj", "k_proj", "v_proj"], "o_proj", shape, tables)
        attentions = [found for name in graph.nodes if (found := _ROTARY.fullmatch(name))]
    elif (
        family == "gpt2"
        and config.get("scale_attn_weights", True)
        and not (config.get("scale_attn_by_inverse_layer_idx") or config.get("add_cross_attention"))
    ):
        shape = {"num_heads": int(config["n_head"]), "kv_num_heads": int(config["n_head"])}
        form = (["c_attn"], "c_proj", shape, [])
        attentions = [found for name in graph.nodes if (found := _PACKED.fullmatch(name))]
    else:
        return 0
    return sum(_fuse_one(graph, found[1], found[2], *form) for found in attentions)


def _fuse_one(
    graph: Graph,
    scope: str,
    layer: str,
    projections: list[str],
    output: str,
    shape: dict[str, int],
    tables: list[str],
) -> bool:
    """One attention between its `projections` (three, or one that makes all three) and its `output` layer."""
    given = _packed(graph, [f"{scope}/{name}" for name in projections])
    reader = graph.nodes.get(f"{scope}/{output}/MatMul")
    past = [f"past_key_values.{layer}.{kind}" for kind in ("key", "value")]
    present = [f"present.{layer}.{kind}" for kind in ("key", "value")]
    makers = [node for node in graph.proto.node for name in node.output if name in present]
    if not given or reader is None or [node.op_type for node in makers] != ["Concat", "Concat"]:
        return False
    for node, name in zip(makers, present, strict=True):  # the outputs' names belong to the fused node
        node.output[0] = f"{name}_apart"
        graph.read_instead(name, node.output[0])
    result = f"{scope}/{output}/Attention"
    graph.read_instead(reader.input[0], result)
    empty = [""] * (3 - len(given))
    graph.add(
        "GroupQueryAttention",
        [*given, *empty, *past, *_lengths(graph), *(tables or ["", ""]), "", _padding(graph)],
        [result, *present],
        domain=CONTRIBUTED,
        do_rotary=int(bool(tables)),
        **shape,
    )
    return True


def _packed(graph: Graph, scopes: list[str]) -> list[str]:
    """What plain layers that read the same make, as one tensor where their weights allow it."""
    made = [name for scope in scopes if (name := _last(graph, scope))]
    products = [graph.nodes[f"{scope}/MatMul"] for scope in scopes if f"{scope}/MatMul" in graph.nodes]
    if not len(made) == len(products) == len(scopes) > 1:
        return made
    weights = [node.input[1] for node in products]
    adds = [graph.nodes[f"{scope}/Add"] for scope in scopes if f"{scope}/Add" in graph.nodes]
    biases = [name for node in adds for name in node.input if name in graph.weights]
    if not all(name in graph.weights for name in weights) or len(biases) not in (0, len(scopes)):
        return made
    name = f"{scopes[0].rpartition('/')[0]}/packed"
    columns = np.concatenate([graph.values(weight) for weight in weights], axis=1)
    graph.add(
        "MatMul", [products[0].input[0], graph.add_weight(f"{name}_weight", columns)], [f"{name}/MatMul"]
    )
    if not biases:
        return [f"{name}/MatMul"]
    shifts = np.concatenate([graph.values(bias) for bias in biases])
    graph.add("Add", [f"{name}/MatMul", graph.add_weight(f"{name}_bias", shifts)], [f"{name}/Add"])
    return [f"{name}/Add"]


def _last(graph: Graph, scope: str) -> str | None:
    """What a plain layer makes: its Add, or its MatMul where it has no bias."""
    for name in ("Plain", "Add", "MatMul"):
        if f"{scope}/{name}" in graph.nodes:
            return graph.nodes[f"{scope}/{name}"].output[0]
    return None


def _lengths(graph: Graph) -> list[str]:
    """Two numbers for the fused node: the place of the last token [batch], and how many there are."""
    if "sails/total" not in graph.nodes:
        one = graph.add_weight("sails/one", np.array(1, dtype=np.int64))
        first = graph.add_weight("sails/first", np.array([0], dtype=np.int64))
        graph.add("Shape", ["attention_mask"], ["sails/shape"])
        graph.add("Gather", ["sails/shape", first], ["sails/batch"])
        graph.add("Gather", ["sails/shape", one], ["sails/long"])
        graph.add("Cast", ["sails/long"], ["sails/total"], to=TensorProto.INT32)
        graph.add("Sub", ["sails/long", one], ["sails/end"])
        graph.add("Expand", ["sails/end", "sails/batch"], ["sails/ends"])
        graph.add("Cast", ["sails/ends"], ["sails/last"], to=TensorProto.INT32)
    return ["sails/last", "sails/total"]


def _padding(graph: Graph) -> str:
    """What keeps padding out: 0, or as good as minus infinity [batch, 1, tokens, all tokens].

    Rotary positions are counted from the first token, padding or not: only distances between them matter.
    """
    if "sails/padding" not in graph.nodes:
        real = graph.add_weight("sails/real", np.array(1, dtype=np.float32))
        never = graph.add_weight("sails/never", np.array(-1e30, dtype=np.float32))
        middle = graph.add_weight("sails/middle", np.array([1, 2], dtype=np.int64))
        second = graph.add_weight("sails/second", np.array([1], dtype=np.int64))
        graph.add("Cast", ["attention_mask"], ["sails/mask"], to=TensorProto.FLOAT)
        graph.add("Sub", [real, "sails/mask"], ["sails/hidden"])
        graph.add("Mul", ["sails/hidden", never], ["sails/flat"])
        graph.add("Unsqueeze", ["sails/flat", middle], ["sails/row"])
        graph.add("Shape", ["input_ids"], ["sails/given"])
        graph.add("Gather", ["sails/given", second], ["sails/asked"])
        graph.add("Gather", ["sails/shape", second], ["sails/all"])
        graph.add("Concat", ["sails/batch", second, "sails/asked", "sails/all"], ["sails/size"], axis=0)
        graph.add("Expand", ["sails/row", "sails/size"], ["sails/padding"])
    return "sails/padding"


def _rotary_tables(graph: Graph, size: int, config: Mapping[str, Any]) -> list[str]:
    """Cosines and sines [positions, size / 2] of the rotary positions (Su et al. 2021)."""
    positions = np.arange(int(config["max_position_embeddings"]), dtype=np.float32)
    base = float(config.get("rope_theta") or 10_000.0)
    # As PyTorch computes them: the frequencies in fp32, and angles of fp32.
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    angles = np.outer(positions, (1.0 / base**exponents).astype(np.float32))
    return [
        graph.add_weight("sails/cosines", np.cos(angles).astype(np.float32)),
        graph.add_weight("sails/sines", np.sin(angles).astype(np.float32)),
    ]
