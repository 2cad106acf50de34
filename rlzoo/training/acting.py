"""The acting half of an agent: observations in, actions out, in NumPy or for images on the engine; and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from rlzoo import envs
from rlzoo.backend import Engine, tree
from rlzoo.envs.masks import KEY, joined, lifted
from rlzoo.envs.masks import choices as choices_of
from rlzoo.errors import UserError, warn, whole_number
from rlzoo.nn import Layout
from rlzoo.policies.spaces import example, has_image, outline, rows, same_bounds
from rlzoo.training import copies
from rlzoo.training.collect import Memory
from rlzoo.training.evaluate import APART, LONGEST, Evaluation, evaluate, noise_beside, seed_of_evaluation
from rlzoo.training.exploration import Exploration, HeldNoise, IndependentNoise
from rlzoo.training.interrupts import Whole
from rlzoo.training.threads import one_blas_thread


class Actor:
    """Acts by a policy whose parameters are one flat vector. Everything named here is set up by `Agent`."""

    _env: Any
    environment_name: str
    engine: Engine
    seed: int
    observation_space: gym.Space
    action_space: gym.Space
    config: Any
    name: ClassVar[str]
    policy: Any
    layout: Layout
    state: dict[str, Any]
    normalizers: dict[str, Any]
    steps: int
    _must_reset: bool

    @property
    def env(self) -> Any:
        """The environment it was made or loaded with, an id or an object; None where it was loaded without."""
        return self._env

    @env.setter
    def env(self, value: Any) -> None:
        raise UserError("an agent cannot change its environment: save it, and load it with load(path, env=…)")

    @cached_property
    def whole(self) -> Whole:
        """What neither Ctrl-C nor another thread is to divide: `with self.whole: …`."""
        return Whole()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.environment_name}, {self.engine.name}, {self.steps:,} steps>"

    def __reduce__(self) -> tuple[Any, ...]:
        return copies.reduced(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copies.copied(self, memo)

    def _sync(self) -> None:
        """Bring the parameters to NumPy, where they act: into `flat`, which `params` are views of."""
        parameters = self.engine.view(self.state["parameters"])
        if not hasattr(self, "flat"):
            self._own = np.empty_like(parameters)
            self.flat = self._own[:]
            self.flat.flags.writeable = False  # what is learned and saved is the engine's
            self.params = self.layout.split(self.flat)
        np.copyto(self._own, parameters)

    def _check_finite(self) -> None:
        """Raises UserError once learning has diverged, before a checkpoint would take the place of a good one."""
        if not np.isfinite(np.add.reduce(self.flat)):
            mend = "lower learning_rate, or look for what the environment gives that is not finite"
            raise UserError(f"{self.name} diverged by {self.steps:,} steps, parameters are not finite: {mend}")

    @cached_property
    def _acts_on_engine(self) -> bool:
        """Image policies act on the engine, vector policies in NumPy."""
        return has_image(self.observation_space) and self.engine.learns

    @cached_property
    def _compiled_policy(self) -> dict[str, Any]:
        def on_engine(act: Any) -> Any:
            return self.engine.compile(lambda flat, *arguments: act(self.layout.split(flat), *arguments))

        return {"mode": on_engine(self.policy.mode), "sample": on_engine(getattr(self.policy, "sample", None))}

    def _act_on_engine(self, how: str, *arguments: Any) -> tuple[np.ndarray, Any]:
        with self.whole.lock:
            return self.engine.to_numpy(self._compiled_policy[how](self.state["parameters"], *arguments))

    def mode(self, seen: Any) -> tuple[np.ndarray, Any]:
        """Deterministic actions `[N, ...]` of the distribution's own kind, and what is remembered after them."""
        if self._acts_on_engine:
            return self._act_on_engine("mode", seen)
        return self.policy.mode(self.params, seen)

    def sample(self, seen: Any, noise: Any) -> tuple[np.ndarray, Any]:
        """Exploring actions `[N, ...]` of the distribution's own kind, and what is remembered after them."""
        if self._acts_on_engine:
            return self._act_on_engine("sample", seen, noise)
        return self.policy.sample(self.params, seen, noise)

    def exploration(self) -> Exploration:
        """What becomes of the noise of one step after another, for one who acts from here on."""
        return IndependentNoise()

    def explore(self, seen: Any, rng: np.random.Generator, exploration: Exploration) -> tuple[np.ndarray, Any]:
        """Stochastic actions, with noise from `rng`."""
        n = len(seen) if isinstance(seen, np.ndarray) else len(tree.flatten(seen)[0][0])
        return self.sample(seen, exploration(tree.at(self.policy.noise(rng, (1, n)), 0)))

    def memory(self, n: int = 1) -> Memory:
        """What a recurrent agent remembers of `n` episodes, at their beginning, to be handed to `act`.

        Raises UserError where the agent remembers nothing.
        """
        if self.policy.trunk.cell is None:
            raise UserError(f"this {self.name} has no memory: it was made with recurrent = none")
        return Memory(self.policy.trunk, whole_number("n", n))

    def act(
        self, observation: Any, deterministic: bool = True, *, memory: Memory | None = None, action_mask: Any = None
    ) -> np.ndarray:
        """The environment's action for one observation, or for a batch of them; NumPy in, NumPy out.

        A recurrent agent takes its `memory`, as `agent.memory(n)` gives it, which is changed: call `memory.reset(done)`
        where episodes end. An agent with action masks takes the environment's mask. Stochastic actions draw on a
        generator of their own: acting changes no run. Noise that lingers in training (Ornstein–Uhlenbeck's, `sde`'s)
        begins anew at each call. Raises UserError for an observation of another shape than the space's, or that is not
        finite, or none of its choices.
        """
        masked = self.config.action_masks
        has_mask = isinstance(observation, dict) and set(observation) == {KEY, "observation"}
        if action_mask is not None and not masked:
            raise UserError(f"this {self.name} has action_masks = false: leave action_mask out")
        if masked:
            if has_mask and action_mask is None:
                observation, action_mask = observation["observation"], observation[KEY]
            observation = self._with_mask(observation, action_mask)
        cell = self.policy.trunk.cell
        if (memory is None) != (cell is None):
            mend = "pass memory=agent.memory(n)" if memory is None else "leave memory out"
            raise UserError(f"this {self.name} has recurrent = {self.config.recurrent or 'none'}: {mend}")
        if memory is not None and (not isinstance(memory, Memory) or memory.cell != cell):
            raise UserError(f"memory = {memory!r} does not belong to this agent: take it from agent.memory(n)")
        return self._act(observation, None if deterministic else self._acting_rng, memory, self.exploration())

    def _with_mask(self, observation: Any, mask: Any) -> dict[str, Any]:
        if mask is None:
            raise UserError(f"this {self.name} has action_masks = true: pass the environment's, action_mask=mask")
        choices = choices_of(self.action_space)
        given, shape = joined(mask, choices), (sum(choices),)
        if given.dtype.kind not in "biuf":
            raise UserError(f"action_mask = {mask!r} is not valid: it must be 1 or 0 for each choice")
        if given.shape[-1:] != shape or given.ndim > 2:
            raise UserError(f"action_mask of shape {given.shape} is not valid: expected {shape} or (N, *{shape})")
        if not (given > 0).any(-1).all():
            raise UserError("action_mask allows no action: at least one choice must be 1")
        return {KEY: lifted(given, choices), "observation": observation}

    @cached_property
    def _acting_rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, APART, 1])

    def _act(
        self, observation: Any, rng: np.random.Generator | None, memory: Memory | None, exploration: Exploration
    ) -> np.ndarray:
        batch, one = rows(self.observation_space, observation)
        seen = self._prepared(batch)
        if memory is not None:
            n = len(tree.flatten(seen)[0][0])
            if len(memory.first) != n:
                raise UserError(f"memory of {len(memory.first)} episodes for {n} observations: use agent.memory({n})")
            seen = memory.around(seen)
        action, remembered = self.mode(seen) if rng is None else self.explore(seen, rng, exploration)
        if memory is not None:
            memory.after(remembered)
        action = self.policy.head.to_env(action)
        return action[0] if one else action

    def _prepared(self, observation: Any) -> Any:
        """Observations `[N, ...]` as networks see them."""
        normalize = self.normalizers.get("observation")
        if normalize is not None:
            observation = normalize(observation)
        if isinstance(observation, np.ndarray):
            return observation.astype(self._leaf_types[0], copy=False)
        leaves, structure = tree.flatten(observation)
        kept = zip(leaves, self._leaf_types, strict=True)
        return tree.unflatten(structure, [leaf.astype(dtype, copy=False) for leaf, dtype in kept])

    @cached_property
    def _leaf_types(self) -> list[Any]:
        examples = tree.flatten(example(self.observation_space, "observation" in self.normalizers))[0]
        return [leaf.dtype for leaf in examples]

    def evaluate(
        self, episodes: int = 20, *, seed: int | None = None, deterministic: bool = True, env: Any = None,
        longest: int | None = None,
    ) -> Evaluation:  # fmt: skip
        """Play whole episodes in an environment of its own, seeded apart from training; training is not disturbed.

        `env` is another id, or an environment that is used as it is and left open; if it is the one that is learned in,
        learning goes on with new episodes. Without, it is made from the id or copied from the object learned in. An
        episode that has not ended after `longest` steps is cut off there, with a warning: by default after 27,000, or
        the environment's own limit if that is more. Raises UserError where there can be no copy, and where `env` has
        other spaces.
        """
        episodes = whole_number("episodes", episodes)
        seed = seed_of_evaluation(self.seed) if seed is None else whole_number("seed", seed, least=0)
        if longest is None:
            longest = max(LONGEST, self._limit if env is None else envs.limit_of(env))
        longest = whole_number("longest", longest)
        rng = None if deterministic else noise_beside(seed)
        given = env is not None and not isinstance(env, str)
        vector_env = self._seen_as_own(env) if given else self.separate_environment(min(episodes, 10), env=env)
        try:
            self.check_fit(vector_env)
            with one_blas_thread():
                result = evaluate(self.player(vector_env.num_envs, rng), vector_env, episodes, seed, longest)
            if result.cut:
                cut = f"{result.cut} of {episodes} episodes were cut off at {longest:,} steps"
                warn(f"{cut}: in Python, evaluate(longest=…) plays them further")
            return result
        finally:
            if not given:
                vector_env.close()

    @cached_property
    def _limit(self) -> int:
        """Steps that an episode may have where the agent learns; 0 where that is not known."""
        return envs.limit_of(self._environment())

    def player(self, n: int, rng: np.random.Generator | None) -> Callable[[Any, np.ndarray | None], np.ndarray]:
        """A function `(observation, first)` to actions that plays n episodes at a time, as `evaluate` wants it.

        It acts by the mode, or with noise from `rng`, and remembers what a recurrent agent has to.
        """
        memory, every = None if self.policy.trunk.cell is None else self.memory(n), self.policy.sde_every
        exploration = self.exploration() if every is None else HeldNoise(every)

        def act(observation: Any, first: np.ndarray | None) -> np.ndarray:
            if first is not None:
                exploration.reset(first)
                if memory is not None:
                    memory.reset(first)
            return self._act(observation, rng, memory, exploration)

        return act

    @property
    def _views(self) -> dict[str, Any]:
        return {name: getattr(self.config, name) for name in ("preprocessing", "frame_stack", "action_masks")}

    def _environments(self, env: Any) -> VectorEnv:
        """The environments that it learns in."""
        return envs.make(env, self.config.n_envs, infos=False, vectorization=self.config.vectorization, **self._views)

    def separate_environment(self, n_envs: int = 1, render_mode: str | None = None, env: Any = None) -> VectorEnv:
        """Environments that share nothing with those learned in, seen as the agent sees its own."""
        return envs.make_separate(self._environment() if env is None else env, n_envs, render_mode, **self._views)

    def _seen_as_own(self, env: Any) -> VectorEnv:
        """An environment object as the agent sees its own."""
        own = envs.insides(self.vector_env) if hasattr(self, "vector_env") else []
        if any(one is other for one in envs.insides(env) for other in own):
            self._must_reset = True
        if isinstance(env, VectorEnv) and self._unfit(env) is None:
            return env  # with the views that it learned by, as its own has
        return envs.make(env, infos=False, **self._views)

    def _environment(self) -> Any:
        """What to make environments of; raises UserError where a checkpoint names a module that nobody vouched for."""
        if self.env is None:
            raise UserError("this agent was loaded without an environment: give one with load(path, env=…)")
        return self.env

    def check_fit(self, env: VectorEnv) -> None:
        """Raises UserError unless an environment has the spaces that the agent was made for."""
        unfit = self._unfit(env)
        if unfit is not None:
            raise UserError(f"{envs.name_of(envs.insides(env)[-1])} does not fit this agent: {unfit}")

    def _unfit(self, env: VectorEnv) -> str | None:
        """What is wrong with an environment's spaces; None where they are the agent's."""
        for kind in ("observation", "action"):
            found, expected = getattr(env, f"single_{kind}_space"), getattr(self, f"{kind}_space")
            if outline(found) != outline(expected) or (kind == "action" and not same_bounds(found, expected)):
                return f"the agent's {kind} space is {expected}, the environment's {found}"
        return None
