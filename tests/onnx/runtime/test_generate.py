"""The Generator against transformers, which it equals without importing it, and against broken folders."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime.transformers.float16 as half_precision
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.logits_process import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from sails.errors import ModelLoadError, RequestError
from sails.onnx.runtime import generate
from sails.onnx.runtime.chat_template import DEFAULT_CHAT_TEMPLATE
from sails.onnx.runtime.generate import Generator
from sails.onnx.runtime.options import Sampling
from sails.onnx.runtime.sampling import choose, next_scores
from tests.onnx.conftest import TAUGHT, Pair
from tests.support.tiny import FAMILIES

CONVERSATION = [
    {"role": "system", "content": "You are short."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of 日本?"},
]


@pytest.fixture(scope="module")
def chat(taught: Pair) -> Generator:
    return Generator.open(taught.onnx, threads=1)


@pytest.fixture
def copy(exported: Callable[..., Pair], tmp_path: Path) -> Path:
    """An ONNX folder of its own, to be broken."""
    return Path(shutil.copytree(exported("llama").onnx, tmp_path / "onnx_model"))


def rewrite(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# --- light --------------------------------------------------------------------------------------------------


def test_a_whole_answer_needs_neither_torch_nor_transformers(taught: Pair) -> None:
    program = (
        "import sys, time; started = time.perf_counter()\n"
        "from sails.onnx.runtime.generate import Generator\n"
        "seconds = time.perf_counter() - started\n"
        "from pathlib import Path\n"
        "text = Generator.open(Path(sys.argv[1])).answer('What is a variable?').text\n"
        "heavy = {'torch', 'transformers', 'optimum', 'datasets', 'pandas'} & set(sys.modules)\n"
        "print(seconds, sorted(heavy), text)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(taught.onnx)], capture_output=True, text=True, check=True
    )
    seconds, rest = result.stdout.split(" ", 1)
    assert rest.strip() == "[] " + TAUGHT["What is a variable?"]
    assert float(seconds) < 3  # 0.35 s on a free machine; torch alone takes longer than 3


# --- like transformers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chat_template", [True, False])
def test_greedy_answers_equal_those_of_transformers(
    exported: Callable[..., Pair], family: str, chat_template: bool
) -> None:
    pair = exported(family, chat_template)
    generator = Generator.open(pair.onnx, threads=1)
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(pair.model),
        AutoTokenizer.from_pretrained(pair.model),
    )
    tokenizer.chat_template = tokenizer.chat_template or DEFAULT_CHAT_TEMPLATE
    for messages in (CONVERSATION, [{"role": "user", "content": "ünï 👍\n\n  x"}]):
        prompt = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        answer = model.generate(**prompt, do_sample=False, max_new_tokens=16)[0, prompt.input_ids.shape[1] :]
        assert generator.encode(generator.render(messages)) == prompt.input_ids[0].tolist()
        assert generator.answer(messages, max_new_tokens=16).token_ids == tuple(answer.tolist())


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_those_of_transformers(exported: Callable[..., Pair], family: str) -> None:
    pair = exported(family)
    ids = list(range(3, 90))
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(pair.model)(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(Generator.open(pair.onnx, threads=1).logits(ids), expected, atol=1e-4)


def test_a_long_prompt_goes_through_in_parts(chat: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = chat.answer(CONVERSATION, max_new_tokens=16)
    monkeypatch.setattr(generate, "PREFILL_TOKENS", 5)
    assert chat.answer(CONVERSATION, max_new_tokens=16).token_ids == whole.token_ids


def test_text_comes_back_exactly(chat: Generator) -> None:
    for text in (*TAUGHT.values(), "  two  spaces\n\ttab\r\n", "what 's , up ?", "\x00\x1f", ""):
        assert chat.decode(chat.encode(text)) == text
    assert chat.decode(chat.encode("half a \ud83d pair")) == "half a ? pair"


def test_padding_and_truncation_left_in_a_tokenizer_do_not_touch_a_prompt(copy: Path) -> None:
    expected = Generator.open(copy).encode("What is a variable?")
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(copy / "tokenizer.json"))
    (copy / "export.json").unlink()
    assert Generator.open(copy).encode("What is a variable?") == expected


SETTINGS = [
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7, "temperature": 1.0},
    {"temperature": 0.3},
    {"temperature": 1.7, "top_k": 7},
    {"temperature": 1.0, "top_p": 0.8},
    {"temperature": 1.0, "top_p": 1e-17},
    {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.1},
    {"temperature": 1.0, "top_k": 10_000},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_scores_equal_those_of_transformers_processors(settings: dict[str, float]) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, 512).astype(np.float32)
    seen = random.integers(0, 512, 40).tolist()
    processors = LogitsProcessorList()
    if "repetition_penalty" in settings:
        processors.append(RepetitionPenaltyLogitsProcessor(float(settings["repetition_penalty"])))
    if settings.get("temperature", 1.0) != 1.0:
        processors.append(TemperatureLogitsWarper(float(settings["temperature"])))
    if "top_k" in settings:
        processors.append(TopKLogitsWarper(int(settings["top_k"])))
    if "top_p" in settings:
        processors.append(TopPLogitsWarper(settings["top_p"]))
    expected = processors(torch.tensor([seen]), torch.tensor(logits)[None])[0].numpy()
    np.testing.assert_allclose(next_scores(logits, seen, Sampling(**settings)), expected, rtol=1e-5)  # type: ignore[arg-type]


def test_tokens_are_drawn_as_often_as_their_scores_say() -> None:
    scores = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    scores = np.append(scores, np.float32(-np.inf))
    random = np.random.default_rng(1)
    drawn = [choose(scores, Sampling(temperature=1.0), random) for _ in range(20_000)]
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.15, 0.05, 0.0], atol=0.015)


def test_a_seed_makes_an_answer_repeatable(exported: Callable[..., Pair]) -> None:
    generator = Generator.open(exported("llama").onnx, threads=1)
    answers = [
        generator.answer("Hello", temperature=1.2, top_p=0.95, seed=seed, max_new_tokens=20).token_ids
        for seed in (1, 1, 2, None, None)
    ]
    assert answers[0] == answers[1]
    assert len(set(answers)) == 4


def test_a_repetition_penalty_changes_a_greedy_answer_as_in_transformers(
    exported: Callable[..., Pair],
) -> None:
    pair = exported("llama")
    model, generator = AutoModelForCausalLM.from_pretrained(pair.model), Generator.open(pair.onnx, threads=1)
    ids = torch.tensor([generator.encode(generator.render("Hello"))])
    expected = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, repetition_penalty=1.5
    )
    answer = generator.answer("Hello", max_new_tokens=24, repetition_penalty=1.5)
    assert list(answer.token_ids) == expected[0, ids.shape[1] :].tolist()
    assert answer.token_ids != generator.answer("Hello", max_new_tokens=24).token_ids


# --- chat templates -----------------------------------------------------------------------------------------

EACH = "{% for m in messages %}"
TEMPLATES = [
    EACH + "\n    {% if m.role == 'system' %}{% continue %}{% endif %}\n{{ m.content }}|{% endfor %}",
    "{{ bos_token }}" + EACH + "{% if loop.index > 2 %}{% break %}{% endif %}{{ m['role'] }}{% endfor %}",
    EACH + "{% generation %}{{ m.content | trim }}{{ eos_token }}{% endgeneration %}{% endfor %}",
    "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}{% if add_generation_prompt %}>{% endif %}",
    "{% if tools is not none %}tools{% endif %}{{ documents }}{{ unk_token }}{{ messages[-1].content }}",
    "{% set ns = namespace(n=0) %}" + EACH + "{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "{{ strftime_now('%Y') }} {{ messages[1]['content'].split(' ')[0] }}",
    DEFAULT_CHAT_TEMPLATE,
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_render_as_in_transformers(
    copy: Path, exported: Callable[..., Pair], template: str
) -> None:
    (copy / "chat_template.jinja").write_text(template, encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(exported("llama").model)
    expected = tokenizer.apply_chat_template(
        CONVERSATION, chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert Generator.open(copy).render(CONVERSATION) == expected


def test_a_template_may_stand_in_the_tokenizer_config(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    rewrite(copy / "tokenizer_config.json", chat_template="<{{ messages[0].content }}>")
    assert Generator.open(copy).render("Hi") == "<Hi>"
    several = [
        {"name": "tools", "template": "no"},
        {"name": "default", "template": "({{ messages[0].content }})"},
    ]
    rewrite(copy / "tokenizer_config.json", chat_template=several)
    assert Generator.open(copy).render("Hi") == "(Hi)"


def test_a_model_without_template_gets_the_plain_one(exported: Callable[..., Pair]) -> None:
    generator = Generator.open(exported("gpt2", False).onnx, threads=1)
    assert generator.render(CONVERSATION) == (
        "You are short.\nUser: What is the capital of France?\nAssistant: Paris.<|endoftext|>\n"
        "User: And of 日本?\nAssistant:"
    )


def test_a_conversation_that_the_template_refuses_is_a_wrong_request(copy: Path) -> None:
    template = "{% if messages[0].role != 'user' %}{{ raise_exception('Roles must alternate.') }}{% endif %}x"
    (copy / "chat_template.jinja").write_text(template)
    generator = Generator.open(copy)
    with pytest.raises(RequestError, match="refuses this conversation: Roles must alternate\\."):
        generator.stream([{"role": "assistant", "content": "Hi"}])
    assert generator.render("Hi") == "x"


def test_a_template_cannot_reach_out_of_its_sandbox(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("{{ messages.__class__.__base__.__subclasses__() }}")
    with pytest.raises(RequestError):
        Generator.open(copy).render("Hi")


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], [{"role": "user", "content": ["Hi"]}], [{}]])
def test_what_is_no_conversation_is_refused(chat: Generator, messages: list[dict[str, str]]) -> None:
    with pytest.raises(RequestError, match="list of messages"):
        chat.stream(messages)


# --- streaming ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", TAUGHT)
def test_pieces_join_to_the_answer_and_never_hold_half_a_character(chat: Generator, question: str) -> None:
    stream = chat.stream(question)
    pieces = list(stream)
    assert "".join(pieces) == TAUGHT[question] == stream.answer.text
    assert all(pieces)
    assert "\ufffd" not in "".join(pieces)
    assert len(pieces) > 1
    assert stream.answer.stopped_by == "end"
    assert stream.answer.token_ids[-1] in chat.eos_token_ids


def test_an_answer_that_is_cut_off_ends_with_a_whole_character(chat: Generator) -> None:
    whole = TAUGHT["Say it in Japanese."]
    texts = [chat.answer("Say it in Japanese.", max_new_tokens=n).text for n in range(1, 12)]
    assert texts[0] == ""  # the first byte of three
    assert all(whole.startswith(text) for text in texts)
    assert chat.answer("Say it in Japanese.", max_new_tokens=4).stopped_by == "length"


@pytest.mark.parametrize("stop", ["STOP", " STOP four", "ree", "two three S", "O"])
def test_a_stop_string_ends_the_answer_and_is_not_shown(chat: Generator, stop: str) -> None:
    stream = chat.stream("Count to five.", stop=[stop, "never"])
    whole = TAUGHT["Count to five."]
    assert "".join(stream) == whole[: whole.index(stop)]
    assert stream.answer.stopped_by == "stop"
    assert len(stream.answer.token_ids) < len(chat.answer("Count to five.").token_ids)


def test_the_stop_string_that_comes_first_counts(chat: Generator) -> None:
    assert chat.answer("Count to five.", stop=["four", "three", "STOP"]).text == "one two "
    assert chat.answer("Count to five.", stop="three").text == "one two "
    assert chat.answer("Count to five.", stop=["ne", "on"]).text == ""


def test_the_beginning_of_a_stop_string_at_the_end_is_shown(chat: Generator) -> None:
    assert chat.answer("Say good bye.", stop=["STOP"]).text == TAUGHT["Say good bye."]


def test_all_tokens_that_end_a_turn_count(copy: Path, taught: Pair) -> None:
    folder = Path(shutil.copytree(taught.onnx, copy.with_name("two_ends")))
    chat = Generator.open(folder)
    text = TAUGHT["What is a variable?"]
    first = chat.encode(text)[:4]
    rewrite(folder / "generation_config.json", eos_token_id=[first[3], 0])
    answer = Generator.open(folder).answer("What is a variable?")
    assert answer.token_ids == tuple(first)
    assert text.startswith(answer.text)
    assert answer.stopped_by == "end"
    assert (
        Generator.open(folder).eos_token_ids == {first[3], 0} | chat.eos_token_ids
    )  # config.json has its own


def test_the_space_after_assistant_is_no_part_of_the_answer(exported: Callable[..., Pair]) -> None:
    generator = Generator.open(exported("gpt2", False).onnx, threads=1)
    answers = [generator.answer("Hi", temperature=1.5, seed=seed, max_new_tokens=8) for seed in range(20)]
    texts = [generator.decode(answer.token_ids) for answer in answers]
    assert any(text.startswith(" ") for text in texts)
    assert [answer.text for answer in answers] == [text.removeprefix(" ").rstrip("\ufffd") for text in texts]


def test_a_stream_that_is_left_says_so(chat: Generator) -> None:
    stream = chat.stream("What is a variable?")
    first = next(stream)
    stream.close()
    assert list(stream) == []
    assert stream.answer.stopped_by == "interrupted"
    assert stream.answer.text == first


def test_answers_carry_their_times_and_counts(chat: Generator) -> None:
    started = time.perf_counter()
    answer = chat.answer("What is a variable?")
    assert 0 < answer.seconds_to_first_token < answer.seconds < time.perf_counter() - started
    assert answer.prompt_tokens == len(chat.encode(chat.render("What is a variable?")))


def test_many_may_ask_at_once(chat: Generator) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda question: chat.answer(question).text, list(TAUGHT) * 3))
    assert answers == list(TAUGHT.values()) * 3


# --- the context --------------------------------------------------------------------------------------------


def test_the_oldest_turns_of_a_long_conversation_are_dropped(chat: Generator) -> None:
    system = {"role": "system", "content": "Be short."}
    turns = [
        {"role": role, "content": f"{number} " + "word " * 20}
        for number in range(20)
        for role in ("user", "assistant")
    ]
    question = {"role": "user", "content": "What is a variable?"}
    answer = chat.answer([system, *turns, question], max_new_tokens=64)
    assert 0 < answer.dropped_messages < len(turns)
    assert answer.dropped_messages % 2 == 0  # it goes on from a question
    kept = [system, *turns[answer.dropped_messages :], question]
    assert answer.prompt_tokens == len(chat.encode(chat.render(kept))) <= chat.context_length - 64
    one_more = [system, *turns[answer.dropped_messages - 2 :], question]
    assert len(chat.encode(chat.render(one_more))) > chat.context_length - 64
    assert chat.answer([system, *turns[:4], question]).dropped_messages == 0


def test_a_message_that_cannot_be_read_whole_is_refused(chat: Generator) -> None:
    with pytest.raises(
        RequestError, match=r"The message has [\d,]+ tokens, and together with its answer 512 fit"
    ):
        chat.stream([{"role": "user", "content": "Hi"}, {"role": "user", "content": "word " * 600}])


def test_an_answer_ends_where_the_context_ends(exported: Callable[..., Pair]) -> None:
    generator = Generator.open(exported("gpt2").onnx, threads=1)
    answer = generator.answer("Hello " * 30, max_new_tokens=10_000)
    assert answer.stopped_by in ("context", "end")
    assert answer.prompt_tokens + len(answer.token_ids) <= generator.context_length == 512
    short = generator.answer("Hello", max_new_tokens=10_000, max_length=16)
    assert (short.stopped_by, short.prompt_tokens + len(short.token_ids)) == ("context", 16)


WRONG_SETTINGS = [
    {"max_new_tokens": 0},
    {"temperature": -0.1},
    {"temperature": float("nan")},
    {"top_p": 0.0},
    {"top_p": 1.5},
    {"top_k": -1},
    {"repetition_penalty": 0.0},
    {"seed": -1},
    {"max_length": 1},
]


@pytest.mark.parametrize("settings", WRONG_SETTINGS, ids=str)
def test_settings_that_make_no_sense_are_refused_at_once(chat: Generator, settings: dict[str, float]) -> None:
    with pytest.raises(RequestError, match="must be"):
        chat.stream("Hi", **settings)  # type: ignore[arg-type]


# --- variants and broken folders ----------------------------------------------------------------------------


def test_a_half_precision_graph_answers_too(taught: Pair, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(taught.onnx, tmp_path / "fp16"))
    (folder / "export.json").unlink()
    graph = half_precision.convert_float_to_float16(
        onnx.load(folder / "model.onnx"), disable_shape_infer=True
    )
    onnx.save(graph, folder / "model.onnx")
    generator = Generator.open(folder)
    assert generator.decoder.empty_past()["past_key_values.0.key"].dtype == np.float16
    assert generator.answer("What is a variable?").text == TAUGHT["What is a variable?"]


def test_an_export_from_elsewhere_opens_without_our_record(copy: Path) -> None:
    (copy / "export.json").unlink()
    (copy / "model.onnx").rename(copy / "decoder.onnx")
    assert Generator.open(copy).fingerprint is None


def test_the_fingerprint_and_the_context_are_read(exported: Callable[..., Pair]) -> None:
    generator = Generator.open(exported("llama").onnx)
    assert generator.fingerprint.startswith("f-llama")
    assert (generator.context_length, sorted(generator.eos_token_ids)) == (512, [2])


def foreign_graph(file: Path) -> None:
    shape = ["n"]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, shape)],
        [onnx.helper.make_tensor_value_info("y", 1, shape)],
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), file
    )


def graph_with_another_input(file: Path) -> None:
    model = onnx.load(file)
    model.graph.input.append(onnx.helper.make_tensor_value_info("pixel_values", 1, ["n"]))
    onnx.save(model, file)


def not_numbers(file: Path) -> None:
    model = onnx.load(file)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.raw_data = np.full(len(largest.raw_data) // 4, np.nan, np.float32).tobytes()
    onnx.save(model, file)


def more_tokens(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    extra = {"id": 512, "content": "<extra>", "special": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer["added_tokens"].append(extra | flags)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


BROKEN = {
    "empty folder": (
        lambda f: [file.unlink() for file in f.iterdir()],
        "There is no ONNX model in onnx_model",
    ),
    "no folder": (lambda f: shutil.rmtree(f), "There is no ONNX model in onnx_model"),
    "zero bytes": (lambda f: (f / "model.onnx").write_bytes(b""), "model.onnx is empty"),
    "truncated": (
        lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:-1000]),
        "model.onnx is damaged: it has",
    ),
    "truncated, from elsewhere": (
        lambda f: (
            (f / "export.json").unlink(),
            (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:-1000]),
        ),
        "model.onnx cannot be loaded: it is damaged",
    ),
    "random bytes": (
        lambda f: (
            (f / "export.json").unlink(),
            (f / "model.onnx").write_bytes(np.random.default_rng(0).bytes(5000)),
        ),
        "model.onnx cannot be loaded: it is damaged",
    ),
    "no language model": (
        lambda f: ((f / "export.json").unlink(), foreign_graph(f / "model.onnx")),
        "model.onnx is not a language model exported for chatting",
    ),
    "an image input": (
        lambda f: ((f / "export.json").unlink(), graph_with_another_input(f / "model.onnx")),
        "not a language model exported for chatting .it asks for pixel_values",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing in onnx_model"),
    "broken tokenizer": (
        lambda f: (f / "tokenizer.json").write_text('{"model":'),
        "tokenizer.json is damaged",
    ),
    "too many tokens": (
        lambda f: ((f / "export.json").unlink(), more_tokens(f)),
        "The tokenizer has 513 tokens and the ONNX model 512",
    ),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "config.json is damaged"),
    "a list as config": (lambda f: (f / "config.json").write_text("[]"), "config.json does not hold"),
    "broken record": (lambda f: (f / "export.json").write_bytes(b"\xff\xfe"), "export.json cannot be read"),
    "broken template": (
        lambda f: (f / "chat_template.jinja").write_text("{% for m in messages %}"),
        "chat template cannot be read",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_refused_in_one_sentence(copy: Path, case: str) -> None:
    break_it, sentence = BROKEN[case]
    break_it(copy)
    with pytest.raises(ModelLoadError, match=sentence) as caught:
        Generator.open(copy)
    assert "\n" not in str(caught.value)
    assert str(copy.parent) not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert caught.value.remedy.startswith("Export the model")


def test_values_that_are_not_numbers_stop_the_answer(copy: Path) -> None:
    not_numbers(copy / "model.onnx")
    generator = Generator.open(copy)
    for temperature in (0.0, 1.0):
        with pytest.raises(ModelLoadError, match="values that are not numbers"):
            generator.answer("Hi", temperature=temperature)
