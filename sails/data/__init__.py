"""From a file of questions and answers to checked, fingerprinted rows, split for teaching and testing.

    read ─► Reading ─► assess ─► QualityReport ─► clean ─► split ─► train and held-out rows
                                                             └── Register: the workspace's `heldout` file

`conversation` is the row itself, `formats` turn bytes into records, `reading` records into
conversations, `quality` judges them, `split` decides which ones the model never gets to see.
Nothing here knows tokens, models or pages, and importing it loads the standard library only.
"""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.data.columns import NO_COLUMN, ColumnMapping
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
        library_at_rest,
        name_from_text,
        novelty,
        problem_of,
        rename,
        report_of,
        reports,
        rows_file,
        rows_of,
        unlisted,
        write_report_anew,
    )
    from sails.data.draft import (
        Draft,
        Unassigned,
        Unmapped,
        file_name,
        from_dataset,
        from_file,
        from_pairs,
        from_text,
        mapped,
    )
    from sails.data.formats.archive import BACKUP_CONTENTS
    from sails.data.formats.detect import FORMAT_TITLES
    from sails.data.formats.text_encoding import printable
    from sails.data.language import ForeignRows, foreign_rows
    from sails.data.quality import QualityReport, assess, clean, problems_of
    from sails.data.reading import Reading
    from sails.data.sandbox import read
    from sails.data.split import (
        ENOUGH_ROWS,
        ENOUGH_TO_JUDGE,
        MAX_HELD_OUT,
        MIN_HELD_OUT,
        Register,
        Split,
        is_register_line,
        ledger,
        split_rows,
    )

__getattr__, __all__ = lazy_exports(__name__)
