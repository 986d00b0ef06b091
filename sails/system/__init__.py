"""What the operating system gives: locks, files, processes, memory, who may do what."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.system.access import (
        AUTOMATIC_TRAINING,
        LONGEST_WHO,
        Visitor,
        acting,
        acting_as,
        actor,
        allowed_root,
        ask_first,
        changes,
        clean_name,
        export_audit,
        inside,
        is_admin,
        keep_private,
        name_of,
        require_changes,
        require_look,
        require_role,
        view_only,
        visitor,
    )
    from sails.system.allowance import check_questions, check_room, check_trainings, check_upload, limit
    from sails.system.audit import AUDIT, COMMAND_LINE, AuditLine, read_audit
    from sails.system.files import (
        append_lines,
        built_beside,
        built_by_living,
        copy_folder,
        digest,
        ends_in_half_a_line,
        folder_size,
        fsync_folder,
        fsync_tree,
        is_absent,
        link_or_copy,
        move_folder,
        read_json,
        remove,
        remove_at_once,
        rename,
        write_atomic,
    )
    from sails.system.format import (
        count,
        duration,
        duration_range,
        fit,
        gigabytes,
        listed,
        megabytes,
        one_line,
        seconds,
        shorten,
        signed,
        size,
    )
    from sails.system.limits import Limits, limit_this_process, watched
    from sails.system.load import processors, slowdown, stopwatch
    from sails.system.locks import LifeLock, is_held, short_lock
    from sails.system.memory import available_memory, give_back_memory, no_collection, peak_memory
    from sails.system.processes import (
        ProcessIdentity,
        end_process,
        is_alive,
        module_environment,
        on_termination,
        start_detached,
        this_process,
    )
    from sails.system.progress import Progress, silent
    from sails.system.roles import ROLES, Role, Rules
    from sails.system.stamps import Stamp, stamp, stamp_or_none
    from sails.system.usage import CardUsage, ProcessorUsage, Usage, UsageMeter, graphics_cards, meter_of
    from sails.system.zip_entry import PIECE, ZIP_TIME, WrittenEntry, write_entry

__getattr__, __all__ = lazy_exports(__name__)
