"""BLAS is the whole process's: what limits it gives it back when the last of those who learn is done."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from rlzoo import PPO
from rlzoo.nn import initializers
from rlzoo.training.threads import one_blas_thread


def threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_the_limit_ends_with_the_last_of_those_who_overlap():
    with threadpool_limits(2, user_api="blas"):
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        assert threads() == {1}
        first.__exit__(None, None, None)
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == {2}


def test_weights_are_drawn_by_one(monkeypatch):
    """Several wait busily for cores that other trainings have."""
    seen, qr = [], np.linalg.qr
    monkeypatch.setattr(initializers.np.linalg, "qr", lambda *given: seen.append(threads()) or qr(*given))
    with threadpool_limits(2, user_api="blas"):
        PPO("CartPole-v1", backend="numpy")
        assert threads() == {2}
    assert seen and all(found == {1} for found in seen)
