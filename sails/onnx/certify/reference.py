"""The PyTorch model that an ONNX model came from, as a certificate asks it: in fp32, on the processor."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sails.errors import ModelLoadError, classify
from sails.onnx.runtime.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate
from sails.onnx.runtime.tokenizer import short_context


@dataclass(frozen=True)
class ReferenceRun:
    """What PyTorch made of one prompt; logits are [tokens, vocabulary].

    `prompt`: logits at each token of the prompt. `answer`: its own greedy answer, up to the token that ends
    it. `answered` and `known`: the logits that led to each token of its answer and of the right answer.
    """

    prompt: np.ndarray
    answer: list[int]
    answered: np.ndarray
    known: np.ndarray


class Original:
    """The PyTorch model and its tokenizer. Texts are read many at once, padded in front."""

    def __init__(self, folder: Path, ends: frozenset[int]) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", local_files_only=True)
        except Exception as error:
            sentence = f"The model in {folder.name} cannot be loaded."
            unloadable = ModelLoadError(sentence, "Check that the folder is complete.")
            raise classify(error, unloadable) from error
        self._model: Any = model.eval()
        self._template = None if self._tokenizer.chat_template else DEFAULT_CHAT_TEMPLATE
        text = self._tokenizer.get_chat_template(self._template)
        self._bounded = ChatTemplate(text, self._tokenizer.special_tokens_map)
        self.ends = ends
        self._padding = min(ends, default=0)
        self._takes_positions = "position_ids" in inspect.signature(self._model.forward).parameters
        # Only what is said here counts: a model's own settings may ask for sampling or a penalty.
        self._model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=self._padding
        )

    @property
    def context_length(self) -> int:
        longest = int(getattr(self._model.config, "max_position_embeddings", 0) or 10**9)
        return min(longest, short_context(self._model.config.to_dict()) or longest)

    @property
    def vocabulary_size(self) -> int:
        return len(self.read([[0]], [[]], 1)[0].prompt[0])

    def encode(self, messages: list[dict[str, str]], answer: str) -> tuple[list[int], list[int]]:
        """Return the token ids of the prompt, and of the answer behind it with all that ends it."""
        prompt = self._render(messages, True)
        whole = self._render([*messages, {"role": "assistant", "content": answer}], False) if answer else ""
        rest = whole[len(prompt) :] if whole.startswith(prompt) else answer
        return self._ids(prompt), self._ids(rest) if rest else []

    def _render(self, messages: list[dict[str, str]], ask: bool) -> str:
        self._bounded.render(messages, ask)  # transformers would wait for a text without end
        return self._tokenizer.apply_chat_template(
            messages, chat_template=self._template, add_generation_prompt=ask, tokenize=False
        )

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)

    def read(
        self,
        prompts: Sequence[Sequence[int]],
        known: Sequence[Sequence[int]],
        new_tokens: int,
        progress: Callable[[float], None] = lambda _: None,
    ) -> list[ReferenceRun]:
        """Read these prompts together, answer each of them greedily, and read the right answers."""
        import torch

        longest = max(map(len, prompts))
        ids = torch.tensor([[self._padding] * (longest - len(one)) + list(one) for one in prompts])
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts])
        with torch.no_grad():
            progress(0.0)
            logits, past = self._step(ids, mask, None)
            progress(0.3)
            known_logits = logits
            if any(known):
                width = max(map(len, known))
                right = torch.tensor([list(one) + [self._padding] * (width - len(one)) for one in known])
                both = torch.cat([mask, torch.ones_like(right)], dim=1)
                # A copy: reading goes on in the past that it is given, and the answer begins there too.
                known_logits, _ = self._step(right, both, copy.deepcopy(past))
            progress(0.6)
            answers, answer_logits = self._answer(
                logits, mask, past, new_tokens, lambda done: progress(0.6 + 0.4 * done)
            )
        readings = []
        for row, prompt in enumerate(prompts):
            own = logits[row, longest - len(prompt) :].numpy()
            answer = until_end(answers[row], self.ends)
            answered = np.concatenate([own[-1:], answer_logits[row, : len(answer) - 1].numpy()])
            behind = known_logits[row, : len(known[row]) - 1].numpy()
            read = np.concatenate([own[-1:], behind]) if known[row] else own[:0]
            readings.append(ReferenceRun(own, answer, answered, read))
        return readings

    def _answer(
        self, logits: Any, mask: Any, past: Any, new_tokens: int, progress: Callable[[float], None]
    ) -> tuple[list[list[int]], Any]:
        """Greedy tokens behind the prompts whose `logits` are given, and the logits that each led to."""
        import torch

        chosen, found = [logits[:, -1].argmax(dim=-1)], []
        ended = torch.zeros_like(chosen[0], dtype=torch.bool)
        ends = torch.tensor(sorted(self.ends))
        while len(chosen) < new_tokens:
            ended |= torch.isin(chosen[-1], ends)
            if ended.all():
                break
            progress(len(chosen) / new_tokens)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            logits, past = self._step(chosen[-1][:, None], mask, past)
            found.append(logits)
            chosen.append(logits[:, -1].argmax(dim=-1))
        return torch.stack(chosen, dim=1).tolist(), torch.cat([logits[:, :0], *found], dim=1)

    def _step(self, ids: Any, mask: Any, past: Any) -> tuple[Any, Any]:
        """Logits [texts, tokens, vocabulary] of `ids`, which follow what `past` holds; `mask` covers both."""
        positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        extra = {"position_ids": positions} if self._takes_positions else {}
        output = self._model(ids, attention_mask=mask, past_key_values=past, use_cache=True, **extra)
        return output.logits.float(), output.past_key_values

    def timed(self, prompt: Sequence[int], new_tokens: int) -> list[float]:
        """When each new token of `generate` came, in seconds from its start; no token ends it."""
        import torch
        from transformers import GenerationConfig

        watch = _Watch()
        ids = torch.tensor([list(prompt)])
        endless = GenerationConfig(do_sample=False, pad_token_id=self._padding, max_new_tokens=new_tokens)
        with torch.no_grad():
            self._model.generate(
                ids, attention_mask=torch.ones_like(ids), generation_config=endless, streamer=watch
            )
        return watch.times


def lost(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Tell how far below the best of each row of logits these tokens are scored, one a row."""
    return logits.max(axis=-1) - np.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]


def nats(logits: np.ndarray, text: Sequence[int]) -> list[float]:
    """Return the loss at each token of the text."""
    with np.errstate(invalid="ignore", over="ignore"):
        top = logits.max(axis=-1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(axis=-1)) + top[:, 0]
        return (total - np.take_along_axis(logits, np.array(text)[:, None], axis=-1)[:, 0]).tolist()


class _Watch:
    """A streamer of `generate` that writes down when tokens come; what comes first is the prompt."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._prompt = True
        self.times: list[float] = []

    def put(self, _tokens: Any) -> None:
        if not self._prompt:
            self.times.append(time.perf_counter() - self._began)
        self._prompt = False

    def end(self) -> None:
        pass


def until_end(tokens: Sequence[int], ends: frozenset[int]) -> list[int]:
    """Return the tokens up to the first that ends a turn, and that one."""
    end = next((index + 1 for index, token in enumerate(tokens) if token in ends), len(tokens))
    return list(tokens[:end])
