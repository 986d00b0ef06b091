"""What the operating system gives: locks, files, processes, memory, who may do what."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.system.access import allowed_root, inside, require_changes, view_only
    from sails.system.files import (
        append_lines,
        copy_folder,
        ends_in_half_a_line,
        fsync_folder,
        fsync_tree,
        move_folder,
        read_json,
        rename,
        write_atomic,
    )
    from sails.system.format import (
        count,
        duration,
        fit,
        gigabytes,
        listed,
        megabytes,
        one_line,
        seconds,
        shorten,
        size,
    )
    from sails.system.locks import LifeLock, is_held, short_lock
    from sails.system.memory import available_memory, give_back_memory, peak_memory
    from sails.system.processes import ProcessIdentity, is_alive, on_termination, start_detached, this_process
    from sails.system.progress import Progress, silent
    from sails.system.stamps import Stamp, stamp, stamp_or_none

__getattr__, __all__ = lazy_exports(__name__)
