"""One reader for all viewers: nothing is read twice, spikes stay visible, and rubbish does no harm."""

import json
import random
import threading
from pathlib import Path

import numpy as np
import pytest

from sails.sessions import Session
from sails.sessions import monitor as monitoring
from sails.sessions.downsample import POINTS
from sails.sessions.metrics import MetricsWriter
from sails.sessions.monitor import AnsweredQuestion, Round, SessionMonitor, monitor_of


@pytest.fixture
def session(tmp_path) -> Session:
    (tmp_path / "20260105-090000-databases").mkdir()
    return Session(tmp_path / "20260105-090000-databases")


def step(number: int, loss: float | None, **more: object) -> str:
    return json.dumps({"kind": "step", "step": number, "loss": loss, "learning_rate": 1e-5, **more}) + "\n"


def write(session: Session, *lines: str) -> None:
    with open(session.metrics, "a", encoding="utf-8") as file:
        file.write("".join(lines))


def read(session: Session) -> SessionMonitor:
    monitor = SessionMonitor(session)
    monitor.wait()
    return monitor


# --- curves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1001, 40_000])
def test_a_curve_has_at_most_its_points_and_keeps_lowest_and_highest(session, count):
    chance = random.Random(count)
    losses = [chance.random() for _ in range(count)]
    losses[count // 3], losses[count // 2] = 50.0, -50.0
    write(session, *(step(n + 1, loss) for n, loss in enumerate(losses)))
    curve = read(session).curve("loss")
    assert len(curve) == min(count, POINTS) or POINTS // 2 < len(curve) <= POINTS
    assert set(curve.y.tolist()) <= {float(np.float32(loss)) for loss in losses}
    assert np.all(np.diff(curve.x) > 0)
    assert curve.y.min() == np.float32(min(losses))
    assert curve.y.max() == np.float32(max(losses))
    assert curve.x[curve.y.argmin()] == count // 2 + 1


@pytest.mark.parametrize("chunk", [1, 7, 997])
def test_a_curve_that_grew_in_pieces_is_the_one_that_was_read_at_once(session, chunk):
    chance = random.Random(chunk)
    lines = [step(n + 1, chance.gauss(0, 1)) for n in range(6000)]
    write(session, *lines[:500])
    monitor = SessionMonitor(session)
    monitor.update()
    for begin in range(500, len(lines), chunk):
        write(session, *lines[begin : begin + chunk])
        monitor.update()
    monitor.wait()
    whole = read(session)
    for name in ("loss", "learning_rate"):
        assert monitor.curve(name).x.tolist() == whole.curve(name).x.tolist()
        assert monitor.curve(name).y.tolist() == whole.curve(name).y.tolist()


def test_fewer_points_still_show_the_spike(session):
    write(session, *(step(n, 9.0 if n == 777 else 1.0) for n in range(1, 3001)))
    curve = read(session).curve("loss", points=50)
    assert len(curve) <= 50
    assert curve.x[curve.y.argmax()] == 777


def test_steps_without_a_loss_are_gaps_and_no_harm(session):
    write(session, step(1, 2.0), step(2, None), step(3, 1.0), step(4, None))
    monitor = read(session)
    assert monitor.curve("loss").x.tolist() == [1, 3]
    assert monitor.rows == 4
    assert len(monitor.curve("gradient_norm")) == 0


def test_the_average_is_the_mean_of_each_stretch_without_what_is_missing(session):
    write(session, *(step(n, None if n == 2 else float(n)) for n in range(1, 13)))
    curve = read(session).average("loss", parts=3)
    assert curve.x.tolist() == [2, 6, 10]
    assert curve.y.tolist() == [pytest.approx((1 + 3 + 4) / 3), 6.5, 10.5]
    assert len(read(session).average("gradient_norm", parts=3)) == 0
    assert len(SessionMonitor(Session(session.folder.with_name("none"))).average("loss")) == 0


# --- what else is written -------------------------------------------------------------------------


def test_held_out_scores_samples_and_answers_are_there(session):
    writer = MetricsWriter(session.metrics)
    writer.write("samples", step=0, prompts=["What is SQL?"], answers=["Hm."])
    writer.write("evaluation", step=5, epoch=1.0, loss=2.5, accuracy=0.25, rows=9)
    writer.write("samples", step=5, prompts=["What is SQL?"], answers=["A language."])
    item = {"about": "taught", "question": "What is SQL?", "expected": "A language.", "answer": "Hm."}
    writer.write("answers", when="before", items=[item])
    writer.close()
    monitor = read(session)
    assert monitor.curve("held_out_loss").y.tolist() == [2.5]
    assert monitor.curve("held_out_accuracy").y.tolist() == [0.25]
    assert [(sample.step, *sample.answers) for sample in monitor.samples] == [(0, "Hm."), (5, "A language.")]
    assert monitor.answers == {"before": (AnsweredQuestion(**item),)}


def test_after_a_resume_the_steps_behind_the_checkpoint_count_no_more(session):
    write(session, *(step(n, float(n)) for n in range(1, 2001)))
    write(session, '{"kind": "evaluation", "step": 1500, "loss": 3.0, "accuracy": 0.1, "rows": 5}\n')
    write(session, '{"kind": "samples", "step": 1500, "prompts": ["a"], "answers": ["b"]}\n')
    monitor = read(session)
    write(session, '{"kind": "resume", "step": 1201}\n', step(1202, -5.0))
    monitor.update()
    curve = monitor.curve("loss")
    assert monitor.rows == 1202
    assert monitor.steps_since_resume == 1
    assert curve.x[-1] == 1202
    assert curve.y.max() == 1201
    assert curve.y.min() == -5.0
    assert len(monitor.curve("held_out_loss")) == 0
    assert monitor.samples == ()
    whole = read(session)
    assert whole.curve("loss").y.max() == 1201


# --- reading --------------------------------------------------------------------------------------


def test_what_was_read_is_never_read_again(session):
    write(session, step(1, 1.0), step(2, 2.0))
    monitor = read(session)
    before = session.metrics.read_bytes()
    session.metrics.write_bytes(b" " * len(before))  # whoever reads it again finds nothing
    write(session, step(3, 3.0))
    monitor.update()
    assert monitor.curve("loss").y.tolist() == [1.0, 2.0, 3.0]


def test_a_half_written_line_waits_for_its_end(session):
    whole = step(2, 2.0)
    write(session, step(1, 1.0), whole[:20])
    monitor = read(session)
    assert monitor.curve("loss").x.tolist() == [1]
    assert monitor.share_read == 1.0
    write(session, whole[20:])
    monitor.update()
    assert monitor.curve("loss").x.tolist() == [1, 2]


RUBBISH = [
    "\n",
    "rubbish\n",
    "[1, 2]\n",
    "null\n",
    '{"kind": "step"}\n',
    '{"kind": "step", "step": "3", "loss": 1}\n',
    '{"kind": "step", "step": -3, "loss": 1}\n',
    '{"kind": "step", "step": 1' + "0" * 400 + ', "loss": 1}\n',
    '{"kind": "evaluation", "step": 3, "loss": "x", "accuracy": [], "rows": {}}\n',
    '{"kind": "samples", "step": 3, "prompts": 7}\n',
    '{"kind": "answers", "when": 3, "items": 7}\n',
    '{"kind": "answers", "when": "after", "items": [7, {}, {"about": []}, {"about": "taught"}]}\n',
    '{"kind": "answers", "when": "after", "items": [{"about": "taught", "question": "q", "answer": 7}]}\n',
    '{"kind": "answers", "when": "after", "items": [{"about": "", "question": "", "answer": "", '
    '"expected": 7}]}\n',
    '{"kind": "resume", "step": null}\n',
    '{"kind": {"a": 1}, "step": 3}\n',
    "[" * 100_000 + "\n",
    "\ufffd\x00\x1c\u2028\n",
]


@pytest.mark.parametrize("line", RUBBISH)
def test_a_line_of_rubbish_is_passed_over(session, line):
    write(session, step(1, 1.0), line, step(4, 4.0))
    monitor = read(session)
    assert monitor.curve("loss").y.tolist() == [1.0, 4.0]
    assert len(monitor.curve("held_out_loss")) == 0
    assert not monitor.answers.get("after")


@pytest.mark.parametrize("loss", ["1e300", "-1e300", "1" + "0" * 400, "NaN", "Infinity", "true", '"high"'])
def test_a_loss_that_no_chart_can_show_is_left_out(session, loss):
    write(session, step(1, 1.0), f'{{"kind": "step", "step": 2, "loss": {loss}}}\n')
    assert set(read(session).curve("loss").y.tolist()) == {1.0}


def test_a_file_that_was_cut_off_is_read_anew(session):
    write(session, *(step(n, 1.0) for n in range(1, 50)))
    monitor = read(session)
    version = monitor.version
    session.metrics.write_text(step(1, 7.0))
    monitor.update()
    assert monitor.curve("loss").y.tolist() == [7.0]
    assert monitor.version > version


def test_a_session_without_files_has_empty_curves(session):
    monitor = read(session)
    assert (len(monitor.curve("loss")), monitor.samples, monitor.log, monitor.share_read) == (0, (), (), 1.0)
    write(session, step(1, 1.0))
    session.log.write_text("begun\r\n")
    monitor.update()
    assert (monitor.curve("loss").y.tolist(), monitor.log) == ([1.0], ("begun",))


def test_a_long_log_is_read_from_near_its_end(session):
    session.log.write_text("".join(f"line {n}\n" for n in range(300_000)))
    monitor = read(session)
    assert monitor.log[-1] == "line 299999"
    assert len(monitor.log) == monitoring.LOG_LINES
    with open(session.log, "a") as file:
        file.write("one more\n")
    monitor.update()
    assert monitor.log[-2:] == ("line 299999", "one more")


def test_a_long_file_is_read_in_the_background_and_shown_as_far_as_it_is(session, monkeypatch):
    monkeypatch.setattr(monitoring, "PATIENCE", 0.0)
    write(session, *(step(n, 1.0, filler="x" * 1000) for n in range(1, 4001)))
    monitor = SessionMonitor(session)
    monitor.update()  # returns at once, whatever is left
    monitor.update()
    assert 0 <= monitor.share_read <= 1
    monitor.wait()
    assert (monitor.rows, monitor.share_read) == (4000, 1.0)


def test_many_readers_at_once_see_every_step_once(session):
    monitor = monitor_of(session)
    begun, problems = threading.Barrier(5), []

    def look() -> None:
        begun.wait()
        try:
            for _ in range(200):
                monitor_of(session).update()
                curve = monitor.curve("loss")
                assert np.all(np.diff(curve.x) > 0)
        except Exception as error:  # noqa: BLE001 (told below, in the thread of the test)
            problems.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    for n in range(1, 1501):
        write(session, step(n, float(n)))
    for thread in threads:
        thread.join()
    monitor.wait()
    monitor.update()
    assert problems == []
    assert monitor.rows == 1500


# --- one for all ----------------------------------------------------------------------------------


def test_all_viewers_share_one_monitor_until_the_folder_is_gone(session):
    write(session, step(1, 1.0))
    monitor = monitor_of(session)
    assert monitor_of(Session(Path(str(session.folder)))) is monitor
    session.metrics.unlink()
    session.folder.rename(session.folder.with_name("away"))
    session.folder.mkdir()
    assert monitor_of(session) is not monitor


def test_no_more_monitors_are_kept_than_fit(tmp_path):
    kept = []
    for n in range(monitoring.KEPT_MONITORS + 5):
        (tmp_path / str(n)).mkdir()
        kept.append(monitor_of(Session(tmp_path / str(n))))
    assert len(monitoring._monitors) <= monitoring.KEPT_MONITORS
    assert monitor_of(kept[-1].session) is kept[-1]
    assert monitor_of(kept[0].session) is not kept[0]


# --- rounds, new and repeated examples ------------------------------------------------------------


def taught(number: int, *, tokens: float = 10.0, **more: object) -> str:
    counts = {"taught_loss": number * tokens, "taught_tokens": tokens, "taught_right": min(number, tokens)}
    return step(number, 1.0, epoch=number / 4, **counts, **more)


def test_rounds_count_when_they_are_complete_and_those_after_a_resume_replace_the_others(session):
    write(session, *(taught(number) for number in range(1, 11)))
    monitor = read(session)
    assert monitor.rounds == (Round(4, 10 / 40), Round(8, 26 / 40))
    write(session, json.dumps({"kind": "resume", "step": 6}) + "\n")
    monitor.wait()
    assert monitor.rounds == (Round(4, 10 / 40),)
    write(session, *(taught(number) for number in range(7, 9)))
    monitor.wait()
    assert [one.end for one in monitor.rounds] == [4, 8]


def test_new_and_repeated_examples_are_told_apart_as_far_as_a_step_does(session):
    steps = [taught(1, repeated_loss=0.25), taught(2), taught(3, tokens=0.0), step(4, 3.0)]
    write(session, *steps)
    monitor = read(session)
    new, repeated = monitor.curve("new_loss"), monitor.curve("repeated_loss")
    assert (new.x.tolist(), new.y.tolist()) == ([1, 2], [1.0, 2.0])
    # The third taught nothing new, so what it lost it lost on repeated ones.
    assert (repeated.x.tolist(), repeated.y.tolist()) == ([1, 3], [0.25, 1.0])
