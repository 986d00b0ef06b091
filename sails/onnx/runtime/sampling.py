"""Which token comes next: the rules by which transformers chooses, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sails.errors import ModelLoadError
from sails.onnx.runtime.options import Sampling

BLOCK = 256  # tokens


def next_scores(logits: np.ndarray, token_ids: Sequence[int] | np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return the scores [vocabulary] to choose from, equal to those of transformers' logits processors.

    The repetition penalty (Keskar et al. 2019) divides the positive and multiplies the negative scores of
    all `token_ids`, the prompt's included. When drawing, temperature, top-k and top-p (Holtzman et al. 2020)
    follow in this order; what they rule out is -inf.
    """
    scores = np.array(logits, dtype=np.float32)
    if sampling.repetition_penalty != 1.0:
        seen = np.asarray(token_ids, dtype=np.int64)
        penalty = np.float32(sampling.repetition_penalty)
        scores[seen] = np.where(scores[seen] < 0, scores[seen] * penalty, scores[seen] / penalty)
    if sampling.temperature == 0:
        return scores
    scores /= np.float32(sampling.temperature)
    if 0 < sampling.top_k < scores.size:
        scores[scores < np.partition(scores, -sampling.top_k)[-sampling.top_k]] = -np.inf
    if sampling.top_p < 1:
        _cut_tail(scores, 1 - sampling.top_p)
    return scores


def choose(scores: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """One token id out of `scores`. Raises ModelLoadError when they are not numbers."""
    best = int(scores.argmax())
    if np.isnan(scores[best]):
        raise ModelLoadError("The model computes values that are not numbers.", "Export the model again.")
    if sampling.temperature == 0:
        return best
    if sampling.top_p == 1 and not sampling.top_k:
        return _draw(_softmax(scores), random.random())
    left = np.flatnonzero(scores > -np.inf)  # few
    return int(left[_draw(_softmax(scores[left]), random.random())])


def _cut_tail(scores: np.ndarray, tail: float) -> None:
    """Rules out the least likely tokens that together have at most this share; the likeliest always stays.

    What has less than the tail's share of an even distribution is surely in it, so that only the rest, mostly
    a few hundred of many thousand tokens, has to be sorted.
    """
    shares = _softmax(scores)
    rest = np.flatnonzero(shares > tail / shares.size)
    order = rest[np.argsort(shares[rest], kind="stable")]
    before = shares.sum(dtype=np.float64) - shares[rest].sum(dtype=np.float64)
    out = before + np.cumsum(shares[order].astype(np.float64)) <= tail
    kept = order[~out] if not out.all() else order[-1:]
    if not kept.size:
        kept = np.array([scores.argmax()])
    values = scores[kept]
    scores.fill(-np.inf)
    scores[kept] = values


def _draw(shares: np.ndarray, random: float) -> int:
    """The token at the place `random` (0 to 1) when all stand in line, each as wide as its share.

    First the block is found and then the place in it: adding up all of them one by one takes longest.
    """
    blocks = np.cumsum(np.add.reduceat(shares, np.arange(0, shares.size, BLOCK)).astype(np.float64))
    place = random * blocks[-1]
    block = min(int(np.searchsorted(blocks, place, side="right")), blocks.size - 1)
    inside = np.cumsum(shares[block * BLOCK : (block + 1) * BLOCK].astype(np.float64))
    before = blocks[block - 1] if block else 0.0
    last = int(np.searchsorted(inside, inside[-1]))  # never one that was ruled out, however sums are rounded
    return block * BLOCK + min(int(np.searchsorted(inside, place - before, side="right")), last)


def _softmax(scores: np.ndarray) -> np.ndarray:
    shares = scores - scores.max()
    np.exp(shares, out=shares)
    shares /= shares.sum(dtype=np.float64).astype(shares.dtype)
    return shares
