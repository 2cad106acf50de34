"""Returns and advantages, each a pure function over the time axis, by one recurrence without a loop or a scan.

Arrays are `[T, ...]`. `terminated_t` (0 or 1) says that the step from t reached a terminal state, whose value is zero;
`done_t` that the episode ended there, terminated or truncated, so nothing after it belongs to it. `next_value_t` is the
value of the state that step t really led to, also where the environment was reset after it.
"""

from __future__ import annotations

from typing import Any

from rlzoo.backend import ops

Array = Any


def _check(*arrays: Array) -> None:
    shapes = {tuple(array.shape) for array in arrays}
    if len(shapes) != 1:
        raise ValueError(f"arrays over time must have one shape, not {sorted(shapes)}")


def linear_recurrence(addend: Array, factor: Array) -> Array:
    """x_t = addend_t + factor_t · x_{t+1}, with x_T = 0, by doubling: log₂ T passes."""
    _check(addend, factor)
    total, product, shift = addend, factor, 1
    length = addend.shape[0]
    while shift < length:
        zero = ops.zeros_like(total[:shift])
        ahead = ops.concat([total[shift:], zero])
        total, product = total + product * ahead, product * ops.concat([product[shift:], zero])
        shift *= 2
    return total


def generalized_advantage(
    reward: Array, value: Array, next_value: Array, terminated: Array, done: Array, gamma: float, gae_lambda: float
) -> Array:
    """Generalized advantage estimation (Schulman 2016, eq. 16).

    δ_t = r_t + γ (1 − terminated_t) V(s_{t+1}) − V(s_t);  A_t = δ_t + γ λ (1 − done_t) A_{t+1}.
    λ = 0 is the one-step TD error, λ = 1 the discounted return less the value.
    """
    _check(reward, value, next_value, terminated, done)
    delta = reward + gamma * (1.0 - terminated) * next_value - value
    return linear_recurrence(delta, (gamma * gae_lambda) * (1.0 - done))


def lambda_return(
    reward: Array, next_value: Array, terminated: Array, done: Array, gamma: float, td_lambda: float
) -> Array:
    """The λ-return (Sutton 2018, eq. 12.18): G_t = r_t + γ ((1 − λ) V(s_{t+1}) + λ G_{t+1}).

    λ = 0 is the one-step target, λ = 1 Monte Carlo; where episode or rollout ends, the value stands for the rest.
    """
    _check(reward, next_value, terminated, done)
    alive = 1.0 - terminated
    going_on = 1.0 - done
    last = ops.concat([ops.zeros_like(done[:-1]), ops.zeros_like(done[-1:]) + 1.0])
    going_on = going_on * (1.0 - last)
    bootstrap = gamma * alive * next_value * (1.0 - td_lambda * going_on)
    return linear_recurrence(reward + bootstrap, gamma * td_lambda * going_on)


def n_step_return(
    reward: Array, next_value: Array, terminated: Array, done: Array, gamma: float, horizon: int
) -> Array:
    """Σ_{k<n} γ^k r_{t+k} + γ^n V(s_{t+n}), cut short where the episode or the rollout ends (Sutton 2018, eq. 7.1)."""
    _check(reward, next_value, terminated, done)
    one_step = reward + gamma * (1.0 - terminated) * next_value
    total = one_step
    for _ in range(horizon - 1):
        ahead = ops.concat([total[1:], next_value[-1:]])
        going_on = reward + gamma * ahead
        ends = ops.concat([done[:-1], ops.zeros_like(done[-1:]) + 1.0])
        total = ops.where(ops.greater(ends, 0.5), one_step, going_on)
    return total


def vtrace(
    log_ratio: Array,
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    done: Array,
    gamma: float,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
) -> Array:
    """V-trace targets (Espeholt 2018, eq. 1) for data of a policy whose log-ratio to the target policy is given.

    v_t = V_t + ρ_t δ_t + γ (1 − done_t) c_t (v_{t+1} − V_{t+1}), ρ and c clipped ratios. On-policy (ratio 1) it is the
    n-step return to the end of the rollout.
    """
    _check(log_ratio, reward, value, next_value, terminated, done)
    ratio = ops.exp(log_ratio)
    delta = ops.minimum(ratio, clip_rho) * (reward + gamma * (1.0 - terminated) * next_value - value)
    return value + linear_recurrence(delta, gamma * (1.0 - done) * ops.minimum(ratio, clip_c))
