"""`sails doctor`, `backup` and `restore`: whether a workspace is well, and keeping it safe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sails import doctor as care
from sails.cli import options
from sails.cli.output import EXIT_FAILED, say, say_json
from sails.doctor import KINDS, Finding, Outcome, Report
from sails.errors import RequestError
from sails.models import Workspace
from sails.system import count, size

SIGNS = {"wrong": "❌", "note": "·", "spare": "◻️"}
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def doctor(
    folder: options.WorkspaceOption = None,
    output_dir: options.OutputDir = None,
    onnx_output: options.OnnxOutput = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended, kind by kind; asks before each.")
    ] = False,
    free_space: Annotated[
        bool, typer.Option("--free-space", help="Delete what may go to make room; tells what, and asks.")
    ] = False,
    yes: Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Look at the whole workspace: what is damaged or lost, what it takes on the disk, what may go."""
    workspace = Workspace.open(folder, output_dir=output_dir, onnx_output=onnx_output)
    if (repair or free_space) and not yes and (as_json or not sys.stdin.isatty()):
        raise RequestError("A repair must be confirmed.", "Add --yes.")
    report = care.examine(workspace)
    if not as_json:
        _say(workspace, report)
    chosen = (report.wrong if repair else ()) + (report.spare if free_space else ())
    outcome = _carry_out(workspace, [finding for finding in chosen if finding.can_be_repaired], yes)
    after = care.examine(workspace) if outcome.done or outcome.failed else report
    if as_json:
        say_json(_as_json(workspace, after, outcome))
    else:
        _conclude(after, outcome)
    if after.wrong:
        raise typer.Exit(EXIT_FAILED)


def _carry_out(workspace: Workspace, findings: Sequence[Finding], yes: bool) -> Outcome:
    """Repair one kind after the other, each when a person agrees."""
    outcome = Outcome()
    for kind, of_kind in care.by_kind(findings).items():
        freed = sum(finding.size for finding in of_kind)
        what = f"{KINDS[kind]}: {count(len(of_kind), 'repair')}" + (f", {size(freed)} freed" if freed else "")
        if yes or typer.confirm(f"{what}. Do it?"):
            made = care.repair(workspace, of_kind)
            outcome.done += made.done
            outcome.failed += made.failed
    return outcome


def _say(workspace: Workspace, report: Report) -> None:
    say(f"Workspace      {workspace.root}")
    for kind, findings in care.by_kind(report.findings).items():
        say()
        say(KINDS[kind])
        for finding in findings:
            say(
                f"  {SIGNS[finding.weight]} {finding.sentence}"
                + (f" {size(finding.size)}." if finding.size else "")
            )
            if advice := finding.repair or finding.remedy:
                say(f"     {'Repair: ' if finding.can_be_repaired else ''}{advice}")
            if finding.session and finding.weight == "wrong":
                say(f"     To keep what is there: sails sessions save {finding.session}")
    say()
    say("What it takes on the disk")
    for room in report.rooms:
        say(f"  {room.title:28} {size(room.size):>10}")
    say(f"  {'Free on this disk':28} {size(report.free):>10}")
    say()


def _conclude(report: Report, outcome: Outcome) -> None:
    for finding, sentence in outcome.failed:
        say(f"❌ Not mended: {finding.sentence} {sentence}")
    if outcome.done:
        freed = f" {size(outcome.freed)} are free now." if outcome.freed else ""
        say(f"✅ {count(len(outcome.done), 'repair')} done.{freed}")
    can = sum(finding.can_be_repaired for finding in report.wrong)
    if not report.wrong:
        say("✅ Nothing is damaged or lost.")
    else:
        more = f" `sails doctor --repair` mends {can} of them." if can else ""
        say(f"❌ {count(len(report.wrong), 'thing')} found that should not be so.{more}")
    if report.freeable:
        say(
            f"🧹 {size(report.freeable)} can be freed: `sails doctor --free-space` tells what goes, and asks."
        )


def _as_json(workspace: Workspace, report: Report, outcome: Outcome) -> dict[str, Any]:
    def told(finding: Finding) -> dict[str, Any]:
        return {
            "kind": finding.kind,
            "weight": finding.weight,
            "sentence": finding.sentence,
            "path": finding.path,
            "repair": finding.repair,
            "remedy": finding.remedy,
            "bytes": finding.size,
            "session": finding.session,
        }

    return {
        "workspace": workspace.root,
        "findings": [told(finding) for finding in report.findings],
        "repaired": [told(finding) for finding in outcome.done],
        "failed": [{**told(finding), "reason": reason} for finding, reason in outcome.failed],
        "disk": {room.title: room.size for room in report.rooms},
        "free": report.free,
        "freeable": report.freeable,
        "seconds": round(report.seconds, 2),
    }


# --- backup and restore ---------------------------------------------------------------------------


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, outside of the workspace.")],
    folder: options.WorkspaceOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Save the whole workspace in one file, as it is at this moment; a training may go on meanwhile."""
    workspace = Workspace.open(folder)
    made = care.back_up(workspace, file)
    if as_json:
        say_json(_about(made))
        return
    files = count(len(made.contents.files), "file")
    say(f"✅ {workspace.root} is saved in {made.path}: {files}, {size(made.size)}, read once more and whole.")
    for name in made.contents.left_out:
        say(f"⚠️ {name} is no file of the workspace itself, so it was left out.")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `sails backup` wrote.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
    as_json: options.AsJson = False,
) -> None:
    """Put a backup back as a workspace at another place; what was there before stays untouched."""
    made = care.restore(file, target)
    if as_json:
        say_json({**_about(made), "workspace": target.absolute()})
        return
    when = f"{made.contents.made:%Y-%m-%d %H:%M} UTC"
    say(f"✅ {target} holds the workspace {made.contents.workspace} as it was on {when}.")
    say(f"   Open it with: sails status --workspace {target}")


def _about(made: care.Backup) -> dict[str, Any]:
    return {
        "file": made.path,
        "bytes": made.size,
        "saved": made.saved,
        "files": len(made.contents.files),
        "made": made.contents.made.isoformat(),
        "fingerprint": made.contents.fingerprint,
        "left_out": list(made.contents.left_out),
    }
