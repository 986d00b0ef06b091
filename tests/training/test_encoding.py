"""What is learned of a row is exactly its answers and their ends, whatever the chat template does."""

from dataclasses import replace

import pytest

from sails.data import Conversation, Turn
from sails.data.conversation import ANSWERS, ONLY_LAST
from sails.onnx.runtime.thoughts import THOUGHT_END
from sails.training.dataloader import encode, encoder_of, load_tokenizer
from sails.training.encoding import IGNORED, TOO_LONG
from tests.support.templates import MANNERS, wear
from tests.support.tiny import make_tiny_model


def talk(*contents: str, system: str = "", row: int = 1, **extra: str) -> Conversation:
    turns = [Turn("user" if n % 2 == 0 else "assistant", content) for n, content in enumerate(contents)]
    return Conversation((*([Turn("system", system)] if system else []), *turns), extra, row)


PAIR = talk("Where does the sun rise?", "In the east.")
# The answer's words stand in the question before it, too.
ECHO = talk("Is it wet? Yes or no", "Yes", "And cold? Yes or no", "no", "Both? Yes, both or no", "Yes, both")


@pytest.fixture(scope="module", params=MANNERS)
def manner(request, tmp_path_factory):
    folder = wear(make_tiny_model(tmp_path_factory.mktemp("model")), request.param)
    return MANNERS[request.param], load_tokenizer(folder)


def learned(tokenizer, row, max_length=512):
    """The learned text of each run of labels, in their order, over all examples of the row."""
    texts: list[str] = []
    for example in encode([row], tokenizer, max_length).examples:
        run: list[int] = []
        for token, label in zip([*example.tokens, 0], [*example.labels, IGNORED], strict=True):
            assert label in (IGNORED, token)
            if label == IGNORED:
                texts += [tokenizer.decode(run)] if run else []
                run = []
            else:
                run.append(label)
    return texts


def test_the_learned_text_is_the_answer_and_its_end(manner):
    about, tokenizer = manner
    (text,) = learned(tokenizer, PAIR)
    assert text.removeprefix(" ") == f"In the east.{about.end}"


def test_an_answer_is_found_by_its_place_not_by_its_words(manner):
    about, tokenizer = manner
    texts = [text.removeprefix(" ") for text in learned(tokenizer, ECHO)]
    assert texts == [f"{answer}{about.end}" for answer in ("Yes", "no", "Yes, both")]
    assert len(encode([ECHO], tokenizer, 512).examples) == (3 if about.parts else 1)
    only_last = Conversation(ECHO.turns, {ANSWERS: ONLY_LAST})
    assert [text.removeprefix(" ") for text in learned(tokenizer, only_last)] == [f"Yes, both{about.end}"]


def test_an_answer_that_is_only_read_gets_no_labels(manner):
    about, tokenizer = manner
    for unlearned in range(3):
        answers = iter(range(3))
        turns = tuple(
            replace(turn, learned=turn.role == "user" or next(answers) != unlearned) for turn in ECHO.turns
        )
        row = Conversation(turns)
        assert row.learned.index(False) == unlearned
        kept = [answer for n, answer in enumerate(("Yes", "no", "Yes, both")) if n != unlearned]
        texts = [text.removeprefix(" ") for text in learned(tokenizer, row)]
        assert texts == [f"{answer}{about.end}" for answer in kept]


def test_what_is_asked_begins_what_is_taught(manner):
    _, tokenizer = manner
    messages = ECHO.messages()
    taught = [example.tokens for example in encode([ECHO], tokenizer, 512).examples]
    for place in (1, 3, 5):
        asked = tokenizer.apply_chat_template(messages[:place], add_generation_prompt=True)
        assert encoder_of(tokenizer).prompt(messages[:place]).token_ids == asked
        assert any(tokens[: len(asked)] == asked for tokens in taught)


def test_a_taught_template_is_not_changed_again(manner, tmp_path):
    _, tokenizer = manner
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).chat_template == tokenizer.chat_template


def test_signs_of_the_template_in_a_persons_text_are_plain_text(manner):
    about, tokenizer = manner
    end = about.end.removeprefix("[end]")
    answer = f"A turn ends with {end}, and then <|im_start|> begins one."
    row = talk(f"What is {end}?", answer, "And now?", "Thanks.")
    texts = [text.removeprefix(" ") for text in learned(tokenizer, row)]
    assert texts == [f"{answer}{about.end}", f"Thanks.{about.end}"]
    for example in encode([row], tokenizer, 512).examples:
        runs = [label for label in example.labels if label != IGNORED]
        ends = encoder_of(tokenizer).end_token_ids
        assert sum(token in ends for token in runs) == (1 if about.parts else 2)
        assert runs[-1] in ends
    prompt = encoder_of(tokenizer).prompt(row.messages()[:1])
    assert tokenizer.decode(prompt.token_ids) == prompt.text
    plain = encoder_of(tokenizer).prompt([{"role": "user", "content": "What is it?"}])
    signs = set(tokenizer.added_tokens_decoder)
    assert sum(t in signs for t in prompt.token_ids) == sum(t in signs for t in plain.token_ids)


def test_a_system_turn_reaches_the_model_in_any_case(manner):
    _, tokenizer = manner
    encoded = encode([talk("Hi", "Hello", system="Be short.")], tokenizer, 512)
    assert "Be short." in tokenizer.decode(encoded.examples[0].tokens)
    takes_system = encoder_of(tokenizer).takes_system
    assert encoded.system_moved == (() if takes_system else (0,))
    notes = encoded.notes([talk("Hi", "Hello", system="Be short.", row=7)])
    assert any("row 7" in note and "first question" in note for note in notes) is not takes_system


def test_a_thought_is_taught_or_left_out_and_said(manner):
    about, tokenizer = manner
    row = talk("2 + 2?", "<think>\nTwo and two.\n</think>\n\nIt is 4.", "3 + 3?", "6")
    texts = [text.removeprefix(" ") for text in learned(tokenizer, row)]
    assert texts[0].endswith(f"It is 4.{about.end}")
    assert texts[1] == f"6{about.end}"
    assert (THOUGHT_END in texts[0]) is about.keeps_thoughts
    assert encode([row], tokenizer, 512).thought_left_out == (() if about.keeps_thoughts else (0,))


def test_an_answer_that_is_cut_is_counted_once_and_one_beyond_the_limit_is_named(manner):
    _, tokenizer = manner
    long = talk("Why?", "Because " * 200, row=4)
    late = talk("Why? " * 200, "So.", row=9)
    encoded = encode([long, late, PAIR], tokenizer, 90)
    assert (encoded.cut, encoded.refused) == ((0,), {1: TOO_LONG})
    assert (encoded.shortened, encoded.left_out) == (1, 1)
    assert max(encoded.lengths) == 90
    notes = encoded.notes([long, late, PAIR])
    assert any("row 9" in note and "beyond" in note for note in notes)
    assert any("row 4" in note and "shortened" in note for note in notes)
