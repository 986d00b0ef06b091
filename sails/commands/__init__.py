"""The commands, one module a theme; `sails.cli` puts them together."""
