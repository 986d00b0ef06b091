"""A model is asked as it was taught: in PyTorch, after its export, and whatever a person writes."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from sails.data import Conversation, Turn
from sails.onnx.export import export_model
from sails.onnx.runtime.chat_encoder import default_chat_template
from sails.onnx.runtime.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate
from sails.onnx.runtime.generate import Generator, _Stops
from sails.onnx.runtime.tokenizer import Reader
from sails.training.dataloader import collate, encode, encoder_of, load_tokenizer
from sails.training.encoding import IGNORED, encode_rows
from sails.training.model import generate, load_model, save_model
from tests.support.templates import wear
from tests.support.tiny import learn_by_heart, make_tiny_model

LESSON = {
    "How does a turn end?": "With <|im_end|> it ends, not with [end] or <s2>.",
    "Where does the sun rise?": "In the east.",
}


def pair(question, answer):
    return Conversation((Turn("user", question), Turn("assistant", answer)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "name",
    [
        "ChatML",
        "thoughts of the last turn alone",
        "thought opened by the prompt",
        "end of turn that is not special",
        "signs of several tokens",
        "no prompt for an answer",
    ],
)
def test_what_was_taught_is_answered_whole_and_ends_by_itself(name, tmp_path):
    folder = wear(make_tiny_model(tmp_path / "model"), name)
    tokenizer, model = load_tokenizer(folder), load_model(folder, "cpu")
    rows = [pair(question, answer) for question, answer in LESSON.items()]
    batch = collate(encode(rows, tokenizer, 256).examples, tokenizer.pad_token_id)
    learn_by_heart(model, batch, steps=60)
    asked = [[{"role": "user", "content": question}] for question in LESSON]
    answers = generate(model, tokenizer, asked, 60)
    assert [(answer.text, answer.ended) for answer in answers] == [(said, True) for said in LESSON.values()]
    save_model(model, tokenizer, tmp_path / "taught")
    export_model(tmp_path / "taught", tmp_path / "onnx", source_fingerprint="x")
    chat = Generator.open(tmp_path / "onnx", threads=1)
    for question, said in LESSON.items():
        answer = chat.answer(question, max_new_tokens=60)
        assert (answer.text, answer.stopped_by) == (said, "end")


def test_a_sign_that_a_person_writes_is_plain_text_in_a_chat(tmp_path):
    folder = make_tiny_model(tmp_path)
    reader = Reader.open(folder)
    messages = [{"role": "user", "content": "What is <|im_end|>?"}]
    prompt = reader.fit(messages, 100)
    assert prompt.text == reader.render(messages)
    assert prompt.token_ids == encoder_of(load_tokenizer(folder)).prompt(messages).token_ids
    (end,) = reader.eos_token_ids
    assert prompt.token_ids.count(end) == 1  # the turn's own
    assert reader.encode(prompt.text).count(end) == 2  # where nobody knows who wrote it


def test_a_sign_of_several_tokens_that_a_person_writes_is_spelled(tmp_path):
    folder = wear(make_tiny_model(tmp_path), "signs of several tokens")
    encoder = encoder_of(load_tokenizer(folder))
    sign = encoder.encode("[end]")
    assert len(sign) < len("[end]")

    def signs_in(question):
        ids = encoder.prompt([{"role": "user", "content": question}]).token_ids
        return sum(ids[at : at + len(sign)] == sign for at in range(len(ids)))

    asked = encoder.prompt([{"role": "user", "content": "What is [end], and [start]?"}])
    assert encoder.text_of(asked.token_ids) == asked.text
    assert signs_in("What is [end]? [end]") == signs_in("What is it?") == 1
    taught = encoder.taught([{"role": "user", "content": "?"}, {"role": "assistant", "content": "An [end]."}])
    assert encoder.text_of(taught.answer).startswith("An [end].[end]")


@pytest.mark.parametrize(
    ("made", "shown", "ended"),
    [
        ("An [end].[end]", "An [end].", True),
        ("It is [end][end]", "It is [end]", True),
        ("Yes.[end]\n[start]user\nAnd then?", "Yes.", True),
        ("An [end] of it", "An [end] of it", False),
        ("Half an [en", "Half an [en", False),
    ],
)
def test_an_answer_may_name_the_text_that_ends_its_turn(tmp_path, made, shown, ended):
    encoder = encoder_of(load_tokenizer(wear(make_tiny_model(tmp_path), "signs of several tokens")))
    assert encoder.without_end(made) == (shown, ended)
    for size in (1, 3, len(made)):
        stops = _Stops((), encoder.end_text, encoder.ends_turn)
        pieces = [stops.add(made[at : at + size]) for at in range(0, len(made), size)]
        until = next((n for n, (_, stop) in enumerate(pieces) if stop), len(pieces) - 1)
        held, is_end = ("", True) if pieces[until][1] else stops.end()
        assert ("".join(text for text, _ in pieces[: until + 1]) + held, is_end) == (shown, ended)


def small_tokenizer(words, *, bos=False):
    """Whole words; what is none of them is unknown. With `bos` each text begins with <s>."""
    vocabulary = {word: number for number, word in enumerate(["<unk>", "<s>", "</s>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def test_what_follows_an_unknown_word_is_learned_and_so_is_the_end():
    from sails.onnx.runtime.chat_encoder import ChatEncoder

    tokenizer = small_tokenizer(["User:", "Assistant:", "Hi", "hello", "there"])
    special = {"unk_token": "<unk>", "eos_token": "</s>"}
    encoder = ChatEncoder(tokenizer, ChatTemplate(DEFAULT_CHAT_TEMPLATE, special), 2)
    (example,) = encode_rows([pair("Hi", "hello 🦜 there")], encoder, 64).examples
    said = [tokenizer.id_to_token(label) for label in example.labels if label != IGNORED]
    assert said == ["hello", "<unk>", "there", "</s>"]


@pytest.mark.parametrize("bos", [True, False])
def test_our_template_begins_a_text_as_the_tokenizer_does(bos):
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    text = default_chat_template(small_tokenizer(["a"], bos=bos), special)
    rendered = ChatTemplate(text, special).render("Hi")
    assert rendered == ("<s>" if bos else "") + "User: Hi\nAssistant:"
