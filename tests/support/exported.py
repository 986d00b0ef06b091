"""A workspace whose tiny model really answers: a trained model, its ONNX model, a version and a base."""

from __future__ import annotations

import json
import shutil
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
    workspace = Workspace.open(root)
    base = make_tiny_model(root.parent / "base", seed=1)
    make_tiny_model(workspace.trained_model)
    record = {"base": str(base), "session": SESSION}
    (workspace.trained_model / PROVENANCE).write_text(json.dumps(record))
    export_model(
        workspace.trained_model,
        workspace.onnx_model,
        source_fingerprint=fingerprint_of(workspace.trained_model),
    )
    return workspace


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
