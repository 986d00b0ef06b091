"""A quantized GGUF file of the Llama family ─► a model folder as Hugging Face saves it, in full precision.

    convert(Path("SmolLM2-135M-Instruct.Q4_1.gguf"), folder)

Needs only numpy, the `gguf` and the `tokenizers` package: no torch, no transformers. (transformers can read
GGUF too, in four times the time and memory, but its tokenizer comes out wrong: it ends texts with
`<|im_start|>`, has no padding token, keeps numbers whole and carries Llama's habit of adding spaces.)
Covers what the embedded base model needs: the `llama` architecture with tied or separate head and a
byte-level BPE tokenizer of the `smollm` kind; anything else is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sails.errors import ModelLoadError
from sails.system import Progress

if TYPE_CHECKING:
    import numpy
    from gguf import GGUFReader

CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL

TENSORS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TENSORS_IN_A_LAYER = 9
# What must survive a round trip through a tokenizer byte for byte.
PROBE = " Don't  split , please:\n\tnaïve 日本語 👩‍🚀 costs 1234.50 € !\n\n"


def convert(file: Path, folder: Path, progress: Progress) -> None:
    """Write config, weights (fp32), tokenizer, chat template and generation config into an empty folder.

    Raises `ModelLoadError` when the file is not what this module covers.
    """
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    progress(0.0, "Reading the compressed model")
    try:
        reader = GGUFReader(file)
    except (ValueError, IndexError, KeyError) as error:
        raise _refused(f"it is not a GGUF file ({error})") from error
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    try:
        config = _config(metadata)
        progress(0.5, "Restoring the weights to full precision")
        weights = _weights(reader, config)
        progress(0.8, "Saving the weights")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        progress(0.9, "Building the tokenizer")
        _save_tokenizer(metadata, folder)
    except KeyError as error:
        raise _refused(f"its entry {error} is missing") from error
    _save_json(folder / "config.json", config | {"tie_word_embeddings": "lm_head.weight" not in weights})
    roles = ("bos_token_id", "eos_token_id", "pad_token_id")
    _save_json(folder / "generation_config.json", {role: config[role] for role in roles})


def _refused(reason: str) -> ModelLoadError:
    return ModelLoadError(
        f"The compressed model cannot be converted: {reason}.", "Choose another base model."
    )


def _save_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _config(metadata: dict[str, Any]) -> dict[str, Any]:
    if metadata["general.architecture"] != "llama":
        raise _refused(f"it is a {metadata['general.architecture']} model, not a llama model")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": metadata["llama.embedding_length"],
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "max_position_embeddings": metadata["llama.context_length"],
        "rope_theta": metadata["llama.rope.freq_base"],
        # GGUF keeps it in 32 bits; six digits are what was meant (1e-05, not 9.9999997e-06).
        "rms_norm_eps": float(f"{metadata['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
        "dtype": "float32",
    }


def _weights(reader: GGUFReader, config: dict[str, Any]) -> dict[str, numpy.ndarray]:
    """Every tensor in fp32 under the name that transformers gives it."""
    import numpy
    from gguf.quants import dequantize

    weights = {}
    for tensor in reader.tensors:
        values = numpy.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32)
        if not numpy.isfinite(values).all():
            raise _refused(f"{tensor.name} holds numbers that are not finite")
        if ".attn_q." in tensor.name:
            values = _rotary_halves(values, config["num_attention_heads"])
        elif ".attn_k." in tensor.name:
            values = _rotary_halves(values, config["num_key_value_heads"])
        parts = tensor.name.split(".")  # blk.7.attn_q.weight or output_norm.weight
        if parts[-2] not in TENSORS or parts[-1] != "weight":
            raise _refused(f"nobody knows its tensor {tensor.name}")
        layer = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
        weights[f"{layer}{TENSORS[parts[-2]]}.weight"] = values
    expected = TENSORS_IN_A_LAYER * config["num_hidden_layers"] + 2 + ("lm_head.weight" in weights)
    if len(weights) != expected:
        raise _refused(f"it holds {len(weights)} tensors instead of {expected}")
    return weights


def _rotary_halves(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Undo GGUF's order of the rows of a query or key projection, (heads · size, hidden).

    GGUF pairs the rows that rotate together as neighbours (0, 1), (2, 3) …; transformers keeps the first
    of all pairs and then the second of all pairs, head by head.
    """
    rows, hidden = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, hidden).swapaxes(1, 2).reshape(rows, hidden)


def _save_tokenizer(metadata: dict[str, Any], folder: Path) -> None:
    """A tokenizer without any family's own class, so that no legacy behavior comes with it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    if metadata["tokenizer.ggml.pre"] != "smollm":
        raise _refused(f"its tokenizer is of the unknown kind {metadata['tokenizer.ggml.pre']}")
    tokens = metadata["tokenizer.ggml.tokens"]
    kinds = metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = {number: tokens[number] for number, kind in enumerate(kinds) if kind == CONTROL_TOKEN}
    added = [AddedToken(token, special=True, normalized=False) for token in control.values()]
    tokenizer.add_special_tokens(added)
    if tokenizer.decode(tokenizer.encode(PROBE).ids) != PROBE:
        raise _refused("its tokenizer changes the text")
    tokenizer.save(str(folder / "tokenizer.json"))

    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    start, end = (tokens[metadata[f"tokenizer.ggml.{role}_token_id"]] for role in ("bos", "eos"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": metadata["llama.context_length"],
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "bos_token": start,
        "eos_token": end,
        "pad_token": tokens[metadata["tokenizer.ggml.padding_token_id"]],
        "unk_token": tokens[metadata["tokenizer.ggml.unknown_token_id"]],
        "additional_special_tokens": [start, end],
        "added_tokens_decoder": {str(n): {"content": token, **flags} for n, token in control.items()},
    }
    _save_json(folder / "tokenizer_config.json", settings)
    (folder / "chat_template.jinja").write_text(metadata["tokenizer.chat_template"], encoding="utf-8")
