"""How the interpreter and its threads share the machine in a server of many short requests."""

from __future__ import annotations

import gc
import os
import sys
import threading

_SWITCH_S = 0.01
_BACKGROUND = 10
_YOUNG_OBJECTS = 200_000
_YOUNG_RUNS, _MIDDLE_RUNS = 20, 50


def tune_interpreter() -> None:
    """Set how often threads take turns and how often garbage is looked for; call it once everything is built.

    A thread that comes back from the database waits for the interpreter's lock up to the switch interval, five
    milliseconds by default. Shorter ones were tried for that and cost more than they bring: each turn moves the work to
    another core, whose cache knows nothing of it. With one thread that decodes, 10 ms gave 11,300 spans a second in one
    run, 2 ms 10,300, 50 ms 9,300. And a request makes some ten thousand objects that all
    go without help of the collector, which by default looks through the young ones after every 700 and, as these pile
    up, through everything that lives; what lives already is put out of its sight. Measured in ``bench ingest``.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_RUNS, _MIDDLE_RUNS)


def step_back() -> None:
    """Let the calling thread, and those it starts from now on, give way to the others of this process.

    For scoring inside the process that takes traffic: a batch may wait, a sender may not. Linux keeps priorities by
    thread; elsewhere they belong to the process, and nothing is changed.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND)
