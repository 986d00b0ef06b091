"""Who a person can talk with: the current model, its earlier versions, and the base model that it grew from.

A chat model answers through an ONNX folder. That of the current model is the workspace's; a version's lies in
`versions/ID/onnx`; a base model's in the user's cache (`onnx/NAME` there), because all workspaces share it.
The last two are made on demand (`sails.jobs.export`). Each folder holds one or more variants
(`sails.models.variants`); unless a person names one, the preferred one answers. A variant counts as a model's
own only when the fingerprint in its `export.json` is that of the model, so that a folder whose model changed
is made anew; only the current model may answer through that of another one, which is said then.

A key names a chat model, in an address, a widget and a command: `current`, `base`, `version/ID`, and each of
them with a variant behind it, such as `current@int8`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sails import models, system
from sails.chat.conversation import Origin
from sails.errors import RequestError
from sails.models import (
    CERTIFIED,
    FULL_PRECISION,
    VARIANT_TITLES,
    VARIANTS,
    ExportRecord,
    ModelState,
    Variant,
    VariantState,
    Workspace,
    inspect_model,
    resolve,
    variant_folder,
)
from sails.system import one_line

CURRENT, BASE, VERSION, FOLDER = "current", "base", "version", "folder"
Readiness = Literal["ready", "stale", "unmade", "impossible"]


@dataclass(frozen=True)
class ChatModel:
    """One model that can answer, or could if its ONNX model were made.

    `readiness`: *ready*; *stale* (it answers, but as another model does, or nobody knows); *unmade* (the
    ONNX model can be made); *impossible* (there is no model to make it from).
    """

    key: str  # what an address and a widget call it: current, base, version/ID, maybe with @VARIANT
    title: str
    model: str  # the model's folder; for the base its name
    onnx: Path  # the ONNX folder, where an export puts all variants
    readiness: Readiness
    fingerprint: str | None  # of the model whose export answers, else of the one it would be made from
    session: str | None = None  # that made this model, when recorded
    variants: Mapping[Variant, VariantState] = field(default_factory=dict, hash=False)  # those it can use
    quarantined: tuple[Variant, ...] = ()  # kept apart, because their certificates failed
    wanted: Variant | None = None  # that a person named; None: the preferred one
    trained: str | None = None  # fingerprint of the model itself
    trained_session: str | None = None
    trained_lesson: str = ""  # the name of that session
    exportable: bool = True  # whether there is a model to make an ONNX model from

    @property
    def answers(self) -> bool:
        """Whether it can answer now."""
        return self.readiness in ("ready", "stale")

    @property
    def variant(self) -> Variant | None:
        """The variant that answers, or would."""
        return self.wanted or models.preferred_variant(self.variants)

    @property
    def answering(self) -> Path:
        """The folder of the variant that answers."""
        variant = self.variant or FULL_PRECISION
        state = self.variants.get(variant)
        return state.path if state else variant_folder(self.onnx, variant)

    @property
    def certified(self) -> bool | None:
        """Whether the variant that answers passed its certificate; None when it has none."""
        state = self.variants.get(self.variant or FULL_PRECISION)
        return state.certified if state else None

    @property
    def origin(self) -> Origin:
        """The model as the origin of its answers."""
        unknown = self.readiness == "stale" and self.fingerprint is None
        stale = None if unknown else self.readiness == "stale"
        variant = self.variant if self.answers else None
        lesson = self.trained_lesson if self.session else ""
        return Origin(self.title, self.fingerprint, self.session, stale, variant, self.certified, lesson)

    def with_variant(self, variant: Variant | None) -> ChatModel:
        """Return the same model with a variant of one's own choice; None leaves it to the certificates."""
        key = self.key.partition("@")[0] + (f"@{variant}" if variant else "")
        return _with_readiness(replace(self, key=key, wanted=variant))


def _with_readiness(model: ChatModel) -> ChatModel:
    """With the readiness of the variant that is to answer."""
    state = model.variants.get(model.variant or FULL_PRECISION)
    if state is None or not state.present:
        readiness: Readiness = "unmade" if model.exportable else "impossible"
        return replace(model, readiness=readiness, fingerprint=model.trained, session=model.trained_session)
    is_same_model = state.fingerprint == model.trained or model.trained is None
    session = model.trained_session if is_same_model else None
    stale = state.stale is not False and model.key.partition("@")[0] == CURRENT
    readiness = "stale" if stale else "ready"
    return replace(model, readiness=readiness, fingerprint=state.fingerprint, session=session)


def chat_models(workspace: Workspace) -> list[ChatModel]:
    """All that can be chatted with: the current model first, then the base, then versions from new to old."""
    trained = workspace.situation().trained
    versions = [(version.id, _version(workspace, version)) for version in models.list_versions(workspace)]
    titles = [model.title for _, model in versions]
    return [
        current_chat_model(workspace, trained),
        _base(trained),
        *(
            model if titles.count(model.title) == 1 else replace(model, title=f"{model.title} ({name})")
            for name, model in versions
        ),
    ]


def find_chat_model(everybody: Sequence[ChatModel], key: str) -> ChatModel:
    """Find the model with this key, which may name a variant; a version's id alone does as well.

    Raises `RequestError` when it is not, or no longer, among them.
    """
    name, _, variant = key.partition("@")
    for model in everybody:
        if name in (model.key, model.key.removeprefix(f"{VERSION}/")):
            return model.with_variant(_variant(variant)) if variant else model
    raise RequestError("The model that was chosen is no longer here.", "Choose another one.")


def _variant(name: str) -> Variant:
    for variant in VARIANTS:
        if name == variant:
            return variant
    raise RequestError(f"There is no variant {name[:40]}.", f"Choose {' or '.join(VARIANTS)}.")


def previous_chat_model(workspace: Workspace, everybody: Sequence[ChatModel]) -> ChatModel | None:
    """The version that the last lesson continued, else the one that was current before; None without one."""
    record = models.provenance_of(workspace.trained_model)
    own = workspace.situation().trained.fingerprint
    versions = [m for m in everybody if m.key.startswith(f"{VERSION}/") and m.trained != own]
    if record and record.parent:
        return next((version for version in versions if version.trained == record.parent), None)
    return versions[0] if versions else None


def current_chat_model(workspace: Workspace, trained: ModelState | None = None) -> ChatModel:
    """Return the current model. Needs no record of versions or of base models."""
    trained = trained or workspace.situation().trained
    return _chat_model(
        key=CURRENT,
        title="Current model",
        model=str(workspace.trained_model),
        onnx=workspace.onnx_model,
        trained=trained.fingerprint,
        trained_session=trained.session,
        trained_lesson=_lesson(workspace, trained.session),
        exportable=trained.complete,
        others_too=True,
        tokenizer=trained.tokenizer,
    )


def chat_model_in(folder: Path) -> ChatModel:
    """Return what lies in an ONNX folder from anywhere, or in that of one variant."""
    if folder.name in VARIANTS:
        return chat_model_in(folder.parent).with_variant(_variant(folder.name))
    model = _chat_model(
        key=FOLDER,
        title=f"ONNX model in {folder.name}",
        model=str(folder),
        onnx=folder,
        trained=None,
        exportable=False,
    )
    flat = model.variants.get(FULL_PRECISION)
    record = ExportRecord.read(resolve(folder))
    made = record.variant if record else None
    if flat and made in VARIANTS and made != FULL_PRECISION:  # under another name
        return _with_readiness(replace(model, variants={made: replace(flat, variant=made)}))
    return model


def _version(workspace: Workspace, version: Any) -> ChatModel:
    folder = workspace.versions / version.id
    model = inspect_model(folder)
    lesson = _lesson(workspace, model.session)
    return _chat_model(
        key=f"{VERSION}/{version.id}",
        title=f"Version {version.name or lesson or version.id}",
        model=str(folder),
        onnx=folder / models.VERSION_ONNX,
        trained=model.fingerprint,
        trained_session=model.session,
        trained_lesson=lesson,
        exportable=model.complete,
        answers=model.complete,
    )


def _lesson(workspace: Workspace, session: str | None) -> str:
    """What the session is called; read plainly, for a chat is to begin soon."""
    spec = system.read_json(workspace.sessions / session / "spec.json") if session else None
    return one_line(str((spec or {}).get("name") or ""))


def _chat_model(
    *,
    onnx: Path,
    trained: str | None,
    exportable: bool,
    others_too: bool = False,
    tokenizer: str | None = None,
    answers: bool = True,
    **fields: Any,
) -> ChatModel:
    """A chat model with the variants that are its own; `others_too`: also those made from another model."""
    own_variants = {
        variant: state
        for variant, state in models.inspect_variants(onnx, trained, tokenizer).items()
        if state.present and answers and (others_too or trained is None or state.fingerprint == trained)
    }
    fields |= {"variants": own_variants, "trained": trained, "exportable": exportable}
    failed = models.inspect_failed_variants(onnx, trained)
    fields["quarantined"] = tuple(variant for variant, state in failed.items() if state.stale is not True)
    return _with_readiness(ChatModel(onnx=onnx, readiness="unmade", fingerprint=trained, **fields))


def describe_variant(model: ChatModel) -> str:
    """Say what a person should know before choosing this size: 8-bit, not verified."""
    variant = model.variant
    if variant is None:
        return ""
    if not model.answers:
        doubt = "kept apart" if variant in model.quarantined else "not made yet"
        return f"{VARIANT_TITLES[variant]}, {doubt}"
    return ", ".join(filter(None, (VARIANT_TITLES[variant], CERTIFIED[model.certified].doubt)))


# --- the base model -------------------------------------------------------------------------------


def _base(trained: ModelState) -> ChatModel:
    """The base model that the current model grew from; where nobody noted it, the usual one."""
    name = trained.base or models.DEFAULT_BASE_MODEL
    try:
        model = models.find_base_model(name)
        local = models.base_model_path(model)
    except RequestError:  # a folder that is gone
        title = f"Base model {Path(name).name}"
        return ChatModel(BASE, title, name, base_onnx(name), "impossible", None, exportable=False)
    # A base model that is not on this machine has no fingerprint; its ONNX model may still be here.
    return _chat_model(
        key=BASE,
        title=f"Base model {model.folder.name if model.folder else model.name}",
        model=model.name,
        onnx=base_onnx(model.name),
        trained=inspect_model(local).fingerprint if local else None,
        exportable=True,
    )


def base_onnx(name: str) -> Path:
    """The folder of the ONNX model of a base model: a folder name that is safe on every system, and its own.

    `name` is a catalogue name, a hub id or a folder. What is no plain name gets eight digits of its hash
    behind it: two folders may be called alike.
    """
    plain = re.sub(r"[^\w.-]+", "-", Path(name).name, flags=re.ASCII).strip(".-")[:60] or "model"
    if plain != name:
        plain = f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return models.cache_dir() / "onnx" / plain
