"""Real language models small enough for a test: two layers, hidden size 64, made in about a second.

    from tests.support.tiny import make_tiny_model
    folder = make_tiny_model(tmp_path / "model", "gpt2", chat_template=False)

Random weights, so the answers are noise until the model is trained; twenty short pairs are learned by
heart in a few seconds at a learning rate of about 5e-3. The tokenizer is a byte-level BPE learned from the
text below: any text comes back exactly as it went in. torch and transformers are imported on first use.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FAMILIES = ("llama", "qwen2", "gpt2")
CONTEXT_LENGTH = 512
LLAMA_LIKE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_LENGTH,
}
VOCABULARY_SIZE = 512

TEXT = """
What is the capital of France? The capital of France is Paris. What is a variable? A variable is a name that
stands for a value. What does a function do? A function takes some values, does its work with them and gives
one value back. How do I write a loop in Python? Write "for item in items:" and put the work on the next
line, four spaces further in. Why is the sky blue? Because the air scatters blue light more than red light.
How many days are there in a week? There are 7 days in a week, and 365 or 366 in a year. Which color do you
get when you mix yellow and blue? Green. Please explain what a database is. A database keeps many rows of
the same kind, so that questions about them can be answered quickly. Where does the sun rise? In the east.
Who should I ask when something does not work? Ask your team first: they can tell you where to look, and
what they tried before. When is it better to wait? When you are tired, when the tests are red, and when
nobody else is there to help.
def add(first, second):
    return first + second
"""

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# As DialoGPT writes a chat: no roles at all, every turn ended by the end-of-text token.
TURNS = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"


def make_tiny_model(
    folder: Path, family: str = "llama", *, chat_template: bool = True, seed: int = 0
) -> Path:
    """Writes model, tokenizer and generation config into `folder` and returns it.

    `family` is one of FAMILIES: llama (4 heads on 2 key/value heads), qwen2 (the same, with biases and untied
    embeddings), gpt2. llama and qwen2 end a turn with `<|im_end|>` and pad with `<|endoftext|>`; gpt2 has
    `<|endoftext|>` for everything. Without `chat_template` the tokenizer knows no chat at all.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = _tokenizer(family, chat_template)
    config = _config(family, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _config(family: str, tokenizer: PreTrainedTokenizerFast) -> Any:
    from transformers import GPT2Config, LlamaConfig, Qwen2Config

    # Wider than the usual 0.02, so that an untrained model prefers some tokens clearly over others.
    common: dict[str, Any] = {
        "vocab_size": VOCABULARY_SIZE,
        "initializer_range": 0.1,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if family == "gpt2":
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return GPT2Config(**common, **dropout, n_embd=64, n_layer=2, n_head=4, n_positions=CONTEXT_LENGTH)
    if family == "llama":
        return LlamaConfig(**common, **LLAMA_LIKE, tie_word_embeddings=True)
    if family == "qwen2":
        return Qwen2Config(**common, **LLAMA_LIKE, tie_word_embeddings=False)
    raise ValueError(f"No tiny model of the family {family!r}; there are {', '.join(FAMILIES)}.")


def _tokenizer(family: str, chat_template: bool) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    if family == "gpt2":
        roles = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
        special, template = ("<|endoftext|>",), TURNS
    else:
        roles = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
        special, template = ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), CHATML
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_byte_level_bpe(special)),
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=CONTEXT_LENGTH,
        **roles,
    )
    if chat_template:
        tokenizer.chat_template = template
    return tokenizer


@cache
def _byte_level_bpe(special: tuple[str, ...]) -> str:
    """The tokenizer learned from TEXT, as the JSON that `Tokenizer.from_str` reads."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    return tokenizer.to_str()


def learn_by_heart(model: Any, batch: dict[str, Any], steps: int) -> None:
    """Take so many plain steps on one batch, without anything of ours in between."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(steps):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
