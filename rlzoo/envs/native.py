"""Vector environments of an environment's own, where they are the same environment as copies of it."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv

from rlzoo.envs.atari import AtariGames, has_vector_form
from rlzoo.envs.views import Views
from rlzoo.errors import UserError

FROM = 8  # environments side by side; fewer CartPoles are faster one after another


class SameStepCartPoles(CartPoleVectorEnv):
    """Gymnasium's CartPoleVectorEnv, reset in the step that ended an episode instead of spending the next one on it."""

    state: Any
    metadata = CartPoleVectorEnv.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        done = self.prev_done
        ended = np.count_nonzero(done)
        if ended:
            info = {"final_obs": observation.copy(), "_final_obs": done}
            self.prev_done = np.zeros_like(done)  # nothing is left for the next step to reset
            self.state[:, done] = self.np_random.uniform(self.low, self.high, (4, ended))
            self.steps[done] = 0
            observation[done] = self.state.T[done]
        return observation, reward, terminated, truncated, info


_CARTPOLE = "gymnasium.envs.classic_control.cartpole:CartPole"
SAME: dict[Any, Any] = {  # entry point and vector entry point of a spec → its vector form, the same as copies of it
    (f"{_CARTPOLE}Env", f"{_CARTPOLE}VectorEnv"): SameStepCartPoles,
}


def same_as_copies(spec: EnvSpec) -> Any:
    """The class of an environment's own vector form, where that is known to be the same environment; else None.

    Where no limit is registered it is another: the vector form has one of its own.
    """
    if spec.additional_wrappers or spec.max_episode_steps is None:
        return None
    return SAME.get((spec.entry_point, spec.vector_entry_point))


def is_better(spec: EnvSpec, n_envs: int, views: Views) -> bool:
    """Whether their own vector form is known to be the same as `n_envs` copies, and to be faster."""
    if views.preprocessing is not None:
        return shows(views) and has_vector_form(spec)
    return not views and n_envs >= FROM and same_as_copies(spec) is not None


def shows(views: Views, render_mode: str | None = None) -> bool:
    """Whether a vector form can be seen so: that of Atari's games makes their images and stacks them, and no more."""
    if views.preprocessing is not None:
        return not views.action_masks and views.limit is None and render_mode is None
    return not views


def make(spec: EnvSpec, n_envs: int, views: Views, render_mode: str | None = None) -> VectorEnv:
    """`n_envs` environments in their own vector form, seen through `views`; raises UserError if there is none."""
    if views.preprocessing is not None:
        return AtariGames(spec, n_envs, views.frame_stack)
    if spec.vector_entry_point is None or spec.additional_wrappers:
        raise UserError(f"{spec.id} has no vector form of its own: leave vectorization at auto, or set it to sync")
    if spec.max_episode_steps is None and gym.spec(spec.id).max_episode_steps is not None:
        raise UserError(f"the vector form of {spec.id} is not without a limit: set vectorization = sync")
    spec = copy.deepcopy(spec)
    spec.vector_entry_point = same_as_copies(spec) or spec.vector_entry_point
    keywords: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    return views.of_vector(gym.make_vec(spec, n_envs, "vector_entry_point", **keywords))
