"""A recorded session played again: the same figures, marked as a replay, and nothing trained."""

import json

import pytest

from sails import sessions
from sails.errors import RequestError, ViewOnlyError
from sails.jobs import launcher, playback
from sails.models.workspace import Workspace
from sails.sessions import MetricsReader, Reporter
from tests.support.helpers import run_worker
from tests.support.situations import make_session, published

STEPS = [
    {"step": n, "total_steps": 4, "epoch": n / 4, "loss": 3 / n, "learning_rate": 5e-5, "tokens": 100 * n}
    for n in range(1, 5)
]


@pytest.fixture
def place(tmp_path):
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def recorded(place):
    session = make_session(place, "databases", **published(step=4, total_steps=4))
    lines = [{"kind": "samples", "step": 0, "prompts": ["Why?"], "answers": ["So."]}]
    lines += [{"kind": "step", "tokens_per_second": 50.0, **step} for step in STEPS]
    session.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return session


@pytest.fixture
def play(place, monkeypatch):
    """Start a replay whose worker runs in this process."""

    def run(recorded, seconds=1.0):
        with monkeypatch.context() as patch:
            patch.setattr(launcher, "start_worker", lambda _: None)
            job = playback.start_replay(place, recorded, seconds)
        return job, run_worker(job)

    return run


def test_a_replay_writes_the_same_metrics_and_ends_with_the_same_results(recorded, play):
    job, status = play(recorded)
    assert job.metrics.read_text() == recorded.metrics.read_text()
    assert (status.state, status.verdict) == ("succeeded", "published")
    assert status.results == recorded.status().results
    assert status.plan == recorded.status().plan


def test_a_replay_says_that_it_is_one_and_changes_neither_history_nor_model(place, recorded, play):
    job, _ = play(recorded)
    assert job.spec().kind == "replay"
    assert [record.session.id for record in sessions.read_history(place)] == [recorded.id]
    assert not place.trained_model.exists()


def test_each_step_takes_its_share_of_the_time(recorded):
    class Paper:
        def __init__(self):
            self.waited, self.written = [], []

        def wait(self, seconds):
            self.waited.append(seconds)

        def metric(self, kind, **values):
            self.written.append((kind, values))

    metrics = MetricsReader(recorded.metrics).read_metrics()
    metrics[2]["tokens_per_second"] = 25.0  # the second step took twice as long
    recorded.metrics.write_text("".join(json.dumps(line) + "\n" for line in metrics))
    paper = Paper()
    playback._play_metrics(recorded, 10.0, paper)
    assert paper.waited == pytest.approx([2.0, 4.0, 2.0, 2.0])
    assert [kind for kind, _ in paper.written] == ["samples", "step", "step", "step", "step"]


def test_a_replay_can_begin_shortly_before_the_answers_change(place, recorded, monkeypatch):
    metrics = MetricsReader(recorded.metrics).read_metrics()
    same, other = ({**metrics[0], "step": step, "answers": [text]} for step, text in ((2, "So."), (4, "Ah.")))
    lines = [*metrics[:3], same, *metrics[3:], other]
    recorded.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert playback.interesting_step(recorded) == 4
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    job = playback.start_replay(place, recorded, 1.0, from_start=False)
    assert job.spec().from_step == 4
    waited = []
    monkeypatch.setattr(Reporter, "wait", lambda _, seconds: waited.append(seconds))
    assert run_worker(job).state == "succeeded"
    assert job.metrics.read_text() == recorded.metrics.read_text()
    assert waited[:10] == [0.0] * 10  # it does not prepare
    assert [seconds > 0 for seconds in waited[10:14]] == [False, False, False, True]


def test_where_no_answer_changes_a_replay_begins_at_its_start(recorded):
    assert playback.interesting_step(recorded) == 0


def test_a_replay_can_be_stopped(place, recorded, monkeypatch):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    job = playback.start_replay(place, recorded, 600)
    job.request_stop()
    assert run_worker(job).state == "stopped"


def test_what_never_trained_cannot_be_replayed(place):
    with pytest.raises(RequestError, match="nothing to replay"):
        playback.start_replay(place, make_session(place, "empty", state="queued"))


@pytest.mark.parametrize("seconds", [0, -1, 1e9, float("nan")])
def test_a_replay_takes_a_sensible_time(place, recorded, seconds):
    with pytest.raises(RequestError, match="cannot take"):
        playback.start_replay(place, recorded, seconds)


def test_where_nothing_may_be_changed_nothing_is_replayed(place, recorded, monkeypatch):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    with pytest.raises(ViewOnlyError):
        playback.start_replay(place, recorded)
    assert not place.jobs.exists()
