"""Options that belong together: a command takes them as one dataclass, and each of its fields is an option.

Loads nothing, because `sails chat` must answer soon.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from math import inf
from typing import Annotated, Any, get_type_hints

import typer

Command = Callable[..., None]
Group = tuple[Sequence[inspect.Parameter], Callable[..., Any]]  # options, and what makes one value of them


def group_options(command: Command, groups: Mapping[type, Group] | None = None) -> Command:
    """Give `command` the options of each dataclass that it takes, and of each type in `groups`."""
    grouped: dict[str, Group] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind = parameter.annotation
        if groups and kind in groups:
            grouped[parameter.name] = groups[kind]
        elif is_dataclass(kind) and isinstance(kind, type):
            grouped[parameter.name] = list(_options_of(kind)), kind
        parameters += grouped[parameter.name][0] if parameter.name in grouped else [parameter]

    @wraps(command)
    def run(**values: Any) -> None:
        for name, (members, make) in grouped.items():
            values[name] = make(**{member.name: values.pop(member.name) for member in members})
        command(**values)

    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    # typer reads the options from these two and not from what `run` itself takes.
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
    return run


def as_option(name: str, kind: Any, default: Any) -> inspect.Parameter:
    """Return a parameter that typer takes for an option."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _options_of(kind: type) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    for member in fields(kind):
        annotation = hints[member.name]
        if about := member.metadata.get("option"):
            flags = (about.flag,) if about.flag else ()
            limits: dict[str, Any] = {}
            if about.step:  # a decimal: its range stands in the help
                limits = {"min": about.offered[0], "max": about.high if about.high < inf else None}
            annotation = Annotated[annotation, typer.Option(*flags, **limits, help=about.help)]
        default = inspect.Parameter.empty if member.default is MISSING else member.default
        yield as_option(member.name, annotation, default)
