"""What the README and the guide say is what the code does: commands, tables, figures, names and links."""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import typer.main

from sails.chat import kept, saved_prompts
from sails.chat.feedback.events import log_file
from sails.cli import app
from sails.data import column_names, quality, split
from sails.data.checks import CHECKS
from sails.errors import JobError, SailsError
from sails.jobs import export
from sails.jobs.watch.state import path_of
from sails.models import catalog, versions
from sails.models.acts import ACTS
from sails.models.variants import VARIANT_TABLE, failed_folder
from sails.models.workspace import Workspace
from sails.onnx import quantize
from sails.onnx.certify.questions import FIXED_PROMPTS
from sails.retention import gate, lessons
from sails.sessions import PRESET_ROWS, PRESETS, Phase, State, plan
from sails.system import format
from sails.training import known
from sails.training.plan import behavior

REPOSITORY = Path(__file__).parents[1]
README, GUIDE = "README.md", "docs/CONTINUOUS_TRAINING.md"
DOCUMENTS = (README, GUIDE)
in_each_document = pytest.mark.parametrize("document", DOCUMENTS)

# --- reading a document ---------------------------------------------------------------------------


@cache
def text_of(document):
    return (REPOSITORY / document).read_text(encoding="utf-8")


def code_lines(document):
    """The lines of all fenced code blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text_of(document), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def code_spans(document):
    """What stands between backticks in the prose."""
    prose = re.sub(r"^```.*?^```", "", text_of(document), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def table(document, *header):
    """The rows, as lists of cells without backticks, of the one table whose header begins so."""
    lines = text_of(document).splitlines()
    (start,) = [n for n, line in enumerate(lines) if cells(line)[: len(header)] == list(header)]
    end = next(n for n, line in enumerate(lines[start:], start) if not line.startswith("|"))
    return [cells(line) for line in lines[start + 2 : end]]


def cells(line):
    return [cell.strip().replace("`", "") for cell in line.strip("|").split("|")] if line[:1] == "|" else []


# --- commands -------------------------------------------------------------------------------------


@cache
def root():
    return typer.main.get_command(app.all_commands())


def find_command(words):
    """The command that `words` name, without the leading `sails`, and the words that are left for it."""
    command, rest = root(), list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    return command, rest


def options_of(command):
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {option for option in own if option.startswith("--")} | {"--help"}


def every_command(command=None, path=()):
    command = command or root()
    below = getattr(command, "commands", {})
    return [leaf for name in below for leaf in every_command(below[name], (*path, name))] or [path]


LINES = [line for document in DOCUMENTS for line in code_lines(document)]
SPANS = [span for document in DOCUMENTS for span in code_spans(document)]
EXAMPLES = [line for line in dict.fromkeys(LINES) if line.startswith("sails ")]
MENTIONED = [span for span in dict.fromkeys(SPANS) if span.startswith("sails ")]


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_is_a_command_line_that_the_program_understands(line):
    command, rest = find_command(shlex.split(line, comments=True)[1:])
    command.make_context(command.name, rest)  # raises for unknown options, wrong values, missing arguments


@pytest.mark.parametrize("span", MENTIONED)
def test_every_command_that_is_mentioned_exists_with_its_options(span):
    command, rest = find_command(span.split()[1:])
    named = {word for word in rest if word.startswith("--")}
    assert named <= options_of(command)
    assert named == {"--help"} or not hasattr(command, "commands"), f"{rest[:1]} is no command"


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_is_explained_somewhere(path):
    assert any(tuple(words.split()[1 : len(path) + 1]) == path for words in (*EXAMPLES, *MENTIONED))


@in_each_document
def test_every_option_that_is_mentioned_alone_exists(document):
    known = {option for path in every_command() for option in options_of(find_command(path)[0])}
    mentioned = {span.split()[0] for span in code_spans(document) if span.startswith("--")}
    assert mentioned <= known


@in_each_document
def test_every_make_target_that_is_named_exists(document):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    named = [
        line.split()[1] for line in (*code_lines(document), *code_spans(document)) if line[:5] == "make "
    ]
    assert named
    assert set(named) <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


# --- tables ---------------------------------------------------------------------------------------


@in_each_document
def test_the_matrix_is_the_one_in_the_code(document):
    assert table(document, "Row", "Trained model") == [
        [
            str(row.number),
            row.trained,
            row.onnx,
            row.start_from,
            plan.format_rate(row.learning_rate),
            row.headline,
        ]
        for row in behavior.MATRIX
    ]


def test_the_presets_are_those_in_the_code():
    *upper, last = PRESET_ROWS
    sizes = [*(f"up to {size.rows:,}" for size in upper), "more"]
    assert last.rows > 10**9
    rounds = [[*map(str, preset.rounds)] for preset in PRESETS.values()]
    assert table(GUIDE, "Rows taught") == [
        [name, *chosen, str(size.token_budget)]
        for name, size, *chosen in zip(sizes, PRESET_ROWS, *rounds, strict=True)
    ]


def test_the_base_models_are_those_of_the_catalogue():
    assert table(GUIDE, "Name", "Parameters") == [
        [
            model.name,
            f"{model.parameters / 1e6:.0f}M",
            f"{model.download_bytes / 1e6:,.0f} MB",
            format.gigabytes(model.training_memory_bytes),
            model.licence,
        ]
        for model in catalog.base_models()
    ]


def test_the_columns_checks_phases_and_states_are_those_in_the_code():
    for role, named in table(GUIDE, "Part"):
        speakers = {"question": 0, "answer": 1}
        beside = column_names.QUESTION + column_names.CHAT
        lists = [getattr(column_names, role.upper())]
        lists += [pair[speakers[role]] for pair in column_names.PAIRS if role in speakers]
        for name in named.split(", "):
            assert any(column_names.is_named(name, known, beside) for known in lists), name
    assert [row[0] for row in table(GUIDE, "Check")] == list(CHECKS)
    assert [row[0] for row in table(GUIDE, "Phase")] == [p for p in get_args(Phase) if p != "done"]
    assert {row[0] for row in table(GUIDE, "State")} == set(get_args(State))


def test_every_kind_of_failure_is_in_the_table_with_its_exit_code_and_a_remedy():
    def every_error(error):
        return [error, *(leaf for child in error.__subclasses__() for leaf in every_error(child))]

    shown = {row[0]: row[1:] for row in table(GUIDE, "Kind", "Exit code")}
    met = [error for error in every_error(SailsError) if error not in (SailsError, JobError)]
    assert {kind: int(row[0]) for kind, row in shown.items()} == {e.kind: e.exit_code for e in met}
    assert all(len(row) == 3 and all(row) for row in shown.values())


# --- figures and names ----------------------------------------------------------------------------

IN_WORDS = {4: "four", 5: "five", 8: "eight"}
FULL, SMALL = VARIANT_TABLE["fp32"].thresholds, VARIANT_TABLE["int8"].thresholds


@pytest.mark.parametrize(
    "sentence",
    [
        f"in a whole round {PRESETS['balanced'].known_share * 100:g} % of the answers' tokens were "
        f"right (`quick`: {PRESETS['quick'].known_share * 100:g} %; "
        f"`thorough`: {PRESETS['thorough'].known_share * 100:g} %, twice in a row), "
        f"or when {IN_WORDS[known.PATIENCE]} rounds brought nothing more",
        f"The newest {IN_WORDS[versions.VERSIONS_KEPT]} are kept",
        f"{IN_WORDS[len(FIXED_PROMPTS)]} fixed questions, and up to {export.VERIFIED_PROMPTS} that",
        f"Up to {lessons.ROWS} rows in all are scored",
        f"Where {lessons.RECALL_ROWS} taught rows of each lesson take more, it is more, "
        f"up to {lessons.MOST_ROWS}:",
        f"one lesson lost more than {gate.MAX_LOSS_POINTS:g} points",
        f"fell more than {gate.MAX_GRADUAL_LOSS_POINTS:g} points below the best",
        f"Lessons with fewer than {lessons.MIN_ROWS} such rows",
        f"more than {gate.MAX_MEAN_LOSS_POINTS:g} points are held, "
        f"or more than {gate.MAX_GRADUAL_MEAN_LOSS_POINTS:g} below the best",
        f"differ by {FULL.logit_difference:g} at most",
        f"average by {SMALL.mean_difference:.0%}".replace("%", " %") + " of their spread at most",
        *(f"the same at {one.next_token_agreement * 100:g} % of places" for one in (FULL, SMALL)),
        f"{SMALL.identical_answers * 100:g} % of them identical",
        *(f"worse by {one.loss:g} at most" for one in (FULL, SMALL)),
        f"less than {FULL.margin:g} (8-bit: {SMALL.margin:g}) below",
        f"blocks of {quantize.BLOCK} weights",
        f"at least {split.MIN_HELD_OUT}, at most {split.MAX_HELD_OUT}.",
        f"With fewer than {split.ENOUGH_ROWS} new questions",
        f"With {split.ENOUGH_TO_JUDGE} held-out rows or more",
        f"From {quality.GOOD:g} the file is *good*, from {quality.ACCEPTABLE:g} *acceptable*",
        f"Above 0 and at most {behavior.HIGHEST_LEARNING_RATE:g}; outside 1e-6 to 1e-3",
        f"`{catalog.WHEEL.file}`",
    ],
)
def test_the_guide_gives_the_figures_of_the_code(sentence):
    assert sentence in " ".join(text_of(GUIDE).split())
    assert [preset.known_rounds for preset in PRESETS.values()] == [1, 1, 2]
    assert behavior.USUAL_LEARNING_RATES == (1e-6, 1e-3)


def test_the_readme_lists_what_lies_in_a_workspace(tmp_path):
    place = Workspace.open(tmp_path)
    folders = {
        place.trained_model, place.onnx_model, place.datasets, place.sessions, place.jobs, place.versions,
        place.set_aside, log_file(place).parent, failed_folder(place.onnx_model, "int8").parent,
        place.root / kept.CONVERSATIONS,
    }  # fmt: skip
    files = {place.register.name, place.queue.name, saved_prompts.PROMPTS, path_of(place).name, ACTS}
    listed = re.findall(r"^    ([\w.]+/?) {2,}\w", text_of(README), re.MULTILINE)
    assert set(listed) == {f"{folder.name}/" for folder in folders} | files


@in_each_document
def test_every_environment_variable_is_one_that_is_read(document):
    sources = [*(REPOSITORY / "sails").rglob("*.py"), REPOSITORY / "start.py"]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    for name in set(re.findall(r"\b(?:SAILS|HF)_[A-Z_]+\b", text_of(document))):
        assert name in code, name


@in_each_document
def test_every_file_that_is_named_exists(document):
    named = re.findall(r"(?<![\w/.-])(?:examples|docs|sails|tests|pages)/[\w./-]*\w", text_of(document))
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


# --- links ----------------------------------------------------------------------------------------


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@in_each_document
def test_every_link_leads_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(document))
    assert links
    for link in links:
        target, _, anchor = link.partition("#")
        path = (REPOSITORY / document).parent / target if target else REPOSITORY / document
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link
