"""The guide's table of every shape of file that is tried here: accepted, kept, left out, rendered.

    python -m tests.data.formats.guide_table       writes it into the guide anew

*Rendered* are conversations that went through the chat template of a base model: what is learned of them is
exactly their answers, each with its end.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import compress, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import docx
import pyarrow
from tokenizers import Tokenizer

from sails import models
from sails.data import Conversation
from sails.data.reading import Reading
from sails.data.reading import parse as read
from sails.errors import ConversationFileError
from sails.training.encoding import IGNORED, encode_rows, encoder_in
from tests.data.formats import table_shapes, test_shapes

if TYPE_CHECKING:
    from sails.onnx import ChatEncoder

GUIDE = Path(__file__).parents[3] / "docs" / "CONTINUOUS_TRAINING.md"
HEADING = "### Every shape that is tried\n"
HEADER = (
    "| What the file holds | Files accepted | Conversations kept | With | Left out by number | Rendered |"
)
# What a reader looks for, and the files that show it; a file belongs to the first that names it.
FAMILIES = {
    "Question and answer under names in many languages": "names_*.csv message_and_reply.csv hash_column.csv",
    "`instruction`, `context` and `input` beside the question": (
        "instruction_*.csv instruction_*.json context.csv context_*.csv context_beside_question.json"
    ),
    "`system` beside question and answer": "system.csv system_beside_question.json",
    "`history`, earlier turns in one column": (
        "history.csv query_response_history.jsonl alpaca_system_history.json"
    ),
    "Choices and the right one": "choices_* correct_column.csv",
    "Two columns that could be one, the same name twice": (
        "two_answers.* same_name_twice.* case_only.csv answers_a* name_twice.json arena.json two_chats.json"
    ),
    "Titles, comments or `sep=` above the names": "title_rows.csv sep_line.csv comment_lines.csv",
    "No names: Anki, Quizlet, two columns": "anki*.txt quizlet.txt unnamed* numbered_columns.csv",
    "Quotation marks, tabs, indents and empty cells": (
        "quote* *quotes.csv indent.* decimal_commas.csv ragged.csv nan.csv spaces_*"
    ),
    "UTF-16 and code pages of Windows": "polish.csv czech.csv french_1252.csv utf16.tsv bom.csv",
    "Excel: values as the sheet shows them": "shown_*.xlsx error_cell.xlsx formula.xlsx",
    "Excel: several, hidden or titled sheets, merged cells": "*.xlsx",
    "Parquet and Arrow": "*.parquet rows.arrow",
    "Rows marked as not to be learned": (
        "weight.csv train.csv label*.* rating.csv thumbs.csv deleted.csv status.csv weight_of_a_row.jsonl"
        " deleted_and_rated.json is_correct.json numbers_as_grades.json nothing_to_learn.jsonl"
    ),
    "Answers marked as not to be learned": (
        "weight_zero.jsonl train_false.jsonl loss_false.jsonl answers_last.jsonl marks_on_turns.jsonl"
    ),
    "`messages` and `conversations`, with `system` beside or inside": (
        "system_beside_*.jsonl system_twice.json llama_factory_sharegpt.jsonl bedrock.json"
        " context_beside_chat.json chat_inside.json chat_in_a_cell.csv python_list.csv names_of_roles.jsonl"
    ),
    "Chats in other shapes: pairs, lists, columns of lists": (
        "roles_in_pairs.json pairs_in_a_chat.json human_assistant.json ultrachat.jsonl two_lists.json"
        " messages_of_columns.jsonl role_content_lists.jsonl speaker_text.json langchain.jsonl vertex.jsonl"
        " chats_by_id.json texts_and_speakers.jsonl question_beside_its_chat.jsonl"
    ),
    "A greeting first, one role twice, a system turn in the middle": (
        "greeting_first.jsonl same_role_twice.jsonl system_in_the_middle.jsonl question_last.jsonl"
        " system_last.jsonl text_parts.jsonl reasoning.jsonl unknown_role.json one_speaker.json picture.jsonl"
    ),
    "Tool calls": "tool_calls.jsonl roles_of_tools.jsonl",
    "One turn in each row, by conversation, thread or parent": (
        "turns* flat_* oasst_messages.jsonl transcript.csv support_by_ticket.csv sender_type.csv"
        " one_known_name.json"
    ),
    "Question and answer in each row, by conversation or parent": (
        "pairs_by_* pairs_with_lost* rows_*.csv rows_*.jsonl"
    ),
    "Columns called `role` or `from` that are none": "role_* from_* mail.csv",
    "`prompt` and `completion`": "trl_* prompt_of_human.jsonl",
    "Preferences: `chosen` and `rejected`": "prefer*",
    "A chat inside one text (ChatML, Llama, Gemma, …)": (
        "text_*.jsonl chat_in_one_string.json signs_in_a_question.json chatml.txt"
    ),
    "SQuAD and Open Assistant": "squad* oasst_tree.jsonl",
    "Intents, ChatterBot, Rasa": "intents.json chatterbot.yml rasa*.yml",
    "JSON: objects of questions, pairs, lists of columns, pandas": (
        "question_answer_object.json questions_one_by_one.json settings_object.json pairs*.json"
        " cells_without_names.json dict_of_* pandas_*"
    ),
    "JSON with comments, several objects, YAML": (
        "after_each_other* comments.json *.json5 one_line_with_list.jsonl rows.yaml json_called_csv.csv"
        " aliases.yml compose.yml"
    ),
    "Exports of ChatGPT and Claude": "chatgpt_* claude_*",
    "Chats between people (WhatsApp, Telegram, Discord, Slack, …)": (
        "whatsapp* telegram.json discord.json slack_channel.json messenger.json transcript.txt"
        " agent_first.txt"
    ),
    "Text with `Q:` and `A:`, `User:` and `Assistant:`": "questions.txt fragen.txt chats.txt copied_chat.txt",
    "Markdown: headings that ask, tables": "*.md",
    "Word (.docx)": "*.docx",
    "Compressed: `.gz`, `.zip`": "*.gz *.zip",
    "Files of another kind, and prose": (
        "page.html letter.rtf document.pdf subtitles.srt prose.txt unknown_names.csv"
    ),
}


@dataclass(frozen=True)
class Tried:
    """A file that is tried; `reading` is what became of it, None where it is refused whole."""

    file: str
    reading: Reading | None


def tried() -> Iterator[Tried]:
    """Yield every file of this folder, and those that are made."""
    for shape in test_shapes.SHAPES:
        yield _read(shape.file, (test_shapes.FILES / shape.file).read_bytes(), shape.assistant)
    for made in table_shapes.SHAPES:
        yield _read(made.file, made.content())
    for file, content in _made().items():
        yield _read(file, content)


def _read(file: str, content: bytes, assistant: str | None = None) -> Tried:
    try:
        return Tried(file, read(file, content=content, assistant=assistant))
    except ConversationFileError:
        return Tried(file, None)


def _made() -> dict[str, bytes]:
    rows = b'{"input": "Hi", "output": "Hello"}\n{"input": "Why?", "output": "So."}\n'
    archive, text, arrow = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.jsonl", rows)
        file.writestr("b.csv", "question,answer\nHi,Hello\n")
    document = docx.Document()
    for line in ("Q: Hi", "A: Hello", "Q: Why?", "A: So."):
        document.add_paragraph(line)
    document.save(text)
    columns = pyarrow.table({"question": ["Hi"], "answer": ["Hello"]})
    with pyarrow.ipc.new_stream(arrow, columns.schema) as file:
        file.write_table(columns)
    return {
        "rows.jsonl.gz": gzip.compress(rows),
        "rows.zip": archive.getvalue(),
        "help.docx": text.getvalue(),
        "rows.arrow": arrow.getvalue(),
    }


def family_of(file: str) -> str:
    """Return the family that a file belongs to; raises StopIteration for none."""
    return next(name for name, files in FAMILIES.items() if any(fnmatch(file, p) for p in files.split()))


def is_rendered(row: Conversation, encoder: ChatEncoder, tokenizer: Tokenizer) -> bool:
    """Tell whether what is learned of a row is exactly its learned answers, each with its end."""
    learned: list[list[int]] = []
    for example in encode_rows([row], encoder, 100_000).examples:
        for is_learned, tokens in groupby(example.labels, lambda label: label != IGNORED):
            learned += [list(tokens)] if is_learned else []
    answers = [turn.content for turn in row.turns if turn.role == "assistant"]
    wanted = list(compress(answers, row.learned))
    said = [tokenizer.decode(tokens[:-1], skip_special_tokens=False) for tokens in learned]
    return said == wanted and all(tokens[-1] in encoder.end_token_ids for tokens in learned)


def table(model: Path) -> str:
    """Return the table as Markdown; conversations are rendered for the model in a folder."""
    encoder, tokenizer = encoder_in(model), Tokenizer.from_file(str(model / "tokenizer.json"))
    assert encoder is not None
    families: dict[str, list[Reading | None]] = {name: [] for name in FAMILIES}
    for one in tried():
        families[family_of(one.file)].append(one.reading)
    lines = [HEADER, "|" + "---|" * (HEADER.count("|") - 1)]
    for name, readings in families.items():
        accepted = [reading for reading in readings if reading is not None]
        rows = [row for reading in accepted for row in reading.conversations]
        rendered = sum(is_rendered(row, encoder, tokenizer) for row in rows)
        refused = sum(len(reading.refused) for reading in accepted)
        cells = (
            name,
            f"{len(accepted)} of {len(readings)}",
            str(len(rows) or "–"),
            _with(rows) or "–",
            str(refused or "–"),
            f"{rendered} of {len(rows)}" if rows else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _with(rows: list[Conversation]) -> str:
    """What the conversations have beside one question and one answer that is learned."""
    found = Counter[str]()
    for row in rows:
        found["system turn"] += row.turns[0].role == "system"
        found["several turns"] += len([turn for turn in row.turns if turn.role == "assistant"]) > 1
        found["answers only read"] += not all(row.learned)
    return ", ".join(f"{what}: {number}" for what, number in found.items() if number)


def written() -> str:
    """Return the table as it stands in the guide."""
    after = GUIDE.read_text(encoding="utf-8").partition(HEADING)[2]
    return after[after.index(HEADER) : after.index("\n\n", after.index(HEADER)) + 1]


if __name__ == "__main__":
    base = models.base_model_path(models.find_base_model(models.DEFAULT_BASE_MODEL))
    assert base is not None, "Fetch the base model first: sails base"
    GUIDE.write_text(GUIDE.read_text(encoding="utf-8").replace(written(), table(base)), encoding="utf-8")
