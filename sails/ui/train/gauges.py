"""What a training uses of its machine while it runs: processor, memory and graphics cards, side by side."""

from __future__ import annotations

import streamlit as st

from sails.sessions import Status
from sails.system import (
    CardUsage,
    ProcessIdentity,
    Usage,
    UsageMeter,
    gigabytes,
    graphics_cards,
    listed,
    meter_of,
)
from sails.ui.text import plain


def meter_for(status: Status) -> UsageMeter | None:
    """Return the meter of the worker of a session that runs, None while it has none."""
    if status.state != "running" or status.pid is None or status.pid_created is None:
        return None
    return meter_of(ProcessIdentity(status.pid, status.pid_created, status.host))


def gauges(usage: Usage, status: Status) -> None:
    """Draw them, each with its unit; graphics cards only where the training computes on one."""
    cards = graphics_cards() if status.results.device.startswith("cuda") else ()
    columns = st.columns(2 + len(cards), gap="large")
    with columns[0]:
        _gauge("Processor", *_processor(usage))
    with columns[1]:
        share = usage.machine_memory / usage.machine_memory_total
        said = f"{gigabytes(usage.memory)}, all programs {gigabytes(usage.machine_memory)}"
        _gauge("Memory", share, f"{said} of {gigabytes(usage.machine_memory_total)}")
    for column, card in zip(columns[2:], cards, strict=True):
        with column:
            _gauge(*_card(card))


def _processor(usage: Usage) -> tuple[float, str]:
    if usage.processors is None:
        return 0.0, "measuring …"
    machine = min(usage.processors.machine / usage.machine_processors, 1.0)
    cores = f"of {usage.machine_processors} cores"
    return machine, f"{usage.processors.process:.1f} {cores}, all programs {machine:.0%}"


def _card(card: CardUsage) -> tuple[str, float, str]:
    memory = f"{gigabytes(card.memory)} of {gigabytes(card.memory_total)}"
    return f"Graphics card {card.name}", min(card.busy, 1.0), listed([f"{card.busy:.0%} busy", memory])


def _gauge(name: str, share: float, said: str) -> None:
    st.progress(min(max(share, 0.0), 1.0), f":small[{plain(name)}: {plain(said)}]")
