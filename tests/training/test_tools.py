# ruff: noqa: E501  templates are read more easily with their lines whole
"""Rows that call tools: what the template writes of the calls is learned, what tools return is read."""

import json
import shutil

import pytest

from sails.data import Conversation, Turn
from sails.data.conversation import read_jsonl, write_jsonl
from sails.training.encoding import encoder_in
from sails.training.model_view import view_conversation
from sails.training.token_count import measure
from tests.support.templates import MANNERS
from tests.support.tiny import make_tiny_model

TOOL = {
    "type": "function",
    "function": {
        "name": "get_tide",
        "description": "When the <|im_end|> of the tide is.",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}},
    },
}


def call(port, **more):
    function = {"name": "get_tide", "arguments": {"port": port}}
    return {"tool_calls": [{"id": "call00001", "type": "function", "function": function}], **more}


def asks_once(port="Kiel", **extra):
    turns = (
        Turn("user", "When is high water?"),
        Turn("assistant", "", of_tools=call(port)),
        Turn("tool", '{"at": "9:40"}', of_tools={"tool_call_id": "call00001"}),
        Turn("assistant", "At 9:40."),
        Turn("user", "Thanks!"),
        Turn("assistant", "You are welcome."),
    )
    return Conversation(turns, {"tools": [TOOL], **extra}, 3)


# Our own templates, in the three manners that models write tools.
_TOOLS = "{% if tools %}{{ '<|im_start|>system\n' }}{% for tool in tools %}{{ tool | tojson + '\n' }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
_ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TAGGED = (
    _TOOLS
    + "{% for m in messages %}{% if m.role == 'tool' %}{{ '<|im_start|>user\n<result>' + m.content + '</result><|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content }}{% for call in m.tool_calls or [] %}"
    "{{ '\n<call>' + call.function | tojson + '</call>' }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    + _ASK
)
NAMED = (  # the arguments one by one
    _TOOLS
    + "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.tool_calls %}{% for call in m.tool_calls %}"
    "{{ call.function.name + '(' }}{% for key, value in call.function.arguments.items() %}{{ key + '=' + value }}{% endfor %}{{ ')' }}"
    "{% endfor %}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}" + _ASK
)
STRICT = TAGGED.replace(
    "{{ '\n<call>'",
    "{% if call.id | length != 9 %}{{ raise_exception('Ids have 9 letters') }}{% endif %}{{ '\n<call>'",
)
NO_RESULTS = TAGGED.replace("'<|im_start|>user\n<result>' + m.content", "'<|im_start|>user\n<result>'")
NO_ARGUMENTS = TAGGED.replace("call.function | tojson", "call.function.name")
NO_OFFER = TAGGED.removeprefix(_TOOLS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("made") / "model")


@pytest.fixture
def wearing(made, tmp_path):
    """What encodes for a model with this template."""

    def encoder(template):
        settings = json.loads((made / "tokenizer_config.json").read_text())
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
        shutil.copy(made / "tokenizer.json", tmp_path)
        found = encoder_in(tmp_path)
        assert found is not None
        return found

    return encoder


def learned(view):
    return [passage.text for one in view.examples for passage in one.passages if passage.learned]


def read(view):
    return "".join(passage.text for one in view.examples for passage in one.passages if not passage.learned)


END = "<|im_end|>"
WRITTEN = {
    "tagged": (TAGGED, '\n<call>{"name": "get_tide", "arguments": {"port": "Kiel"}}</call>'),
    "named": (NAMED, "get_tide(port=Kiel)"),
    "strict": (STRICT, '\n<call>{"name": "get_tide", "arguments": {"port": "Kiel"}}</call>'),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_calls_are_learned_as_the_template_writes_them_and_results_are_read(name, wearing):
    template, written = WRITTEN[name]
    view = view_conversation(asks_once(), wearing(template), 512)
    assert not view.notes
    assert len(view.examples) == 1
    assert learned(view) == [f"{written}{END}", f"At 9:40.{END}", f"You are welcome.{END}"]
    assert '{"at": "9:40"}' in read(view)
    assert "When the <|im_end|> of the tide is." in read(view)


def test_an_answer_may_say_something_and_call_or_be_read_only(wearing):
    encoder = wearing(TAGGED)
    turns = list(asks_once().turns)
    turns[1] = Turn("assistant", "I look.", of_tools=call("Kiel"))
    turns[3] = Turn("assistant", "At 9:40.", learned=False)
    view = view_conversation(Conversation(tuple(turns), {"tools": [TOOL]}), encoder, 512)
    first, last = learned(view)
    assert first.startswith("I look.\n<call>")
    assert last == f"You are welcome.{END}"
    assert "At 9:40." in read(view)


def test_a_conversation_may_end_with_a_call(wearing):
    row = Conversation(asks_once().turns[:2], {"tools": [TOOL]})
    (text,) = learned(view_conversation(row, wearing(TAGGED), 512))
    assert text.endswith(f"</call>{END}")


def test_signs_of_the_template_in_an_argument_are_plain_text(wearing):
    encoder = wearing(TAGGED)
    view = view_conversation(asks_once("a <|im_end|> b"), encoder, 512)
    assert "a <|im_end|> b" in learned(view)[0]
    assert len(learned(view)) == 3


LEAVES_OUT = {
    "results": NO_RESULTS,
    "arguments": NO_ARGUMENTS,
    "tools": NO_OFFER,
    **{name: manner.template for name, manner in MANNERS.items()},
}


@pytest.mark.parametrize("name", LEAVES_OUT)
def test_a_template_that_leaves_something_out_refuses_the_row_and_says_so(name, wearing):
    encoder = wearing(LEAVES_OUT[name])
    view = view_conversation(asks_once(), encoder, 512)
    assert view.examples == ()
    (note,) = view.notes
    assert note.startswith("⚠️ Left out: row 3. ")
    plain = Conversation(asks_once().turns[4:], {"tools": [TOOL]})  # nothing is called: tools are no matter
    assert len(learned(view_conversation(plain, encoder, 512))) == 1


def test_the_reason_of_a_template_is_told(wearing):
    row = asks_once()
    calls = call("Kiel")
    del calls["tool_calls"][0]["id"]
    turns = (row.turns[0], Turn("assistant", "", of_tools=calls), *row.turns[2:])
    (note,) = view_conversation(Conversation(turns, row.extra, 3), wearing(STRICT), 512).notes
    assert note.startswith("⚠️ Left out: row 3. The model's chat template refuses this conversation: ")


def test_tools_are_offered_where_none_is_called(wearing):
    plain = Conversation(asks_once().turns[4:], {"tools": json.dumps([TOOL["function"]])})
    view = view_conversation(plain, wearing(TAGGED), 512)
    assert "get_tide" in read(view)
    assert learned(view) == [f"You are welcome.{END}"]


def test_left_out_rows_are_counted_where_lengths_are_measured(made):
    lengths = measure([asks_once(), Conversation(asks_once().turns[4:])], made)
    assert list(lengths.refused) == [3]


def test_the_clean_form_keeps_calls_results_and_tools(tmp_path):
    rows = [asks_once(), Conversation(asks_once().turns[:2])]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    kept = read_jsonl(tmp_path / "rows.jsonl")
    assert kept == rows
    assert [row.messages() for row in kept] == [row.messages() for row in rows]
    assert kept[0].tools == [TOOL]
    assert (
        rows[1].fingerprint
        != Conversation(
            (rows[1].turns[0], Turn("assistant", "")),
        ).fingerprint
    )
    assert rows[1].output == '{"name": "get_tide", "arguments": {"port": "Kiel"}}'
