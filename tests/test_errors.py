"""Errors: a tree whose every leaf has a kind, an exit code and two sentences; and any error becomes one."""

import errno

import pytest

from sails import errors
from sails.errors import (
    DiskFullError,
    JobError,
    OutOfMemoryError,
    QualityError,
    RequestError,
    SailsError,
    UnknownError,
    classify,
)


def every_error(root=SailsError):
    """The tree of `sails.errors`, from the top; what a module derives for itself is not of it."""
    children = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    return [root, *(leaf for child in children for leaf in every_error(child))]


def test_every_error_has_a_kind_of_its_own():
    kinds = [error.kind for error in every_error()]
    assert len(set(kinds)) == len(kinds)


def test_a_wrong_request_exits_with_two_and_a_failed_job_with_one():
    for error in every_error():
        assert error.exit_code == (2 if issubclass(error, RequestError) else 1), error
    assert issubclass(QualityError, JobError)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn = [line.strip("│├└─ ").split()[0] for line in errors.__doc__.splitlines() if "Error" in line[:45]]
    assert drawn == [error.__name__ for error in every_error()]


def test_an_error_reads_as_what_happened_and_what_to_do():
    error = RequestError("The learning rate is out of range.", "Choose a smaller one.")
    assert str(error) == "The learning rate is out of range."
    assert error.remedy == "Choose a smaller one."
    assert error.sentence == "The learning rate is out of range. Choose a smaller one."
    assert RequestError("It is gone.").sentence == "It is gone."


def test_our_own_errors_pass_through_unchanged():
    error = RequestError("No.", "Yes.")
    assert classify(error) is error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "whatever the system calls it"),
        RuntimeError("write failed: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_recognised_from_any_library(error):
    assert type(classify(error)) is DiskFullError


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_a_lack_of_memory_is_recognised_from_any_library(error):
    assert type(classify(error)) is OutOfMemoryError


def test_another_operating_system_error_is_no_full_disk():
    assert type(classify(OSError(errno.EACCES, "Permission denied"))) is UnknownError


def test_an_unknown_error_says_its_first_line_and_where_to_look():
    unknown = classify(ValueError("wrong shape\nline two\nline three"))
    assert type(unknown) is UnknownError
    assert str(unknown) == "ValueError: wrong shape."
    assert "log" in unknown.remedy


@pytest.mark.parametrize("silent", [KeyError(), RuntimeError(), KeyboardInterrupt(), ValueError("\n")])
def test_even_an_error_without_words_gets_a_sentence(silent):
    assert type(silent).__name__ in str(classify(silent))


def test_every_remedy_of_a_classified_error_is_a_sentence():
    for error in (MemoryError(), OSError(errno.ENOSPC, ""), ValueError("x")):
        assert classify(error).remedy.endswith(".")
