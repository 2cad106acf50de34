"""The acting side of learning: one step of every environment at a time, in NumPy, with its books kept."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from rlzoo.backend import tree
from rlzoo.buffers import RolloutBuffer
from rlzoo.envs import Outcome, Stepper, firsts, insides, name_of
from rlzoo.errors import UserError
from rlzoo.policies import Trunk
from rlzoo.policies.normalizers import ObservationNormalizer, RewardNormalizer
from rlzoo.policies.spaces import choices_in, first_outside
from rlzoo.training.exploration import Exploration


class Episodes:
    """Returns and lengths of the last 100 finished episodes, and the success of the last 100 that say of it."""

    def __init__(self, n_envs: int):
        self.returns: deque[float] = deque(maxlen=100)
        self.lengths: deque[int] = deque(maxlen=100)
        self.successes: deque[float] = deque(maxlen=100)
        self.finished = 0
        self.restart(n_envs)

    def plain(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "finished": self.finished, "returns": list(self.returns), "lengths": list(self.lengths),
            "successes": list(self.successes),
        }  # fmt: skip

    def restore(self, plain: dict[str, Any]) -> None:
        self.finished = plain["finished"]
        self.returns.extend(plain["returns"])
        self.lengths.extend(plain["lengths"])
        self.successes.extend(plain["successes"])

    def record(self) -> dict[str, float]:
        """What a row of metrics says of them."""
        record: dict[str, float] = {"episodes": self.finished}
        if self.returns:
            record["episode_return"] = float(np.mean(self.returns))
            record["episode_length"] = float(np.mean(self.lengths))
        return record | ({"success_rate": float(np.mean(self.successes))} if self.successes else {})

    def restart(self, n_envs: int) -> None:
        """Forget the episodes under way."""
        self.running = np.zeros(n_envs)  # what each has returned so far
        self.steps, self.begun = 0, np.zeros(n_envs, np.int64)  # steps since, and after how many each began

    def add(self, rewards: np.ndarray, ends: list[tuple[int, np.ndarray]], valid: np.ndarray | None = None,
            told: Mapping[int, Outcome] = MappingProxyType({})) -> None:  # fmt: skip
        """Count a rollout: rewards `[T, N]`, and the steps `t` after which episodes were done, `[N]` bool.

        `valid` `[T, N]` is 0 where a step was spent on a reset; None where every step counts. `told` is what the
        environments said of episodes, by the step that ended them.
        """
        if valid is not None:
            rewards = np.where(valid > 0.0, rewards, 0.0)
        begun = 0
        for t, done in ends:
            self._count(begun, t + 1, rewards, valid)
            begun, outcome = t + 1, told.get(t)
            for i in done.nonzero()[0].tolist():
                episode_return, length = float(self.running[i]), int(self.steps - self.begun[i])
                if outcome is not None:
                    episode_return, length = outcome.counted(i, episode_return, length)
                    if (success := outcome.succeeded(i)) is not None:
                        self.successes.append(success)
                self.returns.append(episode_return)
                self.lengths.append(length)
                self.finished += 1
                self.running[i], self.begun[i] = 0.0, self.steps
        self._count(begun, len(rewards), rewards, valid)

    def _count(self, first: int, end: int, rewards: np.ndarray, valid: np.ndarray | None) -> None:
        if first == end:
            return
        self.steps += end - first
        self.running += rewards[first] if first + 1 == end else np.add.reduce(rewards[first:end], 0)
        if valid is not None:
            self.begun += np.count_nonzero(valid[first:end] == 0.0, 0)


class Memory:
    """What a recurrent policy remembers of N episodes: the state of its cell, and where the next step is a first."""

    def __init__(self, trunk: Trunk, n: int):
        self.cell = trunk.cell
        self.state = trunk.cell.initial_state(n)
        self.first = np.ones(n, np.float32)

    def around(self, observation: Any) -> dict[str, Any]:
        """What the policy is given: an observation `[N, ...]`, with what it remembers beside it."""
        return {"observation": observation, "memory": self.state, "first": self.first}

    def after(self, state: Any) -> None:
        """Take over the state after a step."""
        self.state, self.first = state, np.zeros_like(self.first)

    def reset(self, done: np.ndarray | None = None) -> None:
        """Forget the episodes that are `done`, `[N]` bool; all of them if nothing is said."""
        done = np.ones(len(self.first), np.bool_) if done is None else np.asarray(done, np.bool_).reshape(-1)
        if len(done) != len(self.first):
            raise UserError(f"done of {len(done)} episodes for a memory of {len(self.first)}")
        self.state = tree.map(lambda x: np.where(done[:, None], np.float32(0.0), x), self.state)
        self.first = np.where(done, np.float32(1.0), self.first)


class Collector:
    """Steps the environments of an agent: observations cast and normalized, rewards normalized, episodes counted."""

    def __init__(self, stepper: Stepper, episodes: Episodes, normalize_observation: ObservationNormalizer | None,
                 normalize_reward: RewardNormalizer | None, exploration: Exploration,
                 memory: Memory | None = None):  # fmt: skip
        self.stepper, self.episodes, self.exploration, self.memory = stepper, episodes, exploration, memory
        self.normalize_observation, self.normalize_reward = normalize_observation, normalize_reward
        self._floats: tuple[Any, ...] = None, [], []  # a rollout, and the floats of its observations and the next
        self._choices: list[Any] = []  # the choices in the same two
        self.raw: Any = None  # the observations that the next actions are chosen for, as the environment gave them

    def reset(self, seed: int) -> None:
        """Begin new episodes in every environment; those under way are given up."""
        self.raw = self.stepper.reset(seed)
        self._require_finite("observes", _floats(self.raw, alone=True))
        self.episodes.restart(self.stepper.n_envs)
        self.exploration.reset(np.ones(self.stepper.n_envs, np.bool_))
        if self.memory is not None:
            self.memory.reset()
        if self.normalize_observation is not None:
            self.normalize_observation.update(self.raw)
        if self.normalize_reward is not None:
            self.normalize_reward.running[:] = 0.0

    def fill(
        self,
        rollout: RolloutBuffer,
        choose: Callable[[int, Any], tuple[np.ndarray, Any]],
        to_env: Callable[[np.ndarray], np.ndarray],
        seconds: dict[str, float],
        raw: bool = False,
    ) -> None:
        """Take the actions `choose(t, seen)`, write what came of them into `rollout`, and add up the seconds.

        `choose` gives actions and what is remembered after them. It sees observations as networks do; with `raw`, the
        rollout keeps them, and rewards, as the environment gave them.
        """
        clock, step_env, actions, rewards = time.perf_counter, self.stepper.step, rollout.action, rollout.reward
        normalize, normalize_reward, memory = self.normalize_observation, self.normalize_reward, self.memory
        see = self._writer(rollout, raw)
        kept = _same if normalize is None or raw else normalize
        around = _same if memory is None else memory.around
        ends: list[tuple[int, Any]] = []  # steps that ended an episode, and where they led
        done: list[tuple[int, np.ndarray]] = []  # the same steps, and the environments it ended in
        told: dict[int, Outcome] = {}  # what these said of it
        given = np.empty(rewards.shape)  # rewards as the environments gave them
        begun, in_env, observation = clock(), 0.0, self.raw
        rollout.clear()
        for t in range(len(actions)):
            action, remembered = choose(t, see(t, observation))
            actions[t] = action
            env_action = to_env(action)
            acted = clock()
            led_to, reward, terminated, truncated, ended, valid, observation = step_env(env_action)
            in_env += clock() - acted
            given[t] = reward
            if normalize is not None:
                normalize.update(observation)
            if normalize_reward is not None:
                normalize_reward.update(reward, ended, valid)
                if not raw:
                    rewards[t] = normalize_reward(reward)
            if memory is not None:
                memory.after(remembered)
            if valid is not None:
                rollout.valid[t] = valid
            if ended is not None:
                rollout.terminated[t], rollout.truncated[t] = terminated, truncated
                ends.append((t, around(kept(led_to))))
                done.append((t, ended))
                if self.stepper.outcome is not None:
                    told[t] = self.stepper.outcome
            if (first := firsts(ended, valid)) is not None:
                self.exploration.reset(first)
                if memory is not None:
                    memory.reset(first)
        if normalize_reward is None or raw:
            rewards[:] = given
        self.raw = observation
        self.episodes.add(given, done, None if self.stepper.every_step_counts else rollout.valid, told)
        rollout.close(around(kept(observation)), ends)
        self._check_given(given, rollout, bool(ends))
        seconds["env"] += in_env
        seconds["act"] += clock() - begun - in_env

    def _check_given(self, rewards: np.ndarray, rollout: RolloutBuffer, ended: bool) -> None:
        """Raises UserError for what an environment gave in a rollout that is not finite, or is none of the choices that
        its space has, before it is learned from.

        These are rewards, what steps led to, and where episodes ended what the next ones began with.
        """
        if self._floats[0] is not rollout:
            parts = rollout.next_observation, rollout.observation
            inside = [x if self.memory is None else x["observation"] for x in parts]
            self._floats = rollout, *map(_floats, inside)
            space = self.stepper.env.single_observation_space
            self._choices = [choices for x in inside for choices in choices_in(space, x)]
        _, led_to, seen = self._floats
        total = np.add.reduce(rewards, None)
        for _, part in led_to:
            total += np.add.reduce(part, None, np.float64)
        if ended or not math.isfinite(total):  # looked at one by one, which takes twice as long, where it may be needed
            self._require_finite("rewards with", [("", rewards)])
            self._require_finite("observes", led_to + seen + _floats(self.raw, alone=True))
        for part, lowest, highest in self._choices:
            if (wrong := first_outside(part, lowest, highest)) is not None:
                told = f"{name_of(insides(self.stepper.env)[-1])} observes {wrong}"
                raise UserError(f"{told}, its observation_space says {lowest} to {highest}: correct either")

    def _require_finite(self, what: str, numbers: list[tuple[str, np.ndarray]]) -> None:
        """Raises UserError for the first of these, arrays `[T, N, ...]` with their names, that is not finite."""
        for name, part in numbers:
            finite = np.isfinite(part)
            if finite.all():
                continue
            wrong = np.argwhere(~finite)
            t, i, *where = wrong[0].tolist()
            alone = 1 == len(set(wrong[wrong[:, 0] == t, 1].tolist())) < self.stepper.n_envs
            place = (f" at {where}" if where else "") + (f" of {name!r}" if name else "")
            place += f" in environment {i}" if alone else ""
            told = f"{name_of(insides(self.stepper.env)[-1])} {what} {part[tuple(wrong[0])]}{place}"
            raise UserError(f"{told}: what its reset and step give must be finite numbers, and None is not one")

    def _writer(self, rollout: RolloutBuffer, raw: bool) -> Callable[[int, Any], Any]:
        """A function that writes what is seen at a step into the rollout and gives what networks are given."""
        normalize, memory, observations = self.normalize_observation, self.memory, rollout.observation
        if memory is None and normalize is None and isinstance(observations, np.ndarray):

            def plain(t: int, observation: np.ndarray) -> np.ndarray:
                observations[t] = observation
                return observations[t]  # now of the stored type

            return plain
        around = _same if memory is None else memory.around

        def write(t: int, observation: Any) -> Any:
            if normalize is None:
                return rollout.see(t, around(observation))
            seen = around(normalize(observation))
            rollout.see(t, around(observation) if raw else seen)
            return seen

        return write


def _floats(observation: Any, alone: bool = False) -> list[tuple[str, np.ndarray]]:
    """The parts of observations that may be other than finite, by their names; of one step `alone` as if of several."""
    parts = zip(tree.paths(observation), tree.flatten(observation)[0])
    return [(name, part[None] if alone else part) for name, part in parts if part.dtype.kind == "f"]


def _same(observation: Any) -> Any:
    return observation
