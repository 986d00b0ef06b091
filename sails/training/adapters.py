"""LoRA: small matrices beside a model's linear layers are trained, and merged into its weights at the end.

    adapters = Adapters(model, matrices, learning_rate, seed)     # in place: its own weights are frozen
    adapters.merge()                                              # the model is whole again, and has learned

A layer with the weights W (outputs × inputs) answers as W + s·B·A would, with A (`RANK` × inputs) drawn by
chance and B (outputs × `RANK`) trained from zero: only B has gradients and AdamW's averages. The rows of A
say from which inputs a layer may learn, so where general knowledge is protected they are projected, once: all
that is learned stays across what general answers rest on, and the lower layers have none. After Hu et al.,
"LoRA: Low-rank adaptation of large language models", 2021, and Zhang et al., "LoRA-FA", 2023, which leaves A
as it is; through `peft`.

Not here: what the matrices are and where they come from (`sails.training.projection`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import Conv1D

from sails.errors import RequestError
from sails.training.projection import Matrices, linear_layers, stretch

RANK = 16
SCALE = 40.0  # s: B alone, at the rate of the behavior matrix, moves a layer far less than its weights would
NAME = "default"


class Adapters:
    """Adapters beside the linear layers of a model, in place; the only weights of it that are trained."""

    def __init__(self, model: Any, matrices: Matrices | None, learning_rate: float, seed: int) -> None:
        """`matrices`: what `projection_matrices` returned, where general knowledge is protected.

        Then only layers that have one get adapters. Raises `RequestError` for a model without a layer that is
        known here.
        """
        from peft import LoraConfig, LoraModel

        layers = adaptable_layers(model)
        if matrices:
            layers = {name: layer for name, layer in layers.items() if name in matrices}
        config = LoraConfig(
            r=RANK,
            lora_alpha=RANK * SCALE * (stretch(learning_rate) if matrices else 1.0),
            target_modules=[*layers],
            fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in layers.values()),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._lora = LoraModel(model, config, NAME)
        self._model = model
        for name in layers:
            across = model.get_submodule(name).lora_A[NAME].weight.requires_grad_(False)
            if matrices:
                projected = across @ matrices[name].to(across.device)
                across.copy_(projected * across.norm() / projected.norm())

    def merge(self) -> None:
        """Add to each weight what its adapter learned, and take the adapters away."""
        self._lora.merge_and_unload()
        self._model.requires_grad_(True)

    @property
    def frozen(self) -> dict[str, torch.Tensor]:
        """The model's own weights, under the names that they have without adapters."""
        weights = self._model.state_dict().items()
        return {name.replace(".base_layer.", "."): w for name, w in weights if ".lora_" not in name}

    def save(self, file: Path) -> None:
        """Write the adapters alone."""
        save_file({name: w for name, w in self._model.state_dict().items() if ".lora_" in name}, file)

    def load(self, file: Path) -> None:
        """Put back what `save` wrote."""
        self._model.load_state_dict(load_file(file), strict=False)


def adaptable_layers(model: Any) -> dict[str, Any]:
    """Return the layers that adapters are put beside, by name. Raises `RequestError` where there are none."""
    layers = linear_layers(model)
    if not layers:
        raise RequestError(
            f"A model of the kind {model.config.model_type} has no layers that LoRA is known to work with.",
            "Train the model itself (--method full), or choose another base model.",
        )
    return layers
