"""Before a session: what the presets choose, and whether it fits into this machine."""

import dataclasses
import json
import math
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from time import sleep

import numpy as np
import pytest
from safetensors.numpy import save_file

from sails import sessions, system
from sails.errors import DiskFullError, OutOfMemoryError, RequestError
from sails.models.size import count_parameters, training_memory
from sails.models.workspace import Workspace
from sails.sessions import PRESET_ROWS, PRESETS, Results, Round, Settings, Status
from sails.training.plan import check_device, duration, request, resources
from sails.training.plan.duration import (
    LessonSize,
    TimeLeft,
    estimate_time,
    experience,
    steps_to_know,
    time_left,
)
from sails.training.plan.resources import ResourceNeed, estimate, refuse_if_too_big
from sails.training.plan.schedule import Schedule, rehearsed_rows, resolve_schedule
from tests.conftest import REPOSITORY
from tests.support.folders import make_model, make_sharded_model, tensors
from tests.support.situations import BASE, make_session, published

PARAMETERS = sum(tensor.size for tensor in tensors().values())
PACE = Schedule(epochs=1, token_budget=512, batch_size=None, max_steps=None)

# --- presets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "quick", "balanced", "thorough", "tokens"),
    [
        (0, 20, 30, 45, 256),
        (20, 20, 30, 45, 256),
        (21, 12, 24, 36, 256),
        (50, 12, 24, 36, 256),
        (51, 8, 20, 30, 256),
        (200, 8, 20, 30, 256),
        (201, 4, 8, 12, 512),
        (1_000, 4, 8, 12, 512),
        (1_001, 2, 3, 5, 512),
        (10_000, 2, 3, 5, 512),
        (10_001, 1, 1, 2, 1024),
        (50_000_000, 1, 1, 2, 1024),
    ],
)
def test_the_preset_chooses_rounds_and_tokens_by_the_rows(rows, quick, balanced, thorough, tokens):
    chosen = [resolve_schedule(Settings(preset=name), rows) for name in ("quick", "balanced", "thorough")]
    assert [schedule.epochs for schedule in chosen] == [quick, balanced, thorough]
    assert {(schedule.token_budget, schedule.batch_size, schedule.max_steps) for schedule in chosen} == {
        (tokens, None, None)
    }
    assert all(schedule.until_known for schedule in chosen)


def test_more_rows_never_mean_more_rounds_and_thorough_never_fewer_than_quick():
    assert [size.rows for size in PRESET_ROWS] == sorted({size.rows for size in PRESET_ROWS})
    for preset in PRESETS.values():
        assert len(preset.rounds) == len(PRESET_ROWS)
        assert list(preset.rounds) == sorted(preset.rounds, reverse=True)
    for quick, balanced, thorough in zip(*(preset.rounds for preset in PRESETS.values()), strict=True):
        assert 1 <= quick <= balanced <= thorough
    rules = [(preset.known_share, preset.known_rounds) for preset in PRESETS.values()]
    assert rules == sorted(rules)
    assert all(0 < share < 1 for share, _ in rules)


def test_a_persons_own_values_win_over_the_preset():
    schedule = resolve_schedule(Settings(preset="quick", epochs=9, max_steps=7, protect=0.4), 100)
    assert schedule == Schedule(epochs=9, token_budget=256, batch_size=None, max_steps=7, protect=0.4)
    assert not schedule.until_known  # the rounds that a person asks for are exact


def test_a_fixed_batch_size_takes_the_place_of_the_token_budget():
    schedule = resolve_schedule(Settings(batch_size=4), 100)
    assert (schedule.batch_size, schedule.token_budget) == (4, None)


@pytest.mark.parametrize(
    ("rows", "share", "rehearsed"),
    [(6, 0.0, 0), (6, 0.25, 2), (6, 0.5, 6), (1, 0.25, 1 / 3), (9, 0.1, 1), (30, 0.25, 10), (4.5, 0.5, 4.5)],
)
def test_rehearsed_answers_make_up_their_share_of_a_batch(rows, share, rehearsed):
    found = rehearsed_rows(rows, share)
    assert found == pytest.approx(rehearsed)
    assert found == pytest.approx(share * (found + rows))


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
    copy = 4 * parameters  # of the last good weights, which was not kept when this was measured
    assert training_memory(int(parameters), protected=False) == pytest.approx(measured + copy, rel=0.06)


def test_the_memory_of_a_protected_training_is_estimated_as_it_was_measured():
    assert training_memory(134_515_008, 731) == pytest.approx(2.6e9, rel=0.15)


@pytest.mark.parametrize(("parameters", "measured"), [(134_515_008, 2.23e9), (361_821_120, 4.64e9)])
def test_the_memory_of_lora_is_estimated_as_it_was_measured(parameters, measured):
    assert training_memory(parameters, 731, lora=True) == pytest.approx(measured, rel=0.15)
    assert training_memory(0, lora=True) == 0


def test_longer_and_larger_batches_need_more_memory(tmp_path):
    model = make_model(tmp_path / "model")
    save_file({"w": np.zeros((1000, 1000), np.float32)}, model / "model.safetensors")

    def memory(max_length=512, **schedule):
        fields = {"token_budget": None, "batch_size": None} | schedule
        return estimate(model, Schedule(epochs=1, max_steps=None, **fields), max_length, export=False).memory

    assert memory(token_budget=256) == memory(token_budget=512)  # one conversation may be that long
    assert memory(token_budget=1024) > memory(token_budget=512)
    assert memory(batch_size=2) == memory(token_budget=1024)
    assert memory(batch_size=8) > memory(batch_size=4)
    assert memory(batch_size=4, max_length=1024) > memory(batch_size=4, max_length=512)
    rehearsed = [memory(token_budget=1024, protect=0.5), memory(token_budget=1536, protect=0.25)]
    assert rehearsed[0] == rehearsed[1]  # of each, 2,048 tokens with those that are rehearsed
    assert memory(batch_size=4, protect=0.5) > memory(batch_size=4, protect=0.25)
    assert memory(batch_size=4, protect=0.25) < memory(batch_size=4)  # which trains all layers


def test_lora_needs_a_part_of_the_memory_and_of_the_disk(tmp_path):
    header = b'{"w": {"dtype": "F32", "shape": [30000, 10000], "data_offsets": [0, 1200000000]}}'
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)

    def need(**fields):
        return estimate(tmp_path, dataclasses.replace(PACE, **fields), 512, export=False)

    full, lora, blended = need(), need(method="lora"), need(method="lora", blend=True)
    assert full.parameters == lora.parameters == 300_000_000
    assert lora.memory < 0.6 * full.memory
    assert lora.memory < blended.memory < full.memory  # two models are there at once to blend them
    assert need(blend=True).memory == full.memory
    assert lora.disk < 0.6 * full.disk


def test_the_disk_holds_two_checkpoints_at_once_and_an_export_never_needs_less(tmp_path):
    model = make_model(tmp_path / "model")
    without, with_export = (estimate(model, PACE, 512, export=export) for export in (False, True))
    weights = 4 * PARAMETERS
    assert without.disk >= 2 * 3 * weights
    assert with_export.disk >= without.disk


# --- refusing -------------------------------------------------------------------------------------


def test_what_fits_is_not_refused(tmp_path):
    refuse_if_too_big(ResourceNeed(memory=1, disk=1, parameters=1), tmp_path)


def test_too_little_memory_is_refused_with_both_numbers_and_a_remedy(tmp_path):
    with pytest.raises(OutOfMemoryError, match=r"needs about 99,000 TB of memory") as refusal:
        refuse_if_too_big(ResourceNeed(memory=99 * 10**15, disk=1, parameters=1), tmp_path)
    assert "are free" in str(refusal.value)
    assert "smaller" in refusal.value.remedy


def test_too_little_disk_is_refused_with_both_numbers_and_the_folder(tmp_path):
    with pytest.raises(DiskFullError, match=r"needs about 99,000 TB of disk space") as refusal:
        refuse_if_too_big(ResourceNeed(memory=1, disk=99 * 10**15, parameters=1), tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert "are free" in str(refusal.value)
    assert "Free some space" in refusal.value.remedy


def test_exactly_what_is_free_is_enough(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda _: free)
    monkeypatch.setattr(system, "available_memory", lambda: 1_000)
    refuse_if_too_big(ResourceNeed(memory=1_000, disk=free.free, parameters=1), tmp_path)
    with pytest.raises(OutOfMemoryError):
        refuse_if_too_big(ResourceNeed(memory=1_001, disk=free.free, parameters=1), tmp_path)
    with pytest.raises(DiskFullError):
        refuse_if_too_big(ResourceNeed(memory=1_000, disk=free.free + 1, parameters=1), tmp_path)


# --- how long it takes ----------------------------------------------------------------------------

LESSON = LessonSize(rows=90, size=27_000)  # 9,000 tokens
TINY_SPEED = 1e11  # operations a second
PARAMETERS_135M = 134_515_008
RECORDING_SPEED = 2e11  # of the two cores on which the demo was recorded


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


def earlier(workspace: Workspace, name: str, hour: int, **changes: object) -> sessions.Session:
    """A session that went through 9,000 tokens of 27,000 bytes in 100 seconds, and judged for 7."""
    results = Results(
        tokens=9000,
        tokens_per_second=120.0,
        epochs=1.0,
        seconds={"prepare": 20.0, "train": 100.0, "judge": 7.0},
    )
    session = make_session(workspace, name, hour, **published(results=results, host=socket.gethostname()))
    session.data.mkdir()
    (session.data / "train.jsonl").write_bytes(b"x" * 27_000)
    session.write_status(session.written_status().model_copy(update=changes))
    return session


def seen(workspace: Workspace, base: str = BASE) -> duration.Experience | None:
    return experience(sessions.read_history(workspace), base)


def test_how_long_lora_takes_is_told_by_sessions_by_lora(workspace):
    earlier(workspace, "one", 9)
    session = earlier(workspace, "two", 10)
    spec = session.spec()
    by_lora = spec.model_copy(update={"settings": Settings(method="lora")})
    (session.folder / "spec.json").write_text(by_lora.model_dump_json())
    history = sessions.read_history(workspace)
    counts = [experience(history, BASE, method).sessions for method in (None, "full", "lora")]
    assert counts == [2, 1, 1]


def test_an_estimate_rests_on_what_earlier_sessions_took(workspace):
    earlier(workspace, "one", 9)
    before = seen(workspace)
    assert before is not None
    assert (before.sessions, before.tokens_per_second, before.bytes_a_token) == (1, (90.0, 120.0), 3.0)
    assert before.seconds == {"prepare": 20.0, "train": 100.0, "judge": 7.0}
    schedule = Schedule(epochs=3, token_budget=256, batch_size=None, max_steps=None)
    time = estimate_time(LESSON, schedule, 10**6, export=False, seen=before, speed=TINY_SPEED)
    assert time.sessions == 1
    assert time.low <= 300 + 27 <= time.high  # three rounds, and what came before and after
    assert time.high < 3 * time.low


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "stopped"},
        {"state": "failed"},
        {"host": "another-machine"},
        {"plan": None},
        {"results": Results(tokens=9000, tokens_per_second=120.0, seconds={"train": 10.0})},  # resumed
        {"results": Results()},
    ],
)
def test_a_session_that_tells_nothing_about_the_time_is_passed_over(workspace, changes):
    earlier(workspace, "one", 9, **changes)
    assert seen(workspace) is None


def test_sessions_of_another_base_model_tell_nothing(workspace):
    earlier(workspace, "one", 9)
    assert seen(workspace, "gpt2") is None


def test_the_latest_sessions_count_and_their_slowest_and_fastest_make_the_range(workspace):
    for hour in range(8):
        results = Results(
            tokens=1000, tokens_per_second=20.0 + hour, epochs=1.0, seconds={"train": 100.0 - hour}
        )
        earlier(workspace, "one", hour, results=results)
    before = seen(workspace)
    assert before is not None
    assert before.sessions == duration.LATEST
    assert before.tokens_per_second == (1000 / 97, 27.0)


def test_without_earlier_sessions_the_measured_processor_decides():
    quick = estimate_time(LESSON, PACE, 10**8, export=False, seen=None, speed=TINY_SPEED)
    slow = estimate_time(LESSON, PACE, 10**8, export=False, seen=None, speed=TINY_SPEED / 4)
    assert quick.sessions == 0
    assert 0 < quick.low < quick.high
    assert slow.low > 2 * quick.low
    larger = estimate_time(LESSON, PACE, 4 * 10**8, export=False, seen=None, speed=TINY_SPEED)
    assert larger.low > 2 * quick.low
    exported = estimate_time(LESSON, PACE, 10**8, export=True, seen=None, speed=TINY_SPEED)
    assert exported.low > quick.low


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        (Schedule(epochs=2, token_budget=500, batch_size=None, max_steps=18), 0.5),
        (Schedule(epochs=2, token_budget=500, batch_size=None, max_steps=10_000), 1.0),
        (Schedule(epochs=2, token_budget=None, batch_size=9, max_steps=5), 0.25),
    ],
)
def test_a_limit_of_steps_shortens_the_estimate(workspace, schedule, share):
    earlier(workspace, "one", 9)
    times = [
        estimate_time(LESSON, each, 10**6, export=False, seen=seen(workspace), speed=TINY_SPEED)
        for each in (schedule, dataclasses.replace(schedule, max_steps=None))
    ]
    around = duration.SPREAD[0] * 27.5
    assert times[0].low - around == pytest.approx(share * (times[1].low - around))


UNTIL_KNOWN = Schedule(epochs=20, token_budget=256, batch_size=None, max_steps=None, until_known=True)


def around_no_steps(before: duration.Experience) -> float:
    """The seconds of an estimate that are not those of its steps, at best."""
    return duration.SPREAD[0] * sum(
        before.seconds.get(phase, 0.5) for phase in ("prepare", "judge", "publish")
    )


def test_a_lesson_that_may_be_known_after_any_round_takes_a_range_of_them(workspace):
    earlier(
        workspace, "one", 9
    )  # which an earlier release taught: it does not tell how soon a lesson is known
    before = seen(workspace)
    assert before is not None
    assert before.rounds is None
    exact, open_end = (
        estimate_time(LESSON, schedule, 10**6, export=False, seen=before, speed=TINY_SPEED)
        for schedule in (dataclasses.replace(UNTIL_KNOWN, until_known=False), UNTIL_KNOWN)
    )
    assert open_end.high < exact.high
    assert open_end.low < exact.low
    assert open_end.high == pytest.approx(duration.WIDEST * open_end.low)


def test_an_estimate_is_of_the_machine_as_busy_as_it_is_now(workspace):
    earlier(workspace, "one", 9)
    alone, busy = (
        estimate_time(
            LESSON, PACE, 10**6, export=False, seen=seen(workspace), speed=TINY_SPEED, slowdown=slowdown
        )
        for slowdown in (1.0, 4.0)
    )
    assert (busy.low, busy.high, busy.slowdown) == (4 * alone.low, 4 * alone.high, 4.0)


def test_the_time_that_a_session_waited_for_others_does_not_count(workspace):
    results = Results(
        tokens=9000,
        tokens_per_second=120.0,
        epochs=1.0,
        seconds={"prepare": 20.0, "train": 100.0, "judge": 8.0},
        seconds_alone={"prepare": 10.0, "train": 50.0, "judge": 4.0},
    )
    earlier(workspace, "one", 9, results=results)
    before = seen(workspace)
    assert before is not None
    assert before.tokens_per_second == (180.0, 240.0)
    assert before.seconds == {"prepare": 10.0, "train": 50.0, "judge": 4.0}


@pytest.mark.parametrize("known", [0.3, 0.4, 0.6])
def test_a_first_estimate_spans_at_most_threefold_and_holds_when_lessons_were_known(known):
    time = estimate_time(LESSON, UNTIL_KNOWN, 10**8, export=True, seen=None, speed=TINY_SPEED)
    assert time.high <= duration.WIDEST * time.low * 1.001
    rate = math.sqrt(duration.EFFICIENCY[0] * duration.EFFICIENCY[1]) * TINY_SPEED / (6 * 10**8)
    tokens = known * UNTIL_KNOWN.epochs * LESSON.size / duration.BYTES_A_TOKEN
    assert time.low <= tokens / rate + 20 + 30 <= time.high  # and what is beside the learning


DEMO = REPOSITORY / "examples/demo/sessions"


@pytest.mark.parametrize("name", sorted(folder.name for folder in DEMO.iterdir()))
def test_a_first_estimate_holds_for_each_recorded_lesson_on_two_quiet_cores(name):
    status = Status.model_validate_json((DEMO / name / "status.json").read_text())
    if status.state != "succeeded":
        return
    results, spec = status.results, json.loads((DEMO / name / "spec.json").read_text())
    files = [DEMO / name / "data" / file for file in ("train.jsonl", "replay.jsonl")]
    rows = [file.read_bytes() for file in files if file.exists()]
    schedule = Schedule(
        epochs=results.most_epochs or 0,
        token_budget=256,
        batch_size=None,
        max_steps=None,
        until_known=True,
        protect=spec["settings"]["protect"],
    )
    lesson = LessonSize(sum(part.count(b"\n") for part in rows), sum(map(len, rows)))
    exported = "export" in results.seconds
    first = estimate_time(
        lesson, schedule, PARAMETERS_135M, export=exported, seen=None, speed=RECORDING_SPEED
    )
    assert first.low < sum(results.seconds_alone.values()) < first.high <= 3.001 * first.low


def test_earlier_sessions_tell_after_which_share_of_the_most_rounds_a_lesson_is_known(workspace):
    for hour, (done, most) in enumerate([(5.0, 20), (6.0, 12)], 8):
        results = Results(
            tokens=9000,
            tokens_per_second=120.0,
            epochs=done,
            most_epochs=most,
            seconds={"prepare": 20.0, "train": 100.0, "judge": 7.0},
        )
        earlier(workspace, "one", hour, results=results)
    before = seen(workspace)
    assert before is not None
    assert before.rounds == (0.25, 0.5)
    exact, open_end = (
        estimate_time(LESSON, schedule, 10**6, export=False, seen=before, speed=TINY_SPEED)
        for schedule in (dataclasses.replace(UNTIL_KNOWN, until_known=False), UNTIL_KNOWN)
    )
    around = around_no_steps(before)
    least = around + duration.SPREAD[0] * 0.25 * (exact.low - around)
    around = around / duration.SPREAD[0] * duration.SPREAD[1]
    most = around + duration.SPREAD[1] * 0.5 * (exact.high - around)
    assert open_end.low * open_end.high == pytest.approx(least * most)
    assert open_end.high == pytest.approx(min(most / least, duration.WIDEST) * open_end.low)


def test_rounds_that_a_person_asked_for_do_not_tell_when_a_lesson_is_known(workspace):
    results = Results(
        tokens=9000, tokens_per_second=120.0, epochs=3.0, most_epochs=3, seconds={"train": 100.0}
    )
    session = earlier(workspace, "one", 9, results=results)
    spec = session.spec()
    asked = spec.model_copy(update={"settings": Settings(epochs=3)})
    (session.folder / "spec.json").write_text(asked.model_dump_json())
    before = seen(workspace)
    assert before is not None
    assert before.rounds is None


def test_what_is_rehearsed_takes_time_and_is_no_part_of_the_lesson(workspace):
    plain, protected = (
        estimate_time(
            LESSON, dataclasses.replace(PACE, protect=share), 10**6, export=False, seen=None, speed=1e9
        )
        for share in (0.0, 0.5)
    )
    assert protected.low > 1.3 * plain.low
    # A third of the tokens was rehearsed, so that the rows have the others.
    results = Results(
        tokens=9000 + 30 * 2 * duration.REHEARSED_TOKENS,
        tokens_per_second=200.0,
        steps=30,
        rehearsed=2.0,
        epochs=1.0,
        seconds={"train": 100.0},
    )
    earlier(workspace, "one", 9, results=results)
    before = seen(workspace)
    assert before is not None
    assert before.bytes_a_token == pytest.approx(3.0)


def test_the_processor_is_measured_once_and_fast():
    speed = duration.processor_speed()
    assert speed > 1e8
    assert duration.processor_speed() is speed


def test_a_busy_machine_is_measured_as_fast_as_it_is_alone():
    alone = duration.processor_speed.__wrapped__()
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * system.processors())
    ]
    try:
        sleep(0.3)
        busy = duration.processor_speed.__wrapped__()
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert alone / 3 < busy < 3 * alone


# --- how long it still takes ----------------------------------------------------------------------

PHASES = ("prepare", "train", "judge", "publish")
NOW = datetime(2026, 1, 5, 9, 1, tzinfo=UTC)


def running(phase: str, seconds: float, **fields: object) -> Status:
    began = NOW - timedelta(seconds=seconds)
    return Status.model_validate({"state": "running", "phase": phase, "phase_started": began, **fields})


def test_the_time_left_comes_from_the_steps_done_so_far():
    status = running("train", 40, step=20, total_steps=100)
    left = time_left(status, PHASES, steps=20, seen={"judge": 7.0, "publish": 1.0}, now=NOW)
    assert left == TimeLeft(160 + 8)
    resumed = time_left(status, PHASES, steps=10, seen={}, now=NOW)
    assert resumed == TimeLeft(320, unknown=("judge", "publish"))


@pytest.mark.parametrize(("steps", "seconds"), [(0, 60), (2, 60), (50, 1)])
def test_in_the_beginning_nobody_knows(steps, seconds):
    status = running("train", seconds, step=steps, total_steps=100)
    assert time_left(status, PHASES, steps=steps, seen={}, now=NOW).seconds is None


def test_other_phases_are_known_from_earlier_sessions_only():
    status = running("judge", 5)
    assert time_left(status, PHASES, steps=0, seen={}, now=NOW).seconds is None
    assert time_left(status, PHASES, steps=0, seen={"judge": 7.0, "publish": 1.0}, now=NOW) == TimeLeft(3)
    overdue = running("judge", 50)
    assert time_left(overdue, PHASES, steps=0, seen={"judge": 7.0, "publish": 1.0}, now=NOW) == TimeLeft(1)


def test_a_status_of_an_older_version_that_does_not_say_when_its_phase_began_is_no_harm():
    status = Status(state="running", phase="train", step=20, total_steps=100)
    assert time_left(status, PHASES, steps=20, seen={}, now=NOW).seconds is None
    assert time_left(Status(), PHASES, steps=0, seen={}, now=NOW).seconds is None


def test_without_earlier_sessions_the_later_phases_follow_from_this_one():
    assert duration.usual_seconds(None, None, 0) == {}
    first = duration.usual_seconds(None, 12.0, 135_000_000)
    assert first["judge"] == 12.0  # it asks again what was asked while preparing
    assert first["export"] > first["publish"] > 0


def test_what_was_seen_before_counts_more_than_a_guess():
    seen = duration.Experience(1, (10.0, 20.0), 3.0, None, {"judge": 40.0, "export": 50.0})
    usual = duration.usual_seconds(seen, 12.0, 135_000_000)
    assert (usual["judge"], usual["export"]) == (40.0, 50.0)


# Shares of tokens right in each round, as three lessons were learned.
LEARNED = (
    [0.337, 0.477, 0.623, 0.78, 0.892, 0.956, 0.985, 0.995],
    [0.329, 0.609, 0.864, 0.936, 0.962],
    [0.328, 0.476, 0.637, 0.786, 0.888, 0.938, 0.971],
)


@pytest.mark.parametrize("shares", LEARNED)
@pytest.mark.parametrize("preset", ["quick", "balanced"])
def test_when_a_lesson_is_known_lies_within_what_was_told_after_each_round(shares, preset):
    target = PRESETS[preset].known_share
    known = next((number for number, share in enumerate(shares, 1) if share >= target), None)
    if known is None:
        return
    rounds = [Round(28 * number, share) for number, share in enumerate(shares, 1)]
    assert steps_to_know(rounds[:1], PRESETS[preset]) is None
    for seen in range(2, known):
        told = steps_to_know(rounds[:seen], PRESETS[preset])
        assert told is not None
        least, most = told
        assert least <= 28 * known <= most
        assert most - 28 * seen <= 3 * (least - 28 * seen) + 28  # whole rounds


def test_of_a_lesson_that_is_not_being_learned_nobody_can_tell_when_it_is_known():
    assert steps_to_know([Round(10, 0.5), Round(20, 0.5), Round(30, 0.4)], PRESETS["balanced"]) is None
    # It is known, and waits for a second round of that kind.
    known = [Round(10, 0.9), Round(20, 0.999)]
    assert steps_to_know(known, PRESETS["balanced"]) == (30, 30)
    assert steps_to_know(known, PRESETS["thorough"]) == (40, 40)


def test_the_time_left_is_a_range_where_the_lesson_may_be_known_before_the_last_step():
    status = running("train", 40, step=20, total_steps=100)
    left = time_left(status, PHASES, steps=20, seen={"judge": 7.0, "publish": 1.0}, now=NOW, known=(30, 60))
    assert left == TimeLeft(80 + 8, least=20 + 8)
    beyond = time_left(status, PHASES, steps=20, seen={}, now=NOW, known=(90, 400))
    assert (beyond.least, beyond.seconds) == (140, 160)


@pytest.mark.parametrize("card", ["", "/dev/nvidiactl", "/dev/kfd", "nvidia-smi"])
def test_a_graphics_card_that_is_not_here_is_refused_before_the_start(card, monkeypatch):
    monkeypatch.setattr(request.Path, "exists", lambda path: str(path) == card)
    monkeypatch.setattr(request.shutil, "which", lambda name: name if name == card else None)
    check_device("auto")
    check_device("cpu")
    if card:
        check_device("cuda")
        return
    with pytest.raises(RequestError, match="This machine has no cuda device"):
        check_device("cuda")


@pytest.mark.parametrize(("machine", "here"), [("arm64", True), ("x86_64", False)])
def test_apples_processor_is_asked_for_on_apples_machines_alone(machine, here, monkeypatch):
    monkeypatch.setattr(request.sys, "platform", "darwin")
    monkeypatch.setattr(request.platform, "machine", lambda: machine)
    if here:
        check_device("mps")
        return
    with pytest.raises(RequestError, match="no mps device"):
        check_device("mps")
