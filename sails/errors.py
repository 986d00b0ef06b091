"""Every error that a person can cause or meet, as one sentence and one remedy.

    SailsError
    ├── RequestError              the request was wrong; nothing was started (exit code 2)
    │   ├── ConversationFileError     a file of conversations cannot be read or holds nothing usable
    │   │   └── AssistantNeededError      people speak under their names, and nobody said who is the assistant
    │   ├── WorkspaceError            a folder, version or session that is asked for is not there
    │   ├── BusyError                 something else holds what this needs
    │   ├── ViewOnlyError             nothing may be changed here
    │   └── AccessError               this person may not open it, or not do it
    └── JobError                  the work was started and failed (exit code 1)
        ├── QualityError              the conversations are too poor to teach (also exit code 1)
        ├── OutOfMemoryError          the work does not fit, or did not fit, in memory
        ├── DiskFullError             the work does not fit, or did not fit, on the disk
        ├── BadDataError              the conversations leave nothing to learn from
        ├── ModelLoadError            a model, tokenizer or ONNX file cannot be loaded
        ├── DownloadError             a base model cannot be fetched
        ├── DivergedError             the loss is no longer a finite number
        ├── VerificationError         an ONNX model does not answer like its original
        └── UnknownError              none of the above; the log's last lines say more

`kind` is the word that `status.json` records and that the pages look up. `str(error)` is what
happened, `error.remedy` what the person can do about it.
"""

from __future__ import annotations

import errno

NEEDS_LESS_MEMORY = (
    "Close other programs, train with LoRA, choose a smaller batch size, or a smaller base model."
)


class SailsError(Exception):
    """Base of the tree. Raise a leaf, with one sentence for what happened and one for the remedy."""

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    @property
    def sentence(self) -> str:
        """The message and its remedy, as a person reads them."""
        return f"{self} {self.remedy}".strip()


class RequestError(SailsError):
    kind = "request"
    exit_code = 2


class ConversationFileError(RequestError):
    kind = "conversation_file"


class AssistantNeededError(ConversationFileError):
    """`people` are the names that were found, those who spoke most first."""

    kind = "assistant_needed"

    def __init__(self, message: str, remedy: str, people: tuple[str, ...]) -> None:
        super().__init__(message, remedy)
        self.people = people


class WorkspaceError(RequestError):
    kind = "workspace"


class BusyError(RequestError):
    kind = "busy"


class ViewOnlyError(RequestError):
    kind = "view_only"


class AccessError(RequestError):
    kind = "access"


class JobError(SailsError):
    kind = "job"


class QualityError(JobError):
    kind = "quality"


class OutOfMemoryError(JobError):
    kind = "out_of_memory"


class DiskFullError(JobError):
    kind = "disk_full"


class BadDataError(JobError):
    kind = "bad_data"


class ModelLoadError(JobError):
    kind = "model_load"


class DownloadError(JobError):
    kind = "download"


class DivergedError(JobError):
    kind = "diverged"


class VerificationError(JobError):
    kind = "verification"


class UnknownError(JobError):
    kind = "unknown"


def is_disk_full(error: BaseException) -> bool:
    """Tell whether the operating system had no room, or granted no more of it, for what was written."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))


def classify(error: BaseException, otherwise: SailsError | None = None) -> SailsError:
    """Return the error as one of ours, whatever library it came from, or `otherwise`; never raises."""
    if isinstance(error, SailsError):
        return error
    text = str(error) or type(error).__name__
    if is_disk_full(error) or "No space left" in text:
        return DiskFullError("The disk is full.", "Free some space, then go on or run it again.")
    out_of_memory = "out of memory" in text.lower() or "can't allocate memory" in text.lower()
    if isinstance(error, MemoryError) or out_of_memory:
        problem = "The work needed more memory than this machine has free."
        return OutOfMemoryError(problem, NEEDS_LESS_MEMORY)
    return otherwise or UnknownError(
        f"{type(error).__name__}: {text.splitlines()[0][:300].rstrip('.')}.",
        "The last lines of the log say more; running the session again is safe.",
    )
