"""ONNX models against PyTorch: how large, how true, how fast.

    .venv/bin/python -m benchmarks.onnx [--epochs 3] [--tokens 64] [--rounds 5]

Two models are fine-tuned on programming_basics as `sails train` does it: the embedded one, and one of the
shape of distilgpt2 (6 layers of 768, untaught before, with the embedded one's 49,152 word pieces). Both are
exported in full precision and with 8-bit weights, and certified. Then PyTorch's `generate` (fp32, eager),
the two variants and, where the package onnxruntime-genai and its model builder can be imported and know the
family, that one on the same weights, answer the same questions by turns, on one thread and on two. Prints:

- certificates: size, largest and mean difference of logits, agreement, equal answers, difference of the loss
- speed: medians over all rounds of the time to the first token, of the tokens a second after it and of the
  processor time of one; how many times as fast as PyTorch, by the clock and by processor time (which other
  programs disturb less); and the share of the memory bandwidth that reading all weights once a token takes
  (`torch.sum` over 1 GB on as many threads is the measure)
- operators: what share of an 8-bit token each of them takes, by onnxruntime's own profiler
- several people: 1, 2 and 4 answers at once from one 8-bit model: their tokens a second together, the
  processor time of one token, and how much the slowest had when the fastest was done
- cost: processor time and peak memory of exporting, quantizing and certifying, each in a process of its own
- cold start: from the start of a process to its first token, PyTorch beside 8-bit

An answer is always as long as asked: a token that ends the turn does not end it here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from sails import data, jobs, models
from sails.data import Conversation, assess, read
from sails.jobs import verification_rows
from sails.models import Variant, Workspace, inspect_model
from sails.onnx import Generator, Stream, export_model, quantize_model
from sails.onnx.certify import verify_model
from sails.sessions import Settings

REPOSITORY = Path(__file__).resolve().parent.parent
LESSON = REPOSITORY / "examples" / "programming_basics.json"
THREADS = (1, 2)
PEOPLE = (1, 2, 4)
QUESTIONS = (
    "What is a variable in programming?",
    "How do I write a loop?",
    "What is the capital of France?",
    "Why should a team write tests before it changes its code?",
    "Explain in one sentence what a database is.",
)
COLD = {
    "PyTorch": """
import sys, time
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="float32")
chat = [{"role": "user", "content": "What is a variable?"}]
ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True)
prompt = tokenizer.pad({"input_ids": [ids]}, return_tensors="pt")
model.generate(**prompt, max_new_tokens=1)
""",
    "8-bit": """
import sys
from pathlib import Path
from sails.onnx.runtime.generate import Generator
next(Generator.open(Path(sys.argv[1])).stream("What is a variable?"))
assert not {"torch", "transformers"} & set(sys.modules)
""",
}

# The steps of making an ONNX model.
COSTS = {
    "export": "export_model(model, folder / 'fp32', source_fingerprint=None)",
    "quantize": "quantize_model(folder / 'fp32', folder / 'int8')",
    "certify both": "verify_model(model, {'fp32': folder / 'fp32', 'int8': folder / 'int8'}, own, right)",
}
COST = """
import json, sys, time
from pathlib import Path
from sails import system
from sails.onnx import export_model, quantize_model
from sails.onnx.certify import verify_model
model, folder = Path(sys.argv[1]), Path(sys.argv[2])
own, right = json.loads(sys.stdin.read())
started = time.process_time()
{step}
print(json.dumps([time.process_time() - started, system.peak_memory()]))
"""

# Question, tokens ► seconds to the first, tokens a second then, processor seconds of each of these.
Ask = Callable[[str, int], tuple[float, float, float]]


@dataclass(frozen=True)
class Subject:
    """One fine-tuned model and its exports."""

    name: str
    model: Path
    full: Path
    small: Path
    bytes_read: dict[str, int]  # by contender: what one token reads


# --- models ---------------------------------------------------------------------------------------


def taught(
    there: Path | None, name: str, base: Path, folder: Path, epochs: int, rate: float | None
) -> Workspace:
    """A workspace whose model a real worker taught the lesson from `base`, or the one that is `there`."""
    if there:
        return Workspace.open(there)
    if not base.exists():
        distilgpt2_shaped(base)
    workspace = Workspace.open(folder / "workspace")
    reading = read(LESSON)
    dataset = data.add(workspace, LESSON, reading, assess(reading.conversations, reading.refused))
    settings = Settings(epochs=epochs, learning_rate=rate, publish="always")
    session = jobs.submit_training(
        workspace, dataset.name, settings, name=name, start="base", model_name=str(base)
    )
    while session.status().state in ("queued", "running"):
        time.sleep(1)
    if session.status().verdict != "published":
        raise SystemExit(f"{name} was not taught: {session.status().failure}")
    return workspace


def distilgpt2_shaped(folder: Path) -> None:
    """Random weights in the shape of distilgpt2, with the embedded model's tokenizer."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(42)
    tokenizer = AutoTokenizer.from_pretrained(models.ensure_base_model(models.DEFAULT_BASE_MODEL))
    config = GPT2Config(
        n_layer=6, vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=tokenizer.eos_token_id
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def subject(name: str, model: Path, folder: Path) -> Subject:
    full, small = folder / "onnx", folder / "int8"
    export_model(model, full, source_fingerprint=inspect_model(model).fingerprint)
    quantize_model(full, small)
    weights = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    read = {
        "PyTorch": weights,
        "full precision": (full / "model.onnx").stat().st_size,
        "8-bit": (small / "model.onnx").stat().st_size,
    }
    return Subject(name, model, full, small, read)


# --- contenders -----------------------------------------------------------------------------------


def with_torch(subject: Subject) -> Ask:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.generation.streamers import BaseStreamer

    tokenizer = AutoTokenizer.from_pretrained(subject.model)
    model = AutoModelForCausalLM.from_pretrained(subject.model, dtype=torch.float32).eval()

    class Watch(BaseStreamer):
        def __init__(self) -> None:
            self.times: list[float] = []
            self.used: list[float] = []

        def put(self, _: object) -> None:
            self.times.append(time.perf_counter())
            self.used.append(time.process_time())

        def end(self) -> None:
            pass

    def ask(question: str, tokens: int) -> tuple[float, float, float]:
        chat = [{"role": "user", "content": question}]
        watch, started = Watch(), time.perf_counter()
        prompt = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        model.generate(
            **prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, streamer=watch
        )
        times, used = watch.times[1:], watch.used[1:]  # the first is that of the prompt
        later = tokens - 1
        return times[0] - started, later / (times[-1] - times[0]), (used[-1] - used[0]) / later

    return ask


def with_onnx(folder: Path, threads: int) -> Ask:
    generator = Generator.open(folder, threads=threads)
    generator.eos_token_ids = frozenset()

    def ask(question: str, tokens: int) -> tuple[float, float, float]:
        stream = generator.stream(question, max_new_tokens=tokens)
        used = []
        for _ in stream:
            used.append((time.process_time(), len(stream.answer.token_ids)))
        answer = stream.answer
        assert len(answer.token_ids) == tokens
        first = answer.seconds_to_first_token
        (began, done), (ended, all_done) = used[0], used[-1]
        return first, (tokens - 1) / (answer.seconds - first), (ended - began) / (all_done - done)

    return ask


def with_genai(folder: Path, threads: int) -> Ask:
    import onnxruntime_genai as genai

    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
    (folder / "genai_config.json").write_text(json.dumps(config))
    model = genai.Model(str(folder))
    tokenizer = genai.Tokenizer(model)

    def ask(question: str, tokens: int) -> tuple[float, float, float]:
        chat = json.dumps([{"role": "user", "content": question}])
        started = time.perf_counter()
        prompt = tokenizer.encode(tokenizer.apply_chat_template(chat, add_generation_prompt=True))
        parameters = genai.GeneratorParams(model)
        length = len(prompt) + tokens
        parameters.set_search_options(max_length=length, min_length=length, do_sample=False)
        generator, times, used = genai.Generator(model, parameters), [], []
        generator.append_tokens(prompt)
        while not generator.is_done():
            generator.generate_next_token()
            times.append(time.perf_counter())
            used.append(time.process_time())
        later = len(times) - 1
        return times[0] - started, later / (times[-1] - times[0]), (used[-1] - used[0]) / later

    return ask


def genai_folders(subject: Subject, folder: Path) -> dict[str, Path]:
    """onnxruntime-genai's graph of the same weights, in fp32 and 8-bit; none where it cannot make one."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        return {}
    full, small = folder / "genai", folder / "genai8"
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(subject.model)]
    command += ["-o", str(full), "-p", "fp32", "-e", "cpu", "-c", str(folder / "genai_cache")]
    built = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if not (full / "model.onnx").exists():
        print(f"onnxruntime-genai, {subject.name}: {built.stdout.strip().splitlines()[-1]}")
        return {}
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    shutil.copytree(full, small, ignore=lambda _, names: [name for name in names if ".onnx" in name])
    quantizer = MatMulNBitsQuantizer(
        onnx.load(full / "model.onnx"), bits=8, block_size=32, is_symmetric=True, accuracy_level=4
    )
    quantizer.process()
    onnx.save(quantizer.model.model, small / "model.onnx")
    return {"genai fp32": full, "genai 8-bit": small}


# --- measuring ------------------------------------------------------------------------------------


def bandwidth(threads: int) -> float:
    """Bytes a second that `torch.sum` reads on as many threads: the best of seven."""
    import torch

    torch.set_num_threads(threads)
    numbers = torch.ones(250_000_000)
    best = 0.0
    for _ in range(7):
        started = time.perf_counter()
        numbers.sum()
        best = max(best, numbers.numel() * 4 / (time.perf_counter() - started))
    return best


def race(subject: Subject, genai: dict[str, Path], threads: int, tokens: int, rounds: int) -> dict[str, list]:
    """For each contender all that `Ask` finds, asked by turns."""
    import torch

    torch.set_num_threads(threads)
    contenders = {
        "PyTorch": with_torch(subject),
        "full precision": with_onnx(subject.full, threads),
        "8-bit": with_onnx(subject.small, threads),
        **{name: with_genai(folder, threads) for name, folder in genai.items()},
    }
    measured: dict[str, list] = defaultdict(list)
    for number in range(rounds + 1):
        for name, ask in contenders.items():
            found = ask(QUESTIONS[number % len(QUESTIONS)], tokens)
            if number:  # the first round is for warming up
                measured[name].append(found)
    return measured


def operators(folder: Path, tokens: int) -> Counter[str]:
    """Microseconds that each kind of operator takes for so many tokens, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    past = {
        one.name: np.zeros([1, one.shape[1], 40, one.shape[3]], np.float32)
        for one in session.get_inputs()
        if one.name.startswith("past")
    }
    one = np.ones((1, 41), np.int64)
    for _ in range(tokens + 1):
        session.run(
            None, {"input_ids": one[:, :1], "attention_mask": one, "position_ids": 40 * one[:, :1]} | past
        )
    file = Path(session.end_profiling())
    events = json.loads(file.read_text())
    file.unlink()
    warm = [event["ts"] for event in events if event["name"] == "model_run"][1]
    spent: Counter[str] = Counter()
    for event in events:
        if event["name"].endswith("kernel_time") and event["ts"] > warm:
            spent[event["args"]["op_name"]] += event["dur"]
    return spent


def together(generator: Generator, people: int, tokens: int) -> tuple[float, float, float]:
    """Tokens a second of so many answers at once, processor seconds of one, and the share of the slowest."""
    streams = [generator.stream(question, max_new_tokens=tokens) for question in QUESTIONS[:people]]
    begun, done = threading.Barrier(people + 1), threading.Event()
    at_first: list[int] = []

    def read(stream: Stream) -> None:
        next(stream)  # the prompt
        begun.wait()
        for _ in stream:
            pass
        if not done.is_set():
            done.set()
            at_first.extend(len(one.answer.token_ids) for one in streams)

    threads = [threading.Thread(target=read, args=[stream]) for stream in streams]
    for thread in threads:
        thread.start()
    begun.wait()
    before = sum(len(stream.answer.token_ids) for stream in streams)
    started, used = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    made = sum(len(stream.answer.token_ids) for stream in streams) - before
    seconds, used = time.perf_counter() - started, time.process_time() - used
    return made / seconds, used / made, min(at_first) / max(at_first)


def cost(step: str, subject: Subject, folder: Path, rows: list[Conversation]) -> tuple[float, int]:
    """Processor seconds and peak bytes of one step of making an ONNX model in `folder`."""
    told = json.dumps([[row.input for row in rows], [row.output for row in rows]])
    command = [sys.executable, "-c", COST.format(step=step), str(subject.model), str(folder)]
    done = subprocess.run(command, input=told, stdout=subprocess.PIPE, text=True, check=True, cwd=REPOSITORY)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def cold_start(code: str, folder: Path, times: int) -> float:
    """Median seconds of a process that loads the model and finds one token, by turns with nothing else."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=REPOSITORY)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


# --- tables ---------------------------------------------------------------------------------------


def certificates(console: Console, subjects: list[Subject], rows: list[Conversation]) -> None:
    columns = ("model", "variant", "MB", "logits max", "mean", "of spread", "agree", "same", "loss", "passed")
    table = Table(*columns, title="Certificates")
    prompts, answers = [row.input for row in rows], [row.output for row in rows]
    for subject in subjects:
        folders: dict[Variant, Path] = {"fp32": subject.full, "int8": subject.small}
        for variant, found in verify_model(subject.model, folders, prompts, answers, memory=False).items():
            table.add_row(
                subject.name,
                variant,
                f"{found.bytes / 1e6:.0f} of {found.original_bytes / 1e6:.0f}",
                f"{found.max_logit_difference:.2g}",
                f"{found.mean_logit_difference:.2g}",
                f"{found.mean_share:.2%}",
                f"{found.next_token_agreement:.2%}",
                f"{found.identical_answers} of {found.prompts}",
                f"{found.loss_difference:+.4f}" if found.loss_difference is not None else "",
                "yes" if found.passed else " ".join(found.reasons),
            )
    console.print(table)


def speeds(console: Console, subject: Subject, genai: dict[str, Path], options: argparse.Namespace) -> None:
    columns = (
        "threads",
        "contender",
        "first token ms",
        "tokens/s",
        "times PyTorch",
        "CPU ms a token",
        "times PyTorch",
        "MB a token",
        "of bandwidth",
    )
    table = Table(*columns, title=f"Speed: {subject.name}, {options.tokens} tokens, {options.rounds} rounds")
    read = subject.bytes_read | {
        name: sum(file.stat().st_size for file in folder.glob("model.onnx*"))
        for name, folder in genai.items()
    }
    for threads in THREADS:
        limit = bandwidth(threads)
        measured = race(subject, genai, threads, options.tokens, options.rounds)
        limit = max(limit, bandwidth(threads))
        _, usual, usual_use = map(statistics.median, zip(*measured["PyTorch"], strict=True))
        for name, found in measured.items():
            first, speed, use = map(statistics.median, zip(*found, strict=True))
            table.add_row(
                str(threads),
                name,
                f"{1000 * first:.0f}",
                f"{speed:.1f}",
                f"{speed / usual:.2f}",
                f"{1000 * use:.1f}",
                f"{usual_use / use:.2f}",
                f"{read[name] / 1e6:.0f}",
                f"{speed * read[name] / limit:.0%} of {limit / 1e9:.0f} GB/s",
            )
    console.print(table)


def shares(console: Console, subject: Subject, tokens: int) -> None:
    table = Table("operator", "ms a token", "share", title=f"8-bit, one thread: {subject.name}")
    spent = operators(subject.small, tokens)
    for name, microseconds in spent.most_common(8):
        table.add_row(name, f"{microseconds / tokens / 1000:.2f}", f"{microseconds / spent.total():.1%}")
    console.print(table)


def crowds(console: Console, subject: Subject, options: argparse.Namespace) -> None:
    columns = ("people", "tokens/s together", "of one", "CPU ms a token", "slowest of fastest")
    table = Table(*columns, title=f"Several people at once, 8-bit, all cores: {subject.name}")
    generator = Generator.open(subject.small)
    generator.eos_token_ids = frozenset()
    measured: dict[int, list] = defaultdict(list)
    for _ in range(options.rounds):
        for people in PEOPLE:
            measured[people].append(together(generator, people, options.tokens))
    alone = statistics.median(speed for speed, _, _ in measured[1])
    for people, found in measured.items():
        speed, use, share = map(statistics.median, zip(*found, strict=True))
        table.add_row(
            str(people), f"{speed:.1f}", f"{speed / alone:.0%}", f"{1000 * use:.1f}", f"{share:.0%}"
        )
    console.print(table)


def costs(console: Console, subject: Subject, folder: Path, rows: list[Conversation]) -> None:
    table = Table("step", "CPU s", "peak GB", title=f"Making the ONNX model: {subject.name}")
    for name, step in COSTS.items():
        seconds, peak = cost(step, subject, folder, rows)
        table.add_row(name, f"{seconds:.1f}", f"{peak / 1e9:.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--epochs", type=int, default=3, help="rounds of the embedded model; the other: four times"
    )
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--rounds", type=int, default=5, help="questions that each contender is asked")
    parser.add_argument("--trained", type=Path, help="a workspace with the embedded model, taught already")
    parser.add_argument("--shaped", type=Path, help="a workspace with the other one, taught already")
    options = parser.parse_args()
    console = Console(width=130)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        embedded, shaped = folder / "embedded", folder / "shaped"
        base = models.ensure_base_model(models.DEFAULT_BASE_MODEL)
        places = [
            taught(options.trained, "embedded", base, embedded, options.epochs, None),
            taught(options.shaped, "shaped", shaped / "base", shaped, 4 * options.epochs, 5e-4),
        ]
        trained, other = [place.trained_model for place in places]
        subjects = [
            subject("embedded (135M)", trained, embedded),
            subject("distilgpt2-shaped (80M)", other, shaped),
        ]
        rows = verification_rows(places[0], inspect_model(trained).fingerprint)
        certificates(console, subjects, rows)
        for one, place in zip(subjects, (embedded, shaped), strict=True):
            speeds(console, one, genai_folders(one, place), options)
            shares(console, one, options.tokens)
            crowds(console, one, options)
            costs(console, one, place / "made", rows)
        table = Table(
            "process", "seconds", title="Cold start to the first token, embedded model, median of 5"
        )
        for contender, place in (("PyTorch", trained), ("8-bit", subjects[0].small)):
            table.add_row(contender, f"{cold_start(COLD[contender], place, 5):.2f}")
        console.print(table)


if __name__ == "__main__":
    main()
