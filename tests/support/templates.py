# ruff: noqa: E501  templates are read more easily with their lines whole
"""Chat templates in the manners that models have, each short and our own, with the signs that it needs.

    folder = make_tiny_model(tmp_path); wear(folder, "thought opened by the prompt")

`wear` gives a tiny model another template, and its tokenizer the signs of that as tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.tiny import CHATML

_REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system turns.') }}{% endif %}"
_ALTERNATES = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Turns must alternate.') }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Manner:
    """A template; `special` and `added` are tokens that the tokenizer gets; `end` is how a turn ends."""

    template: str
    end: str
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()  # tokens that are not special
    parts: bool = False  # a longer talk is taught one answer at a time
    keeps_thoughts: bool = True


MANNERS = {
    "ChatML": Manner(CHATML, "<|im_end|>"),
    # A sign at the end of the whole text alone, behind the sign that ends each turn (phi3).
    "end of text behind the last turn": Manner(
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
        "<|end|>",
        special=("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    ),
    # The last answer has an empty thought, earlier ones have none; the prompt has none either (qwen3).
    "thoughts of the last turn alone": Manner(
        "{% for message in messages %}{% set content = message['content'] %}"
        "{% if message['role'] == 'assistant' %}{% set thought = '' %}{% if '</think>' in content %}"
        "{% set thought = content.split('</think>')[0].split('<think>')[-1].strip() %}"
        "{% set content = content.split('</think>')[-1].lstrip() %}{% endif %}"
        "{{ '<|im_start|>assistant\n' }}"
        "{% if loop.last %}{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}{{ content + '<|im_end|>\n' }}"
        "{% else %}{{ '<|im_start|>' + message['role'] + '\n' + content + '<|im_end|>\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
        "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        "{% endif %}",
        "<|im_end|>",
        added=("<think>", "</think>"),
        parts=True,
        keeps_thoughts=False,
    ),
    # The prompt opens a thought, and answered turns have none (deepseek-r1).
    "thought opened by the prompt": Manner(
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
        "{{ '<|assistant|>' + message['content'].split('</think>')[-1].strip() + eos_token }}"
        "{% else %}{{ '<|user|>' + message['content'] }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}",
        "<|im_end|>",
        special=("<|user|>", "<|assistant|>"),
        added=("<think>", "</think>"),
        parts=True,
        keeps_thoughts=False,
    ),
    # White space around contents is stripped (llama3).
    "contents stripped": Manner(
        "{{ bos_token }}{% for message in messages %}{{ '<|head|>' + message['role'] + '<|/head|>\n\n' }}"
        "{{ message['content'] | trim }}{{ '<|eot|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\n\n' }}{% endif %}",
        "<|eot|>",
        special=("<|head|>", "<|/head|>", "<|eot|>"),
    ),
    # No place for a system turn, and strict turns (gemma, mistral).
    "system refused": Manner(
        _REFUSES + _ALTERNATES + "{{ bos_token }}{% for message in messages %}"
        "{{ '<turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
        "{{ message['content'] | trim + '</turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}",
        "</turn>",
        special=("<turn>", "</turn>"),
    ),
    "system dropped": Manner(
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] }}"
        "{{ ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
        "{% endif %}{% endfor %}",
        "<|im_end|>",
    ),
    # The signs are words to the tokenizer: nothing ends a turn for certain.
    "signs of several tokens": Manner(
        CHATML.replace("<|im_start|>", "[start]").replace("<|im_end|>", "[end]"), "[end]<|im_end|>", parts=True
    ),
    "end of turn that is not special": Manner(
        CHATML.replace("<|im_start|>", "<s1>").replace("<|im_end|>", "<s2>"), "<s2>", added=("<s1>", "<s2>")
    ),
    "no end at all": Manner(
        "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}",
        "<|im_end|>",
        parts=True,
    ),
    "no prompt for an answer": Manner(
        CHATML.partition("{% if add_generation_prompt %}")[0], "<|im_end|>"
    ),
    "marked for training": Manner(
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
        "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}"
        "{% endgeneration %}{{ '\n' }}{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "<|im_end|>",
    ),
}  # fmt: skip


def wear(folder: Path, name: str) -> Path:
    """Give the tiny model in `folder` the template of that name, and return the folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    manner = MANNERS[name]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(manner.special), special_tokens=True)
    tokenizer.add_tokens(list(manner.added))
    tokenizer.chat_template = manner.template
    tokenizer.save_pretrained(folder)
    if len(tokenizer) > (model := AutoModelForCausalLM.from_pretrained(folder)).config.vocab_size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model.save_pretrained(folder)
    return folder
