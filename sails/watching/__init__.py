"""Kept for one release: a watch that was switched on before an upgrade is known by this name."""
