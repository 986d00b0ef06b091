"""Whether a workspace is well, and what keeps it so: findings, repairs, free space, backup and restore.

`examine` looks at all that lies there and explains what is wrong in a sentence each; a repair is carried out
only when a person says so, and deletes nothing of theirs. `backup` is the whole workspace in one file.
"""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.doctor.backup import Backup, back_up, read_backup, restore
    from sails.doctor.checkup import Outcome, Report, by_kind, examine, repair
    from sails.doctor.finding import KINDS, Finding, Kind
    from sails.doctor.space import Room

__getattr__, __all__ = lazy_exports(__name__)
