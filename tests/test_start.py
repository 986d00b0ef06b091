"""start.py on a project of its own, as small as can be: real Python, real venv, real pip, no network.

The project's PyTorch, streamlit and tools are packages of a few lines that tell how they were called.
"""

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

START = REPOSITORY / "start.py"
TELL = "import sys; print({name!r}, *sys.argv[1:])\n"
BACKEND = """
import zipfile
from pathlib import Path
{make_wheel}
def build_editable(folder, config_settings=None, metadata_directory=None):
    return make_wheel(folder, "mtn_sails", {{"mtn_sails.pth": {root!r}}}).name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "mtn-sails"
version = "1.0"
"""


def make_wheel(folder: str | Path, name: str, files: dict[str, str], version: str = "1.0") -> Path:
    path = Path(folder) / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    record = "".join(f"{file},,{len(text)}\n" for file, text in content.items()) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


def start(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment = {**inherited, "PIP_NO_INDEX": "1", "PIP_NO_CACHE_DIR": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "start.py", *arguments]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, encoding="utf-8"
    )


def stamp(project: Path) -> dict[str, str]:
    return json.loads((project / ".venv/sails-setup.json").read_text())


def forget(project: Path, step: str) -> None:
    """As if the run had been killed during this step."""
    left = {key: value for key, value in stamp(project).items() if key != step}
    (project / ".venv/sails-setup.json").write_text(json.dumps(left))


def module(project: Path, name: str) -> Path:
    found = [
        *project.glob(f".venv/lib/*/site-packages/{name}"),
        *project.glob(f".venv/Lib/site-packages/{name}"),
    ]
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The project after its first `start.py run`, and what that run said."""
    root = tmp_path_factory.mktemp("project").resolve()
    shutil.copy(START, root)
    make_wheel(root, "torch", {"torch/__init__.py": "__version__ = '2.13.0+mine'\n"}, "2.13.0")
    make_wheel(root, "streamlit", {"streamlit/__main__.py": TELL.format(name="streamlit")})
    (root / "requirements.txt").write_text("./streamlit-1.0-py3-none-any.whl\n")
    (root / "requirements-dev.txt").write_text("-r requirements.txt\n")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND.format(make_wheel=inspect.getsource(make_wheel), root=str(root)))
    (root / "sails").mkdir()
    (root / "sails/__main__.py").write_text(
        TELL.format(name="sails") + "import os; sys.exit(os.path.exists('offline'))\n"
    )
    (root / "sails/ui").mkdir()
    (root / "sails/ui/__main__.py").write_text(TELL.format(name="sails.ui"))
    for name in ("ruff", "mypy", "pytest"):
        (root / f"{name}.py").write_text(TELL.format(name=name) + f"sys.exit({5 if name == 'mypy' else 0})\n")
    return root, start(
        root, "--torch", "./torch-2.13.0-py3-none-any.whl --no-color", "--port", "8600", "--", "-x"
    )


@pytest.fixture
def project(fresh) -> Path:
    return fresh[0]


# --- the first run --------------------------------------------------------------------------------


def test_the_first_run_sets_up_fetches_the_base_model_and_opens_the_dashboard(fresh):
    _, first = fresh
    lines = [line.split(":")[0] for line in first.stdout.splitlines()]
    assert (first.returncode, first.stderr) == (0, "")
    assert lines[0].startswith("Setting up MTN Sails")
    assert lines[1:] == [
        "✓ Making the environment",
        "✓ Installing PyTorch",
        "✓ Installing the libraries",
        "✓ Installing MTN Sails",
        "sails base fetch",
        "sails.ui run app.py --server.port=8600 -x",
    ]


def test_the_second_run_installs_nothing(project):
    again = start(project)
    assert again.stdout.splitlines() == ["sails base fetch", "sails.ui run app.py"]


def test_a_demo_opens_the_dashboard_on_a_workspace_of_its_own(project):
    lines = start(project, "demo").stdout.splitlines()
    made = f"sails demo --workspace {project / 'demo_workspace'}"
    assert lines == ["sails base fetch", made, "sails.ui run app.py"]


# --- what changed, and what was interrupted -------------------------------------------------------


def test_changed_requirements_are_installed_by_the_next_run(project):
    requirements = project / "requirements.txt"
    requirements.write_text(requirements.read_text() + "# another line\n")
    again = start(project, "setup").stdout
    assert "Installing the libraries" in again
    assert "Installing PyTorch" not in again


def test_a_package_that_an_interrupted_run_left_half_installed_is_repaired(project):
    half = module(project, "streamlit") / "__main__.py"
    half.write_text("prin")
    forget(project, "libraries")
    assert "sails.ui run app.py" in start(project).stdout
    assert half.read_text() == TELL.format(name="streamlit")


def test_a_suitable_pytorch_is_kept_and_an_old_one_is_not(project):
    forget(project, "torch")
    kept = start(project, "setup")
    assert kept.returncode == 0  # the default build cannot be had here, so this one was kept
    assert stamp(project)["torch"] == "torch==2.13.0"
    make_wheel(project, "torch", {"torch/__init__.py": "__version__ = '2.5.1'\n"}, "2.5.1")
    old = start(project, "--torch=./torch-2.5.1-py3-none-any.whl")
    assert (old.returncode, old.stdout.count("sails.ui")) == (1, 0)
    assert "older than 2.6" in old.stderr
    assert "torch" not in stamp(project)
    assert start(project, "setup", "--torch=./torch-2.13.0-py3-none-any.whl").returncode == 0
    assert "+mine" in (module(project, "torch") / "__init__.py").read_text()


def test_a_failing_pip_shows_its_last_lines_and_is_tried_again(project):
    requirements = project / "requirements.txt"
    good = requirements.read_text()
    requirements.write_text(good + "no-such-package-anywhere\n")
    failed = start(project)
    assert failed.returncode == 1
    assert "no-such-package-anywhere" in failed.stderr
    assert "Installing the libraries failed; the lines above say why." in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "sails.ui" not in failed.stdout
    assert "libraries" not in stamp(project)
    requirements.write_text(good)
    assert start(project, "setup").returncode == 0


def test_without_the_base_model_the_dashboard_opens_all_the_same(project):
    (project / "offline").touch()
    opened = start(project)
    (project / "offline").unlink()
    assert "! The base model could not be fetched now" in opened.stdout
    assert opened.stdout.splitlines()[-1] == "sails.ui run app.py"


# --- the other commands ---------------------------------------------------------------------------


def test_test_runs_every_tool_and_keeps_the_first_failure(project):
    tested = start(project, "test", "--", "-k", "one")
    tools = [line for line in tested.stdout.splitlines() if line.startswith(("ruff", "mypy", "pytest", "✗"))]
    assert tested.returncode == 5
    assert tools == [
        "ruff check .",
        "ruff format --check .",
        "pytest -k one",
        "mypy",  # which ran beside the tests
        "✗ mypy failed (exit code 5)",
    ]


def test_clean_removes_caches_and_leaves_workspaces_and_environment(project):
    for folder in ("workspace/__pycache__", "sails/__pycache__", ".ruff_cache"):
        (project / folder).mkdir(parents=True, exist_ok=True)
    assert start(project, "clean").returncode == 0
    assert (project / "workspace/__pycache__").exists()
    assert (project / ".venv").exists()
    assert not (project / "sails/__pycache__").exists()
    assert not (project / ".ruff_cache").exists()


def test_an_older_python_gets_one_sentence():
    ast.parse(START.read_text(encoding="utf-8"), feature_version=(3, 7))  # so that it gets that far
    code = f"import sys, runpy; sys.version_info = (3, 9, 2); runpy.run_path({str(START)!r})"
    old = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert old.returncode == 1
    assert old.stderr == "MTN Sails needs Python 3.11 or newer; this is Python 3.9.\n"


def test_make_hands_everything_over(project):
    if shutil.which("make") is None:
        pytest.skip("There is no make on this machine.")
    command = ["make", "--no-print-directory", "-n", "-f", str(REPOSITORY / "Makefile"), "run"]
    choices = ["TORCH=torch==2.9 --index-url x", "PORT=8600", "ARGS=--server.headless=true"]
    said = subprocess.run(
        [*command, *choices], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    assert said.split(maxsplit=1)[1].strip() == (
        "start.py run --torch='torch==2.9 --index-url x' --port=8600 -- --server.headless=true"
    )
