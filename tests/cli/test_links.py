"""A link that leads back to itself, in the place of any file of a workspace, ends no command that reads.

Each part of the workspace is replaced in turn; what reads it says what is missing or damaged, and what has
nothing to do with it goes on as if nothing were.
"""

import os
import random
import shutil
import sys

import pytest

from benchmarks.chaos import DONE, prepare
from sails import jobs
from sails.cli.app import main
from sails.jobs import launcher, watch
from sails.jobs.watch import switch
from sails.sessions import Settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
READING = (
    ("status",),
    ("sessions", "list"),
    ("sessions", "show", DONE),
    ("sessions", "retention"),
    ("sessions", "versions"),
    ("sessions", "log", DONE),
    ("datasets", "list"),
    ("corrections", "list"),
    ("watch", "--status"),
    ("chat", "--prompts"),
)
EVERY = 12  # one part of so many is tried; with 1, each
# The two folders of models are named by every command, which says that they are such links.
NAMED = ("trained_model", "onnx_model")
# What a command is about may be missing for it.
ABOUT = {("sessions", "show", DONE): ("sessions", f"sessions/{DONE}", f"sessions/{DONE}/spec.json")}
ABOUT[("sessions", "log", DONE)] = ABOUT[("sessions", "show", DONE)]
ABOUT[("watch", "--status")] = ("watch.json",)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("workspace") / "w"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "start_worker", lambda _: None)
        workspace = prepare(root)
        jobs.submit_training(workspace, "lesson", Settings(epochs=1), name="queued")
        order = watch.order_of(file=None, at_least=1, every=30, settings=Settings())
        switch.begin(workspace, order)
        switch.switch_off(workspace)
    done = workspace.sessions / DONE
    for name in ("metrics.jsonl", "train.log", "labels.json", "lock", "data/train.jsonl"):
        (done / name).parent.mkdir(exist_ok=True)
        (done / name).touch()
    (root / "conversations").mkdir()
    for name in ("heldout", "training.lock", "acts.jsonl", "conversations/20260101-000000-abcdef.json"):
        (root / name).touch()
    return root


def test_a_link_to_itself_ends_no_command_that_reads(template, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    root, wrong = tmp_path / "w", []
    parts = sorted(str(path.relative_to(template)) for path in template.rglob("*"))
    assert len(parts) > 50
    for part in parts[random.Random(5).randrange(EVERY) :: EVERY]:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(template, root)
        path = root / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        os.symlink(path, path)
        for command in READING:
            code = main([*command, "--workspace", str(root)])
            said = capsys.readouterr().err
            if part in NAMED:
                assert (code, "is a link that leads back to itself" in said) == (2, True)
            elif (code and part not in ABOUT.get(command, ())) or "symbolic" in said:
                wrong.append((part, *command, said.strip()))
    assert wrong == []
