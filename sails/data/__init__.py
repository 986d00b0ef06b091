"""From a file of questions and answers to checked, fingerprinted rows, split for teaching and testing.

    read ─► Reading ─► assess ─► QualityReport ─► clean ─► split ─► train and held-out rows
                                                             └── Register: the workspace's `heldout` file

`conversation` is the row itself, `files` turns bytes into records, `reading` records into
conversations, `quality` judges them, `splitting` decides which ones the model never gets to see.
Nothing here knows tokens, models or pages, and importing it loads the standard library only.
"""

from sails.data.checks import CHECKS
from sails.data.columns import KNOWN_COLUMNS, ColumnMapping
from sails.data.conversation import Conversation, Turn, read_jsonl, write_jsonl
from sails.data.formats.source import Refusal
from sails.data.quality import QualityReport, RowProblem, assess, clean
from sails.data.reading import Reading, read
from sails.data.split import Ledger, Register, Split, ledger, split_rows

__all__ = [
    "CHECKS",
    "KNOWN_COLUMNS",
    "ColumnMapping",
    "Conversation",
    "Ledger",
    "QualityReport",
    "Reading",
    "Refusal",
    "Register",
    "RowProblem",
    "Split",
    "Turn",
    "assess",
    "clean",
    "ledger",
    "read",
    "read_jsonl",
    "split_rows",
    "write_jsonl",
]
