"""What a session measures, and what follows: scores before and after, the base model, gate and verdict."""

import json
import shutil

import pytest

from sails import retention, sessions
from sails.data import Conversation, Turn, read_jsonl
from sails.models.workspace import Workspace
from sails.retention import lessons
from sails.retention.general import open_prompts
from sails.training import divergence, model
from sails.training.dataloader import collate, encode, load_tokenizer
from sails.training.evaluation import Student, ends_by_itself
from sails.training.model import Precision, generate, load_model
from tests.support.helpers import add_dataset, queue_training, run_worker, steps_of, write_lesson
from tests.support.templates import wear
from tests.support.tiny import learn_by_heart, make_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
FAST = {"learning_rate": 1e-2, "epochs": 12}  # at which the tiny model learns a lesson by heart


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture(scope="module")
def first(base, tmp_path_factory):
    """A workspace whose model was taught one lesson, to be copied."""
    root = tmp_path_factory.mktemp("first") / "workspace"
    patch = pytest.MonkeyPatch()
    try:
        teach_in(Workspace.open(root), base, "mountain", patch, **FAST)
    finally:
        patch.undo()
    return root


@pytest.fixture
def place(first, tmp_path):
    return Workspace.open(shutil.copytree(first, tmp_path / "workspace"))


@pytest.fixture
def teach(place, base, monkeypatch):
    def run(topic, **choices):
        return teach_in(place, base, topic, monkeypatch, **choices)

    return run


def teach_in(place, base, topic, monkeypatch, *, rows=30, file=None, **choices):
    path = file or write_lesson(place.root.parent / f"{topic}.json", rows, topic)
    session = queue_training(place, add_dataset(place, path), base, monkeypatch=monkeypatch, **choices)
    return session, run_worker(session)


def rubbish(path, rows=30):
    """Pairs whose answers have nothing to do with anything."""
    pairs = [
        {"input": f"{n} {n * n}?", "output": f"{n * 7919 % 1000} {n * 104729 % 997}"} for n in range(rows)
    ]
    path.write_text(json.dumps(pairs), encoding="utf-8")
    return path


def test_the_first_lesson_is_measured_before_and_after_and_published(place):
    (record,) = sessions.read_history(place)
    found = retention.read_retention(record.session)
    assert [lesson.session for lesson in found.lessons] == [record.session.id]
    assert found.before.fingerprint is None
    assert found.base is None  # what it started from is the base model
    assert (found.before.general.divergence, found.before.general.agreement) == (0.0, 1.0)
    assert found.after.general.divergence > 0.1
    assert found.after.general.prompts == len(open_prompts())
    before, after = found.before.cell(record.session.id), found.after.cell(record.session.id)
    assert before.rows == after.rows
    assert after.accuracy > before.accuracy + 0.3
    assert record.status.results.taught_after == after.scores
    assert record.status.results.held_out_after == found.after.cell(record.session.id, "held_out").scores
    assert not found.decision.held
    assert record.status.verdict == "published"
    assert 0 < found.seconds < sum(record.status.results.seconds.values())


def test_a_lesson_that_repeats_the_earlier_ones_is_published_and_measured_on_all(place, teach):
    one = sessions.read_history(place)[0]
    session, status = teach("river", **FAST)
    assert (status.verdict, status.verdict_reason) == ("published", "")
    assert status.lessons == (one.session.id,)
    found, stored = retention.read_retention(session), retention.read_retention(one.session)
    for part in ("recall", "held_out"):
        known = stored.after.cell(one.session.id, part)
        assert found.before.cell(one.session.id, part) == known.only(
            found.before.cell(one.session.id, part).rows
        )
        assert found.after.cell(one.session.id, part).rows == found.before.cell(one.session.id, part).rows
    assert found.base.cell(session.id).rows == found.after.cell(session.id).rows
    assert found.before.fingerprint == one.status.fingerprint
    assert lessons.taught_to(place, status.fingerprint) == (one.session.id, session.id)
    finding = found.decision.findings[0]
    assert finding.after > finding.before - 5
    repeated = read_jsonl(session.data / "replay.jsonl")
    assert len(repeated) == status.results.rows_replayed > 0
    assert {row.extra["lesson"] for row in repeated} == {one.session.id}


def test_repeating_doubles_the_steps_and_none_does_not(teach, tmp_path, first, base, monkeypatch):
    alone = Workspace.open(shutil.copytree(first, tmp_path / "alone"))
    _, without = teach_in(alone, base, "river", monkeypatch, replay_share=0.0, epochs=2)
    session, half = teach("river", epochs=2)
    assert without.results.rows_replayed == 0
    assert half.total_steps == pytest.approx(2 * without.total_steps, abs=2)
    assert half.results.tokens == pytest.approx(2 * without.results.tokens, rel=0.1)
    assert len(steps_of(session)) == half.total_steps


def test_rubbish_at_a_high_rate_without_repeating_is_held_and_nothing_is_lost(place, teach, tmp_path):
    before = place.situation().trained.fingerprint
    choices = {"replay_share": 0.0, "protect": 0.0, "learning_rate": 1e-2, "epochs": 12}
    session, status = teach("rubbish", file=rubbish(tmp_path / "rubbish.json"), **choices)
    assert (status.state, status.verdict) == ("succeeded", "held")
    assert "mountain" in status.verdict_reason
    assert place.situation().trained.fingerprint == before
    assert (session.model / "model.safetensors").exists()
    found = retention.read_retention(session)
    assert found.decision.held
    assert any(changed.share_after < changed.share_before for changed in found.changed)
    worst = found.changed[0]
    assert worst.before.strip() != worst.after.strip()
    assert worst.share_before - worst.share_after >= 0.2


@pytest.mark.parametrize(("publish", "verdict"), [("always", "published"), ("never", "held")])
def test_a_person_may_overrule_the_gate_both_ways(teach, tmp_path, publish, verdict):
    choices = {"replay_share": 0.0, "learning_rate": 1e-2, "epochs": 12, "publish": publish}
    session, status = teach("rubbish", file=rubbish(tmp_path / "rubbish.json"), **choices)
    assert status.verdict == verdict
    assert retention.read_retention(session).decision.held
    if publish == "always":
        assert any("published all the same" in note for note in status.notes)
    else:
        assert "asked" in status.verdict_reason


def test_starting_over_can_teach_the_earlier_lessons_again(place, teach):
    one = sessions.read_history(place)[0]
    session, status = teach("river", start="base", teach_again=True, **FAST)
    assert status.plan.start_from == "base"
    assert status.lessons == (one.session.id,)
    assert status.results.rows_replayed == one.status.results.rows_taught
    assert status.verdict == "published"
    found = retention.read_retention(session)
    assert found.after.cell(one.session.id).accuracy > found.before.cell(one.session.id).accuracy + 0.3
    assert lessons.taught_to(place, status.fingerprint) == (one.session.id, session.id)
    _, third = teach("lake", epochs=1)
    assert third.lessons == (one.session.id, session.id)


def test_starting_over_without_them_forgets_them_on_purpose(teach):
    session, status = teach("river", start="base", epochs=1)
    assert (status.lessons, status.verdict) == ((), "published")
    assert [lesson.session for lesson in retention.read_retention(session).lessons] == [session.id]


def test_a_base_model_that_is_not_here_any_more_leaves_its_column_empty(place, base, tmp_path, monkeypatch):
    moved = base.rename(tmp_path / "moved")
    try:
        session, status = teach_in(place, None, "river", monkeypatch, epochs=1)
    finally:
        moved.rename(base)
    found = retention.read_retention(session)
    assert found.base is None
    assert found.after.general is None
    assert any("general knowledge is not measured" in note for note in status.notes)
    # It keeps to what the model before it says, instead.
    assert any("rehearses the answers that it gives now" in note for note in status.notes)
    # Batches are even now, and the share of the first is not yet a whole row.
    assert ["drift" in step for step in steps_of(session)].count(False) <= 1


def test_what_a_guard_ended_is_held_at_best(place, teach, monkeypatch):
    before = place.situation().trained.fingerprint
    for limit in ("NORM_FLOOR", "NORM_RATIO", "LARGEST_RATIO"):  # a guard that finds every gradient too large
        monkeypatch.setattr(divergence, limit, 0.0)
    monkeypatch.setattr(divergence, "NORMS_SETTLED", 4)
    session, status = teach("river", epochs=4)
    assert (status.state, status.verdict) == ("succeeded", "held")
    assert status.verdict_reason == status.guarded != ""
    assert not retention.read_retention(session).decision.held
    assert place.situation().trained.fingerprint == before
    assert (session.model / "model.safetensors").exists()
    events = [m for m in sessions.MetricsReader(session.metrics).read_metrics() if m["kind"] == "guard"]
    assert [event["action"] for event in events] == ["back", "stop"]
    assert len(status.notes) >= 3  # what the guard did, twice, and that the model is held


def test_what_goes_wrong_beside_the_lesson_does_not_cost_the_model(teach, base):
    weights = base / "model.safetensors"
    whole = weights.read_bytes()
    try:
        header = whole[: 8 + int.from_bytes(whole[:8], "little")]
        # Complete by its length, and not a single number in it: general knowledge cannot be measured.
        weights.write_bytes(header + b"\xff" * (len(whole) - len(header)))
        session, status = teach("river", epochs=1)
    finally:
        weights.write_bytes(whole)
    assert (status.state, status.verdict) == ("succeeded", "published")
    assert any("could not be compared with its base model" in note for note in status.notes)
    assert any("general knowledge is not protected" in note for note in status.notes)
    assert not any("drift" in step for step in steps_of(session))
    assert retention.read_retention(session).after.general is None


def test_a_candidate_whose_measurements_are_damaged_is_held(place, teach, monkeypatch):
    before = place.situation().trained.fingerprint
    with monkeypatch.context() as patch:
        patch.setattr("sails.training.save_model", damage)
        session, status = teach("river", epochs=1)
    assert (status.state, status.verdict) == ("succeeded", "held")
    assert status.verdict_reason == "What it remembers could not be read."
    assert place.situation().trained.fingerprint == before
    assert (session.model / "model.safetensors").exists()


def damage(model, tokenizer, folder, save=model.save_model):
    (folder.parent / "retention.json").write_text("{", encoding="utf-8")
    save(model, tokenizer, folder)


def test_starting_over_is_not_called_a_first_lesson(teach):
    session, _ = teach("river", start="base", epochs=1)
    assert retention.read_retention(session).decision.reason.startswith("It starts over")


def test_a_model_whose_template_is_taught_ends_its_answers_and_one_that_is_not_does_not(tmp_path):
    rows = [Conversation((Turn("user", f"Say {word}."), Turn("assistant", word))) for word in ("one", "two")]
    folder = wear(make_tiny_model(tmp_path), "thought opened by the prompt")
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, "cpu")
    student = Student(model, tokenizer, 64, Precision("cpu", bf16=False))
    assert ends_by_itself(student, rows) is False
    batch = collate(encode(rows, tokenizer, 64).examples, tokenizer.pad_token_id)
    learn_by_heart(model, batch, steps=40)
    assert ends_by_itself(student, rows) is True
    (answer,) = generate(model, tokenizer, [rows[0].messages()[:1]], 16)
    assert (answer.text, answer.ended) == ("one", True)
    assert ends_by_itself(student, []) is None
