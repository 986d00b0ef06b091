"""Set up MTN Sails and open it: `python start.py` does what `make run` does, on every system.

    python start.py                            set up what is missing, then open the dashboard
    python start.py --torch "torch==2.13.0"    the same, with another PyTorch build (any pip arguments)
    python start.py demo                       the same on a workspace full of recorded sessions
    python start.py test                       everything CI checks (after `--`: arguments for pytest)

Needs Python 3.11 or newer and nothing else. Everything is installed into `.venv` beside this file. What
is done is noted in `.venv/sails-setup.json`, step by step and only afterwards, so that an interrupted run is
repaired by the next one and a finished one costs nothing.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python must get as far as this sentence)
    sys.exit("MTN Sails needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WINDOWS = os.name == "nt"
PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
STAMP = VENV / "sails-setup.json"
LOG = VENV / "sails-setup.log"
DEMO = ROOT / "demo_workspace"

DEFAULT_TORCH = "torch==2.13.0"
OLDEST_TORCH = (2, 6)
LEFTOVERS = ("build", "mtn_sails.egg-info", ".hypothesis", ".pytest_cache", ".ruff_cache", ".mypy_cache")
SOURCES = ("sails", "pages", "tests", "benchmarks", "examples")

ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "PYTHONUTF8": "1",
}

LINT = "ruff check ."
FORMAT_CHECK = "ruff format --check ."
TYPES = "mypy"
# On both cores; tests/conftest.py says which tests stay together.
BOTH_CORES = "pytest -n 2 --dist loadgroup --no-loadscope-reorder"
QUICK = (
    "tests/test_imports.py tests/test_docs.py tests/test_errors.py tests/system tests/sessions tests/data "
    "tests/training/plan tests/retention tests/ui tests/pages/test_every_page.py"
)
TOOLS = {
    "lint": [LINT],
    "format": ["ruff format ."],
    "types": [TYPES],
    "check": [LINT, FORMAT_CHECK, TYPES],
    "quick": [LINT, FORMAT_CHECK, TYPES, f"{BOTH_CORES} {QUICK}"],
    "test": [LINT, FORMAT_CHECK, TYPES, BOTH_CORES],
}
COMMANDS = ("run", "demo", "setup", *TOOLS, "bench", "audit", "demo-matrix", "clean")
ACCEPTED = ROOT / "audit-accepted.txt"  # known vulnerabilities that do not touch this program, and why


class SetupError(Exception):
    """Setting up failed; the message is what a person reads."""


# --- the commands ---------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    options, extra = parse(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a console that knows no ✓ shows a question mark
    os.environ.update(ENVIRONMENT)
    if os.environ.get("SAILS_WORKSPACE"):
        os.environ["SAILS_WORKSPACE"] = os.path.abspath(os.environ["SAILS_WORKSPACE"])
    os.chdir(ROOT)
    try:
        if options.command == "clean":
            return clean()
        if options.command == "demo-matrix":
            set_up(options.torch)
            return run(PYTHON, "examples/demo_continuous_training.py", *extra)
        if options.command == "bench":
            set_up(options.torch, tools=True)
            fetch_base_model()
            return run(PYTHON, "-m", "benchmarks.check", *extra)
        if options.command == "audit":
            set_up(options.torch, tools=True)
            return audit()
        if options.command in TOOLS:
            set_up(options.torch, tools=True)
            if options.command == "test":
                fetch_base_model()
            return check(TOOLS[options.command], extra)
        set_up(options.torch)
        fetch_base_model()
        if options.command == "setup":
            return 0
        if options.command == "demo":
            os.environ["SAILS_WORKSPACE"] = str(DEMO)
            if run(PYTHON, "-m", "sails", "demo", "--workspace", str(DEMO)):
                return 1
        return open_dashboard(options, extra)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run it again to go on.", file=sys.stderr)
        return 130


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and what stands after `--` for the program that is started."""
    own, extra = list(arguments), []
    if "--" in own:
        split = own.index("--")
        own, extra = own[:split], own[split + 1 :]
    parser = argparse.ArgumentParser(
        prog="start.py",
        description="Set up MTN Sails and open its dashboard in the browser.",
        epilog="What stands after -- goes to Streamlit, to pytest with `test`, or to the program of `bench`.",
    )
    parser.add_argument("command", nargs="?", default="run", choices=COMMANDS, help="default: run")
    parser.add_argument(
        "--torch", metavar="ARGS", help=f"pip arguments for PyTorch (default: {DEFAULT_TORCH})"
    )
    parser.add_argument(
        "--port", type=int, help="port of the dashboard (default: 8501, or the next free one)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    return parser.parse_args(own), extra


def open_dashboard(options: argparse.Namespace, extra: Sequence[str]) -> int:
    command = [str(PYTHON), "-m", "sails.ui", "run", "app.py"]
    if options.port:
        command.append(f"--server.port={options.port}")
    if options.no_browser:
        command.append("--server.headless=true")
    command += extra
    if not WINDOWS:  # where exec would give the console back at once
        sys.stdout.flush()
        os.execv(command[0], command)
    return run(*command)


def check(commands: Sequence[str], extra: Sequence[str]) -> int:
    """Run every tool, also after one has failed; the first failure's exit code.

    Types are checked beside the tests that follow, and what was found stands behind what these print.
    """
    codes: dict[str, int] = {}
    beside = None
    if TYPES in commands[:-1]:
        print("Types are checked beside the tests; what is found comes at the end.", flush=True)
        beside = subprocess.Popen(
            [str(PYTHON), "-m", TYPES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    for command in commands:
        if command == TYPES and beside:
            codes[TYPES] = 0  # it has its place among the failures
            continue
        chosen = command.startswith("pytest") and extra  # in one process then, so that its output is plain
        tool = "pytest" if chosen else command
        codes[tool] = run(PYTHON, "-m", *tool.split(), *(extra if chosen else ()))
    if beside:
        said, _ = beside.communicate()
        print(said.decode(errors="replace"), end="", flush=True)
        codes[TYPES] = beside.returncode
    for command, code in codes.items():
        if code:
            print(f"✗ {command} failed (exit code {code})")
    return next((code for code in codes.values() if code), 0)


def audit() -> int:
    """Look up every installed package among the known vulnerabilities; needs the network."""
    command = [str(PYTHON), "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--skip-editable"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError("✗ The known vulnerabilities could not be looked up.") from error
    lines, is_clean = judge(packages, accepted(ACCEPTED.read_text(encoding="utf-8")))
    print("\n".join(lines))
    return 0 if is_clean else 1


def accepted(text: str) -> dict[str, str]:
    """Known vulnerabilities by id, each with the reason why it does not touch this program."""
    reasons = {}
    for line in text.splitlines():
        identity, _, reason = map(str.strip, line.partition("#"))
        if identity and not reason:
            raise SetupError(f"✗ {ACCEPTED.name} accepts {identity} and does not say why.")
        if identity:
            reasons[identity] = reason
    return reasons


def judge(packages: Sequence[dict[str, Any]], reasons: dict[str, str]) -> tuple[list[str], bool]:
    """What to print of what was looked up, and whether nothing was found that is not accepted."""
    looked_up = [package for package in packages if "vulns" in package]
    found = [(package, known) for package in looked_up for known in package["vulns"]]
    ids = {(p["name"], k["id"]): {k["id"], *k.get("aliases", ())} & reasons.keys() for p, k in found}
    lines = []
    for package, known in found:
        what = f"{package['name']} {package['version']}: {known['id']}"
        if ids[package["name"], known["id"]]:
            lines.append(f"✓ {what} is accepted: {reasons[min(ids[package['name'], known['id']])]}")
        else:
            versions = ", ".join(known.get("fix_versions", ())) or "no version yet"
            lines.append(f"✗ {what}, mended in {versions}")
    for needless in sorted(reasons.keys() - set().union(*ids.values())):
        lines.append(f"! {needless} is accepted and was not found; take it out of {ACCEPTED.name}.")
    others = len(packages) - len(looked_up)
    lines.append(f"{len(looked_up)} packages looked up, {others} not found where they are listed.")
    return lines, bool(looked_up) and all(ids.values())


def clean() -> int:
    """Remove what tools leave behind; workspaces, models and `.venv` stay."""
    caches = [path for source in SOURCES for path in (ROOT / source).rglob("__pycache__")]
    for path in [*(ROOT / name for name in LEFTOVERS), ROOT / "__pycache__", *caches]:
        shutil.rmtree(path, ignore_errors=True)
    print("✓ Caches and build leftovers removed; workspaces, models and .venv stay.")
    return 0


def fetch_base_model() -> None:
    """Have the base model here before somebody waits for it; without it the dashboard opens all the same."""
    if run(PYTHON, "-m", "sails", "base", "fetch"):
        print("! The base model could not be fetched now; the first training will try again.")


# --- setting up -----------------------------------------------------------------------------------


def set_up(torch: str | None, tools: bool = False) -> None:
    """Install what is not yet installed. Each step has a key of all it depends on, noted when it is done."""
    keys = {
        "venv": venv_key(),
        "torch": torch or noted().get("torch") or DEFAULT_TORCH,
        "libraries": digest("requirements.txt"),
        "tools": digest("requirements.txt") + digest("requirements-dev.txt"),
        "sails": digest("pyproject.toml"),
    }
    if not tools:
        del keys["tools"]
    if PYTHON.exists() and all(noted().get(step) == key for step, key in keys.items()):
        return
    print(f"Setting up MTN Sails in {VENV} (a few minutes the first time)", flush=True)
    make_venv()
    if noted().get("venv") != venv_key():
        STAMP.unlink(missing_ok=True)  # another Python, or another place: nothing noted is true any more
        note("venv", venv_key())
    install_torch(torch, keys["torch"])
    install("libraries", keys["libraries"], "the libraries", ["-r", "requirements.txt"])
    if tools:
        install("tools", keys["tools"], "the test tools", ["-r", "requirements-dev.txt"])
    install("sails", keys["sails"], "MTN Sails", ["--no-deps", "--editable", "."])


def make_venv() -> None:
    """A `.venv` whose Python and pip work; what an interrupted pip left half installed is forgotten."""
    if not answers([PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]):
        with Step("Making the environment") as step:
            command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                remedy = "On Debian and Ubuntu, this helps: sudo apt-get install python3-venv"
                step.fail(result.stdout + result.stderr, remedy)
    leftovers = list(half_installed())
    for folder in leftovers:
        shutil.rmtree(folder)
        STAMP.unlink(missing_ok=True)
    if leftovers or not answers([PYTHON, "-m", "pip", "--version"]):
        answers([PYTHON, "-m", "ensurepip"])


def venv_key() -> str:
    return f"{ROOT} {PYTHON.resolve()}"


def half_installed() -> Iterator[Path]:
    """The metadata folders of packages of which a file is missing or cut off.

    pip takes a package for installed as soon as its metadata is there, so without this a run that was
    killed in the middle would never be repaired.
    """
    packages = [VENV / "Lib/site-packages", *VENV.glob("lib/python3*/site-packages")]
    for folder in (entry for place in packages for entry in place.glob("*.dist-info")):
        files = metadata.PathDistribution(folder).files
        if files is None or not all(is_whole(folder.parent / file, file.size) for file in files):
            yield folder


def is_whole(path: Path, size: int | None) -> bool:
    """Whether an installed file is there, in the size noted for it; what Python compiled is left out."""
    return path.suffix == ".pyc" or (path.exists() and size in (None, path.stat().st_size))


def install_torch(chosen: str | None, key: str) -> None:
    """PyTorch goes first: the libraries would bring a build of their own. A suitable one is kept."""
    if noted().get("torch") == key:
        return
    if chosen is None:
        install("torch", key, "PyTorch", [] if has_suitable_torch() else split(key))
    else:  # pip takes any build of the version for the one that is asked for, unless it is forced
        install("torch", key, "PyTorch", ["--force-reinstall", "--no-deps", *split(key)], split(key))
        if not has_suitable_torch():
            note("torch", None)
            oldest = ".".join(map(str, OLDEST_TORCH))
            raise SetupError(
                f"✗ This PyTorch is older than {oldest} or does not run here. Choose another build."
            )


def has_suitable_torch() -> bool:
    """Whether `.venv` holds a PyTorch that is new enough, whoever installed it."""
    code = f"import torch, sys; sys.exit(tuple(map(int, torch.__version__.split('.')[:2])) < {OLDEST_TORCH})"
    return answers([PYTHON, "-c", code])


def install(step: str, key: str, what: str, *calls: Sequence[str]) -> None:
    """One step: pip with each of these lists of arguments, unless it was done with the same key before."""
    if noted().get(step) == key:
        return
    note(step, None)
    if any(calls):
        with Step(f"Installing {what}") as shown:
            for arguments in calls:
                pip_install(arguments, shown)
    note(step, key)


def pip_install(arguments: Sequence[str], step: "Step") -> None:
    command = [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]
    with open(LOG, "w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                step.tick()
        finally:
            process.terminate()
            process.wait()
        if process.returncode:
            log.seek(0)
            step.fail(log.read(), "Check the connection and the free disk space, then run it again.")


# --- small things ---------------------------------------------------------------------------------


class Step:
    """One line on the screen for one step, with the seconds that it took."""

    def __init__(self, title: str) -> None:
        self.title, self.start = title, time.monotonic()
        self.live = sys.stdout.isatty()

    def __enter__(self) -> "Step":
        return self

    def tick(self) -> None:
        if self.live:
            print(f"\r… {self.title}: {self.seconds} s", end="", flush=True)
        time.sleep(0.2)

    def fail(self, output: str, remedy: str) -> None:
        tail = "\n".join(output.strip().splitlines()[-15:])
        raise SetupError(f"{tail}\n\n✗ {self.title} failed; the lines above say why. {remedy}")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        start = "\r" if self.live else ""
        print(f"{start}✓ {self.title}: {self.seconds} s" if kind is None else "", flush=True)

    @property
    def seconds(self) -> int:
        return round(time.monotonic() - self.start)


def noted() -> dict[str, str]:
    """Which steps are done, each with the key that it was done with."""
    try:
        content = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def note(step: str, key: str | None) -> None:
    """Note a step as done, or with None as not done, replacing the file as a whole."""
    done = {**noted(), step: key}
    temporary = STAMP.with_suffix(".tmp")
    temporary.write_text(json.dumps({s: k for s, k in done.items() if k}, indent=1), encoding="utf-8")
    os.replace(temporary, STAMP)


def digest(name: str) -> str:
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()[:16]


def split(arguments: str) -> list[str]:
    """Arguments as a shell would part them; backslashes in Windows paths are kept."""
    return shlex.split(arguments, posix=not WINDOWS)


def answers(command: Sequence[str | Path]) -> bool:
    """Whether a program can be started and ends well."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(*command: str | Path) -> int:
    sys.stdout.flush()
    return subprocess.call([str(part) for part in command])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
