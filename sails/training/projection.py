"""Projection: a training's steps leave alone what a model's general answers rest on.

    matrices = projection_matrices(model, examples, padding, precision)
    projection = Projection(model, matrices, learning_rate, precision)
    projection.after_step()     # after each of the optimizer's: every `WINDOW` steps, projects what moved
    projection.finish()         # and at the end, what moved since then

A linear layer answers general prompts from certain directions of its inputs. Movements of its weights along
those directions change such answers; movements across them do not. So each movement is multiplied by
(I + C/(λm))⁻¹, where C is the covariance of the layer's inputs on general prompts and m the mean of its
diagonal, and made longer than it was before, for what is left of it does little harm. Other weights stay as
they are, and the lower half of the layers, which see each row once (`sails.training.frozen`). After Zeng et
al., "Continual learning of context-dependent processing in neural networks", 2019, and Wang et al., "Training
networks in null space of feature covariance", 2021: soft, where theirs cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from sails.training.dataloader import Example, collate
from sails.training.loss import AnswerLogits
from sails.training.model import Precision, blocks

WINDOW = 5  # steps
# How many times as long a projected movement is made, where it does little harm: 4 times at 5e-5, 8 times at
# 1e-5. It falls more slowly than the rate rises, so that a higher rate always moves the weights further.
USUAL_RATE, USUAL_STRETCH, FALL, MAX_STRETCH = 5e-5, 4.0, math.log(2, 5), 8.0
UNTOUCHED = 0.5  # of a model's blocks, from the lowest up, stay as they are
DAMPING = 0.01  # λ: the smaller, the more is kept, and the more rounds a lesson takes
PROJECTION_PROMPTS = 80  # general prompts whose inputs are looked at
BATCH = 8  # of them at once

Matrices = dict[str, torch.Tensor]


class Projection:
    """Projects the movement of a model's linear layers, `WINDOW` steps at a time; see the module."""

    def __init__(self, model: Any, matrices: Matrices, learning_rate: float, precision: Precision) -> None:
        """`matrices`: what `projection_matrices` returned; weights of other layers are not trained."""
        self._precision = precision
        self._stretch = stretch(learning_rate)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []  # weights (outputs, inputs), matrix
        for name, layer in linear_layers(model).items():
            if name in matrices:
                layer.weight.requires_grad_(True)
                weight = layer.weight.detach()  # the same memory
                weight = weight.T if isinstance(layer, Conv1D) else weight
                self._layers.append((weight, matrices[name].to(weight.device)))
        self._steps = 0
        self._kept = [weight.clone() for weight, _ in self._layers]

    @property
    def at_rest(self) -> bool:
        """Whether all that moved is projected: only then the weights are all that there is to save."""
        return self._steps == 0

    def after_step(self) -> None:
        """Count a step, and project what the last `WINDOW` of them moved."""
        self._steps += 1
        if self._steps == WINDOW:
            self.finish()

    @torch.no_grad()
    def finish(self) -> None:
        """Project what moved since the last time."""
        for (weight, matrix), kept in zip(self._layers, self._kept, strict=True):
            moved = weight - kept
            with self._precision.autocast():
                projected = (moved @ matrix).float()
            length = self._stretch * moved.norm() / projected.norm().clamp_min(1e-12)
            weight.copy_(kept.add_(length * projected))
        self._steps = 0

    @torch.no_grad()
    def restart(self) -> None:
        """Begin anew with the weights as they are: after a step back to former ones."""
        self._steps = 0
        for (weight, _), kept in zip(self._layers, self._kept, strict=True):
            kept.copy_(weight)


def stretch(learning_rate: float) -> float:
    """Return how many times as far as an optimizer moves them projected weights are moved."""
    return min(max(USUAL_STRETCH * (USUAL_RATE / learning_rate) ** FALL, 1.0), MAX_STRETCH)


def linear_layers(model: Any) -> dict[str, Any]:
    """Return the layers that are projected, by name: those whose inputs are no wider than hidden states.

    The head is none of them, for its weights are the vocabulary's. The covariance of wider inputs, of which
    each block has one layer, would take more memory than all its weights.
    """
    head, width = model.get_output_embeddings(), model.config.hidden_size
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and layer is not head and _inputs(layer) <= width
    }


def upper_layers(model: Any) -> dict[str, Any]:
    """Return those of them that are trained: above the share `UNTOUCHED` of the model's blocks."""
    below = blocks(model)
    untouched = {part for block in below[: int(UNTOUCHED * len(below))] for part in block.modules()}
    return {name: layer for name, layer in linear_layers(model).items() if layer not in untouched}


def _inputs(layer: Any) -> int:
    return int(layer.weight.shape[0 if isinstance(layer, Conv1D) else 1])


@torch.inference_mode()
def projection_matrices(
    model: Any, examples: Sequence[Example], padding: int, precision: Precision
) -> Matrices:
    """Return (I + C/(λm))⁻¹ for each linear layer, shape (inputs, inputs), from its inputs on the examples.

    Layers with the same inputs share one matrix. All tokens count alike, however large their hidden states.
    A layer that is not given all tokens (one of several experts) gets no matrix.
    """
    answer_logits = AnswerLogits.of(model)
    grams: dict[str, torch.Tensor] = {}
    shares: dict[str, str] = {}  # each layer's name, and that of the first one with the same inputs
    last: list[Any] = [None, ""]  # inputs, and the layer that had them first
    counts: list[torch.Tensor] = []  # of how many tokens each one stands for, (tokens, 1)

    def look(name: str, inputs: torch.Tensor) -> None:
        if inputs.shape[:-1].numel() != len(counts[-1]):
            return
        if inputs is not last[0]:
            last[:] = inputs, name
            states = nn.functional.normalize(inputs.flatten(0, -2).float(), dim=-1) * counts[-1].sqrt()
            with torch.autocast(states.device.type, enabled=False):
                grams[name] = grams.get(name, 0) + states.T @ states
        shares[name] = last[1]

    was_training = model.training
    model.eval()
    batches = [collate(examples[n : n + BATCH], padding) for n in range(0, len(examples), BATCH)]
    chosen = [
        answer_logits.inputs(model, {key: value.to(model.device) for key, value in batch.items()})
        for batch in batches
    ]
    with ExitStack() as hooks:
        for name, layer in upper_layers(model).items():
            hook = layer.register_forward_pre_hook(lambda _, inputs, name=name: look(name, inputs[0]))
            hooks.callback(hook.remove)
        for batch in chosen:
            counts.append(batch.counts[:, None])
            with precision.autocast(reuse=False):
                model(**batch.tensors, use_cache=False, logits_to_keep=1)
            last[0] = None
    model.train(was_training)
    count = sum(int(some.sum()) for some in counts)
    inverses = {name: _inverse(gram / count) for name, gram in grams.items()}
    return {name: inverses[first] for name, first in shares.items()}


def _inverse(covariance: torch.Tensor) -> torch.Tensor:
    covariance = covariance.cpu()  # not every device can invert
    damping = DAMPING * covariance.diagonal().mean()
    identity = torch.eye(len(covariance))
    return torch.linalg.inv(identity + covariance / damping).contiguous()


# --- the file -------------------------------------------------------------------------------------


def save_matrices(matrices: Matrices, file: Path) -> None:
    """Write them down, each once, so that a session that is resumed projects as it did before."""
    names: dict[int, list[str]] = {}
    for name, matrix in matrices.items():
        names.setdefault(id(matrix), []).append(name)
    save_file({"|".join(shared): matrices[shared[0]].cpu() for shared in names.values()}, file)


def load_matrices(file: Path) -> Matrices:
    """Return what `save_matrices` wrote."""
    return {name: matrix for shared, matrix in load_file(file).items() for name in shared.split("|")}
