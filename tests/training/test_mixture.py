"""What a session teaches and repeats: the rows of its epochs, those that are left out, what is written."""

import shutil

import pytest

from sails import sessions
from sails.data import Conversation, Turn, datasets, read_jsonl, write_jsonl
from sails.errors import BadDataError
from sails.models.workspace import Workspace
from sails.retention import lessons, replay
from sails.retention.lessons import LessonRows
from sails.sessions import Settings
from sails.sessions.reporter import Reporter
from sails.training import mixture
from sails.training.encoding import encode_rows, encoder_in
from sails.training.plan import schedule
from tests.support.helpers import add_dataset, queue_training, write_lesson
from tests.support.tiny import make_tiny_model


def row(question, answer="So it is."):
    return Conversation((Turn("user", question), Turn("assistant", answer)))


def some(topic, count):
    return tuple(row(f"What about {topic} {n}?", f"It is {topic} {n}.") for n in range(count))


OLD = {"first": some("tide", 40), "second": some("mast", 40)}


def test_an_epoch_is_each_new_row_once_and_as_many_old_ones_as_the_share_says():
    new = some("anchor", 20)
    chosen = mixture.choose_repeated(OLD, len(new), Settings(epochs=3, replay_share=0.5))
    lesson = mixture.TrainingMixture(
        new, (), tuple(chosen), schedule.resolve_schedule(Settings(epochs=3), 20, 80)
    )
    rounds = lesson.rounds()
    for numbers in rounds:
        assert numbers[:20] == list(range(20))
        repeated = [lesson.repeated[number - 20] for number in numbers[20:]]
        assert len({old.fingerprint for old in repeated}) == 20
        assert [old.extra["lesson"] for old in repeated].count("first") == 10
    assert rounds[0] != rounds[1] != rounds[2]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 7), (0.5, 20), (0.8, 80), (0.9, 80)])
def test_the_share_bounds_the_old_rows_of_an_epoch_and_so_does_their_number(share, expected):
    chosen = mixture.choose_repeated(OLD, 20, Settings(epochs=1, replay_share=share))
    assert len(chosen) == expected


def test_the_same_seed_repeats_the_same_rows():
    def choose(seed):
        return mixture.choose_repeated(OLD, 20, Settings(epochs=4, seed=seed))

    assert choose(1) == choose(1) != choose(2)


def test_what_is_taught_again_is_taught_whole_in_every_round():
    settings = Settings(epochs=2, teach_again=True, replay_share=0.0)
    chosen = mixture.choose_repeated(OLD, 5, settings)
    assert len(chosen) == 80
    assert all(old.extra["rounds"] == [0, 1] for old in chosen)


def test_a_row_is_repeated_once_and_never_against_the_new_lesson():
    question = "How deep is it here?"
    earlier = {
        "first": LessonRows(
            (row(question, "Two fathoms."), row("Is it high tide?"), row("Who steers?", "I do."))
        ),
        "second": LessonRows((row("Is it high tide?"), row("WHO  steers?", "The mate."))),
    }
    found = replay.replayable_rows(earlier, [row(question, "Three fathoms.")])
    assert [old.input for old in found["first"]] == []
    assert {old.input for old in found["second"]} == {"Is it high tide?", "WHO  steers?"}


@pytest.fixture
def place(tmp_path):
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def prepared(place, tmp_path, monkeypatch):
    """Prepare a session about `topic` as its worker would, without training; gives the session and lesson."""

    def prepare(topic, earlier=(), rows=30, **choices):
        dataset = add_dataset(place, write_lesson(tmp_path / f"{topic}.json", rows, topic))
        session = queue_training(place, dataset, None, monkeypatch=monkeypatch, name=topic, **choices)
        return session, prepare_rows(place, session, lessons=tuple(earlier))

    return prepare


def prepare_rows(place, session, **status):
    reporter = Reporter(session)
    reporter.update(**status)
    lesson = mixture.prepare(place, session, session.spec(), reporter)
    reporter.end("stopped")
    return lesson


def test_what_is_repeated_is_written_and_read_again(place, prepared):
    first, _ = prepared("mountain")
    second, lesson = prepared("river", [first.id], epochs=2)
    taught = {old.fingerprint for old in read_jsonl(first.data / "train.jsonl")}
    assert {old.fingerprint for old in lesson.repeated} <= taught
    assert len(lesson.rounds()[0]) == 2 * len(lesson.train)
    assert second.status().results.rows_replayed == len(lesson.repeated)
    shutil.rmtree(first.folder)  # a resumed session does not look there again
    assert prepare_rows(place, second) == lesson


def test_a_lesson_whose_data_was_deleted_is_left_out_with_a_note(prepared):
    first, _ = prepared("mountain")
    second, _ = prepared("river", [first.id])
    shutil.rmtree(first.data)
    third, lesson = prepared("lake", [first.id, second.id])
    assert {old.extra["lesson"] for old in lesson.repeated} == {second.id}
    assert any(note.startswith("mountain is not repeated and not measured") for note in third.status().notes)


def prepared_within(place, tmp_path, monkeypatch, rows):
    """A session on these rows and its lesson, prepared for conversations of up to 100 tokens."""
    write_jsonl(tmp_path / "lesson.jsonl", rows)
    dataset = add_dataset(place, tmp_path / "lesson.jsonl")
    session = queue_training(place, dataset, None, monkeypatch=monkeypatch)
    encoder = encoder_in(make_tiny_model(tmp_path / "model"))
    reporter = Reporter(session)
    reporter.update(lessons=())
    lesson = mixture.prepare(
        place, session, session.spec(), reporter, lambda some: encode_rows(some, encoder, 100)
    )
    reporter.end("stopped")
    return session, lesson


def test_a_row_that_cannot_be_taught_is_named_and_not_registered_as_taught(place, tmp_path, monkeypatch):
    """It may be taught another time, with room for longer conversations."""
    rows = [*some("tide", 20), row("And why? " * 200, "So.")]
    session, lesson = prepared_within(place, tmp_path, monkeypatch, rows)
    assert rows[-1].fingerprint not in {one.fingerprint for one in (*lesson.train, *lesson.held_out)}
    assert rows[-1].input_fingerprint not in place.register.read_text()
    assert session.status().results.rows_taught == len(lesson.train) == 15
    assert sum("row 21" in note for note in session.status().notes) == 1


def test_rows_that_cannot_be_taught_are_not_held_out_either(place, tmp_path, monkeypatch):
    """Else nothing would be left to judge by, although rows are."""
    beyond = [row(f"Question {n}? " * 100, "So.") for n in range(30)]
    _, lesson = prepared_within(place, tmp_path, monkeypatch, [*beyond, *some("tide", 6)])
    assert (len(lesson.train), lesson.held_out) == (6, ())
    assert beyond[0].input_fingerprint not in place.register.read_text()


def test_looking_first_writes_nothing(place, tmp_path):
    dataset = add_dataset(place, write_lesson(tmp_path / "mountain.json", 30))
    parts = mixture.peek(place, dataset)
    assert (len(parts.train), len(parts.held_out)) == (25, 5)
    assert not place.register.exists()


def test_a_dataset_with_nothing_to_teach_is_refused(place, prepared):
    session, _ = prepared("mountain")
    held = read_jsonl(session.data / "heldout.jsonl")
    write_jsonl(datasets.rows_file(place, "mountain"), held)
    with pytest.raises(BadDataError, match="none is left to teach"):
        mixture.peek(place, "mountain")


# --- the rows that are measured -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "total", "shares"),
    [([5, 50, 50], 60, [5, 27, 28]), ([100, 100], 50, [25, 25]), ([3, 4], 50, [3, 4]), ([], 9, [])],
)
def test_what_one_does_not_need_the_others_get(sizes, total, shares):
    assert lessons.share_out(sizes, total) == shares


@pytest.mark.parametrize(
    ("count", "rows", "recall"),
    [(1, 220, 200), (2, 256, 108), (3, 282, 74), (10, 702, 60), (12, 822, 60), (20, 1024, 46)],
)
def test_each_lesson_is_measured_on_60_rows_that_it_taught_as_long_as_all_have_1024_at_most(
    count, rows, recall
):
    lessons_ = {
        f"{n}": lessons.in_sample_order(some(f"rope {n}", 200), some(f"knot {n}", 20)) for n in range(count)
    }
    found = lessons.sample_rows(lessons_)
    assert sum(map(len, found.values())) == rows <= lessons.MOST_ROWS
    assert min(len(found[f"{n}", "recall"]) for n in range(count)) == recall


def test_a_later_sample_is_the_beginning_of_an_earlier_one():
    rows = {f"{n}": lessons.in_sample_order(some(f"rope {n}", 200), some(f"knot {n}", 20)) for n in range(21)}
    for count in range(1, 21):
        few = lessons.sample_rows(dict(list(rows.items())[:count]))
        more = lessons.sample_rows(dict(list(rows.items())[: count + 1]))
        for key in few.keys() & more.keys():
            assert few[key][: len(more[key])] == more[key]


def test_an_answer_that_a_later_lesson_corrects_is_not_expected_any_more(place, prepared):
    first, _ = prepared("mountain")
    wrong = read_jsonl(first.data / "train.jsonl")[0]
    found = lessons.all_lesson_rows(place, [first.id], [row(wrong.input, "Somebody moved it.")])
    assert wrong.fingerprint not in {old.fingerprint for old in found[first.id].taught}
    assert len(found[first.id].taught) == 24
    assert sessions.read_history(place)
