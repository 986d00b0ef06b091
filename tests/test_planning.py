"""Before a session: what the presets choose, and whether it fits into this machine."""

import itertools
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from sails import planning
from sails.errors import DiskFullError, OutOfMemoryError
from sails.planning import (
    PRESETS,
    Need,
    Pace,
    choose_pace,
    count_parameters,
    estimate,
    gigabytes,
    refuse_if_too_big,
    training_memory,
)
from sails.sessions import Settings
from tests.folders import make_model, make_sharded_model, tensors

PARAMETERS = sum(tensor.size for tensor in tensors().values())
PACE = Pace(epochs=1, token_budget=512, batch_size=None, max_steps=None)

# --- presets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "quick", "balanced", "thorough", "tokens"),
    [
        (0, 4, 8, 15, 256),
        (50, 4, 8, 15, 256),
        (51, 3, 6, 10, 256),
        (200, 3, 6, 10, 256),
        (201, 2, 4, 6, 512),
        (1_000, 2, 4, 6, 512),
        (1_001, 1, 2, 4, 512),
        (10_000, 1, 2, 4, 512),
        (10_001, 1, 1, 2, 1024),
        (50_000_000, 1, 1, 2, 1024),
    ],
)
def test_the_preset_chooses_rounds_and_tokens_by_the_rows(rows, quick, balanced, thorough, tokens):
    chosen = [choose_pace(Settings(preset=name), rows) for name in ("quick", "balanced", "thorough")]
    assert [pace.epochs for pace in chosen] == [quick, balanced, thorough]
    assert {(pace.token_budget, pace.batch_size, pace.max_steps) for pace in chosen} == {(tokens, None, None)}


def test_more_rows_never_mean_more_rounds_and_thorough_never_fewer_than_quick():
    for smaller, larger in itertools.pairwise(PRESETS):
        assert smaller.rows < larger.rows
        for name in ("quick", "balanced", "thorough"):
            assert getattr(smaller, name) >= getattr(larger, name)
    for size in PRESETS:
        assert 1 <= size.quick <= size.balanced <= size.thorough


def test_a_persons_own_values_win_over_the_preset():
    pace = choose_pace(Settings(preset="quick", epochs=9, max_steps=7), 100)
    assert pace == Pace(epochs=9, token_budget=256, batch_size=None, max_steps=7)


def test_a_fixed_batch_size_takes_the_place_of_the_token_budget():
    pace = choose_pace(Settings(batch_size=4), 100)
    assert (pace.batch_size, pace.token_budget) == (4, None)


# --- what it needs --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_model, make_sharded_model])
def test_parameters_are_counted_in_the_headers(tmp_path, make):
    assert count_parameters(make(tmp_path / "model")) == PARAMETERS


def test_half_precision_counts_as_many_parameters(tmp_path):
    model = make_model(tmp_path / "model")
    half = {name: np.asarray(tensor, np.float16) for name, tensor in tensors().items()}
    save_file(half, model / "model.safetensors")
    assert count_parameters(model) == PARAMETERS


def test_a_bin_is_counted_by_its_size(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 4_000)
    assert count_parameters(tmp_path) == 1_000


def test_an_estimate_takes_milliseconds_and_no_weights(tmp_path):
    """Only the header lies there: a terabyte of weights is estimated from it."""
    header = b'{"huge": {"dtype": "F32", "shape": [500000, 500000], "data_offsets": [0, 1000000000000]}}'
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    need = estimate(tmp_path, PACE, 512, export=False)
    assert need.parameters == 250_000_000_000
    assert need.memory > 4e12


@pytest.mark.parametrize(
    ("parameters", "measured"), [(124e6, 3.6e9), (135e6, 3.6e9), (362e6, 7.6e9), (494e6, 10.4e9)]
)
def test_the_memory_of_real_models_is_estimated_as_it_was_measured(parameters, measured):
    assert training_memory(int(parameters)) == pytest.approx(measured, rel=0.06)


def test_longer_and_larger_batches_need_more_memory(tmp_path):
    model = make_model(tmp_path / "model")
    save_file({"w": np.zeros((1000, 1000), np.float32)}, model / "model.safetensors")

    def memory(max_length=512, **pace):
        fields = {"token_budget": None, "batch_size": None} | pace
        return estimate(model, Pace(epochs=1, max_steps=None, **fields), max_length, export=False).memory

    assert memory(token_budget=256) == memory(token_budget=512)  # one conversation may be that long
    assert memory(token_budget=1024) > memory(token_budget=512)
    assert memory(batch_size=2) == memory(token_budget=1024)
    assert memory(batch_size=8) > memory(batch_size=4)
    assert memory(batch_size=4, max_length=1024) > memory(batch_size=4, max_length=512)


def test_the_disk_holds_two_checkpoints_at_once_and_an_export_never_needs_less(tmp_path):
    model = make_model(tmp_path / "model")
    without, with_export = (estimate(model, PACE, 512, export=export) for export in (False, True))
    weights = 4 * PARAMETERS
    assert without.disk >= 2 * 3 * weights
    assert with_export.disk >= without.disk


# --- refusing -------------------------------------------------------------------------------------


def test_what_fits_is_not_refused(tmp_path):
    refuse_if_too_big(Need(memory=1, disk=1, parameters=1), tmp_path)


def test_too_little_memory_is_refused_with_both_numbers_and_a_remedy(tmp_path):
    with pytest.raises(OutOfMemoryError, match=r"needs about 99000000\.0 GB of memory") as refusal:
        refuse_if_too_big(Need(memory=99 * 10**15, disk=1, parameters=1), tmp_path)
    assert "are free" in str(refusal.value)
    assert "smaller" in refusal.value.remedy


def test_too_little_disk_is_refused_with_both_numbers_and_the_folder(tmp_path):
    with pytest.raises(DiskFullError, match=r"needs about 99000000\.0 GB of disk space") as refusal:
        refuse_if_too_big(Need(memory=1, disk=99 * 10**15, parameters=1), tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert "are free" in str(refusal.value)
    assert "Free some space" in refusal.value.remedy


def test_exactly_what_is_free_is_enough(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda _: free)
    monkeypatch.setattr(planning, "available_memory", lambda: 1_000)
    refuse_if_too_big(Need(memory=1_000, disk=free.free, parameters=1), tmp_path)
    with pytest.raises(OutOfMemoryError):
        refuse_if_too_big(Need(memory=1_001, disk=free.free, parameters=1), tmp_path)
    with pytest.raises(DiskFullError):
        refuse_if_too_big(Need(memory=1_000, disk=free.free + 1, parameters=1), tmp_path)


def test_sizes_are_told_in_gigabytes():
    assert (gigabytes(0), gigabytes(1_550_000_000), gigabytes(12)) == ("0.0 GB", "1.6 GB", "0.0 GB")
