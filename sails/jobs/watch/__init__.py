"""The watch: as soon as enough approved examples have come together, a lesson is taught of them by itself.

    run_watch(workspace, order)    # in the foreground, until Ctrl-C
    switch_on(workspace, order)    # in a process of its own: python -m sails.jobs.watch ROOT TRAINED ONNX

It queues a session like any other, with the gate, waits until it has ended and says what became of it. What
the gate held is never published here: a person decides. Each row is used in one lesson only; if that failed,
it is free for the next try. All that it knows lies in `watch.json`, and what it is about to do is written
there before it is done, so that it may be killed anywhere and started again.

`state` is what is written down, `switch` turns it on and off, `loop` is what it does, `source` which rows of
a file may be taught, `messages` what it says. The list of corrections is `sails.chat.feedback`'.
"""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.jobs.watch.loop import latest_lesson
    from sails.jobs.watch.messages import standing, what_became
    from sails.jobs.watch.state import (
        Order,
        WatchState,
        is_alive,
        is_starting,
        order_of,
        path_of,
        watch_state,
    )
    from sails.jobs.watch.switch import run_watch, switch_off, switch_on

__getattr__, __all__ = lazy_exports(__name__)
