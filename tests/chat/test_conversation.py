"""Conversations: who remembers what, answers as they grow, and the models in memory."""

import json
import os
import shutil
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from sails.chat.conversation import (
    ChatHistory,
    GenerationSettings,
    Origin,
    Reply,
    answers,
    context_usage,
    describe,
    notes,
)
from sails.chat.model_cache import ModelCache
from sails.chat.models import chat_models
from sails.errors import ModelLoadError, OutOfMemoryError, RequestError
from sails.models import onnx_store
from sails.onnx.export import export_model
from tests.support.certified import add_variant
from tests.support.exported import SESSION, copy_talking, make_talking
from tests.support.tiny import make_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ORIGIN = Origin("Current model")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_talking(tmp_path_factory.mktemp("talking") / "workspace")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The ONNX model of another model."""
    folder = tmp_path_factory.mktemp("other")
    export_model(make_tiny_model(folder / "model", seed=5), folder / "onnx", source_fingerprint="other")
    return folder / "onnx"


def asked(question="What is a variable?", count=1, **settings):
    conversation = ChatHistory()
    conversation.ask(question, [ORIGIN] * count, GenerationSettings(**settings))
    return conversation


def finish(conversation, *folders, models=None):
    for _ in answers(conversation, list(folders), models or ModelCache()):
        pass
    return conversation.turns[-1].replies


# --- what was said --------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["", "  \n\t "])
def test_an_empty_question_is_refused_and_leaves_no_trace(question):
    conversation = ChatHistory()
    with pytest.raises(RequestError, match="the question is empty"):
        conversation.ask(question, [ORIGIN])
    assert conversation.turns == []


def test_each_answerer_remembers_its_own_answers_and_none_that_failed():
    conversation = ChatHistory()
    first = conversation.ask("one", [ORIGIN])
    first.replies[0].text = "both know this"
    second = conversation.ask("two", [ORIGIN, ORIGIN])
    second.replies[0].text, second.replies[1].text = "left", "right"
    failed = conversation.ask("three", [ORIGIN, ORIGIN])
    failed.replies[0].problem = "It failed."
    failed.replies[1].text = "only right"
    conversation.ask("four", [ORIGIN, ORIGIN], GenerationSettings(system="Be short."))
    left = [message["content"] for message in conversation.messages(0)]
    right = [message["content"] for message in conversation.messages(1)]
    assert left == ["Be short.", "one", "both know this", "two", "left", "four"]
    assert right == ["Be short.", "one", "both know this", "two", "right", "three", "only right", "four"]
    roles = [message["role"] for message in conversation.messages(1)]
    assert roles == ["system", *["user", "assistant"] * 3, "user"]


def test_a_conversation_is_kept_as_it_was_for_programs_and_for_people():
    conversation = asked("Was ist 日本? ![x](http://a/b)", temperature=0.5)
    reply = conversation.turns[0].replies[0]
    reply.origin = Origin("Current model", "abc", SESSION, stale=True)
    reply.text, reply.stopped_by = "Ein <b>Land</b>\nim Osten", "interrupted"
    (turn,) = json.loads(conversation.as_json())
    assert turn["question"] == "Was ist 日本? ![x](http://a/b)"
    assert turn["settings"]["temperature"] == 0.5
    assert turn["replies"][0]["text"] == "Ein <b>Land</b>\nim Osten"
    assert turn["replies"][0]["origin"]["fingerprint"] == "abc"
    text = conversation.as_text()
    assert text.startswith("You: Was ist 日本? ![x](http://a/b)\n")
    origin = f"Current model (session {SESSION}, fingerprint abc, made from another model)"
    assert f"{origin}: Ein <b>Land</b>\nim Osten" in text
    assert "[Stopped here.]" in text


def test_nobody_claims_to_know_how_fresh_a_model_is_when_nobody_does():
    assert describe(ORIGIN) == "Current model"
    assert describe(replace(ORIGIN, stale=None)) == "Current model (unknown whether up to date)"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stopped_by": "end", "text": "x"}, []),
        ({"stopped_by": "end"}, ["The model answered nothing."]),
        ({"stopped_by": "interrupted", "text": "x"}, ["Stopped here."]),
        ({"stopped_by": "length", "text": "x"}, ["Cut off at the longest answer that the settings allow."]),
        ({"problem": "It failed."}, []),
        (
            {"stopped_by": "end", "text": "x", "dropped_messages": 2},
            ["The conversation is long: the 2 oldest messages could not be kept in mind."],
        ),
    ],
)
def test_what_happened_to_an_answer_is_said_in_words(fields, said):
    assert notes(Reply(ORIGIN, **fields)) == said


# --- answering ------------------------------------------------------------------------------------


def test_an_answer_grows_piece_by_piece(template):
    conversation = asked(max_new_tokens=12)
    lengths = []
    for _ in answers(conversation, [template.onnx_model], ModelCache()):
        lengths.append(len(conversation.turns[0].replies[0].text))
    reply = conversation.turns[0].replies[0]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3
    assert (reply.tokens, reply.stopped_by, reply.problem) == (12, "length", "")
    assert reply.seconds > 0


def test_two_models_answer_in_turns_and_each_as_it_does_alone(template, other):
    both = asked(count=2, max_new_tokens=12, temperature=0.8, seed=3)
    order = list(answers(both, [template.onnx_model, other], ModelCache()))
    assert order[:6] == [0, 1] * 3
    alone = [
        finish(asked(max_new_tokens=12, temperature=0.8, seed=3), f)[0] for f in (template.onnx_model, other)
    ]
    assert [reply.text for reply in both.turns[0].replies] == [reply.text for reply in alone]
    assert both.turns[0].replies[0].text != both.turns[0].replies[1].text


def test_who_stops_reading_keeps_what_was_said_so_far(template):
    conversation = asked(max_new_tokens=200)
    reply = conversation.turns[0].replies[0]
    with closing(answers(conversation, [template.onnx_model], ModelCache())) as growing:
        while len(reply.text) < 10:
            next(growing)
    assert 10 <= len(reply.text) < 200
    assert (reply.stopped_by, reply.problem) == ("interrupted", "")
    assert reply.tokens < 200


def test_a_model_that_fails_says_why_and_the_other_goes_on(template, tmp_path):
    left, right = finish(asked(count=2, max_new_tokens=5), tmp_path / "nothing", template.onnx_model)
    assert left.problem == "There is no ONNX model in nothing. Export the model first."
    assert (right.problem, right.tokens) == ("", 5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_new_tokens": 0}, "The number of new tokens must be at least 1"),
        ({"temperature": float("nan")}, "The temperature must be 0 or more"),
        ({"top_p": 0.0}, "Top-p must be above 0"),
        ({"repetition_penalty": -1.0}, "The repetition penalty must be above 0"),
        ({"seed": -1}, "The seed must be 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_told_instead_of_an_answer(template, settings, said):
    assert finish(asked(**settings), template.onnx_model)[0].problem.startswith(said)


def test_a_question_that_is_too_long_is_told_with_its_length(template):
    (reply,) = finish(asked("why? " * 20_000), template.onnx_model)
    assert "tokens, and together with its answer 512 fit" in reply.problem
    assert reply.text == ""


@pytest.mark.parametrize(
    "question", ["👩‍👩‍👧 🎉", "<|im_end|><|im_start|>system", "\ud800 half", "\0", "﷽" * 20]
)
def test_any_text_gets_an_answer(template, question):
    (reply,) = finish(asked(question, max_new_tokens=3), template.onnx_model)
    assert (reply.problem, reply.tokens) == ("", 3)


def test_older_messages_that_gave_way_are_counted(template):
    conversation = ChatHistory()
    for number in range(8):
        turn = conversation.ask(
            f"Question {number}: " + "why " * 60, [ORIGIN], GenerationSettings(max_new_tokens=4)
        )
        turn.replies[0].text = "Because."
    (reply,) = finish(conversation, template.onnx_model)
    assert reply.dropped_messages > 0
    assert "could not be kept in mind" in notes(reply)[-1]


def test_an_answer_names_the_model_that_gave_it_and_not_the_one_seen_before(template):
    conversation = asked(max_new_tokens=2)
    conversation.turns[0].replies[0].origin = Origin("Current model", "seen before", SESSION)
    (reply,) = finish(conversation, template.onnx_model)
    assert reply.origin == Origin("Current model", chat_models(template)[0].fingerprint, None)


# --- models in memory -----------------------------------------------------------------------------


def test_a_model_is_loaded_once_also_when_many_ask_at_a_time(template):
    models, got = ModelCache(), []
    assert not models.holds(template.onnx_model)
    threads = [threading.Thread(target=lambda: got.append(models.get(template.onnx_model))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert len({id(model) for model in got}) == 1
    assert models.holds(template.onnx_model)


def test_a_model_published_anew_answers_at_once(template, other, tmp_path):
    place = copy_talking(template, tmp_path / "w")
    models = ModelCache()
    before = models.get(place.onnx_model)
    place.onnx_model.rename(tmp_path / "gone")
    shutil.copytree(other, place.onnx_model)
    assert not models.holds(place.onnx_model)
    after = models.get(place.onnx_model)
    assert (before.fingerprint, after.fingerprint) == (chat_models(template)[0].fingerprint, "other")
    assert before.answer("Still there?", max_new_tokens=2).token_ids  # who was answering goes on


def test_at_most_two_models_are_kept_and_the_one_least_used_goes(template, other, tmp_path):
    third = shutil.copytree(other, tmp_path / "third")
    models = ModelCache(at_most=2)
    models.get(template.onnx_model)
    models.get(other)
    models.get(template.onnx_model)
    models.get(third)
    assert [models.holds(folder) for folder in (template.onnx_model, other, third)] == [True, False, True]


def test_a_model_that_is_larger_than_the_free_memory_is_refused_before_it_is_loaded(tmp_path):
    folder = tmp_path / "onnx"
    folder.mkdir()
    with open(folder / "model.onnx", "wb") as file:
        file.truncate(2**42)  # takes no room on the disk
    with pytest.raises(OutOfMemoryError, match="MB are free"):
        ModelCache().get(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(folder / "model.onnx", 1000),
        lambda folder: (folder / "model.onnx").write_bytes(b"<html>no model</html>"),
        lambda folder: (folder / "tokenizer.json").write_text("{"),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: (folder / "export.json").write_text("[]"),
        lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"),
        lambda folder: (folder / "chat_template.jinja").write_text("{% for %}"),
    ],
)
def test_damaged_files_are_one_sentence_with_a_remedy(template, tmp_path, damage):
    place = copy_talking(template, tmp_path / "w")
    damage(place.onnx_model)
    with pytest.raises(ModelLoadError) as refused:
        ModelCache().get(place.onnx_model)
    assert "\n" not in refused.value.sentence
    assert "xport the model" in refused.value.remedy
    assert len(refused.value.sentence) < 250


def test_while_a_model_is_replaced_again_and_again_every_question_gets_an_answer(template, tmp_path):
    place = copy_talking(template, tmp_path / "w")
    add_variant(place.onnx_model, "int8")
    models, done = ModelCache(), threading.Event()

    def replace_it():
        try:
            for number in range(6):
                source = place.onnx_model if number % 3 else place.onnx_model / "int8"
                built = place.root / f".onnx_model.built-{number}"
                shutil.copytree(source, built, ignore=shutil.ignore_patterns("int8"))
                onnx_store.install(built, place.onnx_model, "fp32" if number % 3 else "int8")
        finally:
            done.set()

    thread = threading.Thread(target=replace_it)
    thread.start()
    problems = []
    while not done.is_set() or len(problems) < 4:
        folders = (place.onnx_model, place.onnx_model / "int8")
        problems += [
            reply.problem for reply in finish(asked(count=2, max_new_tokens=2), *folders, models=models)
        ]
    thread.join()
    assert set(problems) == {""}


# --- what a model keeps in mind -------------------------------------------------------------------


def test_how_much_is_kept_in_mind_is_known_before_and_after_without_the_model(template):
    models, conversation, how = ModelCache(), ChatHistory(), GenerationSettings(max_new_tokens=4)
    empty = context_usage(conversation, 0, template.onnx_model, how, models)
    assert empty is not None
    assert empty.describe() == "This model keeps about 512 word pieces in mind; none is used yet."
    turn = conversation.ask("one", [ORIGIN], how)
    turn.replies[0].text = "The answer."
    state = context_usage(conversation, 0, template.onnx_model, how, models)
    assert state is not None
    assert 5 < state.used < 60
    assert f"{state.used} are used." in state.describe()
    assert not models.holds(template.onnx_model)
    for number in range(9):
        turn = conversation.ask(f"Question {number}: " + "why " * 60, [ORIGIN], how)
        turn.replies[0].text = "Because."
    state = context_usage(conversation, 0, template.onnx_model, how, models)
    assert state is not None
    assert state.dropped > 1
    assert state.used <= 512
    assert f"It no longer reads the oldest {state.dropped} messages." in state.describe()
    assert context_usage(conversation, 0, template.root / "nothing", how, models) is None


DEAF = (
    "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
REFUSING = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + DEAF


@pytest.mark.parametrize("chat_template", [DEAF, REFUSING])
def test_a_template_without_a_place_for_a_system_message_reads_it_in_the_first_question(
    template, tmp_path, chat_template
):
    place = copy_talking(template, tmp_path / "w")
    models = ModelCache()
    assert models.reader(place.onnx_model).takes_system
    (place.onnx_model / "chat_template.jinja").write_text(chat_template)
    assert not models.reader(place.onnx_model).takes_system
    conversation = asked(system="Be short.", max_new_tokens=2)
    (reply,) = finish(conversation, place.onnx_model, models=models)
    assert (reply.problem, reply.tokens, reply.system_in_question) == ("", 2, True)
    reader = models.reader(place.onnx_model)
    prompt = reader.fit(conversation.messages(0), 500)
    assert prompt.text == "Be short.\n\nWhat is a variable?<|im_end|>"
    assert "it stood in the first question" in notes(reply)[-1]
    usage = context_usage(conversation, 0, place.onnx_model, conversation.turns[0].settings, models)
    assert usage is not None
    assert usage.used >= len(prompt.token_ids)


def test_each_setting_reaches_the_model(template):
    def said(**settings):
        return finish(asked(max_new_tokens=24, **settings), template.onnx_model)[0].text

    plain = said()
    assert said(repetition_penalty=1.9) != plain
    assert said(system="Be short.") != plain
    hot = {"temperature": 1.5, "seed": 1}
    assert said(**hot) == said(**hot) != plain
    assert said(**hot) != said(**{**hot, "seed": 2})
    assert said(**hot) != said(**hot, top_p=0.05)


def test_one_after_the_other_is_said_what_is_said_in_turns(template, other):
    turns = [finish(asked(count=2, max_new_tokens=6), template.onnx_model, other)]
    conversation = asked(count=2, max_new_tokens=6)
    order = list(answers(conversation, [template.onnx_model, other], ModelCache(), together=False))
    turns.append(conversation.turns[-1].replies)
    assert [reply.text for reply in turns[0]] == [reply.text for reply in turns[1]]
    assert order[2:] == sorted(order[2:])


def test_a_foreign_tokenizer_or_one_of_another_length_is_one_sentence(template, tmp_path):
    place = copy_talking(template, tmp_path / "w")
    file = place.onnx_model / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["model"] = {**content["model"], "vocab": {"a": 3, "b": 4}, "merges": []}
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelLoadError, match="that of another model"):
        ModelCache().get(place.onnx_model)
    (place.onnx_model / "export.json").unlink()
    with pytest.raises(ModelLoadError, match="they do not belong together"):
        ModelCache().get(place.onnx_model)
