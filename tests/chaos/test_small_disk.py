"""A disk that is really full, or may only be read, and too little memory: named, and nothing is lost."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.support.tiny import make_tiny_model


def _can_mount(folder) -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_disk_that_is_full_or_may_only_be_read_is_named_and_what_was_begun_goes_on(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if not _can_mount(disk):
        pytest.skip("this machine lets nobody mount a disk of his own")
    base = make_tiny_model(tmp_path / "base", "gpt2")
    command = ["unshare", "-rm", sys.executable, "-m", "tests.support.small_disk", disk, base]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])

    assert {command: code for command, (code, _) in said["reading"].items() if code} == {}
    for command, (code, error) in said["writing"].items():
        assert code in (1, 2), command
        assert "read-only" in error.lower(), (command, error)
        assert "Traceback" not in error, command

    full = {"state": "failed", "kind": "disk_full", "resumable": True, "verdict": None}
    assert said["early"] == said["full"] == full
    assert said["message"].endswith(" kB are free.")
    assert "0.0" not in said["message"]
    assert said["free"] == {"state": "succeeded", "kind": None, "resumable": False, "verdict": "published"}
    assert said["left"] == []

    assert said["memory"]["kind"] in (None, "out_of_memory")  # it may have been enough
    assert said["memory"]["state"] in ("failed", "succeeded")
    assert said["model"] == "complete"
