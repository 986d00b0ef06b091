"""What people think of the chat's answers, and what becomes of it: given, reviewed, put into a dataset.

    given = give(workspace, question="…", answer="…", kind="corrected", correction="…", origin=reply.origin)
    approve(workspace, given.id)
    report = as_dataset(workspace)        # the approved ones that nothing has been taught from yet

Whatever was given waits until a person approves it. `correction` is one of them, `events` what happened to
all, `actions` what people do with them, `dataset` how they become one, `exchange` how they come and go,
`review` what a reviewer should know about one.
"""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.chat.feedback.actions import approve, edit, give, reject, reopen, withdraw
    from sails.chat.feedback.correction import LONGEST_NAME, LONGEST_TEXT, REFUSAL, SOMEBODY, Correction, Kind
    from sails.chat.feedback.dataset import (
        Standing,
        as_dataset,
        counts,
        sessions_by_dataset,
        standing,
        to_teach,
    )
    from sails.chat.feedback.events import corrections, find, log_file, log_lock
    from sails.chat.feedback.exchange import as_json, import_file
    from sails.chat.feedback.review import Review, as_json_lines, load_review

__getattr__, __all__ = lazy_exports(__name__)
