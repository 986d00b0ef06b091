"""Who a person can talk with: the current model, its earlier versions, and the base model that it grew from.

A speaker answers through an ONNX folder. That of the current model is the workspace's; a version's lies in
`versions/ID/onnx`; a base model's in the user's cache (`onnx/NAME` there), because all workspaces share it.
The last two are made on demand (`sails.exporting`). An ONNX folder counts as a speaker's only when the
fingerprint in its `export.json` is that of the speaker's model, so that a folder whose model changed is made
anew; only the current model may answer through an older export, which is then called out of date.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sails import base_models, publishing
from sails.chatting import Origin
from sails.errors import RequestError
from sails.workspace import ModelState, OnnxState, Workspace, inspect_model, inspect_onnx

CURRENT, BASE, VERSION = "current", "base", "version"
Readiness = Literal["ready", "stale", "unmade", "impossible"]


@dataclass(frozen=True)
class Speaker:
    """One model that can answer, or could if its ONNX model were made.

    `readiness`: *ready*; *stale* (it answers, but as an earlier model did, or nobody knows); *unmade* (the
    ONNX model can be made); *impossible* (there is no model to make it from).
    """

    key: str  # what an address and a widget call it: current, base, version/ID
    title: str
    model: str  # the model's folder; for the base its name
    onnx: Path
    readiness: Readiness
    fingerprint: str | None  # of the model whose export lies in `onnx`, else of the one it would be made from
    session: str | None = None  # that made this model, when recorded

    @property
    def answers(self) -> bool:
        return self.readiness in ("ready", "stale")

    @property
    def origin(self) -> Origin:
        """What to say of its answers."""
        unknown = self.readiness == "stale" and self.fingerprint is None
        stale = None if unknown else self.readiness == "stale"
        return Origin(self.title, self.fingerprint, self.session, stale)


def speakers(workspace: Workspace) -> list[Speaker]:
    """Everybody, the current model first, then the base, then versions from new to old."""
    situation = workspace.situation()
    return [
        _current(workspace, situation.trained, situation.onnx),
        _base(situation.trained),
        *(_version(workspace, version) for version in publishing.versions(workspace)),
    ]


def find(everybody: list[Speaker], key: str) -> Speaker:
    """Raises `RequestError` when it is not, or no longer, among them."""
    for speaker in everybody:
        if speaker.key == key:
            return speaker
    raise RequestError("The model that was chosen is no longer here.", "Choose another one.")


def _current(workspace: Workspace, trained: ModelState, onnx: OnnxState) -> Speaker:
    if onnx.present:
        readiness: Readiness = "stale" if onnx.stale is not False else "ready"
    else:
        readiness = "unmade" if trained.complete else "impossible"
    fingerprint = onnx.fingerprint if onnx.present else trained.fingerprint
    return Speaker(
        key=CURRENT,
        title="Current model",
        model=str(workspace.trained_model),
        onnx=workspace.onnx_model,
        readiness=readiness,
        fingerprint=fingerprint,
        session=trained.session if fingerprint == trained.fingerprint else None,
    )


def _version(workspace: Workspace, version: publishing.Version) -> Speaker:
    folder = workspace.versions / version.id
    model = inspect_model(folder)
    onnx = folder / publishing.VERSION_ONNX
    return Speaker(
        key=f"{VERSION}/{version.id}",
        title=f"Version {version.id}",
        model=str(folder),
        onnx=onnx,
        readiness=_made_from(onnx, model.fingerprint) if model.complete else "impossible",
        fingerprint=model.fingerprint,
        session=model.session,
    )


# --- the base model -------------------------------------------------------------------------------


def _base(trained: ModelState) -> Speaker:
    """The base model that the current model grew from; where nobody noted it, the usual one."""
    name = trained.base or base_models.DEFAULT
    try:
        model = base_models.find(name)
        local = base_models.local_path(model)
    except RequestError:  # a folder that is gone
        return Speaker(BASE, f"Base model {Path(name).name}", name, base_onnx(name), "impossible", None)
    fingerprint = inspect_model(local).fingerprint if local else None
    title = f"Base model {model.folder.name if model.folder else model.name}"
    onnx = base_onnx(model.name)
    return Speaker(BASE, title, model.name, onnx, _made_from(onnx, fingerprint), fingerprint)


def base_onnx(name: str) -> Path:
    """Where the ONNX model of a base model lies: a folder name that is safe on every system, and its own.

    `name` is a catalogue name, a hub id or a folder. What is no plain name gets eight digits of its hash
    behind it: two folders may be called alike.
    """
    plain = re.sub(r"[^\w.-]+", "-", Path(name).name, flags=re.ASCII).strip(".-")[:60] or "model"
    if plain != name:
        plain = f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return base_models.cache_dir() / "onnx" / plain


def _made_from(onnx: Path, fingerprint: str | None) -> Readiness:
    """A base model that is not on this machine has no fingerprint; its ONNX model may still be here."""
    found = inspect_onnx(onnx, fingerprint)
    if not found.present:
        return "unmade"
    return "ready" if fingerprint is None or found.fingerprint == fingerprint else "unmade"
