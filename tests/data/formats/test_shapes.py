"""Every shape that people have their conversations in: a small file each, and what is read of it.

The turns are written with a letter before them: S system, U user, A an answer that is learned, a one that is
read only. What the files lack is made in the tests: archives, Word documents, Arrow.
"""

import contextlib
import gzip
import io
import json
import random
import zipfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from sails.data.formats import archive
from sails.data.reading import parse as read
from sails.errors import AssistantNeededError, ConversationFileError

FILES = Path(__file__).parent / "shapes"


@dataclass(frozen=True)
class Shape:
    """A file, and what is to be read of it; `refuses` where it is refused whole."""

    file: str
    title: str
    conversations: dict[int, list[str]] = field(default_factory=dict)  # by row
    refused: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    assistant: str | None = None
    refuses: str = ""


def spoken(reading):
    """The turns of a reading, as `Shape` has them."""
    return {row.row: turns_of(row) for row in reading.conversations}


def turns_of(row):
    learned = iter(row.learned)
    letters = {"system": "S", "user": "U", "tool": "T"}
    return [f"{letters.get(turn.role) or ('A' if next(learned) else 'a')} {turn.said}" for turn in row.turns]


SHAPES = [
    # instructions beside the chat
    Shape(
        "system_beside_messages.jsonl",
        "`system` beside `messages`",
        {1: ["S Answer in rhyme.", "U Hi", "A Hi, I fly."], 2: ["S Be short.", "U Why?", "A So."]},
        notes=["Instructions that stand beside the turns became the system turn in 2 rows."],
    ),
    Shape(
        "system_beside_conversations.jsonl",
        "`system` beside `conversations`",
        {1: ["S Be polite.", "U Hi", "A Good day."]},
        notes=["Instructions that stand beside the turns became the system turn in 1 row."],
        unused=["id"],
    ),
    Shape(
        "system_beside_question.json",
        "`system_prompt` beside question and answer",
        {1: ["S You sell tea.", "U Is it green?", "A Yes, sencha."]},
        notes=["Instructions that stand beside the turns became the system turn in 1 row."],
    ),
    Shape(
        "alpaca_system_history.json",
        "Alpaca rows with `system` and `history`",
        {
            1: [
                "S You know animals.",
                "U What does a fox do?",
                "A It hunts.",
                "U In summer?",
                "A It sleeps.",
                "U And in winter?\n\nThink of snow.",
                "A It skis.",
            ],
            2: ["U Name a colour.", "A Blue."],
        },
        notes=[
            "Earlier turns were put before the question in 1 row.",
            "Instructions that stand beside the turns became the system turn in 1 row.",
            "A question is “instruction” followed by “input”.",
        ],
    ),
    Shape(
        "query_response_history.jsonl",
        "prompt and response with `system` and `history`",
        {1: ["S Be exact.", "U 2+2?", "A 4", "U And 3+3?", "A 6"]},
        notes=[
            "Earlier turns were put before the question in 1 row.",
            "Instructions that stand beside the turns became the system turn in 1 row.",
        ],
    ),
    Shape(
        "llama_factory_sharegpt.jsonl",
        "ShareGPT rows with `system` and `tools`",
        {1: ["S Be kind.", "U Hi", "A Hello"]},
        notes=["Instructions that stand beside the turns became the system turn in 1 row."],
    ),
    Shape(
        "bedrock.json",
        "`system` as parts, as Bedrock has it",
        {1: ["S You are a guide.", "U Where to?", "A To the lake."]},
        notes=["Instructions that stand beside the turns became the system turn in 1 row."],
        unused=["schemaVersion"],
    ),
    Shape(
        "system_twice.json",
        "`system` beside and inside the chat",
        {1: ["S Be brief.", "U Hi", "A Hello"]},
        notes=["Instructions that stand beside the turns became the system turn in 1 row."],
    ),
    Shape(
        "context_beside_question.json",
        "`context` beside question and answer",
        {1: ["U How tall is it?\n\nThe tower has 40 m.", "A 40 m."]},
        notes=["A question is “question” followed by “context”."],
    ),
    Shape(
        "instruction_beside_question.json",
        "`instruction` beside question and answer",
        {1: ["U Answer with one word.\n\nCapital of Peru?", "A Lima."]},
        notes=["A question is “instruction” followed by “question”."],
        unused=["topic"],
    ),
    Shape(
        "instruction_empty.json",
        "an empty instruction and an input",
        {1: ["U What is rain?", "A Water that falls."]},
        notes=["A question is “instruction” followed by “input”."],
    ),
    Shape(
        "context_beside_chat.json",
        "`context` beside a chat",
        {1: ["U How tall?\n\nThe tower has 40 m.", "A 40 m."]},
        notes=["A passage that stands beside a chat was put below its first question in 1 row."],
    ),
    Shape(
        "history.csv",
        "`history` in a table",
        {1: ["U Before?", "A No.", "U And now?", "A Yes."], 2: ["U When was it?", "A In May."]},
        notes=[
            "Earlier turns were put before the question in 1 row.",
            "A question is “instruction” followed by “input”.",
        ],
        unused=["history"],
    ),
    # read, not learned
    Shape(
        "weight_zero.jsonl",
        '`"weight": 0` at a turn',
        {1: ["U Hi", "a Hm, what?", "U Hello", "A Hello to you."]},
        notes=["Some answers are read and not learned in 1 row."],
    ),
    Shape(
        "train_false.jsonl",
        '`"train": false` at a turn',
        {1: ["U One?", "a No idea.", "U Two?", "A Yes, two."]},
        notes=["Some answers are read and not learned in 1 row."],
    ),
    Shape(
        "loss_false.jsonl",
        '`"loss": false` at a turn',
        {1: ["U One?", "a No idea.", "U Two?", "A Yes, two."]},
        notes=["Some answers are read and not learned in 1 row."],
    ),
    Shape(
        "answers_last.jsonl",
        '`"answers": "last"` in a row',
        {1: ["U A?", "a Perhaps.", "U B?", "A Surely."]},
        notes=["Some answers are read and not learned in 1 row."],
    ),
    Shape(
        "nothing_to_learn.jsonl",
        "rows with nothing to learn",
        {2: ["U Bye", "A Farewell"]},
        refused={1: "marks every answer as not to be learned"},
    ),
    Shape(
        "label_false.jsonl",
        '`"label": false` in a row',
        {2: ["U Is ice cold?", "A Yes, it is."]},
        refused={1: "is marked as not to be learned (“label” is false)"},
    ),
    Shape(
        "deleted_and_rated.json",
        "rows that are deleted or rated as bad",
        {3: ["U Three?", "A It is three."]},
        refused={
            1: "is marked as not to be learned (“deleted” is true)",
            2: "is marked as not to be learned (“rating” is bad)",
            4: "is marked as not to be learned (“feedback” is thumbs_down)",
        },
        unused=["rating"],
    ),
    Shape(
        "is_correct.json",
        "rows that are marked as wrong",
        {2: ["U 2+3?", "A 5"]},
        refused={1: "is marked as not to be learned (“is_correct” is false)"},
    ),
    Shape(
        "weight_of_a_row.jsonl",
        '`"weight": 0` in a row',
        {2: ["U Hi", "A Hello"]},
        refused={1: "is marked as not to be learned (“weight” is 0)"},
    ),
    Shape(
        "numbers_as_grades.json",
        "numbers that may be grades",
        {1: ["U Hi", "A Hm."], 2: ["U Hey", "A Hello!"]},
        notes=[
            "“rating” holds numbers that may grade the answers; they are not looked at. Leave out the rows that should not be taught."
        ],
        unused=["rating"],
    ),
    # turns in rows of their own
    Shape(
        "turns_by_conversation.csv",
        "turns with `conversation_id`",
        {1: ["U Hi", "A Hello", "U Bye", "A Farewell"], 3: ["U Why?", "A So."]},
        notes=["6 rows with one turn each became 2 conversations: those with the same “conversation_id”."],
    ),
    Shape(
        "turns_by_thread.jsonl",
        "turns with `thread`",
        {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]},
        notes=["4 rows with one turn each became 2 conversations: those with the same “thread”."],
    ),
    Shape(
        "turns_by_parent.json",
        "turns with `id` and `parent_id`",
        {1: ["U Hi", "A Hello", "U Bye", "A Farewell"], 3: ["U Why?", "A So."]},
        notes=[
            "6 rows with one turn each became 2 conversations: "
            "each turn follows the one that “parent_id” names."
        ],
        unused=["id"],
    ),
    Shape(
        "turns_in_order.csv",
        "turns with `dialog` and `turn`",
        {1: ["U Hi", "A Hello"], 3: ["U Why?", "A So."]},
        notes=["4 rows with one turn each became 2 conversations: those with the same “dialog”."],
    ),
    Shape(
        "oasst_messages.jsonl",
        "messages of Open Assistant",
        {1: ["U What is tin?", "A A metal."], 5: ["U And zinc?", "A A metal too."]},
        notes=[
            "6 rows with one turn each became 2 conversations: "
            "each turn follows the one that “parent_id” names; of several replies the best is taken, by “rank”.",
        ],
        unused=["message_id"],
    ),
    Shape(
        "rows_that_reply.csv",
        "question and answer with `id` and `parent_id`",
        {
            1: ["U Tea?", "A Yes."],
            2: ["U Tea?", "a Yes.", "U Green?", "A Green too."],
            3: ["U Bread?", "A No."],
            4: ["U Tea?", "a Yes.", "U Green?", "a Green too.", "U How much?", "A A cup."],
        },
        notes=[
            "Rows follow those that they reply to, by “parent_id”.",
            "Some answers are read and not learned in 2 rows.",
            "Earlier turns were put before the question in 2 rows.",
        ],
        unused=["id", "parent_id"],
    ),
    Shape(
        "rows_in_turns.jsonl",
        "question and answer with `dialog_id` and `turn`",
        {
            1: ["U Tea?", "A Yes.", "U Green?", "A Green too."],
            3: ["U Bread?", "A No."],
        },
        notes=[
            "3 rows of question and answer became 2 conversations: those with the same “dialog_id”.",
        ],
    ),
    Shape(
        "flat_chat.json",
        "one chat as a list of turns",
        {1: ["S Be brief.", "U Hi", "A Hello", "U Why?", "A So."]},
        notes=["5 rows with one turn each became 1 conversation: no column says where one ends."],
    ),
    Shape(
        "flat_chat.csv",
        "one chat as a table of turns",
        {1: ["U Hi", "A Hello", "U Why?", "A So."]},
        notes=["4 rows with one turn each became 1 conversation: no column says where one ends."],
    ),
    Shape(
        "flat_mixed.json",
        "turns of several chats without a key",
        refuses="{file} has one turn in each row, and no column says which turns belong to one conversation.",
    ),
    Shape(
        "flat_mixed.csv",
        "a table of turns of several chats without a key",
        refuses="{file} has one turn in each row, and no column says which turns belong to one conversation.",
    ),
    Shape(
        "transcript.csv",
        "a transcript with names",
        {1: ["U Hi", "A Hello", "U Why?", "A So."]},
        notes=["4 rows with one turn each became 1 conversation: no column says where one ends."],
        assistant="Beta",
    ),
    Shape("speaker_text.json", "turns with `speaker` and `text`", {1: ["U Hi", "A Hello"]}),
    Shape(
        "role_is_no_speaker.json",
        "a column `role` beside question and answer",
        {1: ["U Dose?", "A Two drops."], 2: ["U Salt?", "A A pinch."]},
        unused=["role"],
    ),
    Shape(
        "one_speaker.json",
        "turns of one speaker",
        refuses="{file} has one turn in each row, and no column says which turns belong to one conversation.",
    ),
    Shape(
        "unknown_role.json",
        "an unknown role",
        refuses="No conversation in {file} can be used; row 1: turn 1 has the unknown role “narrator”.",
    ),
    # several things at once
    Shape(
        "two_lists.json",
        "two lists of rows in one object",
        refuses="{file} holds several lists of rows: “train”, “test”.",
    ),
    Shape(
        "two_chats.json",
        "two chats in one row",
        refuses="No conversation in {file} can be used; row 1: holds several lists of turns, “messages” and “conversations”; keep one of them.",
    ),
    Shape(
        "arena.json",
        "two chats, of which one is better",
        refuses="No conversation in {file} can be used; row 1: holds several lists of turns, “conversation_a” and “conversation_b”; keep one of them.",
    ),
    Shape(
        "two_answers.json",
        "two answers, of which one is better",
        refuses="{file} has the columns “prompt”, “response_a”, “response_b”, “winner”; it needs one for the question and one for the answer, such as “input” and “output”.",
    ),
    Shape(
        "choices_index.jsonl",
        "choices, and the number of one as the answer",
        refuses="No conversation in {file} can be used; row 1: the answer is only “1”, one of the choices; write its text.",
    ),
    Shape(
        "choices_letter.jsonl",
        "a list of choices, and a letter as the answer",
        refuses="No conversation in {file} can be used; row 1: the answer is only “B”, one of the choices; write its text.",
    ),
    Shape(
        "choices_named.json",
        "choices with letters, and a letter as the answer",
        {1: ["U Which is a fruit?\n\nA) stone\nB) apple", "A B"]},
        notes=["The choices were put below the question in 1 row."],
    ),
    Shape(
        "choices_text.json",
        "choices, and the text of one as the answer",
        {1: ["U Which is a fruit?\n\n- stone\n- apple", "A apple"]},
        notes=["The choices were put below the question in 1 row."],
    ),
    Shape(
        "choices_columns.csv",
        "columns A, B, C, and a letter as the answer",
        {1: ["U Which is a fruit?\n\nA) stone\nB) apple\nC) iron", "A B"]},
        notes=["The choices were put below the question in 1 row."],
    ),
    Shape(
        "name_twice.json",
        "one name twice in an object",
        refuses="In {file}, “output” stands twice in one object, with different values.",
    ),
    # texts
    Shape(
        "indent.json",
        "indented answers and empty lines",
        {
            1: ["U Write the body.", "A     return 1"],
            2: ["U Write both.", "A     a = 1\n    b = 2"],
            3: ["U Blank lines?", "A One.\n\n\nTwo."],
        },
    ),
    Shape("text_parts.jsonl", "messages of several parts", {1: ["U Hello", "A Hi there"]}),
    Shape(
        "reasoning.jsonl",
        "thoughts beside the answers",
        {1: ["U 2+2?", "A 4"], 2: ["U 3+3?", "A 6"]},
        notes=["Thoughts (reasoning) were left out; the answers are taught in 2 rows."],
    ),
    Shape(
        "signs_in_a_question.json",
        "signs of a chat in question and answer",
        {1: ["U What is <|im_start|>?", "A A sign.\nUser: it begins a turn.\nAssistant: as here."]},
    ),
    Shape(
        "tool_calls.jsonl",
        "rows that call tools",
        {1: ["U Weather?", 'A {"name": "w", "arguments": {}}', "T sun", "A Sun."], 2: ["U Hi", "A Hello"]},
        notes=["Tools are called, which models learn whose chat template can write it, in 1 row."],
    ),
    Shape(
        "roles_of_tools.jsonl",
        "roles of tools",
        {
            2: ["U Hi", "A Hello"],
            3: ["U Sun?", 'A {"name": "sky", "arguments": {"at": "noon"}}', "T sun", "A Sun."],
        },
        refused={1: "calls a tool in a way that cannot be taught"},
        notes=[
            "Tools are called, which models learn whose chat template can write it, in 1 row.",
            "Tools are called in a way that cannot be taught; refused in 1 row.",
        ],
    ),
    # turns out of order
    Shape(
        "greeting_first.jsonl",
        "the assistant greets first",
        {1: ["U Hi", "A Hello"]},
        notes=["What the assistant said before any question was left out in 1 row."],
    ),
    Shape(
        "same_role_twice.jsonl",
        "two turns of one role",
        {1: ["U Hi\n\nAre you there?", "A Yes.\n\nI am here."]},
        notes=["Turns of one speaker that follow each other were joined in 1 row."],
    ),
    Shape(
        "system_in_the_middle.jsonl",
        "a system turn in the middle",
        {1: ["U Hi", "A Hello", "U Speak French.\n\nBye", "A Au revoir"]},
        notes=["A system turn in the middle was joined to the question beside it in 1 row."],
    ),
    Shape(
        "question_last.jsonl",
        "a question without an answer at the end",
        {1: ["U Hi", "A Hello"]},
        notes=["A last turn without an answer was left out in 1 row."],
    ),
    Shape(
        "system_last.jsonl",
        "a system turn at the end",
        {1: ["U Hi", "A Hello"]},
        notes=["A last turn without an answer was left out in 1 row."],
    ),
    # exports
    Shape(
        "chatgpt_export.json",
        "an export of ChatGPT",
        {1: ["U What is tin?", "A A metal.\n\n- soft\n- silvery", "U And zinc?", "A Another one."]},
        notes=[
            "Thoughts (reasoning) were left out; the answers are taught in 1 row.",
            "Of several replies the best or latest was taken, and what follows it in 1 row.",
        ],
        unused=["title", "create_time", "conversation_id"],
    ),
    Shape(
        "claude_export.json",
        "an export of Claude",
        {1: ["U What is tin?", "A A metal."]},
        notes=["Thoughts (reasoning) were left out; the answers are taught in 1 row."],
        unused=["uuid", "name", "created_at"],
    ),
    Shape(
        "vertex.jsonl",
        "`contents` with `parts`, as Gemini and Vertex AI have them",
        {1: ["S Be brief.", "U Hi", "A Hello"]},
        notes=["Instructions that stand beside the turns became the system turn in 1 row."],
    ),
    Shape(
        "oasst_tree.jsonl",
        "trees of Open Assistant",
        {1: ["U What is tin?", "A A metal.", "U And zinc?", "A Another one."]},
        notes=["Of several replies the best or latest was taken, and what follows it in 1 row."],
        unused=["message_tree_id", "tree_state"],
    ),
    Shape(
        "whatsapp.txt",
        "WhatsApp (Android)",
        {2: ["U Hi\nAre you open?", "A Yes,\nuntil midnight."], 7: ["U And today?", "A From ten on."]},
        notes=[
            "A chat of WhatsApp. Messages of one person that follow each other are one turn.",
            "Each day is a conversation of its own, except where an answer came later.",
            "Left out: 2 messages without a person's text (pictures, joins, deleted ones).",
        ],
        assistant="Tea Shop",
    ),
    Shape(
        "whatsapp_ios.txt",
        "WhatsApp (iPhone)",
        {2: ["U Offen?", "A Ja: bis zwölf."]},
        notes=[
            "A chat of WhatsApp. Messages of one person that follow each other are one turn.",
            "Each day is a conversation of its own, except where an answer came later.",
            "Left out: 2 messages without a person's text (pictures, joins, deleted ones).",
        ],
        assistant="tea shop",
    ),
    Shape(
        "telegram.json",
        "Telegram",
        {2: ["U Open?", "A Yes, see our page."]},
        notes=[
            "A chat of Telegram. Messages of one person that follow each other are one turn.",
            "Each day is a conversation of its own, except where an answer came later.",
            "Left out: 2 messages without a person's text (pictures, joins, deleted ones).",
        ],
        assistant="Tea Shop",
    ),
    Shape(
        "discord.json",
        "Discord",
        {2: ["U Open?", "A Yes."]},
        notes=[
            "A chat of Discord. Messages of one person that follow each other are one turn.",
            "Each day is a conversation of its own, except where an answer came later.",
            "Left out: 1 message without a person's text (pictures, joins, deleted ones).",
        ],
        assistant="teabot",
    ),
    Shape(
        "slack_channel.json",
        "a channel of Slack",
        {2: ["U Open & warm?", "A Yes, see our page"], 4: ["U Tea?", "A Green."]},
        notes=[
            "A chat of Slack. Messages of one person that follow each other are one turn.",
            "Each day is a conversation of its own, except where an answer came later.",
            "Left out: 1 message without a person's text (pictures, joins, deleted ones).",
        ],
        assistant="teabot",
    ),
    Shape(
        "messenger.json",
        "Messenger and Instagram",
        {3: ["U Tea?", "A Grün."]},
        notes=[
            "A chat of Messenger or Instagram. Messages of one person that follow each other are one turn.",
            "Each day is a conversation of its own, except where an answer came later.",
            "Left out: 1 message without a person's text (pictures, joins, deleted ones).",
        ],
        assistant="Shop",
    ),
    Shape("langchain.jsonl", "messages of LangChain", {1: ["S Be brief.", "U Hi", "A Hello"]}),
    Shape("chat_inside.json", "a chat inside of a chat record", {1: ["U Hi", "A Hello"]}, unused=["id"]),
    # datasets
    Shape(
        "trl_messages.jsonl",
        "`prompt` and `completion` as lists of messages",
        {1: ["S Be brief.", "U Hi", "A Hello"], 2: ["U Why?", "A So."]},
    ),
    Shape("trl_strings.jsonl", "`prompt` and `completion` as texts", {1: ["U The sky is", "A blue."]}),
    Shape(
        "prompt_of_human.jsonl",
        "a prompt that begins a chat in a text",
        {1: ["U Hi", "A Hello"]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "preference.jsonl",
        "`chosen` and `rejected`",
        {1: ["U Tea?", "A Yes, please."]},
        notes=["The preferred answer was taken; the rejected one is not taught in 1 row."],
        unused=["rejected"],
    ),
    Shape(
        "preference_messages.jsonl",
        "`chosen` and `rejected` as whole chats",
        {1: ["U Tea?", "A Yes, please."]},
        notes=["The preferred answer was taken; the rejected one is not taught in 1 row."],
        unused=["rejected"],
    ),
    Shape(
        "preference_hh.jsonl",
        "`chosen` and `rejected` as chats in one text",
        {1: ["U Hi", "A Hello", "U Tea?", "A Yes, please."]},
        notes=["The preferred answer was taken; the rejected one is not taught in 1 row."],
        unused=["rejected"],
    ),
    Shape(
        "preference_sharegpt.json",
        "`chosen` and `rejected` as turns",
        {1: ["U Tea?", "A Yes, please."]},
        notes=["The preferred answer was taken; the rejected one is not taught in 1 row."],
        unused=["rejected"],
    ),
    Shape(
        "preferred_output.jsonl",
        "`preferred_output`, as OpenAI has it",
        {1: ["U Tea?", "A Yes, please."]},
        notes=["The preferred answer was taken; the rejected one is not taught in 1 row."],
        unused=["non_preferred_output"],
    ),
    Shape("roles_in_pairs.json", "turns as pairs of role and text", {1: ["U Hi", "A Hello"]}),
    Shape(
        "pairs_in_a_chat.json",
        "a chat as pairs of question and answer",
        {1: ["U Hi", "A Hello", "U Why?", "A So."], 2: ["U Tea?", "A Yes."]},
        notes=["Texts without a speaker were taken as user and assistant by turns in 2 rows."],
        unused=["id"],
    ),
    Shape(
        "human_assistant.json",
        "`conversation` of `human` and `assistant`",
        {1: ["U Hi", "A Hello", "U Why?", "A So."], 2: ["U Tea?", "A Yes."]},
        unused=["conversation_id", "category"],
    ),
    Shape(
        "ultrachat.jsonl",
        "`data` as a list of texts",
        {1: ["U Hi", "A Hello", "U Why?", "A So."], 2: ["U Tea?", "A Yes."]},
        notes=["Texts without a speaker were taken as user and assistant by turns in 2 rows."],
        unused=["id"],
    ),
    Shape(
        "squad.json",
        "SQuAD",
        {1: ["U How tall?\n\nThe tower has 40 m.", "A 40 m"]},
        refused={2: "has no answer: the file marks the question as one that cannot be answered"},
        notes=["A question is “question” followed by “context”."],
    ),
    Shape(
        "squad_rows.jsonl",
        "SQuAD as rows",
        {1: ["U How tall?\n\nThe tower has 40 m.", "A 40 m"]},
        refused={2: "has no answer: the file marks the question as one that cannot be answered"},
        notes=["A question is “question” followed by “context”."],
        unused=["id"],
    ),
    # a chat in one text
    Shape(
        "text_chatml.jsonl",
        "`text` with ChatML",
        {1: ["S Be brief.", "U Hi", "A Hello"]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_llama2.jsonl",
        "`text` as Llama 2 has it",
        {1: ["S Be brief.", "U Hi", "A Hello", "U Why?", "A So."]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_mistral.jsonl",
        "`text` as Mistral has it",
        {1: ["U Hi", "A Hello", "U Why?", "A So."]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_llama3.jsonl",
        "`text` as Llama 3 has it",
        {1: ["S Be brief.", "U Hi", "A Hello"]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_gemma.jsonl",
        "`text` as Gemma has it",
        {1: ["U Hi", "A Hello"]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_zephyr.jsonl",
        "`text` as Zephyr has it",
        {1: ["S Be brief.", "U Hi", "A Hello"]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_hashes.jsonl",
        "`text` with `### Human:`",
        {1: ["U Hi", "A Hello", "U Why?", "A So."]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_human.jsonl",
        "`text` with `Human:`",
        {1: ["U Hi", "A Hello", "U Why?", "A So.\n\nReally."]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_vicuna.jsonl",
        "`text` with `USER:` and `ASSISTANT:`",
        {1: ["S A talk with a helper.", "U Hi", "A Hello", "U Why?", "A So."]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
    ),
    Shape(
        "text_alpaca.jsonl",
        "`text` with `### Instruction:`",
        {1: ["U Add.\n\n2 and 2", "A 4"]},
        notes=[
            "Turns of one speaker that follow each other were joined in 1 row.",
            "The turns were told apart by the signs of a chat inside the text in 1 row.",
        ],
    ),
    Shape(
        "text_plain.jsonl",
        "`text` without a chat",
        refuses="{file} has the columns “text”; it needs one for the question and one for the answer, such as “input” and “output”.",
    ),
    Shape(
        "chat_in_one_string.json",
        "a chat in one text",
        {1: ["U Hi", "A Hello", "U Why?", "A So.\n\nReally."]},
        notes=["The turns were told apart by the signs of a chat inside the text in 1 row."],
        unused=["id"],
    ),
    Shape(
        "python_list.csv",
        "lists in a CSV as Python prints them",
        {2: ["U It's late?", "A Yes, go."]},
        refused={1: "turn 2 is empty"},
        unused=["id"],
    ),
    # ways to write rows
    Shape(
        "question_answer_object.json",
        "an object of questions and answers",
        {1: ["U What is tin?", "A A metal."], 2: ["U What is rain?", "A Water that falls."]},
        notes=["Each name in the file was read as a question, and what stands there as its answer."],
    ),
    Shape(
        "questions_one_by_one.json",
        "objects of one question and its answer",
        {1: ["U What is tin?", "A A metal."], 2: ["U What is rain?", "A Water that falls."]},
    ),
    Shape(
        "settings_object.json",
        "an object of settings",
        refuses="{file} has the columns “name”, “version”, “license”; it needs one for the question and one for the answer, such as “input” and “output”.",
    ),
    Shape("pairs.json", "a list of pairs", {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]}),
    Shape(
        "pairs_with_names.json",
        "a list of pairs below their names",
        {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]},
    ),
    Shape(
        "cells_without_names.json",
        "a list of cells without names",
        refuses="{file} is a list of rows with 3 cells each, without names.",
    ),
    Shape("dict_of_lists.json", "an object of lists", {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]}),
    Shape(
        "dict_of_uneven_lists.json",
        "an object of lists of different lengths",
        refuses="The lists in {file} are of different lengths: “question” 2, “answer” 1.",
    ),
    Shape("pandas_columns.json", "pandas, `columns`", {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]}),
    Shape("pandas_index.json", "pandas, `index`", {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]}),
    Shape("pandas_split.json", "pandas, `split`", {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]}),
    Shape(
        "pandas_table.json",
        "pandas, `table`",
        {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]},
        notes=["The conversations were taken from the list “data”."],
        unused=["index"],
    ),
    Shape(
        "messages_of_columns.jsonl", "`messages` as columns of lists", {1: ["S Be brief.", "U Hi", "A Hello"]}
    ),
    Shape("role_content_lists.jsonl", "`role` and `content` as lists", {1: ["U Hi", "A Hello"]}),
    Shape(
        "after_each_other.json",
        "objects after each other",
        {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]},
        notes=["The file holds 2 objects after each other."],
    ),
    Shape(
        "after_each_other_in_a_line.json",
        "objects after each other in a line",
        {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]},
        notes=["The file holds 2 objects after each other."],
    ),
    Shape(
        "comments.json",
        "JSON with comments and trailing commas",
        {1: ["U Hi", "A Hello"], 2: ["U See http://a/b?", "A So."]},
    ),
    Shape("no_quotation_marks.json5", "JSON5", {1: ["U Hi", "A Hello"]}),
    Shape(
        "one_line_with_list.jsonl",
        "one line of JSON Lines that holds a list",
        {1: ["U Hi", "A Hello"]},
        unused=["sources"],
    ),
    Shape("rows.yaml", "rows in YAML", {1: ["U Is it on?", "A yes"], 2: ["U Which version?", "A 1.10"]}),
    # bots
    Shape(
        "intents.json",
        "intents with patterns and responses",
        {1: ["U Hi", "A Hello!"], 2: ["U Hey", "A Welcome!"], 3: ["U Good day", "A Hello!"]},
        notes=[
            "Each pattern of an intent was paired with one of its responses, in turn.",
            "Not used: 1 response of “none”, which has too few patterns.",
        ],
        unused=["tag"],
    ),
    Shape(
        "chatterbot.yml",
        "ChatterBot",
        {1: ["U Is tea hot?", "A Yes"], 2: ["U Is it 1.0 l?", "A No", "U Why?", "A So."]},
    ),
    Shape(
        "rasa.yml",
        "Rasa",
        {
            1: ["U hi", "A Good day.", "U is tea hot?", "A Yes, hot."],
            2: ["U hello Bot", "A Good day.", "U is tea hot?", "A Yes, hot."],
            3: ["U hi", "A Good day."],
            4: ["U hello Bot", "A Good day."],
        },
        notes=[
            "Each example of an intent became a conversation; of several responses they got one, in turn."
        ],
    ),
    Shape(
        "rasa_nlu.yml", "a part of a Rasa bot", refuses="{file} is a part of a Rasa bot, without responses."
    ),
    # texts
    Shape(
        "questions.txt",
        "text with `Q:` and `A:`",
        {
            3: ["U What is tin?", "A A metal.\n\n- soft\n- silvery"],
            9: ["U What is rain?", "A Water that falls."],
        },
        notes=[
            "Each question with its answer was read as a conversation of its own.",
            "The text before the first question was left out: “Frequently asked”.",
        ],
    ),
    Shape(
        "fragen.txt",
        "text with `Frage:` and `Antwort:`",
        {1: ["U Was ist Zinn?", "A Ein Metall."], 4: ["U Was ist Regen?", "A Wasser."]},
        notes=["Each question with its answer was read as a conversation of its own."],
    ),
    Shape(
        "chats.txt",
        "text with `User:` and `Assistant:`",
        {1: ["U Hi", "A Hello", "U Why?", "A So."], 8: ["U Tea?", "A Yes."]},
        notes=["Names before a colon tell who speaks; a ruler or two empty lines begin a new conversation."],
    ),
    Shape(
        "agent_first.txt",
        "text with `Agent:` and `Customer:`",
        {1: ["U Hi", "A Hello", "U Tea?", "A Green."]},
        notes=[
            "Names before a colon tell who speaks; a ruler or two empty lines begin a new conversation.",
            "What the assistant said before any question was left out in 1 row.",
        ],
    ),
    Shape(
        "transcript.txt",
        "text with names",
        {1: ["U Open?", "A Yes,\nuntil midnight.", "U And now?", "A Now too."]},
        notes=["Names before a colon tell who speaks. What one says in a row is one turn."],
        assistant="Shop",
    ),
    Shape(
        "copied_chat.txt",
        "text copied from ChatGPT",
        {1: ["U Hi there", "A Hello!\n\nHow are you?", "U Fine", "A Good."]},
        notes=["Names before a colon tell who speaks; a ruler or two empty lines begin a new conversation."],
    ),
    Shape(
        "chatml.txt",
        "text with ChatML",
        {1: ["S Be brief.", "U Hi", "A Hello"], 2: ["S Be brief.", "U Why?", "A So."]},
    ),
    Shape(
        "questions.md",
        "Markdown with `Q:` and `A:`",
        {3: ["U What is tin?", "A A metal."], 7: ["U What is rain?", "A Water that falls."]},
        notes=[
            "Each question with its answer was read as a conversation of its own.",
            "The text before the first question was left out: “# Help”.",
        ],
    ),
    Shape(
        "headings.md",
        "Markdown with questions as headings",
        {
            3: ["U What is tin?", "A A metal.\n\n```\n# not a heading?\n```"],
            11: ["U What is rain?", "A Water that falls.\n\n### More\n\nIt is wet."],
        },
        notes=["Each heading that asks was read as a question, and the text below it as its answer."],
    ),
    Shape(
        "table.md",
        "Markdown with a table",
        {1: ["U What is tin?", "A A metal."], 2: ["U What is rain?", "A Water | ice."]},
        notes=["The text beside the table was not read."],
    ),
    Shape(
        "notes.md",
        "Markdown without questions",
        refuses="{file} is a text without questions and answers that can be told apart.",
    ),
    Shape(
        "prose.txt",
        "text without questions",
        refuses="{file} is a text without questions and answers that can be told apart.",
    ),
    # names and marks in other words
    Shape(
        "marks_on_turns.jsonl",
        "answers that are hidden, not approved or of no weight",
        {
            **{row: ["U Hi", "a Draft", "U Why?", "A So."] for row in range(1, 6)},
            6: ["U Hi", "A Draft", "U Why?", "A So."],
        },
        notes=[
            "Some answers are read and not learned in 5 rows.",
            "Weights other than 0 and 1 were read as 1 in 1 row.",
        ],
    ),
    Shape(
        "names_of_roles.jsonl",
        "speakers called in other words and languages",
        {row: ["U Hi", "A Hello"] for row in range(1, 5)},
        notes=[
            "Speakers who are not called user and assistant were taken as such by their names in 4 rows.",
        ],
    ),
    Shape(
        "one_known_name.json",
        "turns of a bot and a person under their name",
        {1: ["U Hi", "A Hello"]},
        notes=[
            "3 rows with one turn each became 1 conversation: no column says where one ends.",
            "What the assistant said before any question was left out in 1 row.",
        ],
        assistant="bot",
    ),
    Shape(
        "support_by_ticket.csv",
        "tickets with one name for those who answer",
        {1: ["U Hi", "A Hello"], 3: ["U Why?", "A So."]},
        notes=["4 rows with one turn each became 2 conversations: those with the same “ticket_id”."],
        assistant="Support",
    ),
    Shape(
        "chats_by_id.json",
        "an object with a chat for each id",
        {1: ["U Hi", "A Draft"], 2: ["U Hi", "A Draft", "U Why?", "A So."]},
    ),
    Shape(
        "claude_pasted.json",
        "an export of Claude with a pasted text and a picture",
        {1: ["U What is this?\n\nRain falls.", "A A sentence."]},
        notes=["Attached files were not read in 1 row."],
        unused=["uuid"],
    ),
    Shape(
        "chatgpt_not_kept.json",
        "an export of ChatGPT with an answer that was not kept",
        {1: ["U Hi", "A Hello"]},
    ),
    Shape(
        "headings_nested.md",
        "Markdown with questions as headings below others",
        {7: ["U When does it open?", "A At ten."], 11: ["U Is it open on Sunday?", "A No."]},
        notes=[
            "Each heading that asks was read as a question, and the text below it as its answer.",
            "What stands below headings that ask nothing was left out: “Shop”, “Contact”.",
        ],
    ),
    Shape("json_called_csv.csv", "JSON that is called .csv", {1: ["U Hi", "A Hello"]}),
    Shape(
        "picture.jsonl",
        "a chat with a picture",
        refuses="No conversation in {file} can be used; row 1: turn 1 holds something that is not text (“image”).",
    ),
    Shape(
        "texts_and_speakers.jsonl",
        "a list of texts beside the list of their speakers",
        refuses="No conversation in {file} can be used; row 1: holds several lists of texts, “dialog” and "
        "“speakers”; keep one, with its speakers.",
    ),
    Shape(
        "question_beside_its_chat.jsonl",
        "`instruction` and `response` beside the chat that they are taken from",
        {1: ["U Hi", "A Hello"]},
        unused=["instruction", "response"],
    ),
    Shape(
        "sender_type.csv",
        "turns with `sender_type`",
        {1: ["U Hi", "A Hello"]},
        notes=[
            "2 rows with one turn each became 1 conversation: those with the same “conversation”.",
        ],
        unused=["message_id"],
    ),
    # other kinds
    Shape(
        "compose.yml",
        "YAML of another kind",
        refuses="{file} is a YAML file of another kind, without conversations.",
    ),
    Shape(
        "aliases.yml",
        "YAML that refers to itself",
        refuses="{file} refers to parts of itself (with *), which is not read.",
    ),
    Shape("page.html", "a web page", refuses="{file} is a web page (.html)."),
    Shape("letter.rtf", "rich text", refuses="{file} is a rich text file (.rtf)."),
    Shape("document.pdf", "a PDF", refuses="{file} is a PDF."),
    Shape("subtitles.srt", "subtitles", refuses="{file} is a file of subtitles."),
]


def test_every_file_has_its_entry():
    assert sorted(shape.file for shape in SHAPES) == sorted(path.name for path in FILES.iterdir())
    assert len({shape.title for shape in SHAPES}) == len(SHAPES)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.file)
def test_every_shape_is_read_whole_or_refused_with_a_reason(shape):
    path = FILES / shape.file
    if shape.refuses:
        with pytest.raises(ConversationFileError) as refused:
            read(path, assistant=shape.assistant)
        assert str(refused.value) == shape.refuses.format(file=shape.file)
        assert refused.value.remedy
        return
    reading = read(path, assistant=shape.assistant)
    assert spoken(reading) == shape.conversations
    assert {refusal.row: refusal.reason for refusal in reading.refused} == shape.refused
    assert list(reading.notes) == shape.notes
    assert list(reading.unused) == shape.unused


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.assistant], ids=lambda shape: shape.file)
def test_a_chat_between_people_asks_who_is_the_assistant(shape):
    with pytest.raises(AssistantNeededError) as needed:
        read(FILES / shape.file)
    assert shape.assistant.casefold() in [person.casefold() for person in needed.value.people]
    assert all(f"“{person}”" in str(needed.value) for person in needed.value.people)
    assert "--assistant" in needed.value.remedy
    with pytest.raises(AssistantNeededError, match="no “Nobody”"):
        read(FILES / shape.file, assistant="Nobody")


# ---- what is made here: archives, Word, Arrow ----------------------------------------------------

ROWS = '{"input": "Hi", "output": "Hello"}\n{"input": "Why?", "output": "So."}\n'
READ = {1: ["U Hi", "A Hello"], 2: ["U Why?", "A So."]}


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, written in files.items():
            file.writestr(name, written if isinstance(written, str | bytes) else json.dumps(written))
    return content.getvalue()


def file(name):
    return (FILES / name).read_bytes()


def test_compressed_files_are_expanded():
    assert spoken(read("rows.jsonl.gz", content=gzip.compress(ROWS.encode()))) == READ
    content = gzip.compress(json.dumps([{"question": "Hi", "answer": "Hello"}]).encode())
    assert spoken(read("rows.json.gz", content=content)) == {1: READ[1]}
    assert spoken(read("rows.csv.gz", content=gzip.compress(b"question,answer\nHi,Hello\n"))) == {1: READ[1]}


def test_the_files_of_an_archive_are_read_one_after_another():
    files = {
        "more/rows.jsonl": ROWS,
        "table.csv": "question,answer,topic\nTea?,Yes.,tea\n,\nIce?,\n",
        "README.md": "# About the rows",
        "picture.png": b"\x89PNG",
        "__MACOSX/._rows.jsonl": b"\x00",
    }
    reading = read("rows.zip", content=zipped(files))
    assert spoken(reading) == READ | {3: ["U Tea?", "A Yes."]}
    assert [refusal.row for refusal in reading.refused] == [5]
    assert reading.unused == ("topic",)
    notes = " ".join(reading.notes)
    assert "“more/rows.jsonl” is rows 1 to 2." in notes
    assert "“table.csv” is rows 3 to 5." in notes
    assert "Not read of the archive: 1 file (“picture.png”)." in notes


def test_what_is_kept_to_test_with_is_not_taught():
    reading = read("rows.zip", content=zipped({"data/train.jsonl": ROWS, "data/test.jsonl": ROWS * 3}))
    assert spoken(reading) == READ
    assert "“data/test.jsonl” is there to test with, and was not read." in reading.notes


@pytest.mark.parametrize(
    ("files", "assistant", "conversations"),
    [
        (
            {
                "conversations.json": file("chatgpt_export.json"),
                "chat.html": "<html>",
                "user.json": {"id": 1},
            },
            None,
            {1: ["U What is tin?", "A A metal.\n\n- soft\n- silvery", "U And zinc?", "A Another one."]},
        ),
        (
            {"_chat.txt": file("whatsapp_ios.txt"), "00001.jpg": b"\xff\xd8\xff"},
            "Tea Shop",
            {2: ["U Offen?", "A Ja: bis zwölf."]},
        ),
        (
            {
                "users.json": [
                    {"id": "U1", "name": "v", "profile": {"display_name": "visitor"}},
                    {"id": "U2", "name": "t", "profile": {"display_name": "", "real_name": "helper"}},
                ],
                "channels.json": [{"id": "C1", "name": "help"}],
                "help/2026-01-01.json": file("slack_channel.json"),
            },
            "helper",
            {2: ["U Open & warm?", "A Yes, see our page"], 4: ["U Tea?", "A Green."]},
        ),
        (
            {
                "data/nlu.yml": "nlu:\n- intent: greet\n  examples: |\n    - hi\n    - hey\n",
                "domain.yml": "intents: [greet]\nresponses:\n  utter_greet:\n  - text: Hello.\n",
                "data/rules.yml": "rules:\n- rule: x\n  steps:\n  - intent: greet\n  - action: utter_greet\n",
                "config.yml": "language: en\n",
            },
            None,
            {1: ["U hi", "A Hello."], 2: ["U hey", "A Hello."]},
        ),
    ],
    ids=["ChatGPT", "WhatsApp", "Slack", "Rasa"],
)
def test_archives_that_programs_export_are_read(files, assistant, conversations):
    assert spoken(read("export.zip", content=zipped(files), assistant=assistant)) == conversations


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.zip", zipped({}), "It is empty"),
        ("rows.zip", zipped({"a.png": b"\x89PNG", "b.pdf": "%PDF-1.7"}), "“a.png”, “b.pdf”"),
        ("rows.zip", zipped({"rows.zip": zipped({"rows.jsonl": ROWS})}), "inside another one"),
        ("rows.zip", b"PK\x03\x04 and no more", "a damaged archive"),
        ("rows.jsonl.gz", b"\x1f\x8b\x08", "compressed file"),
        (
            "rows.ods",
            zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}),
            "OpenDocument spreadsheet",
        ),
        ("text.odt", zipped({"mimetype": "application/vnd.oasis.opendocument.text"}), "OpenDocument text"),
        ("book.epub", zipped({"mimetype": "application/epub+zip"}), "an e-book"),
        ("talk.pptx", zipped({"[Content_Types].xml": "", "ppt/presentation.xml": ""}), "a presentation"),
        ("cards.apkg", zipped({"collection.anki2": "SQLite format 3"}), "a deck of Anki"),
        ("rows.numbers", zipped({"Index/Document.iwa": b"x"}), "Apple's Numbers"),
        ("rows.docx", zipped({"[Content_Types].xml": "", "word/document.xml": "<w/>"}), "a Word document"),
        ("text.doc", b"\xd0\xcf\x11\xe0" + bytes(600), "an old Word file"),
        ("rows.db", b"SQLite format 3\x00" + bytes(600), "a database"),
        ("talk.mp4", b"\x00\x00\x00\x20ftypisom" + bytes(600), "a recording"),
        ("model.gguf", b"GGUF" + bytes(600), "a file of a model"),
        ("rows.7z", b"7z\xbc\xaf" + bytes(600), "an archive that is not read"),
        ("rows.tar", bytes(257) + b"ustar" + bytes(600), "an archive that is not read"),
        ("rows.xml", b"<?xml version='1.0'?><rows/>", "an XML file"),
        ("rows.arrow", b"ARROW1 and no more", "an Arrow file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_kind_is_called_what_it_is(name, content, said):
    with pytest.raises(ConversationFileError, match=said) as refused:
        read(name, content=content)
    assert refused.value.remedy
    assert "workbook" not in str(refused.value)


def test_an_archive_that_expands_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    much = b'{"input": "Hi", "output": "Hello"}\n' * 100_000
    for name, content in (("rows.zip", zipped({"a.jsonl": much})), ("rows.jsonl.gz", gzip.compress(much))):
        with pytest.raises(ConversationFileError, match="expands to more than"):
            read(name, content=content)
    halves = {f"{number}.jsonl": much[: 35 * 20_000] for number in range(2)}  # only together too much
    with pytest.raises(ConversationFileError, match="expands to more than"):
        read("rows.zip", content=zipped(halves))


def word(paragraphs=(), table=()):
    """A Word document; a paragraph with a number is a heading of that level."""
    import docx

    document, content = docx.Document(), io.BytesIO()
    for paragraph in paragraphs:
        if isinstance(paragraph, tuple):
            document.add_heading(*paragraph)
        else:
            document.add_paragraph(paragraph)
    grid = document.add_table(0, 2) if table else None
    for row in table:
        for cell, text in zip(grid.add_row().cells, row, strict=True):
            cell.text = text
    document.save(content)
    return content.getvalue()


def test_a_damaged_arrow_file_is_refused_and_does_not_end_the_program():
    import pyarrow

    table = pyarrow.table({"question": ["Hi", "Why?"], "answer": ["Hello", "So."]})
    content = io.BytesIO()
    with pyarrow.ipc.new_stream(content, table.schema) as file:
        file.write_table(table)
    whole, random_ = content.getvalue(), random.Random(0)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[random_.randrange(len(damaged))] = random_.randrange(256)
        with contextlib.suppress(ConversationFileError):
            read("rows.arrow", content=bytes(damaged))


@pytest.mark.parametrize(
    "content",
    [
        word(["Help", "Q: What is tin?", "A: A metal.", "It is soft."]),
        word([("What is tin?", 1), "A metal.", "It is soft.", ("What is rain?", 1)]),
        word(["Help"], [("Question", "Answer"), ("What is tin?", "A metal.\nIt is soft.")]),
    ],
    ids=["names", "headings", "table"],
)
def test_word_documents_are_read(content):
    reading = read("help.docx", content=content)
    assert list(spoken(reading).values()) == [["U What is tin?", "A A metal.\nIt is soft."]]
    assert reading.format == "docx"


def test_a_word_document_without_questions_is_refused():
    with pytest.raises(ConversationFileError, match="Word document without questions"):
        read("letter.docx", content=word(["Dear all,", "this is a letter."]))


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_is_read(kind):
    import pyarrow

    table = pyarrow.table({"question": ["Hi", "Why?"], "answer": ["Hello", "So."]})
    content = io.BytesIO()
    writer = {"file": pyarrow.ipc.new_file, "stream": pyarrow.ipc.new_stream}[kind]
    with writer(content, table.schema) as opened:
        opened.write_table(table)
    assert spoken(read("rows.arrow", content=content.getvalue())) == READ


def test_what_datasets_saved_is_read_as_a_folder_and_as_an_archive(tmp_path):
    import datasets

    rows = datasets.Dataset.from_dict({"question": ["Hi", "Why?"], "answer": ["Hello", "So."]})
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "split")
    datasets.DatasetDict({"this": rows, "that": rows}).save_to_disk(tmp_path / "unclear")
    assert spoken(read(tmp_path / "one")) == READ
    for reading in (
        read(tmp_path / "split"),
        read("split.zip", content=zipped(files_of(tmp_path / "split"))),
    ):
        assert spoken(reading) == READ
        assert reading.notes == ("Only “train” was read, not “test”.",)
    with pytest.raises(ConversationFileError, match="“this”"):
        read(tmp_path / "unclear")


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    with pytest.raises(ConversationFileError, match="is a folder"):
        read(tmp_path)


@pytest.mark.parametrize(
    "at",
    [
        "03/04/2024 à 09:12 - ",
        "[2024/4/3 上午9:12:00] ",
        "2024. 4. 3. 오전 9:12 - ",
        "٣/٤/٢٠٢٤، ٩:١٢ ص - ",
        "3.4.2024 klo 9.12 - ",
        "3/4/24, 9:12 p. m. - ",
    ],
)
def test_whatsapp_writes_dates_as_a_country_does(at):
    content = f"{at}Anna: Is it, well, open?\n{at}Ben: Yes.\nAt noon.\n".encode()
    read_chat = read("chat.txt", content=content, assistant="Ben")
    assert list(spoken(read_chat).values()) == [["U Is it, well, open?", "A Yes.\nAt noon."]]


def test_a_chat_of_several_days_is_cut_only_before_a_question():
    days = [
        "1/1/26, 11:59 PM - Guest: Open?",
        "1/2/26, 0:01 AM - Shop: Yes.",
        "1/2/26, 0:02 AM - Guest: Now?",
    ]
    days += [
        "1/3/26, 9:00 AM - Shop: No.",
        "1/4/26, 9:00 AM - Shop: Yes.",
        "1/5/26, 9:00 AM - Guest: Thanks!",
    ]
    reading = read("chat.txt", content="\n".join(days).encode(), assistant="shop")
    assert spoken(reading) == {1: ["U Open?", "A Yes.", "U Now?", "A No.\nYes."]}
    assert [(refusal.row, refusal.reason) for refusal in reading.refused] == [(6, "holds no answer")]


# ---- anything near these -------------------------------------------------------------------------

ODD = (None, 0, 1.5, True, "", "x", "[", [], {}, [[]], [None], {"a": None}, [{"role": "user"}], 10**400)
NAMES = (
    "messages",
    "history",
    "system",
    "answers",
    "choices",
    "chosen",
    "mapping",
    "label",
    "context",
    "role",
)


def places(value, path=()):
    """The path of everything in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, item in inner for place in places(item, (*path, key))]


def changed(document, chance):
    """A document in which one thing is missing, has another name, or is something else."""
    document = json.loads(json.dumps(document))
    *before, last = chance.choice(places(document))
    inside = document
    for key in before:
        inside = inside[key]
    what = chance.random()
    if isinstance(inside, dict) and what < 0.3:
        item = inside.pop(last)
        inside |= {chance.choice(NAMES): item} if what < 0.15 else {}
    else:
        inside[last] = json.loads(json.dumps(chance.choice(ODD)))
    return document


def check_rows(rows):
    for row in rows:
        roles = [turn.role for turn in row.turns if turn.role != "system"]
        assert roles
        assert (roles[0], roles[-1]) == ("user", "assistant")
        assert row.calls_tools or roles == ["user", "assistant"] * (len(roles) // 2)
        for turn, following in pairwise(row.turns):
            assert bool(turn.calls) is (turn.role != "tool" and following.role == "tool")
        assert any(row.learned)
        assert all(turn.said.strip() for turn in row.turns)


@pytest.mark.parametrize("name", [shape.file for shape in SHAPES if shape.file.endswith((".json", ".jsonl"))])
def test_whatever_is_near_a_shape_is_read_as_a_conversation_or_refused_in_words(name):
    chance = random.Random(name)
    text = (FILES / name).read_text(encoding="utf-8")
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [json.loads(line) for line in text.splitlines()] if name.endswith("l") else []
    for document in documents * 8:
        content = json.dumps(changed(document, chance)).encode()
        try:
            reading = read(name, content=content, assistant=chance.choice([None, "Shop", "visitor"]))
        except ConversationFileError as error:
            said = [str(error), error.remedy]
        else:
            said = [*reading.notes, *(refusal.reason for refusal in reading.refused)]
            check_rows(reading.conversations)
        assert all(said)


def word_of(change):
    import docx

    document, content = docx.Document(), io.BytesIO()
    change(document)
    document.save(content)
    return content.getvalue()


def _tracked(document):
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    names = nsdecls("w")
    document.add_paragraph("Q: Hi")
    paragraph = document.add_paragraph("A: Hel")._p
    paragraph.append(parse_xml(f"<w:ins {names} w:id='1' w:author='x'><w:r><w:t>lo</w:t></w:r></w:ins>"))
    paragraph.append(
        parse_xml(f"<w:del {names} w:id='2' w:author='x'><w:r><w:delText>p</w:delText></w:r></w:del>")
    )
    body, inside = (
        document.element.body,
        "<w:sdtContent><w:p><w:r><w:t>Q: Why?</w:t></w:r></w:p></w:sdtContent>",
    )
    body.insert(len(body) - 1, parse_xml(f"<w:sdt {names}>{inside}</w:sdt>"))
    document.add_paragraph("A: So.")


def _table(document, *rows):
    table = document.add_table(0, 2)
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text


def _table_in_an_answer(document):
    document.add_paragraph("Q: Hi")
    document.add_paragraph("A: Two:")
    _table(document, ("one", "1"), ("two", "2"))
    document.add_paragraph("Q: Why?")
    document.add_paragraph("A: So.")


def _two_tables(document):
    document.add_paragraph("Our questions")
    _table(document, ("Question", "Answer"), ("Hi", "Hello"))
    document.add_paragraph("")
    _table(document, ("Question", "Answer"), ("Why?", "So."))


@pytest.mark.parametrize(
    ("change", "turns", "note"),
    [
        (_tracked, [["U Hi", "A Hello"], ["U Why?", "A So."]], "Each question"),
        (_table_in_an_answer, [["U Hi", "A Two:\none\t1\ntwo\t2"], ["U Why?", "A So."]], "Each question"),
        (_two_tables, [["U Hi", "A Hello"], ["U Why?", "A So."]], "The text beside the table was not read."),
    ],
    ids=["changes that were tracked", "a table in an answer", "two tables"],
)
def test_a_word_document_is_read_whole(change, turns, note):
    reading = read("help.docx", content=word_of(change))
    assert list(spoken(reading).values()) == turns
    assert any(note in told for told in reading.notes)


def test_word_tables_with_other_names_are_not_glued_together():
    def change(document):
        _table(document, ("Question", "Answer"), ("Hi", "Hello"))
        _table(document, ("Frage", "Antwort"), ("Warum?", "Darum."))

    with pytest.raises(ConversationFileError, match="several tables"):
        read("help.docx", content=word_of(change))
