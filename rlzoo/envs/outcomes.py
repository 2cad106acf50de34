"""What environments say of an episode that ended: whether it succeeded, and what a wrapper below counted of it.

`info["is_success"]` is 1 or 0. `info["episode"]`, of Gymnasium's RecordEpisodeStatistics, has the return "r" and the
length "l" as they were before wrappers above it changed the rewards; where it is there, it counts for the return and
the length that are reported, as Stable-Baselines3 takes those of its Monitor.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Outcome(NamedTuple):
    """Of episodes of N environments: numbers `[N]`, NaN where nothing is said; None where nothing is said of any."""

    success: np.ndarray | None = None
    returns: np.ndarray | None = None
    lengths: np.ndarray | None = None

    def counted(self, i: int, episode_return: float, length: int) -> tuple[float, int]:
        """The return and the length of what ended in environment i; as they are given here where it did not say."""
        if self.returns is None or self.lengths is None or np.isnan(self.returns[i] + self.lengths[i]):
            return episode_return, length
        return float(self.returns[i]), int(self.lengths[i])

    def succeeded(self, i: int) -> float | None:
        """How far environment i succeeded; None where it did not say."""
        return None if self.success is None or np.isnan(self.success[i]) else float(self.success[i])


NOTHING: dict[str, Any] = {}


def outcome_of(info: dict[str, Any], n: int, same_step: bool) -> Outcome | None:
    """What is said, with a step of N environments, of the episodes that ended with it; None where nothing is.

    Under SAME_STEP it is in `info["final_info"]`, and what else is in `info` is of the episodes that begin; but for the
    "episode" of a wrapper around the vector environment.
    """
    final = info.get("final_info", NOTHING) if same_step else info
    if not isinstance(final, dict):
        return None
    if "is_success" not in final and "episode" not in final and "episode" not in info:
        return None
    returns = lengths = None
    for told in (final, info):
        episode = told.get("episode")
        if isinstance(episode, dict):
            is_over = told.get("_episode")
            returns, lengths = (_numbers(episode, name, n, is_over) for name in ("r", "l"))
            break
    return Outcome(_numbers(final, "is_success", n), returns, lengths)


def _numbers(told: dict[str, Any], name: str, n: int, given: Any = None) -> np.ndarray | None:
    """Numbers `[N]`, NaN where the masks say that there is none; None where these are no such numbers."""
    try:
        numbers = np.asarray(told.get(name), np.float64).reshape(n)
    except (TypeError, ValueError):
        return None
    for mask in (given, told.get(f"_{name}")):
        if mask is not None:
            numbers = np.where(mask, numbers, np.nan)
    return numbers


def told_of_one(info: Any) -> dict[str, Any]:
    """Of the info of one environment at the end of its episode, what is read here, as a vector environment says it."""
    if not isinstance(info, dict) or ("is_success" not in info and "episode" not in info):
        return NOTHING
    episode = info.get("episode")
    counted = {name: _number(episode.get(name)) for name in ("r", "l")} if isinstance(episode, dict) else {"r": None}
    success = _number(info.get("is_success"))
    told: dict[str, Any] = {} if success is None else {"is_success": success}
    if None not in counted.values():
        told["episode"] = counted
    return {"final_info": told} if told else NOTHING


def _number(value: Any) -> float | None:
    try:
        number = float(np.asarray(value, np.float64).reshape(()))
    except (TypeError, ValueError):
        return None
    return None if np.isnan(number) else number
