"""Rows of a batch in one sequence: without padding, and what all of them begin with is computed once.

    inputs = packed(batch)
    hidden = body(**inputs.tensors).last_hidden_state.flatten(0, 1)[inputs.places]

Each token sees what it saw in its own row, at the same positions, so a transformer that honours a mask and
position numbers computes the same as for the padded rows. Not every model does (those with a state or with
distances in their attention do not): `sails.training.loss` compares before it relies on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sails.training.dataloader import IGNORED

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Inputs:
    """What a model is given; its tokens are numbered row by row, padding included."""

    tensors: Batch
    tokens: torch.Tensor  # for each token that it is given: its number in the batch, row by row
    places: torch.Tensor  # for each label, in the order of the batch: the token that predicts it
    counts: torch.Tensor  # for each token, how many of the batch it stands for: none if it is padding

    def saves_work(self, others: Inputs, width: int) -> bool:
        """Whether a model `width` wide has less to do with these than with the others.

        In a layer a token costs 24 width² operations, and 4 width for each token that it could look at; the
        latter take about twice as long each (`benchmarks/packing.py`).
        """
        work = [
            rows * length * (3 * width + length)
            for rows, length in (inputs.tensors["input_ids"].shape for inputs in (self, others))
        ]
        return work[0] < work[1]


def padded(batch: Batch) -> Inputs:
    """Return the batch as it is."""
    rows, columns = _predicting(batch)
    tensors = {name: batch[name] for name in ("input_ids", "attention_mask")}
    ids = batch["input_ids"]
    tokens = torch.arange(ids.numel(), device=ids.device)
    return Inputs(tensors, tokens, rows * ids.shape[1] + columns, batch["attention_mask"].flatten())


def packed(batch: Batch) -> Inputs:
    """Return the batch, which is padded on the right, as one sequence of n tokens.

    Its mask is boolean, of shape (1, 1, n, n): whether a token (third) sees another (last).
    """
    ids, real = batch["input_ids"], batch["attention_mask"].bool()
    lengths = real.sum(1)
    same = (ids == ids[0]).all(0)[: int(lengths.min())]
    shared = int(same.long().cumprod(0).sum())  # tokens that all rows begin with
    behind = real.clone()
    behind[:, :shared] = False
    columns = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    numbers = torch.arange(1, len(ids) + 1, device=ids.device)[:, None].expand_as(ids)
    positions = torch.cat([columns[0, :shared], columns[behind]])
    row = torch.cat([numbers.new_zeros(shared), numbers[behind]])  # of each token; 0: that of all
    seen = ((row[:, None] == row) | (row == 0)) & (positions <= positions[:, None])
    tokens = torch.cat([columns[0, :shared], behind.flatten().nonzero().flatten()])
    tensors = {
        "input_ids": ids.flatten()[tokens][None],
        "position_ids": positions[None],
        "attention_mask": seen[None, None],
    }
    rows, columns = _predicting(batch)
    before = (lengths - shared).cumsum(0) - (lengths - shared)  # tokens of the rows before
    places = torch.where(columns < shared, columns, before[rows] + columns)
    return Inputs(tensors, tokens, places, torch.where(row == 0, len(ids), 1))


def _predicting(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = (batch["labels"][:, 1:] != IGNORED).nonzero(as_tuple=True)
    return rows, columns
