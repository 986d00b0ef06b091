"""Handing a model over: the zip file runs where nothing of ours is, says what it is, and tells no secrets."""

import ast
import importlib.metadata
import json
import os
import shutil
import stat
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sails.cli import app
from sails.errors import BusyError, DiskFullError, ModelLoadError, RequestError, ViewOnlyError, WorkspaceError
from sails.models.variants import VARIANTS, variant_folder
from sails.onnx import bundle, model_card
from sails.onnx.bundle import MODULES, REQUIREMENTS, make_bundle, make_bundle_folder
from sails.onnx.certify.certificate import read_content
from sails.onnx.model_card import About, about
from sails.onnx.quantize import quantize_model
from sails.onnx.runtime.generate import Generator
from sails.sessions import Results
from sails.system import access
from tests.conftest import REPOSITORY
from tests.support.certified import OWN_QUESTION, add_variant, certify
from tests.support.exported import copy_talking, make_talking
from tests.support.folders import fingerprint_of
from tests.support.situations import BASE, make_session, published
from tests.test_imports import imports

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

QUESTION = "What is a variable?"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    workspace = make_talking(tmp_path_factory.mktemp("talking") / "workspace")
    certify(workspace.onnx_model)
    return workspace


@pytest.fixture
def place(template, tmp_path):
    return copy_talking(template, tmp_path / "workspace")


# --- what goes with it ----------------------------------------------------------------------------


def loaded_by(module: str) -> set[str]:
    """Our modules that a module imports; of a door, itself and where the names lie that are taken."""
    loaded = set()
    for imported in imports()[module]:
        package = importlib.import_module(imported)
        taken = [name for name in getattr(package, "__all__", ()) if name in names_in(module)]
        homes = {getattr(getattr(package, name), "__module__", imported) for name in taken}
        loaded |= {imported, *homes}
    return loaded


def names_in(module: str) -> set[str]:
    path = REPOSITORY / f"{module.replace('.', '/')}.py"
    return {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}


def test_the_zip_file_carries_all_that_a_chat_imports_of_ours_and_nothing_else():
    needed, waiting = set(), {"sails.onnx.runtime.standalone"}
    while waiting:
        module = waiting.pop()
        needed.add(module)
        if (REPOSITORY / f"{module.replace('.', '/')}.py").exists():
            waiting |= loaded_by(module) - needed
    parents = {parent for name in needed for parent in ("sails", "sails.onnx", name.rpartition(".")[0])}
    files = {f"{name.replace('.', '/')}.py" for name in needed - {"sails.onnx.runtime.standalone"} - parents}
    files |= {f"{name.replace('.', '/')}/__init__.py" for name in parents}
    assert files == {f"sails/{name}" for name in MODULES}


def test_the_packages_that_it_asks_for_are_those_that_it_imports_as_we_bound_them():
    imported = set()
    for name in (*MODULES, bundle.CHAT):
        for node in ast.walk(ast.parse((REPOSITORY / "sails" / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    asked = {Requirement(line).name for line in REQUIREMENTS}
    assert imported - set(sys.stdlib_module_names) - {"sails"} == asked
    ours = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(REQUIREMENTS) <= set(ours)


def test_the_same_model_gives_the_same_bytes(place, tmp_path):
    files = [make_bundle(place.onnx_model, "fp32", tmp_path / name).path for name in ("a.zip", "b.zip")]
    assert files[0].read_bytes() == files[1].read_bytes()
    archive = zipfile.ZipFile(files[0])
    assert archive.testzip() is None
    assert archive.read("model-fp32/model/model.onnx") == (place.onnx_model / "model.onnx").read_bytes()
    for name in MODULES:
        assert archive.read(f"model-fp32/sails/{name}") == (REPOSITORY / "sails" / name).read_bytes()


def test_each_variant_leaves_alone_and_what_others_put_beside_it_stays(place, tmp_path):
    add_variant(place.onnx_model)
    certify(place.onnx_model, "int8")
    (place.onnx_model / "customers.csv").write_text("a secret")
    names = zipfile.ZipFile(make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip").path).namelist()
    assert not [name for name in names if "int8" in name or "customers" in name]
    names = zipfile.ZipFile(make_bundle(place.onnx_model, "int8", tmp_path / "b.zip").path).namelist()
    assert "model-int8/model/model.onnx" in names


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("link", ["config.json", "extra.txt", "tokenizer.json"])
def test_nothing_that_a_link_leads_to_leaves_with_the_model(place, tmp_path, record, link):
    (tmp_path / "secret").write_text("a secret")
    file = place.onnx_model / link
    if file.exists():  # as it was exported, but elsewhere
        file.replace(tmp_path / "secret")
    file.symlink_to(tmp_path / "secret")
    if not record:
        (place.onnx_model / "export.json").unlink()
    if record and link == "extra.txt":
        make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip", allow_failed=True)
        assert not [name for name in zipfile.ZipFile(tmp_path / "a.zip").namelist() if link in name]
        return
    with pytest.raises(ModelLoadError, match=f"{link} is a link"):
        make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip", allow_failed=True)
    with pytest.raises(ModelLoadError, match="is a link"):
        make_bundle_folder(place.onnx_model, "fp32", tmp_path / "a", allow_failed=True)
    assert not (tmp_path / "a.zip").exists()
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that is none")
def test_a_device_or_pipe_is_never_replaced(place, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for make in (make_bundle, make_bundle_folder):
        with pytest.raises(WorkspaceError):
            make(place.onnx_model, "fp32", tmp_path / "pipe", allow_failed=True)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_no_example_of_a_person_leaves_with_the_model(place, tmp_path):
    made = make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip")
    archive = zipfile.ZipFile(made.path)
    certificate = read_content(json.loads(archive.read("model-fp32/certificate.json")))
    assert [example.prompt for example in certificate.examples] == ["What is the capital of France?"]
    add_variant(place.onnx_model, apart=True)
    certify(place.onnx_model, "int8", apart=True)
    failed = make_bundle(place.onnx_model, "int8", tmp_path / "b.zip", allow_failed=True)
    for zipped in (archive, zipfile.ZipFile(failed.path)):
        for name in zipped.namelist():
            assert OWN_QUESTION.encode() not in zipped.read(name), name
            assert b"blue pot" not in zipped.read(name), name
            assert str(place.root).encode() not in zipped.read(name), name


# --- a clean environment --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory) -> Path:
    """A Python that has exactly what requirements.txt names and what that requires, and no network."""
    home = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    packages = next(home.glob("lib/python*/site-packages"))
    for name in required(REQUIREMENTS):
        for file in importlib.metadata.distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(importlib.metadata.distribution(name).locate_file(top))
    return home / "bin" / "python"


def required(lines) -> set[str]:
    """These distributions and all that they require, without extras."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in lines]
    while waiting:
        one = waiting.pop()
        if one.name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(one.name)
            waiting += [Requirement(line) for line in importlib.metadata.requires(one.name) or ()]
    return found


def run(python: Path, folder: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """chat.py as whoever got the zip file runs it: elsewhere, with nothing of ours in the environment."""
    elsewhere = folder.parent / "elsewhere"
    for path in (elsewhere, folder.parent / "home"):
        path.mkdir(exist_ok=True)
    environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(
        [str(python), str(folder / "chat.py"), *arguments],
        cwd=elsewhere,
        env=environment | {"HOME": str(folder.parent / "home")},
        input=typed,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.fixture
def unpacked(place, tmp_path) -> Path:
    zipfile.ZipFile(make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip").path).extractall(
        tmp_path / "there"
    )
    return tmp_path / "there" / "model-fp32"


def test_unpacked_where_nothing_else_is_it_gives_the_same_greedy_answer(clean_python, place, unpacked):
    for heavy in ("torch", "transformers", "streamlit", "sails"):
        gone = subprocess.run(
            [str(clean_python), "-P", "-c", f"import {heavy}"], capture_output=True, env={}, check=False
        )
        assert gone.returncode != 0, heavy
    expected = Generator.open(place.onnx_model).answer(QUESTION, max_new_tokens=20).text
    done = run(clean_python, unpacked, "--prompt", QUESTION, "--max-tokens", "20")
    assert (done.stdout, done.stderr, done.returncode) == (f"{expected}\n", "", 0)
    for left_alone in ("elsewhere", "home"):
        assert not list((unpacked.parent / left_alone).iterdir())


def test_a_conversation_in_the_terminal_remembers_and_ends_on_request(clean_python, place, unpacked):
    generator = Generator.open(place.onnx_model)
    first = generator.answer("Hello", max_new_tokens=8).text
    said = [("user", "Hello"), ("assistant", first), ("user", "And you?")]
    messages = [{"role": role, "content": text} for role, text in said]
    second = generator.answer(messages, max_new_tokens=8).text
    typed = f"Hello\n\n{'x ' * 2000}\nAnd you?\nexit\n"
    done = run(clean_python, unpacked, "--max-tokens", "8", typed=typed)
    assert (done.stderr, done.returncode) == ("", 0)
    assert f"You: {first}\n" in done.stdout
    assert f"You: {second}\n" in done.stdout
    assert "Shorten it" in done.stdout


def test_settings_reach_the_model_and_wrong_ones_are_a_sentence(clean_python, place, unpacked):
    settings = {"temperature": 0.9, "top_p": 0.8, "repetition_penalty": 1.3, "seed": 7}
    expected = Generator.open(place.onnx_model).answer(QUESTION, max_new_tokens=12, **settings).text
    words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    done = run(clean_python, unpacked, "--prompt", QUESTION, "--max-tokens", "12", *words)
    assert done.stdout == f"{expected}\n"
    done = run(clean_python, unpacked, "--prompt", QUESTION, "--temperature", "-1")
    assert (done.returncode, done.stderr) == (
        1,
        "The temperature must be 0 or more. Correct the setting and ask again.\n",
    )
    assert run(clean_python, unpacked, "--prompt", " ").returncode == 2


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("model/model.onnx", lambda data: data[:1000]),
        ("model/model.onnx", lambda data: bytes(len(data))),
        ("model/model.onnx", None),
        ("model/tokenizer.json", lambda data: data[:500]),
        ("model/tokenizer.json", None),
        ("model/export.json", lambda _: b"[]"),
        ("model/config.json", lambda data: data[:20]),
        ("model/chat_template.jinja", lambda _: b"{% for"),
        ("model/generation_config.json", lambda _: b"\xff\xfe"),
        ("sails/onnx/runtime/sampling.py", None),
        ("sails/onnx/runtime/sampling.py", lambda data: data[:800]),
        ("sails/onnx/runtime/decoder.py", lambda _: bytes(100)),
        ("sails/errors.py", None),
        ("sails/errors.py", lambda data: data[:100]),
    ],
)
def test_what_was_damaged_on_its_way_is_a_sentence_and_no_trace(clean_python, unpacked, file, damage):
    path = unpacked / file
    content = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(damage(content))
    done = run(clean_python, unpacked, "--prompt", QUESTION, "--max-tokens", "2")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Unpack the zip file again" in done.stderr


def test_where_a_package_is_missing_it_says_how_to_install_it(unpacked, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    done = run(tmp_path / "bare" / "bin" / "python", unpacked, "--prompt", QUESTION)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("Run: python -m pip install -r requirements.txt")
    assert "Traceback" not in done.stderr


# --- a folder for other programs ------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_folder_is_one_that_hugging_face_loads(place, tmp_path, variant):
    from optimum.onnxruntime import ORTModelForCausalLM
    from transformers import AutoTokenizer

    if variant == "int8":
        quantize_model(place.onnx_model, variant_folder(place.onnx_model, variant))
        certify(place.onnx_model, variant)
    made = make_bundle_folder(place.onnx_model, variant, tmp_path / "folder")
    model = ORTModelForCausalLM.from_pretrained(made.path)
    tokenizer = AutoTokenizer.from_pretrained(made.path)
    messages = [{"role": "user", "content": QUESTION}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    answer = Generator.open(variant_folder(place.onnx_model, variant)).answer(QUESTION, max_new_tokens=12)
    assert output[0, prompt["input_ids"].shape[1] :].tolist() == list(answer.token_ids)
    assert (made.path / "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_a_folder_that_holds_something_is_not_replaced(place, tmp_path):
    (tmp_path / "folder").mkdir()
    make_bundle_folder(place.onnx_model, "fp32", tmp_path / "folder")
    before = sorted((tmp_path / "folder").iterdir())
    with pytest.raises(WorkspaceError, match="is there already"):
        make_bundle_folder(place.onnx_model, "fp32", tmp_path / "folder")
    assert sorted((tmp_path / "folder").iterdir()) == before


# --- who may leave --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (None, "Nobody has proven that the full precision model answers like the original."),
        ({"source_fingerprint": "other"}, "Nobody has proven"),
        (
            {"passed": False, "reasons": ("2 of 24 answers differ.",)},
            "failed its certificate. 2 of 24 answers",
        ),
    ],
)
def test_without_a_passed_certificate_a_model_leaves_only_when_somebody_insists(
    place, tmp_path, changes, said
):
    (place.onnx_model / "certificate.json").unlink()
    if changes is not None:
        certify(place.onnx_model, **changes)
    with pytest.raises(RequestError, match=said) as refused:
        make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip")
    assert "--allow-uncertified" in refused.value.remedy
    assert not (tmp_path / "a.zip").exists()
    made = make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip", allow_failed=True)
    assert not made.certified
    assert "⚠️" in zipfile.ZipFile(made.path).read("model-fp32/README.md").decode()


def test_a_model_that_is_kept_apart_leaves_only_when_somebody_insists(place, tmp_path):
    add_variant(place.onnx_model, apart=True)
    certify(place.onnx_model, "int8", apart=True)
    with pytest.raises(RequestError, match=r"The 8-bit model failed its certificate\. They agree on"):
        make_bundle(place.onnx_model, "int8", tmp_path / "a.zip")
    made = make_bundle(place.onnx_model, "int8", tmp_path / "a.zip", allow_failed=True)
    card = zipfile.ZipFile(made.path).read("model-int8/README.md").decode()
    assert "This model failed its certificate and was handed over all the same." in card


def test_where_there_is_no_model_the_way_to_one_is_said(tmp_path, place):
    with pytest.raises(RequestError, match="There is no 8-bit ONNX model") as refused:
        make_bundle(place.onnx_model, "int8", tmp_path / "a.zip")
    assert "sails convert --variant int8" in refused.value.remedy


def test_a_damaged_model_is_not_handed_over(place, tmp_path):
    os.truncate(place.onnx_model / "model.onnx", 1000)
    with pytest.raises(ModelLoadError, match=r"model\.onnx is damaged: it has 1,000 of"):
        make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip")


@pytest.mark.parametrize("make", [make_bundle, make_bundle_folder])
def test_a_model_whose_content_changed_since_it_was_made_is_not_handed_over(place, tmp_path, make):
    with open(place.onnx_model / "model.onnx", "r+b") as file:
        file.seek(-200, os.SEEK_END)
        file.write(bytes(200))
    with pytest.raises(ModelLoadError, match=r"model\.onnx is damaged: it does not hold what was exported"):
        make(place.onnx_model, "fp32", tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("make", [make_bundle, make_bundle_folder])
def test_a_model_that_is_replaced_meanwhile_is_not_handed_over_as_a_mixture(place, tmp_path, make):
    def replace_it(_fraction, *words):
        if "tokenizer" in words[1] and not (tmp_path / "gone").exists():
            place.onnx_model.rename(tmp_path / "gone")
            shutil.copytree(tmp_path / "gone", place.onnx_model)
            os.utime(place.onnx_model / "model.onnx", (1, 1))

    (tmp_path / "out").mkdir()
    with pytest.raises(BusyError, match="was replaced while it was packed"):
        make(place.onnx_model, "fp32", tmp_path / "out" / "a", progress=replace_it)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("make", [make_bundle, make_bundle_folder])
def test_where_it_cannot_be_written_nothing_is_left_and_it_is_said(place, tmp_path, make, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        make(place.onnx_model, "fp32", tmp_path / "file" / "a")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    (tmp_path / "out").mkdir()
    with pytest.raises(DiskFullError, match="MB are free"):
        make(place.onnx_model, "fp32", tmp_path / "out" / "a")
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(WorkspaceError):
        make_bundle(place.onnx_model, "fp32", tmp_path)


def test_who_may_only_look_writes_nothing(place, tmp_path, monkeypatch):
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    for make in (make_bundle, make_bundle_folder):
        with pytest.raises(ViewOnlyError):
            make(place.onnx_model, "fp32", tmp_path / "a")


# --- the card -------------------------------------------------------------------------------------


def test_the_card_counts_what_was_taught_and_names_base_licence_and_session(place, tmp_path):
    first, second = "1" * 16, fingerprint_of(place.trained_model)
    results = Results(rows_taught=81, rows_new=70, rows_held_out=9)
    make_session(place, "rivers", 8, **published(fingerprint=first, results=results))
    made = make_session(place, "lakes", 9, **published(fingerprint=second, parent=first, results=results))
    found = about(place, second)
    assert found == About(BASE, "HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0", made.id, 2, 140, 18)
    text = zipfile.ZipFile(make_bundle(place.onnx_model, "fp32", tmp_path / "a.zip", known=found).path).read(
        "model-fp32/README.md"
    )
    card = text.decode()
    front = card.split("---\n")[1].splitlines()
    assert front[:2] == ["license: apache-2.0", 'base_model: "HuggingFaceTB/SmolLM2-135M-Instruct"']
    assert "- Taught: 140 examples in 2 trainings; 18 more were set aside to test it" in card
    assert f"- Last training: {made.id}" in card
    assert "| Answers that are the same | 24 of 24 | yes |" in card


def test_of_a_base_model_in_a_folder_the_card_tells_the_name_and_not_the_way(place):
    found = about(place, fingerprint_of(place.trained_model))
    assert (found.base, found.hub_id, found.licence, found.lessons) == ("base", "", "", 0)
    assert about(place, None) == about(place, "unknown") == About()


def test_what_a_card_is_told_cannot_become_markup(place):
    state = bundle.choose_for_bundle(place.onnx_model, "fp32")
    text = model_card.card(About(base="<img src=x> | **b**\n# x"), state, None, runs_by_itself=True)
    assert "- Base model: \\<img src=x\\> \\| \\*\\*b\\*\\* \\# x, licence not recorded" in text


# --- the command ----------------------------------------------------------------------------------


def sails(place, *arguments: str) -> int:
    return app.main(["bundle", "--workspace", str(place.root), *arguments])


def test_the_command_takes_the_preferred_variant_and_says_what_it_made(place, tmp_path, capsys):
    add_variant(place.onnx_model)
    assert sails(place, "--output", str(tmp_path / "a.zip")) == 0
    assert "model-fp32/chat.py" in zipfile.ZipFile(tmp_path / "a.zip").namelist()
    certify(place.onnx_model, "int8")
    assert sails(place) == 0
    assert "model-int8/chat.py" in zipfile.ZipFile("model-int8.zip").namelist()
    assert "the 8-bit model, certified." in capsys.readouterr().out
    assert sails(place, "--format", "folder", "--output", str(tmp_path / "f")) == 0
    assert (tmp_path / "f" / "model.onnx").is_file()


def test_the_command_refuses_in_words_and_warns_of_what_is_out_of_date(place, tmp_path, capsys):
    (place.onnx_model / "certificate.json").unlink()
    output = ("--output", str(tmp_path / "a.zip"))
    assert sails(place, *output) == 2
    assert "Nobody has proven" in capsys.readouterr().err
    config = place.trained_model / "config.json"
    config.write_text(config.read_text() + "\n")
    assert sails(place, *output, "--allow-uncertified") == 0
    said = capsys.readouterr()
    assert "The full precision model is of another model" in said.err
    assert "not certified" in said.out
    shutil.rmtree(place.onnx_model)
    assert sails(place, *output) == 2
    assert "There is no ONNX model" in capsys.readouterr().err
