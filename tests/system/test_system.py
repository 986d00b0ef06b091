"""The one room that knows the operating system: real processes, real deaths, real filesystems."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from sails.errors import BusyError
from sails.system import files, memory
from sails.system.files import write_atomic
from sails.system.locks import LifeLock, is_held, short_lock
from sails.system.processes import ProcessIdentity, is_alive, this_process

posix = pytest.mark.skipif(sys.platform == "win32", reason="fork and signals are POSIX")
IMPORTS = "import os, sys, threading\nfrom pathlib import Path\nfrom sails import system\n"
HOLD = f"""{IMPORTS}
lock = system.LifeLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def process(code, *arguments):
    """A Python process that runs `code`; its standard input and output are pipes. Killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def told(child):
    """The child's next line; waits for it."""
    return child.stdout.readline().strip()


def answer_of(code, *arguments):
    """What a process of its own prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def held_elsewhere(path):
    """What another process finds when it probes the lock."""
    return answer_of(f"{IMPORTS}print(system.is_held(Path(sys.argv[1])))", path) == "True"


# --- life locks -----------------------------------------------------------------------------------


def test_a_lock_that_nobody_holds_is_free(tmp_path):
    assert not is_held(tmp_path / "never made")
    (tmp_path / "lock").touch()
    assert not is_held(tmp_path / "lock")


def test_probing_makes_no_lock_file(tmp_path):
    is_held(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_seen_and_refused_in_other_processes_until_it_is_released(tmp_path):
    path = tmp_path / "deep" / "lock"
    with process(HOLD, path) as holder:
        assert told(holder) == "held"
        assert is_held(path)
        with pytest.raises(BusyError, match="Another process holds lock"):
            LifeLock(path).acquire(timeout=0.05)
        assert is_held(path)  # neither the probe nor the failed try took it away
        holder.stdin.write("end\n")
        holder.stdin.flush()
        holder.wait()
        assert not is_held(path)
    lock = LifeLock(path)
    lock.acquire(timeout=0)
    assert held_elsewhere(path)
    lock.release()
    assert not held_elsewhere(path)


@posix
def test_kill_minus_nine_frees_the_lock(tmp_path):
    with process(HOLD, tmp_path / "lock") as holder:
        assert told(holder) == "held"
        assert is_held(tmp_path / "lock")
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert not is_held(tmp_path / "lock")
        lock = LifeLock(tmp_path / "lock")
        lock.acquire(timeout=0)
        lock.release()


def test_the_holder_may_probe_its_own_lock_under_any_name_without_losing_it(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    lock = LifeLock(tmp_path / "real" / "lock")
    lock.acquire()
    monkeypatch.chdir(tmp_path)
    for name in ("real/lock", "alias/lock", "./real/../alias/lock", tmp_path / "alias" / "lock"):
        assert is_held(Path(name))
        with pytest.raises(BusyError, match="already holds"):
            LifeLock(Path(name)).acquire(timeout=0)
    assert held_elsewhere(lock.path)
    lock.release()
    assert not is_held(lock.path)


def test_releasing_twice_or_without_holding_is_harmless(tmp_path):
    lock, other = LifeLock(tmp_path / "lock"), LifeLock(tmp_path / "lock")
    lock.acquire()
    other.release()
    assert held_elsewhere(tmp_path / "lock")
    lock.release()
    lock.release()
    lock.acquire()
    assert held_elsewhere(tmp_path / "lock")
    lock.release()


def test_a_lock_is_taken_as_soon_as_a_probing_reader_lets_go(tmp_path):
    probe = f"{IMPORTS}\nprint('go', flush=True)\nwhile True: system.is_held(Path(sys.argv[1]))"
    with process(probe, tmp_path / "lock") as reader:
        (tmp_path / "lock").touch()
        assert told(reader) == "go"
        for _ in range(50):
            lock = LifeLock(tmp_path / "lock")
            lock.acquire()
            lock.release()


def test_of_many_threads_that_wait_for_a_lock_one_gets_it(tmp_path):
    """POSIX grants a lock to every handle of a process, so the threads of a dashboard need more than it."""
    path = tmp_path / "lock"
    got, refused = [], []

    def take():
        lock = LifeLock(path)
        try:
            lock.acquire(timeout=30)
            got.append(lock)
        except BusyError:
            refused.append(lock)

    with process(HOLD, path) as holder:
        assert told(holder) == "held"
        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        holder.kill()
        holder.wait()
        for thread in threads:
            thread.join()
    assert (len(got), len(refused)) == (1, 7)
    assert held_elsewhere(path)  # no thread that gave up took it away
    got[0].release()


def test_threads_that_probe_while_another_takes_the_lock_never_take_it_away(tmp_path):
    path, ended = tmp_path / "lock", threading.Event()
    path.touch()

    def probe():
        while not ended.is_set():
            is_held(path)

    probing = [threading.Thread(target=probe) for _ in range(2)]
    for thread in probing:
        thread.start()
    watch = f"{IMPORTS}\nfor _ in sys.stdin: print(system.is_held(Path(sys.argv[1])), flush=True)"
    try:
        with process(watch, path) as watcher:
            for _ in range(100):
                lock = LifeLock(path)
                lock.acquire()
                watcher.stdin.write("?\n")
                watcher.stdin.flush()
                assert told(watcher) == "True"
                lock.release()
    finally:
        ended.set()
        for thread in probing:
            thread.join()


FORKING = f"""{IMPORTS}
lock = system.LifeLock(Path(sys.argv[1]))
lock.acquire()
answer, to_child = os.pipe(), os.pipe()
if os.fork() == 0:
    os.read(to_child[0], 1)  # until the parent has seen that it holds the lock itself
    with open(sys.argv[2], "w") as file:
        file.write(str(system.is_held(Path(sys.argv[1]))))
    os.rename(sys.argv[2], sys.argv[2] + ".done")
    print("child looked", flush=True)
    sys.stdin.readline()
    os._exit(0)
print(system.is_held(Path(sys.argv[1])), flush=True)
os.write(to_child[1], b"x")
import signal
signal.pause()
"""


@posix
def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path):
    path = tmp_path / "lock"
    with process(FORKING, path, tmp_path / "seen") as parent:
        assert told(parent) == "True"
        assert told(parent) == "child looked"
        assert (tmp_path / "seen.done").read_text() == "True"  # its parent lives, so it is held
        assert is_held(path)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert not is_held(path)  # though the child still runs, and has the file open
        parent.stdin.write("end\n")


ORPHAN = f"""{IMPORTS}
import signal
lock = system.LifeLock(Path(sys.argv[1]))
lock.acquire()
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.readline()
    print(system.is_held(Path(sys.argv[1])), flush=True)
    own = system.LifeLock(Path(sys.argv[1]))
    own.acquire(timeout=0)
    print("child holds it itself", flush=True)
    sys.stdin.readline()
    os._exit(0)
signal.pause()
"""


@posix
def test_a_forked_child_knows_that_the_lock_was_its_parents(tmp_path):
    with process(ORPHAN, tmp_path / "lock") as parent:
        assert told(parent) == "forked"
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        parent.stdin.write("look\n")
        parent.stdin.flush()
        assert told(parent) == "False"
        assert told(parent) == "child holds it itself"
        assert is_held(tmp_path / "lock")
        parent.stdin.write("end\n")


# --- short locks ----------------------------------------------------------------------------------


def test_a_short_lock_keeps_processes_apart(tmp_path):
    count = f"""{IMPORTS}
counter = Path(sys.argv[1])
for _ in range(50):
    with system.short_lock(counter.with_name("lock")):
        counter.write_text(str(int(counter.read_text()) + 1))
"""
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", count, str(counter)]
    workers = [subprocess.Popen(command) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    assert counter.read_text() == "200"


def test_a_short_lock_that_stays_taken_is_refused_in_a_sentence(tmp_path):
    with short_lock(tmp_path / "new" / "queue.lock"):
        code = f"""{IMPORTS}
from sails.errors import BusyError
try:
    with system.short_lock(Path(sys.argv[1]), timeout=0.1):
        print("taken")
except BusyError as error:
    print(error.sentence)
"""
        said = answer_of(code, tmp_path / "new" / "queue.lock")
    assert said == "Another process is using queue.lock. Try again in a minute."


# --- process identity -----------------------------------------------------------------------------


def test_this_process_is_alive_and_knows_its_machine():
    identity = this_process()
    assert identity.pid == os.getpid()
    assert identity.host == socket.gethostname()
    assert is_alive(identity)


def test_the_right_pid_with_another_creation_time_is_somebody_else():
    now = this_process()
    for seconds in (-1.5, 1.5, -86_400):
        assert not is_alive(ProcessIdentity(now.pid, now.created + seconds, now.host))
    assert is_alive(ProcessIdentity(now.pid, now.created + 0.3, now.host))  # a corrected clock


def test_a_process_that_ended_is_dead():
    with process("input()") as child:
        identity = ProcessIdentity(child.pid, psutil.Process(child.pid).create_time(), socket.gethostname())
        assert is_alive(identity)
        child.kill()
        child.wait()
        assert not is_alive(identity)


@posix
def test_a_zombie_is_dead():
    with process("input()") as child:
        zombie = psutil.Process(child.pid)
        identity = ProcessIdentity(child.pid, zombie.create_time(), socket.gethostname())
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has buried it
        assert zombie.status() == psutil.STATUS_ZOMBIE
        assert not is_alive(identity)


def test_a_process_on_another_machine_counts_as_alive():
    assert is_alive(ProcessIdentity(2**22 + 1, 0.0, "a-machine-that-is-not-this-one"))
    assert not is_alive(ProcessIdentity(2**22 + 1, 0.0, socket.gethostname()))


# --- files ----------------------------------------------------------------------------------------


def test_an_atomic_write_replaces_everything_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "status.json"
    write_atomic(path, "a long first content 🆕\n")
    write_atomic(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    assert os.listdir(tmp_path) == ["status.json"]


def test_a_reader_in_another_process_never_sees_half_a_write(tmp_path):
    path = tmp_path / "status.json"
    texts = [letter * 200_000 for letter in "ab"]
    read = f"""{IMPORTS}
texts = {{letter * 200_000 for letter in "ab"}}
print("reading", flush=True)
seen, broken = set(), 0
while not Path(sys.argv[1] + ".end").exists():
    text = Path(sys.argv[1]).read_text()
    seen.add(text[:1])
    broken += text not in texts
print(sorted(seen), broken)
"""
    write_atomic(path, texts[0])
    with process(read, path) as reader:
        assert told(reader) == "reading"
        for number in range(200):
            write_atomic(path, texts[number % 2])
        (tmp_path / "status.json.end").touch()
        assert told(reader) == "['a', 'b'] 0"


def test_threads_that_write_the_same_file_do_not_mix_their_texts(tmp_path):
    path = tmp_path / "status.json"
    texts = [letter * 100_000 for letter in "abcd"]
    failures, seen = [], set()

    def write(text):
        try:
            for _ in range(25):
                write_atomic(path, text)
                seen.add(path.read_text())
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen <= set(texts)
    assert os.listdir(tmp_path) == ["status.json"]


@pytest.fixture
def other_filesystem(tmp_path):
    """An empty folder on another filesystem than `tmp_path`."""
    for place in ("/dev/shm", "/run/shm", str(Path.home()), "/var/tmp", "/tmp"):
        folder = Path(place)
        if folder.is_dir() and os.access(folder, os.W_OK) and folder.stat().st_dev != tmp_path.stat().st_dev:
            with tempfile.TemporaryDirectory(dir=folder) as made:
                yield Path(made)
            return
    pytest.skip("this machine has one filesystem only, so moving across two cannot be tried")


def make_tree(folder):
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "onnx" / "model.onnx").write_bytes(os.urandom(300_000))
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def content_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_moves_within_a_filesystem_without_being_copied(tmp_path):
    content = make_tree(tmp_path / "here")
    inode = (tmp_path / "here" / "config.json").stat().st_ino
    files.move_folder(tmp_path / "here", tmp_path / "new" / "there")
    assert content_of(tmp_path / "new" / "there") == content
    assert (tmp_path / "new" / "there" / "config.json").stat().st_ino == inode
    assert not (tmp_path / "here").exists()


def test_a_folder_moves_across_filesystems_whole(tmp_path, other_filesystem):
    assert not files.same_filesystem(tmp_path, other_filesystem)
    content = make_tree(tmp_path / "here")
    files.move_folder(tmp_path / "here", other_filesystem / "new" / "there")
    assert content_of(other_filesystem / "new" / "there") == content
    assert not (tmp_path / "here").exists()
    assert os.listdir(other_filesystem / "new") == ["there"]


def test_a_copy_that_was_cut_short_is_made_anew(tmp_path, other_filesystem):
    content = make_tree(tmp_path / "here")
    half = other_filesystem / ".there.partial"
    half.mkdir()
    (half / "config.json").write_text("{")
    (half / "of another time").touch()
    files.copy_folder(tmp_path / "here", other_filesystem / "there")
    assert content_of(other_filesystem / "there") == content == content_of(tmp_path / "here")
    assert os.listdir(other_filesystem) == ["there"]


@posix
def test_files_that_may_only_be_read_are_made_durable_too():
    """As a model that was copied out of a read-only cache; asked of a user who is not root."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_tree(folder / "model")
        for path in folder.rglob("*"):
            path.chmod(0o555)
        folder.chmod(0o755)
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                files.fsync_tree(folder / "model")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for path in folder.rglob("*"):
            path.chmod(0o755)


# --- starting and ending processes ----------------------------------------------------------------

START = f"""{IMPORTS}
command = [sys.executable, "-c", "import os, sys; print('in', sys.stdin.read() == '', flush=True); "
           "open(sys.argv[1], 'w').write(str(os.getpid())); os.rename(sys.argv[1], sys.argv[1] + '.up'); "
           "import signal; signal.pause()", sys.argv[1]]
child = system.start_detached(command, Path(sys.argv[2]), dict(os.environ, WORD="given"))
print(child.pid, flush=True)
sys.stdin.readline()
"""


@posix
def test_a_detached_process_outlives_its_starter_and_the_starters_group(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("before\n")
    command = [sys.executable, "-c", START, str(tmp_path / "pid"), str(log)]
    starter = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    pid = int(told(starter))
    child = psutil.Process(pid)
    try:
        until(lambda: (tmp_path / "pid.up").exists())
        os.killpg(starter.pid, signal.SIGKILL)  # as a closing terminal and Ctrl-C reach a whole group
        starter.communicate()
        assert child.is_running()
        assert child.status() != psutil.STATUS_ZOMBIE
        assert os.getsid(pid) == pid
        assert child.environ()["WORD"] == "given"
        assert log.read_text() == "before\nin True\n"  # appended, and nothing to read from a keyboard
    finally:
        child.kill()


def until(condition, seconds=20):
    """Wait until something has happened in another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@posix
@pytest.mark.parametrize("sign", ["SIGINT", "SIGTERM"])
def test_a_polite_request_to_end_calls_back_and_a_closing_terminal_does_nothing(sign):
    code = f"""{IMPORTS}
asked = threading.Event()
system.on_termination(asked.set)
print("ready", flush=True)
while not asked.wait(0.01): pass
print("asked", flush=True)
"""
    with process(code) as child:
        assert told(child) == "ready"
        child.send_signal(signal.SIGHUP)
        child.send_signal(getattr(signal, sign))
        assert told(child) == "asked"
        assert child.wait() == 0


# --- the machine ----------------------------------------------------------------------------------


def test_memory_is_counted_in_bytes():
    total = psutil.virtual_memory().total
    assert 0 < memory.available_memory() <= total
    assert 5_000_000 < memory.peak_memory() < total


def test_the_peak_of_memory_is_this_process_own_and_not_its_starters():
    """Linux hands the peak of a large dashboard on to the worker that it starts, in what getrusage says."""
    code = f"""{IMPORTS}
before = system.peak_memory()
use = bytearray(os.urandom(1)) * 60_000_000
print(before, system.peak_memory() - before)
"""
    large = bytearray(os.urandom(1)) * 200_000_000
    before, grown = map(int, answer_of(code).split())
    assert before < len(large)
    assert 50_000_000 < grown < 90_000_000


def control_group(folder, limit, used, cache):
    folder.mkdir()
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    statistics = f"anon 5\nactive_file {cache}\ninactive_file {cache}\nslab 7\n"
    (folder / "memory.stat").write_text(statistics)
    return folder


def test_a_containers_own_limit_counts_but_not_its_cache_of_files(tmp_path):
    small = control_group(tmp_path / "small", limit=1_000_000, used=900_000, cache=300_000)
    assert memory.available_memory(small) == 700_000


def test_a_container_without_a_limit_has_what_the_machine_has(tmp_path):
    unlimited = control_group(tmp_path / "unlimited", limit="max", used=5, cache=0)
    generous = control_group(tmp_path / "generous", limit=2**60, used=5, cache=0)
    everything = memory.available_memory(tmp_path / "none")
    assert memory.available_memory(unlimited) == pytest.approx(everything, rel=0.3)
    assert memory.available_memory(generous) == pytest.approx(everything, rel=0.3)


# --- Windows --------------------------------------------------------------------------------------

# The modules' source as Windows runs it, with a stand-in for the one module that only Windows has: it keeps
# the promise of msvcrt.locking (one holder for each byte of a file, an OSError for everybody else).
ON_WINDOWS = """
import errno, json, os, subprocess, sys, types
from pathlib import Path
import filelock, psutil, tenacity
import sails.errors

holders = {}
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.LK_UNLCK = 2, 0
def locking(handle, mode, count):
    assert count == 1 and os.lseek(handle, 0, os.SEEK_CUR) == 0, "always the first byte"
    inode = os.fstat(handle).st_ino
    if mode == msvcrt.LK_UNLCK:
        assert holders.pop(inode) == handle
    elif holders.setdefault(inode, handle) != handle:
        raise OSError(errno.EACCES, "Permission denied")
msvcrt.locking = locking
sys.modules["msvcrt"] = msvcrt
sys.platform = "win32"
from sails.system import files, locks, processes

folder, seen = Path(sys.argv[1]), {}

lock = locks.LifeLock(folder / "lock")
lock.acquire(timeout=0)
seen["held here"] = locks.is_held(folder / "lock")
lock.release()
seen["held after release"] = locks.is_held(folder / "lock")
with open(folder / "lock", "a+b") as foreign:
    assert locks._try_lock(foreign, exclusive=True)
    seen["held by another"] = locks.is_held(folder / "lock")
    try:
        locks.LifeLock(folder / "lock").acquire(timeout=0.05)
    except sails.errors.BusyError:
        seen["refused"] = True
    locks._unlock(foreign)
lock.acquire(timeout=0)
lock.release()
seen["locks left"] = len(holders)

class Started:
    def __init__(self, command, **options):
        seen["detached"] = [options["creationflags"], options["start_new_session"]]
processes.subprocess.Popen = Started
processes.start_detached(["python"], folder / "log", {})

tries = []
def replace(source, target, really=os.replace):
    tries.append(source)
    if len(tries) < 3:
        raise PermissionError("a virus scanner looks at it")
    really(source, target)
files.os.replace = replace
files.write_atomic(folder / "status.json", "text")
seen["written"] = [(folder / "status.json").read_text(), len(tries)]
files.os.fsync = lambda handle: None
files.fsync_folder(folder / "not even there")  # Windows cannot open a folder
handled = []
processes.signal.SIGBREAK = processes.signal.SIGUSR1
processes.signal.signal = lambda number, handler: handled.append(number)
processes.on_termination(lambda: None)
seen["break handled"] = processes.signal.SIGBREAK in handled
print(json.dumps(seen))
"""


@posix
def test_the_windows_branches_lock_detach_and_try_again(tmp_path):
    seen = json.loads(answer_of(ON_WINDOWS, tmp_path))
    assert seen == {
        "held here": True,
        "held after release": False,
        "held by another": True,
        "refused": True,
        "locks left": 0,
        "detached": [0x0200 | 0x08000000, False],  # CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW
        "written": ["text", 3],
        "break handled": True,
    }


# --- files that grow line by line -----------------------------------------------------------------


def test_lines_are_appended_after_half_a_line_without_being_lost_in_it(tmp_path):
    path = tmp_path / "log.jsonl"
    assert not files.ends_in_half_a_line(path)
    files.append_lines(path, b"one\n")
    assert not files.ends_in_half_a_line(path)
    with open(path, "ab") as file:
        file.write(b'{"hal')
    assert files.ends_in_half_a_line(path)
    files.append_lines(path, b"two\nthree\n")
    assert path.read_bytes() == b'one\n{"hal\ntwo\nthree\n'


def test_lines_are_appended_to_what_cannot_be_read(tmp_path, monkeypatch):
    files.append_lines(Path(os.devnull), b"one\n", durable=False)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"one\n")

    def only_written(path, mode):
        if mode == "rb":
            raise PermissionError
        return open(path, mode)

    monkeypatch.setattr(files, "open", only_written, raising=False)
    files.append_lines(path, b"two\n", durable=False)
    assert path.read_bytes() == b"one\ntwo\n"
