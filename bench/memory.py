"""Does scoring keep its memory over a million texts? The builtin profile in this process, short texts, no text twice.

Takes half an hour on a core, so it runs only when named. ``BENCH_TEXTS`` sets another number.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.corpus import Texts, make_texts
from bench.measurement import Measurement
from detectors.model import Exchange
from detectors.profile import load_profile

ONLY_WHEN_NAMED = True

_CALL: Final = 512
_MARKS: Final = 10
# One exchange in so many has something to be compared with.
_WITH_CONTEXT: Final = 50


def measure() -> list[Measurement]:
    """Return the resident memory after every tenth of the texts, and by what it grew after the first."""
    exchanges = int(os.environ.get("BENCH_TEXTS", "1000000")) // 2
    profile = load_profile("builtin", threads=1)
    profile.warm_up()
    found: list[Measurement] = []
    done = 0
    source = _make_exchanges(random.Random(3), make_texts())
    while done < exchanges:
        scored = profile.score([next(source) for _ in range(min(_CALL, exchanges - done))])
        if any(one.state != "assessed" for result in scored for one in result.scores if one.metric == "toxicity"):
            raise RuntimeError("a text was not assessed, so this measures nothing")
        before, done = done, done + len(scored)
        if done * _MARKS // exchanges > before * _MARKS // exchanges:
            resident = _resident_bytes() / 2**20
            found.append(Measurement(f"resident after {2 * done:,} texts", resident, "MiB"))
            print(f"  {2 * done:>9,} texts: {resident:,.0f} MiB", flush=True)
    found.append(Measurement("at the end over after the first tenth", found[-1].value / found[0].value, "×"))
    return found


def _make_exchanges(rng: random.Random, texts: Texts) -> Iterator[Exchange]:
    number = 0
    while True:
        number += 1
        prompt, response = (f"{number} {texts.write(rng, 40)}" for _ in range(2))
        contexts = (texts.write(rng, 200),) if number % _WITH_CONTEXT == 0 else ()
        yield Exchange(str(number), prompt, f"{response}.", contexts)


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(one for one in status.splitlines() if one.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
