"""What a process uses of its machine."""

import subprocess
import sys
import time

import pytest

from sails import system
from sails.system import load, usage


@pytest.fixture
def busy():
    """Programs that calculate without end."""
    programs = []

    def start(count: int = 1) -> system.ProcessIdentity:
        programs.extend(subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count))
        this, pid = system.this_process(), programs[-1].pid
        return system.ProcessIdentity(pid, usage.psutil.Process(pid).create_time(), this.host)

    yield start
    for program in programs:
        program.kill()
        program.wait()


def test_what_a_process_and_its_machine_use(busy, monkeypatch):
    monkeypatch.setattr(usage, "SHORTEST", 0.0)
    meter = usage.UsageMeter(busy())
    first = meter.read()
    assert first is not None
    assert first.processors is None  # there is nothing yet to compare with
    assert 0 < first.memory < first.machine_memory_total
    assert 0 < first.machine_memory <= first.machine_memory_total
    time.sleep(0.5)
    second = meter.read()
    assert second is not None
    assert second.processors is not None
    assert 0.05 < second.processors.process < 1.5
    assert second.processors.process <= second.processors.machine + 0.5
    assert second.processors.slowdown >= 1


@pytest.mark.skipif(not load.TASKS.exists(), reason="only Linux counts how long a thread waited")
def test_a_process_that_must_wait_for_others_is_slowed_down(busy, monkeypatch):
    monkeypatch.setattr(usage, "SHORTEST", 0.0)
    meter = usage.UsageMeter(busy(3 * load.processors()))
    meter.read()
    time.sleep(1.0)
    seen = meter.read()
    assert seen is not None
    assert seen.processors is not None
    assert seen.processors.slowdown > 1.5


def test_who_asks_soon_again_gets_the_same():
    meter = usage.meter_of(system.this_process())
    assert meter.read() is meter.read()
    assert usage.meter_of(system.this_process()) is not None


def test_of_a_process_that_ended_and_on_another_machine_nothing_is_known():
    this = system.this_process()
    gone = system.ProcessIdentity(this.pid, this.created - 1000, this.host)
    elsewhere = system.ProcessIdentity(this.pid, this.created, "another-machine")
    assert usage.UsageMeter(gone).read() is None
    assert usage.UsageMeter(elsewhere).read() is None


def test_graphics_cards_are_read_from_the_tool_of_their_driver(monkeypatch, tmp_path):
    usage._cards.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert usage.graphics_cards() == ()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Big Card, 37, 2048, 8192'\necho 'Old Card, [N/A], 1, 2'\n")
    tool.chmod(0o755)
    usage._cards.cache_clear()
    assert usage.graphics_cards() == (usage.CardUsage("Big Card", 0.37, 2 << 30, 8 << 30),)
    usage._cards.cache_clear()
