"""Deep Q-learning (Mnih 2015) with the double estimator by default (van Hasselt 2016), the Huber loss and ε-greedy.

What came after it are switches that combine: dueling streams (Wang 2016), noisy layers (Fortunato 2018), distributional
returns (C51; Bellemare 2017); and as every off-policy algorithm has them n-step returns and prioritized replay (Schaul
2016). `rainbow` is all of them together.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from pydantic import Field, model_validator

from rlzoo.backend import ops, tree
from rlzoo.nn import Adam, CategoricalReturn, ExpectedReturn
from rlzoo.nn.losses import batch_mean
from rlzoo.nn.schedules import Schedule, Scheduled, ScheduledShare
from rlzoo.policies import QNetwork
from rlzoo.training.off_policy import OffPolicyAgent, OffPolicyConfig

Array = Any


class DQNConfig(OffPolicyConfig):
    """The hyperparameters of DQN."""

    outside: ClassVar = OffPolicyConfig.outside | {"exploration"}
    only_with: ClassVar = dict.fromkeys(("n_atoms", "v_min", "v_max"), "distributional")

    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    activation: str = "relu"
    """Function after each hidden layer: tanh, relu, sigmoid or softplus."""
    learning_rate: Scheduled = Schedule(1e-4, 1e-4)
    """Adam's step size; a schedule such as linear(1e-3, 0) is allowed."""
    batch_size: int = Field(32, ge=1)
    """Transitions a gradient step."""
    train_freq: int = Field(4, ge=1)
    """Steps of each environment between updates."""
    tau: ScheduledShare = Schedule(1.0, 1.0)
    """Share of the online parameters that a target update mixes in; 1 copies them."""
    target_update_interval: int = Field(10_000, ge=0)
    """Environment steps between target updates; 0 updates the target after every gradient step."""
    exploration: ScheduledShare = Schedule(1.0, 0.05, 0.1, "linear")
    """Probability of a random action (ε)."""
    double: bool = True
    """Choose the next action by the online network, judge it by the target's."""
    dueling: bool = False
    """One stream for the state's value, one for what each action is above the mean."""
    noisy: bool = False
    """Explore by noise on the weights, whose size is learned; set exploration to 0 to leave out ε-greedy."""
    distributional: bool = False
    """Learn the probabilities of evenly spaced returns instead of their mean (C51)."""
    n_atoms: int = Field(51, ge=2)
    """Returns that probabilities are learned of."""
    v_min: float = -10.0
    """The lowest of these returns."""
    v_max: float = 10.0
    """The highest of these returns."""
    risk: float = Field(1.0, gt=0.0, le=1.0)
    """Choose by the mean of the worst such share of the return's distribution (CVaR); 1 is the mean of all."""
    max_grad_norm: float | None = Field(10.0, gt=0.0)
    """Norm that the gradient is clipped to; none leaves it as it is."""
    adam_epsilon: float = Field(1e-8, gt=0.0)
    """What Adam adds to the root that it divides by (ε)."""

    @model_validator(mode="after")
    def _returns(self) -> DQNConfig:
        if self.v_min >= self.v_max:
            raise ValueError(f"v_min = {self.v_min} is not below v_max = {self.v_max}")
        if isinstance(self.returns(), ExpectedReturn) and self.risk < 1.0:  # returns() may refuse what it cannot make
            raise ValueError(f"risk = {self.risk} needs the distribution of returns: set distributional = true")
        return self

    def returns(self) -> Any:
        """What the network says of a return."""
        if self.distributional:
            return CategoricalReturn(self.n_atoms, self.v_min, self.v_max, self.risk)
        return ExpectedReturn()


class DQN(OffPolicyAgent):
    """Deep Q-learning, for discrete actions."""

    name = "dqn"
    Config: ClassVar[type[DQNConfig]] = DQNConfig
    metrics = ("loss", "value", "td_error")

    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> QNetwork:
        c, trunk = self.config, self.trunk(observation_space)
        return QNetwork.of(
            trunk, action_space, c.hidden, c.activation, self.name, c.returns(), c.dueling, c.noisy
        )  # fmt: skip

    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        self.optimizer = Adam(max_grad_norm=self.config.max_grad_norm, epsilon=self.config.adam_epsilon)
        return {"parameters": flat, "target": flat.copy(), "optimizer": self.optimizer.init(flat)}

    def sample(self, seen: Any, noise: Any) -> tuple[np.ndarray, Any]:
        """ε-greedy actions, of the noisy network if it is one, which is not asked where all are by chance."""
        chance = noise["chance"]
        by_chance = chance[:, 0] < self.config.exploration(self.steps / self.total_steps)
        n_by_chance = np.count_nonzero(by_chance)
        if n_by_chance == len(by_chance) and self.policy.trunk.cell is None:
            return self.policy.by_chance(seen, chance[:, 1]), None
        greedy, remembered = super().sample(seen, noise) if self.config.noisy else self.mode(seen)
        if n_by_chance == 0:
            return greedy, remembered
        return np.where(by_chance, self.policy.by_chance(seen, chance[:, 1]), greedy), remembered

    def noise_of_update(self, shape: tuple[int, int]) -> dict[str, Any]:
        """Of noisy layers: that of the loss, of the target and of the choice of the next action."""
        if not self.config.noisy:
            return {}
        return {name: self.policy.network_noise(self.rng, shape[0]) for name in ("online", "target", "chooser")}

    def update(self, state: dict[str, Any], inputs: Any, scalars: Any) -> Any:
        """K gradient steps; where the target moves at intervals, it stands still for them and moves at their end."""
        moves_every_step = self.config.target_update_interval == 0
        if not moves_every_step and not self.config.noisy:  # what it says of all K batches is one large product
            outputs = self.target_outputs(state, inputs["batch"], {})
            inputs = inputs | {"batch": inputs["batch"] | {"next_outputs": outputs}}
        state, report = super().update(state, inputs, scalars)
        if not moves_every_step:
            state = state | {"target": self.moved_target(state, inputs["tau"][-1])}
        return state, report

    def gradient_step(self, state: dict[str, Any], inputs: Any, scalars: Any) -> tuple[dict[str, Any], Any]:
        """One step of the online network, then the target moves by τ where it moves at every step."""
        batch, noise = inputs["batch"], inputs["noise"]
        target = self.targets(state, batch, noise)
        _, report, gradient = self.layout.value_and_grad(
            lambda params: self.loss(params, batch, target, noise), state["parameters"]
        )
        parameters, optimizer = self.optimizer.update(
            state["parameters"], gradient, state["optimizer"], scalars["learning_rate"]
        )
        state = state | {"parameters": parameters, "optimizer": optimizer}
        if self.config.target_update_interval == 0:
            state = state | {"target": self.moved_target(state, inputs["tau"])}
        return state, report

    def moved_target(self, state: dict[str, Any], tau: Array) -> Array:
        """θ⁻ + τ (θ − θ⁻)."""
        return ops.lerp(state["target"], state["parameters"], tau)

    def target_outputs(self, state: dict[str, Any], batch: dict[str, Any], noise: dict[str, Any]) -> Array:
        """What the target network says of s′, `[..., B, actions, *returns.shape]`, for a batch or for several."""
        leading = batch["reward"].shape
        n, axes = math.prod(leading), len(leading)
        seen = tree.map(lambda x: ops.reshape(x, (n, *x.shape[axes:])), batch["next_observation"])
        params = self.layout.split(state["target"])
        outputs = self.policy.outputs(params, self.policy.features(params, seen), noise.get("target"))
        return ops.reshape(outputs, (*leading, *outputs.shape[1:]))

    def targets(self, state: dict[str, Any], batch: dict[str, Any], noise: dict[str, Any]) -> Array:
        """y = r + γ (1 − terminated) Q_target(s′, a′).

        a′ is the online network's choice with `double` (van Hasselt 2016, eq. 4), else the target's own.
        """
        policy, seen = self.policy, batch["next_observation"]
        outputs = batch["next_outputs"] if "next_outputs" in batch else self.target_outputs(state, batch, noise)
        chooser = outputs
        if self.config.double:
            params = self.layout.split(state["parameters"])
            chooser = policy.outputs(params, policy.features(params, seen), noise.get("chooser"))
        action = ops.argmax(policy.values(chooser, policy.trunk.mask(seen)))
        return policy.returns.backup(policy.of_action(outputs, action), batch["reward"], batch["discount"])

    def loss(self, params: Any, batch: dict[str, Any], target: Array, noise: dict[str, Any]) -> tuple[Array, Any]:
        """huber(Q(s, a) − y), or what the distribution of returns has for an error.

        Mnih 2015, algorithm 1, with the error clipped as its Methods say.
        """
        policy = self.policy
        features = policy.features(params, batch["observation"], through_time=True)
        outputs = policy.of_action(policy.outputs(params, features, noise.get("online")), batch["action"])
        error = policy.returns.error(outputs, target)
        loss = batch_mean(error, batch.get("weight"))
        value = policy.returns.value(outputs)
        td_error = error if policy.returns.shape else ops.abs(value - target)
        return loss, self.report(ops.stack([loss, ops.mean(value), ops.mean(td_error)]), td_error)
