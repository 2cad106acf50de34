"""The seeds of the gates of parts: three on jax, one on each other engine, fixed before any run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

SEEDS = {"jax": (101, 102, 103), "torch": (101,), "tensorflow": (101,), "mindspore": (101,)}


def cases(gates: Any, quick: Any = ()) -> Iterator[Any]:
    """`(gate, backend, seed)` of each; all are marked but the first seed on jax of those that are quick."""
    for gate in gates:
        for engine, seeds in SEEDS.items():
            for seed in seeds:
                is_quick = gate in quick and (engine, seed) == ("jax", 101)
                marks = () if is_quick else pytest.mark.learning
                yield pytest.param(gate, engine, seed, marks=marks, id=f"{gate}-{engine}-{seed}")
