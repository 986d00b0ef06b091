"""The model directory: where everything lies, and what state the two models are in.

Reads only, in milliseconds, without any machine-learning library. Writing models is `sails.models.publish`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from sails import system
from sails.errors import WorkspaceError
from sails.models.folder import Situation, inspect_model, inspect_onnx
from sails.models.journal import steadily

VERSIONS = "versions"  # the folder of the earlier models
OF_A_MODEL = (
    "config.json",
    "*.safetensors",
    "*.bin",
    "*.index.json",
    "tokenizer*",
    "checkpoint-*",
    "adapter*",
)
# What a workspace keeps besides its two models; no model may be written over it, or among it.
DATA = ("datasets", "sessions", "jobs", VERSIONS, "set_aside", "heldout", "corrections")


@dataclass(frozen=True)
class Workspace:
    """A workspace folder and its two model folders, which may lie elsewhere."""

    root: Path
    trained_model: Path
    onnx_model: Path

    @classmethod
    def open(
        cls,
        root: str | Path | None = None,
        *,
        output_dir: str | Path | None = None,
        onnx_output: str | Path | None = None,
    ) -> Workspace:
        """Return the workspace at `root` (else $SAILS_WORKSPACE, else ./workspace); creates nothing.

        Raises `WorkspaceError` when one of the three is an existing file instead of a folder, and when an
        export would replace more than an ONNX model, or go among a workspace's data.
        """
        folder = _folder(root) if root else cls.usual_root()
        trained = _folder(output_dir) if output_dir else folder / "trained_model"
        onnx = _folder(onnx_output) if onnx_output else folder / "onnx_model"
        for path in (folder, trained, onnx):
            if path.is_symlink():  # `_folder` followed every link that leads somewhere
                raise WorkspaceError(f"{path} is a link that leads back to itself.", "Remove it.")
            if path.exists() and not path.is_dir():
                raise WorkspaceError(f"{path} is a file, not a folder.", "Choose another folder.")
            system.require_look(path, folder)
        _refuse_overlap(onnx, (folder, trained))
        _refuse_data(onnx, folder)
        return cls(folder, trained, onnx)

    @staticmethod
    def usual_root() -> Path:
        """Return where the usual workspace lies, open to who asks or not."""
        return _folder(os.environ.get("SAILS_WORKSPACE") or "workspace")

    def check_publishable(self) -> None:
        """Raise `WorkspaceError` when publishing would replace more than a model, or go among data."""
        _refuse_overlap(self.trained_model, (self.root, self.onnx_model))
        _refuse_data(self.trained_model, self.root)
        if self.trained_model != self.root / "trained_model":
            _refuse_foreign(self.trained_model)

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def sessions(self) -> Path:
        return self.root / "sessions"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def tokens(self) -> Path:
        """What is kept of rows that were encoded: never needed, and gone with any dataset or session."""
        return self.jobs / "tokens"

    @property
    def versions(self) -> Path:
        return self.root / VERSIONS

    @property
    def set_aside(self) -> Path:
        """Where incomplete models go when a new one takes their place."""
        return self.root / "set_aside"

    @property
    def register(self) -> Path:
        return self.root / "heldout"

    @property
    def queue(self) -> Path:
        return self.root / "queue.json"

    @property
    def training_lock(self) -> Path:
        return self.root / "training.lock"

    @staticmethod
    def is_version(model: Path) -> bool:
        """Whether a folder is that of an earlier version, in whatever workspace: it may have been moved."""
        return model.parent.name == VERSIONS

    def situation(self) -> Situation:
        """Inspect both model folders; a publication that runs meanwhile is never seen half done."""
        trained = steadily(self.trained_model, inspect_model)
        known = trained.fingerprint, trained.tokenizer
        onnx = steadily(self.onnx_model, lambda folder: inspect_onnx(folder, *known))
        return Situation(trained, onnx)


def workspaces_in(root: Path) -> list[Path]:
    """Return the folders directly in `root` that are workspaces, by name."""
    parts = ("sessions", "datasets", "trained_model", "onnx_model")
    try:
        folders = [path for path in root.iterdir() if path.name[0] != "." and path.is_dir()]
    except OSError:
        return []
    return sorted(folder for folder in folders if any((folder / part).is_dir() for part in parts))


@system.changes("make a workspace", what="name", role="admin", folder=lambda root, name: root / name.strip())
def create_workspace(root: Path, name: str) -> Path:
    """Make a new, empty workspace inside `root`; raises `RequestError` when it cannot be."""
    folder = system.inside(root, name)
    if folder.exists():
        raise WorkspaceError(f"{folder} is there already.", "Open it, or choose another name.")
    try:
        (folder / "datasets").mkdir(parents=True)
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be made: {error.strerror}.", "Choose another name.") from error
    return folder


def _folder(path: str | Path) -> Path:
    return Path(os.path.realpath(os.path.expanduser(path)))  # `resolve` fails on a link to itself


def _refuse_overlap(model: Path, others: Iterable[Path]) -> None:
    """A model's folder is replaced as a whole, and what lies in it goes with it."""
    for other in others:
        if other.is_relative_to(model):
            raise WorkspaceError(
                f"A new model in {model} would take the place of {other} as well.",
                "Choose a folder of its own for each.",
            )


def _refuse_data(model: Path, root: Path) -> None:
    """A model's folder is none of a workspace's data: not of the one at `root`, nor of another nearby."""
    near = (model, *model.parents, *(model.iterdir() if model.is_dir() else ()))
    for workspace in (root, *filter(_is_workspace, near)):
        data = [Path(os.path.realpath(workspace / name)) for name in DATA]
        _refuse_overlap(model, (workspace, *data))
        for folder in data:
            if model.is_relative_to(folder):
                raise WorkspaceError(
                    f"{model} lies in {folder}, where a workspace keeps its own data.",
                    "Choose a folder outside of it.",
                )


def _refuse_foreign(model: Path) -> None:
    """A folder elsewhere that holds things, and nothing as a model has it, is somebody's for another end."""
    names = [path.name for path in model.iterdir() if path.name[0] != "."] if model.is_dir() else []
    if names and not any(fnmatch(name, of_model) for name in names for of_model in OF_A_MODEL):
        raise WorkspaceError(
            f"{model} holds other things, and no model.", "Choose a folder that is new, or empty."
        )


def check_output(path: Path) -> None:
    """Raise `WorkspaceError` for a file or folder to be written that lies among the data of a workspace.

    Directly in the workspace's folder, a new one may lie, and a zip file in the place of another.
    """
    place = Path(os.path.realpath(path))
    root = next(filter(_is_workspace, place.parents), None)
    if root is None or (place.parent == root and (place.suffix == ".zip" or not place.exists())):
        return
    raise WorkspaceError(
        f"{path} lies among the data of the workspace {root}.", "Choose a place outside of it."
    )


def _is_workspace(folder: Path) -> bool:
    """Whether something was done here as in a workspace; one folder's name alone is too common."""
    return (folder / "training.lock").exists() or all(
        (folder / name).is_dir() for name in ("sessions", "datasets")
    )


def new_id(name: str) -> str:
    """Return an id that sorts by time: UTC to the second, then a short name of lower-case words."""
    words = "".join(c if c.isalnum() and c.isascii() else "-" for c in name.lower())
    short = "-".join(filter(None, words.split("-")))[:40].strip("-") or "session"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{short}"
