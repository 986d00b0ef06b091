"""A workspace whose tiny model really answers: a trained model, its ONNX model, a version and a base."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from sails.models import versions
from sails.models.folder import PROVENANCE
from sails.models.workspace import Workspace
from sails.onnx.export import export_model
from tests.support.folders import fingerprint_of
from tests.support.tiny import make_tiny_model

SESSION = "20260105-091500-rivers"
VERSION = "20260104-091500-mountains"


def make_talking(root: Path) -> Workspace:
    """Untaught, so its answers are noise. The base model lies in `base` beside the workspace."""
    base = root.parent / "base"
    shutil.copytree(_template() / "base", base, dirs_exist_ok=True)
    shutil.copytree(_template() / "workspace", root)
    workspace = Workspace.open(root)
    record = {"base": str(base), "session": SESSION}
    (workspace.trained_model / PROVENANCE).write_text(json.dumps(record))
    return workspace


@cache
def _template() -> Path:
    """The folders of `make_talking`, made once in each process of tests."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_tiny_model(folder / "base", seed=1)
    workspace = Workspace.open(folder / "workspace")
    make_tiny_model(workspace.trained_model)
    fingerprint = fingerprint_of(workspace.trained_model)
    export_model(workspace.trained_model, workspace.onnx_model, source_fingerprint=fingerprint)
    return folder


def add_version(workspace: Workspace, seed: int = 2) -> Path:
    """An earlier model that was current before."""
    folder = make_tiny_model(workspace.versions / VERSION, seed=seed)
    (folder / PROVENANCE).write_text(json.dumps({"session": VERSION}))
    record = {"id": VERSION, "fingerprint": fingerprint_of(folder), "retired": "2026-01-05T09:15:00Z"}
    (folder / versions.VERSION_RECORD).write_text(json.dumps(record))
    return folder


def copy_talking(template: Workspace, root: Path) -> Workspace:
    """The same again, for a test that changes it; the base stays where it was."""
    shutil.copytree(template.root, root)
    return Workspace.open(root)
