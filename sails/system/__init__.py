"""What the operating system gives: locks, files, processes, memory, who may do what."""

from sails.system.access import allowed_root, inside, require_changes, view_only
from sails.system.files import (
    copy_folder,
    fsync_folder,
    fsync_tree,
    move_folder,
    read_json,
    rename,
    write_atomic,
)
from sails.system.locks import LifeLock, is_held, short_lock
from sails.system.memory import available_memory, give_back_memory, peak_memory
from sails.system.processes import ProcessIdentity, is_alive, on_termination, start_detached, this_process

__all__ = [
    "LifeLock",
    "ProcessIdentity",
    "allowed_root",
    "available_memory",
    "copy_folder",
    "fsync_folder",
    "fsync_tree",
    "give_back_memory",
    "inside",
    "is_alive",
    "is_held",
    "move_folder",
    "on_termination",
    "peak_memory",
    "read_json",
    "rename",
    "require_changes",
    "short_lock",
    "start_detached",
    "this_process",
    "view_only",
    "write_atomic",
]
