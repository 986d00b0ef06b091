"""What people who sign in may do: the roles viewer, trainer and admin, from whoever runs the dashboard.

    [access.roles]                             in every workspace
    admin = ["ann@example.org"]
    trainer = ["group:teachers"]
    viewer = ["@example.org"]                  whoever has an address there

    [access.workspaces.rivers.roles]           in this one, these instead; an admin above is one here as well
    trainer = ["bob@example.org"]

Nobody has a role who is not named. Who is named for several has the highest.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from sails.errors import RequestError

Limit = Literal["trainings", "questions", "upload_mb", "workspace_gb"]  # see sails.system.allowance
LIMITS: tuple[Limit, ...] = get_args(Limit)
Role = Literal["viewer", "trainer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
GROUP = "group:"
GROUPS_CLAIM = "groups"

_People = Mapping[Role, frozenset[str]]


@dataclass(frozen=True)
class Rules:
    """Who has which role, by e-mail address or group; `root` is the folder in which the workspaces lie."""

    root: Path
    everywhere: _People = field(default_factory=dict)
    workspaces: Mapping[str, _People] = field(default_factory=dict)
    groups_claim: str = GROUPS_CLAIM
    limits: Mapping[Limit, float] = field(default_factory=dict)

    @classmethod
    def read(cls, section: Mapping[str, Any], root: Path) -> Rules:
        """Read the table `access`; raises `RequestError` for what cannot be meant."""
        _refuse_unknown(section, ("roles", "workspaces", "groups_claim", "limits"), "access")
        workspaces = _table(section.get("workspaces", {}), "access.workspaces")
        for name, workspace in workspaces.items():
            _refuse_unknown(
                _table(workspace, f"access.workspaces.{name}"), ("roles",), f"access.workspaces.{name}"
            )
        return cls(
            root,
            _people(section.get("roles", {}), "access.roles"),
            {n: _people(w.get("roles", {}), f"access.workspaces.{n}.roles") for n, w in workspaces.items()},
            str(section.get("groups_claim", GROUPS_CLAIM)),
            _limits(section.get("limits", {})),
        )

    def role_of(self, email: str, groups: frozenset[str], folder: Path | None) -> Role | None:
        """Return the highest role of a person in a folder, or with None in those that no table is for."""
        own = self._names(email, groups)
        tables = [self.everywhere]
        if (name := self._listed(folder)) is not None:
            tables = [{"admin": self.everywhere.get("admin", frozenset())}, self.workspaces[name]]
        held = [role for role in ROLES if any(own & table.get(role, frozenset()) for table in tables)]
        return held[-1] if held else None

    def workspace_of(self, folder: Path) -> Path | None:
        """Return the workspace with a table of its own in which a folder lies."""
        name = self._listed(folder)
        return None if name is None else self.root / name

    def _listed(self, folder: Path | None) -> str | None:
        place = folder and Path(os.path.realpath(folder))  # whatever links and dots it was reached by
        if place is None or not place.is_relative_to(self.root):
            return None
        inside = place.relative_to(self.root).parts
        names = ["/".join(inside[:length]) for length in range(len(inside), 0, -1)]
        return next((own for name in names for own in self.workspaces if self._is_same(name, own)), None)

    def _is_same(self, name: str, other: str) -> bool:
        """Whether both name one folder: on some disks, small and large letters do."""
        if name == other or _folded(name) != _folded(other):
            return name == other
        try:
            return os.path.samefile(self.root / name, self.root / other)
        except OSError:  # one is not there
            return False

    @staticmethod
    def _names(email: str, groups: frozenset[str]) -> frozenset[str]:
        email = email.strip().casefold()
        is_address = "@" in email[1:] and not email.startswith(GROUP)
        addresses = {email, f"@{email.rpartition('@')[2]}"} if is_address else set()
        return frozenset({*addresses, *(GROUP + group for group in groups)})


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _people(table: Any, name: str) -> _People:
    _refuse_unknown(_table(table, name), ROLES, name)
    for role, people in table.items():
        if not isinstance(people, (list, tuple)) or not all(isinstance(one, str) and one for one in people):
            raise RequestError(f"{name}.{role} is no list of names.", 'Write it so: ["ann@example.org"].')
    return {
        role: frozenset(one if one.startswith(GROUP) else one.strip().casefold() for one in table[role])
        for role in ROLES
        if role in table
    }


def _limits(table: Any) -> Mapping[Limit, float]:
    _refuse_unknown(_table(table, "access.limits"), LIMITS, "access.limits")
    for name, most in table.items():
        if isinstance(most, bool) or not isinstance(most, (int, float)) or not most >= 0:
            raise RequestError(f"access.limits.{name} is no number.", "Write one, or leave the line out.")
    return {name: table[name] for name in LIMITS if name in table}


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RequestError(f"{name} is no table.", f"Write [{name}] above its lines.")
    return value


def _refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], name: str) -> None:
    for key in table:
        if key not in known:
            raise RequestError(f"{name} knows no {key}.", f"It knows {', '.join(known)}.")
