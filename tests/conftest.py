"""What holds for every test: it starts in an empty folder, far from this repository and from a real home."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from sails.jobs.launcher import PATIENT_THREADS

# Before anything loads torch. Two threads that wait for each other make a tiny model slower, not faster.
for _name, _value in {**PATIENT_THREADS, "OMP_NUM_THREADS": "1"}.items():
    os.environ.setdefault(_name, _value)

# How much memory a model takes is measured where that is tested, and with the real base model.
os.environ["SAILS_MEASURE_MEMORY"] = "0"

# Or each process that a test starts would compile this package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No test pulls the plug, and to wait for the disk took as long as all else that small tests do.
os.fsync = lambda _: None

# How long an example takes says how busy the disk is, and nothing of what is tested.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

REPOSITORY = Path(__file__).parent.parent
REAL_CACHE = os.environ.get("SAILS_CACHE")  # None: that of the user


LIGHT = {"data", "retention", "sessions", "system", "ui"}  # whose files take seconds each, not minutes


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run on two cores: a file stays together, and all browser tests are one after another.

    So are those of the real base model, which is trained once for all of them, beside the browser. The
    longest go first and the light ones last, so that both cores end at about the same time.
    """
    here = Path(__file__).parent
    first = ["browser", "embedded"]

    def group(item: pytest.Item) -> str:
        inside = item.path.relative_to(here)
        if item.get_closest_marker("embedded"):
            return "embedded"
        return "browser" if inside.parts[0] == "browser" else str(inside)

    def turn(item: pytest.Item) -> int:
        name = group(item)
        if name in first:
            return first.index(name)
        return len(first) + (name.partition(os.sep)[0] in LIGHT)

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=turn)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory) -> tuple[Path, str]:
    """A workspace in which the real base model was taught, exported and certified; and what that printed."""
    folder = tmp_path_factory.mktemp("embedded")
    examples = json.loads((REPOSITORY / "examples" / "programming_basics.json").read_text())
    (folder / "lesson.json").write_text(json.dumps(examples[:24]))
    command = [sys.executable, "-m", "sails", "pipeline", "--data-file", "lesson.json"]
    command += ["--workspace", "workspace", "--epochs", "2", "--preset", "quick"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for name in ("OMP_NUM_THREADS", "SAILS_CACHE", "SAILS_MEASURE_MEMORY"):  # it is worth every core
        del environment[name]
    environment |= {"SAILS_CACHE": REAL_CACHE} if REAL_CACHE else {}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "workspace", done.stdout


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory):
    """A cache for what is made before a test begins; what models answer in general is kept for all tests.

    A tiny model takes seconds for its five hundred answers, and each is asked in many tests, on both cores.
    """
    cache, run = tmp_path_factory.mktemp("cache"), tmp_path_factory.getbasetemp()
    general = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "general"
    general.mkdir(exist_ok=True)
    try:
        (cache / "general").symlink_to(general, target_is_directory=True)
    except OSError:  # not everybody may make links on Windows
        (cache / "general").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAILS_CACHE", str(cache))
        yield cache


@pytest.fixture(autouse=True)
def _interruptible():
    """Ctrl-C interrupts this process and what it starts; in the background, shells have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Iterator[Path]:
    """A folder for each test, by its number: pytest would look through those of all tests before it."""
    away = tmp_path_factory.mktemp("away")
    return (away / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _isolated(request, monkeypatch, folders, shared_cache):
    """The working directory, the workspace, caches and home are empty folders of this test alone.

    Only what models answer in general is shared (`shared_cache`). A test marked `embedded` keeps the real
    home and cache, or it would unpack the base model every time. Commands that a test starts find this
    checkout's packages wherever they run.
    """
    away = next(folders)
    (away / "here").mkdir(parents=True)
    monkeypatch.chdir(away / "here")  # so that the default ./workspace is not in the repository
    for name in ("SAILS_WORKSPACE", "SAILS_VIEW_ONLY", "SAILS_ROOT", "SAILS_WHO", "SAILS_INSECURE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    if request.node.get_closest_marker("embedded") is None:
        monkeypatch.setenv("SAILS_CACHE", str(away / "cache"))
        (away / "cache").mkdir()
        with contextlib.suppress(OSError):  # not everybody may make links on Windows
            (away / "cache" / "general").symlink_to(shared_cache / "general", target_is_directory=True)
        for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA"):
            monkeypatch.setenv(name, str(away / "home"))
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            monkeypatch.setenv(name, str(away / "home" / name.lower()))
        (away / "home").mkdir()
    elif REAL_CACHE:
        monkeypatch.setenv("SAILS_CACHE", REAL_CACHE)
    else:
        monkeypatch.delenv("SAILS_CACHE")
