"""Randomised conformal ranks against a pool that grows: the step that makes every alarm's guarantee exact.

**Guarantee.** Let values be exchangeable (in particular independent draws from one unknown distribution). Give each
new value its rank among *all* values so far, itself included, ties broken by a coin. The ranks, divided by the size of
the pool, are independent and uniform on (0, 1): exactly, for every length of the stream and every size of the first
pool (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, theorem 8.2). Nothing is estimated, so
nothing can be "used up", however long one looks. A pool that is *not* extended is only a sample of the distribution:
ranks against it drift apart from uniform by about one over the square root of its size, and any monitor that
bets on them alarms in the end.

Values are discretised into bins fixed beforehand, so a pool is one counter per bin; ties within a bin are what the
coin is for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def rank_and_extend(
    pool: npt.NDArray[np.int64], bins: npt.NDArray[np.int64], coins: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the ranks in (0, 1) of values that fall one after the other into ``bins``, and count them in ``pool``.

    ``pool`` is ``(views, width)`` and is changed in place; ``bins`` and ``coins`` are ``(values, views)``, and so is
    the result. The same values in one call or in many give the same bits. Memory is values² × views bytes, so callers
    pass a few dozen values at a time.
    """
    count, views = bins.shape
    above = np.arange(views)
    cumulated = np.cumsum(pool, axis=1)
    same = pool[above, bins]
    below = cumulated[above, bins] - same
    totals = cumulated[:, -1]
    if count > 1:
        earlier = np.tri(count, k=-1, dtype=bool)[:, :, None]
        below = below + ((bins[None, :, :] < bins[:, None, :]) & earlier).sum(axis=1)
        same = same + ((bins[None, :, :] == bins[:, None, :]) & earlier).sum(axis=1)
    sizes = totals[None, :] + np.arange(1, count + 1)[:, None]
    np.add.at(pool, (np.broadcast_to(above, bins.shape), bins), 1)
    ranks: npt.NDArray[np.float64] = (below + coins * (same + 1)) / sizes
    return ranks
