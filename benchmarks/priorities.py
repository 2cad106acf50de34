"""How fast the sum tree is: priorities a second that are sampled and then updated, of a million, on one core.

    python -m benchmarks.priorities

Prints JSON: millions a second for each number of rows a call. Measured in turns, the median over rounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.acting import in_turns
from rlzoo.buffers import Priorities

SIZE, ROWS = 1_000_000, (32, 256, 1024, 8192)


def main(rounds: int = 50) -> None:
    rng = np.random.default_rng(0)
    priorities = Priorities(SIZE, 0.6)
    priorities.enter(np.arange(SIZE))

    def drawing(rows: int) -> Callable[[], Any]:
        error = rng.standard_normal((1, rows))

        def draw_and_update() -> None:
            priorities.sample(rng, (1, rows), SIZE)
            priorities.update(error)

        return draw_and_update

    with threadpool_limits(1, user_api="blas"):  # as while learning
        measured = in_turns({str(rows): drawing(rows) for rows in ROWS}, rounds, 10)
    print(json.dumps({rows: round(int(rows) / microseconds, 3) for rows, microseconds in measured.items()}))


if __name__ == "__main__":
    main()
