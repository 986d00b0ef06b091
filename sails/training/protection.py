"""What protects general knowledge in a training's steps, chosen alike for a session and a measurement.

    rehearsal = rehearsal_for(student, share, base=folder, before=None, reporter=reporter)
    matrices  = matrices_for(student, rehearsal)

Not here: what is then done with both (`sails.training.trainer`), and what tells whether it helped
(`sails.training.scoring`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sails.retention import closed_questions, open_prompts, rehearsal_prompts
from sails.sessions import Reporter
from sails.training.dataloader import spread
from sails.training.projection import PROJECTION_PROMPTS, Matrices, projection_matrices
from sails.training.rehearsal import Rehearsal, rehearsal_of

if TYPE_CHECKING:
    from sails.training.evaluation import Student


def rehearsal_for(
    student: Student, share: float, *, base: Path | None, before: Path | None, reporter: Reporter
) -> Rehearsal | None:
    """What is rehearsed beside a lesson: the answers of the base model, else those of the model `before` it.

    None where nothing is protected (`share` 0), where neither model is here, or where it cannot be asked; the
    reporter notes that.
    """
    if not share:
        return None
    folder, prompts = base or before, rehearsal_prompts()
    if folder is None:
        reporter.note("⚠️ Its base model is not here, so its general knowledge is not protected.")
        return None
    if base is None:
        prompts = prompts[::2]
        reporter.note("Its base model is not here, so it rehearses the answers that it gives now instead.")
    with reporter.unless_it_fails("⚠️ Its general knowledge is not protected"):
        return rehearsal_of(folder, student.tokenizer, student.precision, prompts)
    return None


def matrices_for(student: Student, rehearsal: Rehearsal | None) -> Matrices | None:
    """What steps are projected by, so that general answers rest on what they did; None if not rehearsed."""
    if rehearsal is None:
        return None
    some = rehearsal.examples[:: max(1, len(rehearsal) // PROJECTION_PROMPTS)]
    return projection_matrices(student.model, some, student.tokenizer.pad_token_id, student.precision)


def unrehearsed(student: Student, folder: Path, count: int) -> Rehearsal:
    """Return what the model in `folder` answers to so many general prompts that are never rehearsed."""
    prompts = [*(one.question for one in closed_questions()), *open_prompts()]
    return rehearsal_of(folder, student.tokenizer, student.precision, spread(prompts, count))
