"""The commands, one module a theme; `sails.cli.app` puts them together."""
