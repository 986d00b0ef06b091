"""Tiny random models of many families, as transformers builds them: one or two layers, hidden size 64.

folder = make_family(tmp_path, "gemma2", final_logit_softcapping=30.0)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.tiny import CONTEXT_LENGTH, LLAMA_LIKE, VOCABULARY_SIZE, _tokenizer

_GPT2_LIKE = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT_LENGTH}
_EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
_BLOOM = {"hidden_size": 64, "n_layer": 2, "n_head": 4}

# By the `model_type` of its config.json, what its configuration needs.
SHAPES: dict[str, dict[str, Any]] = {
    "arcee": LLAMA_LIKE,
    "bloom": _BLOOM,
    "codegen": {**_GPT2_LIKE, "rotary_dim": 16},
    "cohere": LLAMA_LIKE,
    "deepseek_v3": {
        **LLAMA_LIKE,
        "num_key_value_heads": 4,
        "n_routed_experts": 2,
        "num_experts_per_tok": 1,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "moe_intermediate_size": 32,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 16,
    },
    "ernie4_5": {**LLAMA_LIKE, "head_dim": 16},
    "exaone4": {**LLAMA_LIKE, "sliding_window": 64, "sliding_window_pattern": 2},
    "falcon": {**LLAMA_LIKE, "new_decoder_architecture": False, "alibi": False},
    "gemma": {**LLAMA_LIKE, "head_dim": 16},
    "gemma2": {**LLAMA_LIKE, "head_dim": 16},
    "gemma3_text": {**LLAMA_LIKE, "head_dim": 16},
    "glm": {**LLAMA_LIKE, "head_dim": 16},
    "gpt2": _GPT2_LIKE,
    "gpt_bigcode": _GPT2_LIKE,
    "gpt_neo": {
        "hidden_size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": CONTEXT_LENGTH,
    },
    "gpt_neox": LLAMA_LIKE,
    "gpt_oss": {**LLAMA_LIKE, **_EXPERTS, "head_dim": 16},
    "gptj": {**_GPT2_LIKE, "rotary_dim": 16},
    "granite": LLAMA_LIKE,
    "granitemoe": {**LLAMA_LIKE, **_EXPERTS},
    "helium": {**LLAMA_LIKE, "head_dim": 16},
    "lfm2": {**LLAMA_LIKE, "layer_types": ["conv", "full_attention"]},
    "llama": LLAMA_LIKE,
    "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
    "mistral": LLAMA_LIKE,
    "mixtral": {**LLAMA_LIKE, **_EXPERTS},
    "mpt": {"d_model": 64, "n_heads": 4, "n_layers": 2, "max_seq_len": CONTEXT_LENGTH},
    "nemotron": {**LLAMA_LIKE, "head_dim": 16},
    "olmo": LLAMA_LIKE,
    "olmo2": LLAMA_LIKE,
    "opt": {
        "hidden_size": 64,
        "word_embed_proj_dim": 64,
        "ffn_dim": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT_LENGTH,
    },
    "persimmon": LLAMA_LIKE,
    "phi": {**LLAMA_LIKE, "num_key_value_heads": 4},
    "phi3": LLAMA_LIKE,
    "qwen2": LLAMA_LIKE,
    "qwen2_moe": {
        **LLAMA_LIKE,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "qwen3": {**LLAMA_LIKE, "head_dim": 16},
    "qwen3_moe": {
        **LLAMA_LIKE,
        "head_dim": 16,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 32,
    },
    "smollm3": LLAMA_LIKE,
    "stablelm": LLAMA_LIKE,
    "starcoder2": LLAMA_LIKE,
}


def make_family(folder: Path, family: str, **changes: Any) -> Path:
    """Write a model of this family with a ChatML tokenizer into `folder`, and return it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = _tokenizer("llama", chat_template=True)
    config = AutoConfig.for_model(
        family,
        vocab_size=VOCABULARY_SIZE,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{**SHAPES[family], **changes},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for name, weight in model.named_parameters():
            if name.endswith("mlp.gate.weight"):  # a router, which some families leave as the memory was
                torch.nn.init.normal_(weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
