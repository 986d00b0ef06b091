"""The commands, one module a theme; `sails.cli.app` puts them together."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.cli.app import main

__getattr__, __all__ = lazy_exports(__name__)
