"""All checks of a workspace, and what is done about what they find.

report = examine(workspace)
outcome = repair(workspace, report.wrong)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from sails import system
from sails.doctor import models, place, records, space
from sails.doctor.finding import KINDS, Finding, Kind
from sails.doctor.space import Room
from sails.errors import SailsError, WorkspaceError, classify
from sails.models import Workspace

log = logging.getLogger(__name__)

Check = Callable[[Workspace], Iterator[Finding]]


@dataclass(frozen=True)
class Report:
    """What was found, in the order of `KINDS`; `seconds` is how long looking took."""

    findings: tuple[Finding, ...]
    rooms: tuple[Room, ...] = ()
    free: int = 0  # bytes on the disk
    seconds: float = 0.0

    def of(self, weight: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.weight == weight)

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """What is damaged or lost."""
        return self.of("wrong")

    @property
    def spare(self) -> tuple[Finding, ...]:
        """What may go to make room."""
        return self.of("spare")

    @property
    def freeable(self) -> int:
        """Bytes that can be freed."""
        return sum(finding.size for finding in self.spare)


def checks(*, thorough: bool) -> list[Check]:
    """Return all that is looked at; `thorough` reads what is large, to its end."""
    quick: list[Check] = [
        # The first: what stands where a lock or a file belongs would fail others.
        partial(records.misplaced, thorough=thorough),
        records.silence,
        models.changes,
        partial(models.trained, thorough=thorough),
        partial(models.onnx, thorough=thorough),
        partial(records.all_sessions, thorough=thorough),
        records.queue,
        partial(records.datasets, thorough=thorough),
        partial(records.register, thorough=thorough),
        records.logs,
        records.small_files,
    ]
    return [*quick, place.links, place.permissions, place.leftovers, space.spare] if thorough else quick


def examine(workspace: Workspace, *, thorough: bool = True) -> Report:
    """Look at a workspace whole, and change nothing; not `thorough`: at what takes no time.

    Raises `WorkspaceError` where there is none. A check that fails itself is a finding.
    """
    if not workspace.root.is_dir():
        raise WorkspaceError(f"There is no workspace in {workspace.root}.", "Choose another folder.")
    begun = time.monotonic()
    found: list[Finding] = []
    for check in checks(thorough=thorough):
        found += _looked(check, workspace)
    order = list(KINDS)
    once = {(finding.kind, finding.sentence): finding for finding in found}
    findings = tuple(sorted(once.values(), key=lambda finding: order.index(finding.kind)))
    rooms = tuple(space.disk_use(workspace)) if thorough else ()
    return Report(findings, rooms, space.free_bytes(workspace), time.monotonic() - begun)


def _looked(check: Check, workspace: Workspace) -> Iterator[Finding]:
    """What a check finds; what it cannot look at is a finding, too."""
    try:
        yield from check(workspace)
    except SailsError as error:
        yield Finding("permission", "wrong", str(error), workspace.root, remedy=error.remedy)
    except OSError as error:
        sentence = f"{error.filename or workspace.root} cannot be used: {error.strerror}."
        yield Finding("permission", "wrong", sentence, workspace.root, remedy="See what else is found here.")
    except Exception as error:  # one file that nobody foresaw must not hide what else is found
        log.warning("a check failed", exc_info=error)
        sentence = f"A part of the workspace cannot be looked at: {classify(error)}"
        yield Finding("permission", "wrong", sentence, workspace.root, remedy="The log says more.")


@dataclass
class Outcome:
    """What a repair did: what is done, and for each that failed the sentence that says why."""

    done: list[Finding] = field(default_factory=list)
    failed: list[tuple[Finding, str]] = field(default_factory=list)

    @property
    def freed(self) -> int:
        return sum(finding.size for finding in self.done)


@system.changes("repair the workspace")
def repair(_: Workspace, findings: Sequence[Finding]) -> Outcome:
    """Carry out the repairs of these findings, each by itself; those without one are passed over."""
    outcome = Outcome()
    for finding in findings:
        if finding.mend is None:
            continue
        try:
            finding.mend()
            outcome.done.append(finding)
        except SailsError as error:
            outcome.failed.append((finding, error.sentence))
        except OSError as error:
            outcome.failed.append((finding, f"{error.filename or finding.path}: {error.strerror}."))
    return outcome


def by_kind(findings: Sequence[Finding]) -> dict[Kind, list[Finding]]:
    """Return the findings by their kinds, in the order of `KINDS`."""
    return {kind: found for kind in KINDS if (found := [one for one in findings if one.kind == kind])}
