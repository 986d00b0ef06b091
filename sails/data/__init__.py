"""From a file of questions and answers to checked, fingerprinted rows, split for teaching and testing.

    read ─► Reading ─► assess ─► QualityReport ─► clean ─► split ─► train and held-out rows
                                                             └── Register: the workspace's `heldout` file

`conversation` is the row itself, `files` turns bytes into records, `reading` records into
conversations, `quality` judges them, `splitting` decides which ones the model never gets to see.
Nothing here knows tokens, models or pages, and importing it loads the standard library only.
"""

from sails.data.columns import ColumnMapping
from sails.data.conversation import ANSWERS, ONLY_LAST, Conversation, Turn, read_jsonl, write_jsonl
from sails.data.datasets import (
    EXAMPLES,
    LONGEST_NAME,
    DatasetReport,
    Novelty,
    add,
    add_example,
    add_rows,
    combine,
    delete,
    estimated_tokens,
    name_from,
    novelty,
    rename,
    report_of,
    reports,
    rows_file,
    rows_of,
)
from sails.data.draft import (
    Draft,
    Unmapped,
    file_name,
    from_dataset,
    from_file,
    from_pairs,
    from_text,
    mapped,
)
from sails.data.formats.text_encoding import printable
from sails.data.quality import QualityReport, assess, clean, problems_of
from sails.data.reading import Reading, read
from sails.data.split import (
    ENOUGH_ROWS,
    ENOUGH_TO_JUDGE,
    HELD_OUT_LEAST,
    HELD_OUT_MOST,
    Register,
    Split,
    ledger,
    split_rows,
)

__all__ = [
    "ANSWERS",
    "ENOUGH_ROWS",
    "ENOUGH_TO_JUDGE",
    "EXAMPLES",
    "HELD_OUT_LEAST",
    "HELD_OUT_MOST",
    "LONGEST_NAME",
    "ONLY_LAST",
    "ColumnMapping",
    "Conversation",
    "DatasetReport",
    "Draft",
    "Novelty",
    "QualityReport",
    "Reading",
    "Register",
    "Split",
    "Turn",
    "Unmapped",
    "add",
    "add_example",
    "add_rows",
    "assess",
    "clean",
    "combine",
    "delete",
    "estimated_tokens",
    "file_name",
    "from_dataset",
    "from_file",
    "from_pairs",
    "from_text",
    "ledger",
    "mapped",
    "name_from",
    "novelty",
    "printable",
    "problems_of",
    "read",
    "read_jsonl",
    "rename",
    "report_of",
    "reports",
    "rows_file",
    "rows_of",
    "split_rows",
    "write_jsonl",
]
