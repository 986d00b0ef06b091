"""What people think of the chat's answers, and what becomes of it: given, reviewed, put into a dataset.

    given = give(workspace, question="…", answer="…", kind="corrected", correction="…", origin=reply.origin)
    approve(workspace, given.id)
    report = as_dataset(workspace)        # the approved ones that nothing has been taught from yet

Whatever was given waits until a person approves it. `correction` is one of them, `log` what happened to all,
`deciding` what people do with them, `taught` how they become a dataset, `files` how they come and go. Not
here: what a reviewer should know about one (`sails.chat.feedback.review`).
"""

from sails.chat.feedback.actions import approve, edit, give, reject, reopen, withdraw
from sails.chat.feedback.correction import LONGEST_NAME, LONGEST_TEXT, REFUSAL, SOMEBODY, Correction, Kind
from sails.chat.feedback.dataset import Standing, as_dataset, counts, sessions_by_dataset, standing, to_teach
from sails.chat.feedback.events import corrections, find
from sails.chat.feedback.exchange import as_json, import_file
from sails.chat.feedback.review import Review, Trouble, as_lines, look

__all__ = [
    "LONGEST_NAME",
    "LONGEST_TEXT",
    "REFUSAL",
    "SOMEBODY",
    "Correction",
    "Kind",
    "Review",
    "Standing",
    "Trouble",
    "approve",
    "as_dataset",
    "as_json",
    "as_lines",
    "corrections",
    "counts",
    "edit",
    "find",
    "give",
    "import_file",
    "look",
    "reject",
    "reopen",
    "sessions_by_dataset",
    "standing",
    "to_teach",
    "withdraw",
]
