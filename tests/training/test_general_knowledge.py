"""General knowledge from end to end: a base model that knows a few answers, and lessons that cost it some."""

import shutil
from itertools import pairwise

import pytest

from sails import retention, sessions
from sails.data import Conversation, Turn
from sails.models.workspace import Workspace
from sails.retention import GENERAL, closed_questions, is_right, open_prompts
from sails.sessions import Session
from sails.training import model as model_module
from sails.training import scoring
from sails.training.dataloader import encode, load_tokenizer, spread
from sails.training.loss import AnswerLogits
from sails.training.model import Precision, load_model, sample_answers, save_model
from sails.training.outcome import judge
from sails.training.scoring import (
    MAX_CLOSED,
    base_knowledge,
    compare_with_base,
    general_drift,
    no_drift,
    score,
    still_right,
)
from sails.training.trainer import train
from tests.support.helpers import add_dataset, queue_training, run_worker, write_lesson
from tests.support.tiny import make_tiny_model
from tests.training.test_evaluation import rubbish
from tests.training.test_trainer import FP32, Notebook, run_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TAUGHT = closed_questions()[::8]  # that the base model knows; it may guess others
BF16 = Precision("cpu", bf16=True)
STRONG = {"learning_rate": 1e-2, "epochs": 12}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a tiny model that answers some general questions right."""
    folder = make_tiny_model(tmp_path_factory.mktemp("base") / "untaught", "llama")
    model, tokenizer = load_model(folder, "cpu"), load_tokenizer(folder)
    rows = [
        Conversation((Turn("user", asked.question), Turn("assistant", asked.accepted[0]))) for asked in TAUGHT
    ]
    run = run_of(encode(rows, tokenizer, 128).examples, epochs=40)
    train(model, tokenizer, run, FP32, Session(tmp_path_factory.mktemp("session")), Notebook())
    save_model(model, tokenizer, folder.with_name("base"))
    return folder.with_name("base")


@pytest.fixture
def student(base):
    return load_model(base, "cpu"), load_tokenizer(base)


@pytest.fixture(scope="module")
def first(base, tmp_path_factory):
    """A workspace whose model was taught a first lesson gently, to be copied."""
    root = tmp_path_factory.mktemp("first") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        teach_in(Workspace.open(root), base, "mountain", patch, epochs=1)
    return root


@pytest.fixture
def place(first, tmp_path):
    return Workspace.open(shutil.copytree(first, tmp_path / "workspace"))


def teach_in(workspace, base, topic, monkeypatch, file=None, **choices):
    file = file or write_lesson(workspace.root.parent / f"{topic}.json", topic=topic)
    session = queue_training(
        workspace, add_dataset(workspace, file), base, monkeypatch=monkeypatch, **choices
    )
    return session, run_worker(session)


# --- asking ---------------------------------------------------------------------------------------


def test_the_questions_that_the_base_surely_answers_right_are_known(base, student):
    knowledge = base_knowledge(student[0], base, student[1], FP32)
    assert len(knowledge.answers) == len(open_prompts())
    assert len({*knowledge.known} & {*TAUGHT}) > len(TAUGHT) / 2
    answers = sample_answers(*student, [asked.question for asked in knowledge.known], 24)
    assert all(map(is_right, knowledge.known, answers))


def test_what_is_right_only_now_and_then_is_not_known(base, student, tmp_path, monkeypatch):
    """Greedily all is right, and when answers are drawn, only what begins with a W."""
    monkeypatch.setenv("SAILS_CACHE", str(tmp_path / "cache"))
    right = {asked.question: asked.accepted[0] for asked in closed_questions()}

    def said(_model, _tokenizer, prompts, _tokens, *, temperature=None):
        sure = [temperature is None or prompt.startswith("W") for prompt in prompts]
        return [
            right.get(prompt, "") if one else "Who knows." for prompt, one in zip(prompts, sure, strict=True)
        ]

    monkeypatch.setattr(model_module, "sample_answers", said)
    known = base_knowledge(student[0], base, student[1], FP32).known
    assert {asked.question[0] for asked in known} == {"W"}


def test_a_base_is_asked_once(base, student, tmp_path, monkeypatch):
    monkeypatch.setenv("SAILS_CACHE", str(tmp_path / "cache"))
    said = base_knowledge(student[0], base, student[1], FP32)
    monkeypatch.setattr(model_module, "sample_answers", None)  # which would ask again
    assert base_knowledge(student[0], base, student[1], FP32) == said


@pytest.mark.parametrize("precision", [FP32, BF16], ids=["fp32", "bf16"])
def test_what_the_base_answers_is_computed_once_and_the_same_is_measured_from_then_on(
    base, student, tmp_path, monkeypatch, precision
):
    monkeypatch.setenv("SAILS_CACHE", str(tmp_path / "cache"))
    other = load_model(make_tiny_model(tmp_path / "other", "llama", seed=5), "cpu")
    computed = []
    whole = AnswerLogits.head_inputs

    def head_inputs(self, model, batch):
        computed.append(batch)
        return whole(self, model, batch)

    def drift():
        return scoring._divergence(
            other, student[0], base, student[1], ["It is so."] * len(open_prompts()), precision
        )

    monkeypatch.setattr(AnswerLogits, "head_inputs", head_inputs)
    first = drift()
    batches = len(computed)
    assert first.divergence > 0.5
    assert drift() == first
    assert len(computed) == batches > 1
    (kept,) = (tmp_path / "cache" / "general").glob(f"*cpu-{precision.name}.safetensors")
    kept.write_bytes(kept.read_bytes()[:-8])  # damaged, it is computed anew
    assert drift() == first
    assert len(computed) == 2 * batches
    monkeypatch.setattr(AnswerLogits, "head_inputs", lambda *_: None)  # of a model whose head is not the last
    kept.unlink()
    assert drift() == first


def test_the_base_is_loaded_once_for_all_that_is_measured_of_it(base, student, monkeypatch):
    loaded = []
    monkeypatch.setattr(scoring, "load_model", lambda *given: (loaded.append(1), load_model(*given))[1])
    rows = {("lesson", "recall"): (Conversation((Turn("user", "Why?"), Turn("assistant", "It is so."))),)}
    model, tokenizer = student
    drift, cells = compare_with_base(model, base, tokenizer, rows, 128, FP32)
    assert len(loaded) == 1
    assert drift == general_drift(model, base, tokenizer, FP32)
    assert cells == score(model, tokenizer, rows, 128, FP32)


def test_of_many_known_questions_some_from_all_over_are_asked():
    found = spread(closed_questions(), MAX_CLOSED)
    assert len(found) == len(set(found)) == MAX_CLOSED < len(closed_questions())
    places = [closed_questions().index(asked) for asked in found]
    assert places == sorted(places)
    assert max(after - before for before, after in pairwise(places)) <= 2
    assert spread(closed_questions()[:5], MAX_CLOSED) == [*closed_questions()[:5]]
    assert spread([], MAX_CLOSED) == []


def test_the_base_itself_knows_all_of_them_and_has_not_drifted(base, student):
    model, tokenizer = student
    without = no_drift(model, base, tokenizer, FP32)
    measured = general_drift(model, base, tokenizer, FP32)
    assert (without.divergence, without.agreement, without.prompts) == (0.0, 1.0, len(open_prompts()))
    assert measured.divergence == pytest.approx(0, abs=1e-6)
    assert measured.known == without.known
    assert set(without.known.right) == set(without.known.tokens) == {1}


def test_another_model_knows_few_of_them_and_has_drifted(base, student, tmp_path):
    other = load_model(make_tiny_model(tmp_path / "other", "llama", seed=5), "cpu").train()
    found = general_drift(other, base, student[1], FP32)
    assert found.divergence > 0.5
    assert found.known.accuracy < 0.3
    assert found.known.rows == no_drift(student[0], base, student[1], FP32).known.rows
    assert other.training  # it is left as it was


def test_who_knows_nothing_is_asked_nothing(student):
    assert still_right(*student, [], FP32) is None


# --- in a session ---------------------------------------------------------------------------------


def test_a_first_lesson_that_costs_general_knowledge_is_held(base, tmp_path, monkeypatch):
    workspace = Workspace.open(tmp_path / "workspace")
    lesson = rubbish(tmp_path / "rubbish.json")
    session, status = teach_in(workspace, base, "rubbish", monkeypatch, lesson, protect=0.0, **STRONG)
    found = retention.read_retention(session)
    assert (status.state, status.verdict) == ("succeeded", "held")
    assert "on general knowledge (100% →" in status.verdict_reason
    assert found.before.cell(GENERAL).accuracy == 1.0
    assert found.after.cell(GENERAL).accuracy < 0.7
    assert workspace.situation().trained.state == "missing"
    judged = judge(status, found)
    assert judged.outcome == "forgot"
    assert "some of what it knew before any lesson" in judged.sentence


def test_a_gentle_lesson_keeps_it_and_asks_three_general_questions(place):
    (record,) = sessions.read_history(place)
    found = retention.read_retention(record.session)
    assert record.status.verdict == "published"
    assert found.decision.findings[0].lessons == (GENERAL,)
    assert not found.decision.held
    asked = [
        [item["question"] for item in metric["items"] if item["about"] == "unrelated"]
        for metric in sessions.MetricsReader(record.session.metrics).read_metrics()
        if metric["kind"] == "answers"
    ]
    assert asked[0] == asked[1]
    assert len(set(asked[0])) == 3
    assert {*asked[0][:-1]} <= {*found.before.cell(GENERAL).rows}


def test_the_next_lesson_takes_over_what_was_measured_and_is_judged_by_it(place, base, tmp_path, monkeypatch):
    (one,) = sessions.read_history(place)
    lesson = rubbish(tmp_path / "rubbish.json")
    session, status = teach_in(place, base, "rubbish", monkeypatch, lesson, protect=0.0, **STRONG)
    found = retention.read_retention(session)
    assert found.before.general == retention.read_retention(one.session).after.general
    assert status.verdict == "held"
    assert GENERAL in [identity for f in found.decision.findings if f.lost for identity in f.lessons]


def test_what_an_earlier_release_did_not_ask_is_asked_before_the_next_lesson(place, base, monkeypatch):
    (one,) = sessions.read_history(place)
    old = retention.read_retention(one.session)
    bare = old.after.model_copy(update={"general": old.after.general.model_copy(update={"known": None})})
    retention.write_retention(one.session, old.model_copy(update={"after": bare}))
    session, status = teach_in(place, base, "river", monkeypatch, epochs=1)
    found = retention.read_retention(session)
    assert status.state == "succeeded"
    assert found.before.general.known == old.after.general.known
    assert GENERAL in [f.lessons[0] for f in found.decision.findings]


def test_a_lesson_that_rehearses_keeps_more_of_it(base, tmp_path, monkeypatch):
    lesson = write_lesson(tmp_path / "river.json", topic="river")
    drifts = []
    for protect in (0.0, 0.5):
        workspace = Workspace.open(tmp_path / str(protect) / "workspace")
        choices = {"protect": protect, "learning_rate": 3e-3, "epochs": 6}
        session, _ = teach_in(workspace, base, "river", monkeypatch, lesson, **choices)
        drifts.append(retention.read_retention(session).after.general.divergence)
    assert drifts[1] < 0.8 * drifts[0]
