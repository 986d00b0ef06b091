"""The model in training: where and how precisely it computes, its folder, its loss, its scores and answers.

    precision = Precision.of(choose_device("auto"))
    model = load_model(folder, precision.device)
    scores = evaluate(model, examples, tokenizer.pad_token_id, precision)

The loss is computed at label positions only: answers are a third of the tokens and the vocabulary head is a
large part of the work. Does not cover the steps of a training (`sails.training.trainer`), or chatting with a
finished model (`sails.chat.models`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from sails import models, system
from sails.errors import ModelLoadError, SailsError, classify
from sails.onnx import Messages, answer_in
from sails.training.attention import use_short_attention
from sails.training.dataloader import encoder_of

ANSWERED = 40  # prompts at once
READ_ANEW = {"mpt"}  # kinds of models that cannot go on from what they have read


def choose_device(wanted: str) -> str:
    """`cpu`, `cuda` or `mps`: what was asked for, or the fastest that is here."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@dataclass(frozen=True)
class Precision:
    """bf16 where it is native, else fp32; the weights themselves are fp32 in both."""

    device: str
    bf16: bool

    @classmethod
    def of(cls, device: str) -> Precision:
        """bf16 where the processor or GPU multiplies it itself; emulated it is slower than fp32."""
        native = False
        if device == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        elif device == "cpu":
            native = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
        return cls(device, native)

    @property
    def name(self) -> str:
        return "bf16" if self.bf16 else "fp32"

    def autocast(self, *, reuse: bool = True) -> AbstractContextManager[Any]:
        """Calculate so inside; `reuse` keeps the weights in bf16 from one pass of the model to the next."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device, torch.bfloat16, cache_enabled=reuse)


def blocks(model: Any) -> list[Any]:
    """Return a model's layers from the lowest up, as many as its configuration says; none if not found."""
    count = getattr(model.config, "num_hidden_layers", None)
    lists = (part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == count)
    return list(next(lists, ()))


def load_model(folder: Path, device: str) -> Any:
    """Return the model in `folder`, in fp32. Raises `ModelLoadError`."""
    if other := models.foreign_model(folder):
        raise ModelLoadError(f"The model in {folder} cannot be trained: {other.problem}.", other.remedy)
    with _named(folder):
        model, found = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    _check_weights(model, found["missing_keys"], folder)
    use_short_attention(model)
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelLoadError(f"This machine has no usable {device} device.", "Leave out --device.") from error


def _check_weights(model: Any, missing: Iterable[str], folder: Path) -> None:
    """Refuse weights that are not there, which would be made up by chance, and those that are no numbers."""
    named = dict(model.named_parameters(remove_duplicate=False))
    there = {named[name].data_ptr() for name in named.keys() - {*missing}}
    absent = [name for name in missing if name in named and named[name].data_ptr() not in there]  # not tied
    if absent:
        problem = f"The model in {folder} lacks weights: {_some(absent)}."
        raise ModelLoadError(problem, "Copy the whole model again, or choose another one.")
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        problem = f"Weights in {folder} are no numbers: {_some(broken)}. The file is damaged."
        raise ModelLoadError(problem, "Copy the model again, choose another one, or start over from base.")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def check_vocabulary(model: Any, tokenizer: Any, folder: Path) -> None:
    """Refuse a tokenizer with tokens that the model has no weights for; padding may be any token.

    Raises `ModelLoadError`.
    """
    size = model.get_input_embeddings().num_embeddings
    if tokenizer.pad_token_id >= size:
        tokenizer.pad_token = tokenizer.eos_token
    tokens = set(tokenizer.get_vocab().values()) - set(tokenizer.added_tokens_decoder)
    used = {*tokens, tokenizer.eos_token_id, *encoder_of(tokenizer).end_token_ids}
    if max(used) >= size or _written(tokenizer, size):
        raise ModelLoadError(
            f"The tokenizer in {folder} has {max(tokenizer.get_vocab().values()) + 1:,} tokens and its model "
            f"{size:,}: they do not belong together.",
            "Copy the tokenizer files that came with the model, or choose another model.",
        )


def _written(tokenizer: Any, size: int) -> bool:
    """Whether a plain chat holds a token from `size` on."""
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes"}]
    taught = encoder_of(tokenizer).taught(messages)
    return max(*taught.prompt, *taught.answer) >= size


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """What a library raises while it reads a model folder, as one sentence."""
    try:
        yield
    except SailsError:
        raise
    except (
        Exception
    ) as error:  # a folder from elsewhere may hold anything, and each library says so otherwise
        first = (str(error) or type(error).__name__).splitlines()[0][:200]
        sentence = f"The model in {folder} cannot be loaded: {first}"
        unloadable = ModelLoadError(sentence, "Choose another model, or start over from base.")
        raise classify(error, unloadable) from error


def context_length_in(folder: Path) -> int:
    """Return the longest text that the model in `folder` takes, in tokens, without loading it."""
    with _named(folder):
        return _context_length(AutoConfig.from_pretrained(folder, trust_remote_code=False))


def context_length(model: Any) -> int:
    """Return the longest text that the model takes, in tokens."""
    return _context_length(model.config)


def _context_length(config: Any) -> int:
    length = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(length or 512)


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save fp32 weights with all that chat and export need; `folder` appears complete or not at all.

    Where its configuration and the tokenizer name other special tokens, those of the tokenizer hold.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(tokenizer, name))
    ends = {tokenizer.eos_token_id, end_of_turn(tokenizer)}
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = sorted(ends) if len(ends) > 1 else ends.pop()
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    system.fsync_tree(partial)
    shutil.rmtree(folder, ignore_errors=True)
    system.rename(partial, folder)


def end_of_turn(tokenizer: Any) -> int:
    """Return the token that ends an answer in this tokenizer's template, else its end-of-text token."""
    return next(iter(encoder_of(tokenizer).end_token_ids), tokenizer.eos_token_id)


@dataclass(frozen=True)
class SampledAnswer:
    """What a model answered, without its thoughts; `ended`: by itself, rather than at the limit."""

    text: str
    ended: bool


@torch.no_grad()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Messages],
    max_new_tokens: int,
    *,
    temperature: float | None = None,
) -> list[SampledAnswer]:
    """Answer conversations as one batch: greedily, or drawn at a temperature."""
    was_training = model.training
    model.eval()
    encoder = encoder_of(tokenizer)
    asked = [encoder.prompt(messages) for messages in prompts]
    begun = _common_beginning([prompt.token_ids for prompt in asked])
    longest = max(len(prompt.token_ids) for prompt in asked)
    last = {prompt.token_ids[-1] for prompt in asked}
    filler = min({*range(len(last) + 1)} - last)  # masked; one that ends a prompt is taken for right padding
    padded, mask = [], []
    for prompt in asked:
        own = prompt.token_ids[len(begun) :]
        padding = longest - len(prompt.token_ids)
        padded.append([*begun, *[filler] * padding, *own])
        mask.append([*[1] * len(begun), *[0] * padding, *[1] * len(own)])
    ends = {tokenizer.eos_token_id, *encoder.end_token_ids}
    with _weights_reused(model):
        output = model.generate(
            input_ids=torch.tensor(padded, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            past_key_values=_read_once(model, begun, len(asked)),
            max_new_tokens=max_new_tokens,
            do_sample=temperature is not None,
            temperature=temperature,
            eos_token_id=sorted(ends),
            pad_token_id=filler,
        )
    model.train(was_training)
    answers = []
    for prompt, tokens in zip(asked, output[:, longest:].tolist(), strict=True):
        end = next((place for place, token in enumerate(tokens) if token in ends), None)
        text = tokenizer.decode(tokens[:end], skip_special_tokens=True)
        said, is_signed = encoder.without_end(text)
        ended = end is not None or is_signed
        answers.append(SampledAnswer(answer_in(said, prompt.text, by_itself=ended).strip(), ended))
    return answers


def _common_beginning(prompts: Sequence[Sequence[int]]) -> list[int]:
    """The tokens that all of several prompts begin with; of each, one at least is left."""
    if len(prompts) < 2:
        return []
    columns = zip(*(prompt[:-1] for prompt in prompts), strict=False)
    return [tokens[0] for tokens in takewhile(lambda tokens: len(set(tokens)) == 1, columns)]


def _read_once(model: Any, tokens: Sequence[int], times: int) -> DynamicCache | None:
    """What a model keeps of the tokens, for as many prompts that begin with them; None if it must read them.

    Such is the system message that a chat template puts before each question.
    """
    if not tokens or model.config.model_type in READ_ANEW:
        return None
    read = model(input_ids=torch.tensor([tokens], device=model.device), use_cache=True)
    kept = getattr(read, "past_key_values", None)
    if not isinstance(kept, DynamicCache):
        return None
    kept.batch_repeat_interleave(times)
    return kept


@contextmanager
def _weights_reused(model: Any) -> Iterator[None]:
    """Let autocast keep all weights in bf16 from one token to the next: it keeps those with gradients."""
    frozen = [weight for weight in model.parameters() if not weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def sample_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int = 32,
    *,
    temperature: float | None = None,
) -> list[str]:
    """Answers to single questions, generated as one batch: greedy ones, or drawn at a temperature."""
    answers = generate(model, tokenizer, prompts, max_new_tokens, temperature=temperature)
    return [answer.text for answer in answers]


def answer_all(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    precision: Precision,
    *,
    temperature: float | None = None,
) -> list[str]:
    """Return the answers to many prompts, as `sample_answers` does, in batches of similar length."""
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    answers: dict[int, str] = {}
    for start in range(0, len(order), ANSWERED):
        some = order[start : start + ANSWERED]
        asked = [prompts[number] for number in some]
        with precision.autocast():
            said = sample_answers(model, tokenizer, asked, max_new_tokens, temperature=temperature)
        answers.update(zip(some, said, strict=True))
    return [answers[number] for number in range(len(prompts))]
