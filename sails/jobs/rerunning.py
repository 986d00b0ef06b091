"""A session run again: the same dataset and settings, or some of them changed."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sails.errors import RequestError
from sails.jobs import submit
from sails.models import VARIANTS, Workspace
from sails.sessions import Session, SessionRecord, Settings, TrainSpec


def run_again(workspace: Workspace, record: SessionRecord, **changes: Any) -> Session:
    """Queue a new session like this one, with `changes` to its `Settings`; returns it.

    It starts from what a session would start from now, unless this one was told where to start. Raises
    `RequestError` for a setting that cannot be and `WorkspaceError` when the dataset is gone.
    """
    spec = record.spec
    if not isinstance(spec, TrainSpec):
        raise RequestError(f"{spec.id} is no training session.", "Only a training can be run again.")
    return submit.submit_training(
        workspace,
        spec.dataset,
        changed(spec.settings, **changes),
        name=spec.name,
        start=spec.start,
        model_name=spec.model_name,
        export=spec.export,
        verify=spec.verify,
        opset=spec.opset,
        variants=spec.variants if "variants" in spec.model_fields_set else VARIANTS,
    )


def changed(settings: Settings, **changes: Any) -> Settings:
    """The settings with some of them changed; raises `RequestError` for a value that cannot be."""
    try:
        return Settings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"])).replace("_", " ")
        raise RequestError(
            f"The value for {name or 'the settings'} cannot be used: {problem['msg'].lower()}.",
            "Choose another one.",
        ) from error
