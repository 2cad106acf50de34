"""What is measured: each job at identical settings for rlzoo and its peers. Any environment can import this."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Job:
    """One algorithm in one environment: rlzoo's hyperparameters, and the same ones in Stable-Baselines3's names.

    What `rlzoo` does not name is the algorithm's default, never what is published for the environment.
    `library` is the peer's: "sb3", "contrib", or "" where neither has the algorithm; `peer_class` its class there, by
    default the algorithm's name in capitals; `policy` its policy's name, `policy_settings` what the policy is told.
    """

    algorithm: str
    env: str
    steps: int
    rlzoo: dict[str, Any]
    peer: dict[str, Any]
    hidden: tuple[int, ...]
    n_envs: int = 1
    library: str = "sb3"
    sbx: bool = False  # whether SBX runs it too
    peer_class: str = ""
    policy: str = "MlpPolicy"
    policy_settings: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)  # engine → least ratio to Stable-Baselines3


def _ppo_cartpole() -> Job:
    return Job(
        "ppo", "CartPole-v1", 100_000,
        dict(n_envs=8, n_steps=32, batch_size=256, n_epochs=20, gae_lambda=0.8, gamma=0.98,
             learning_rate="linear(1e-3, 0)", clip_range="linear(0.2, 0)"),
        dict(n_steps=32, batch_size=256, n_epochs=20, gae_lambda=0.8, gamma=0.98,
             learning_rate="linear 1e-3", clip_range="linear 0.2"),
        (64, 64), 8, sbx=True, targets=dict(jax=6.0, tensorflow=5.0, torch=3.0, mindspore=1.0),
    )  # fmt: skip


def _sac(env: str, hidden: tuple[int, ...], steps: int) -> Job:
    same = dict(batch_size=256, train_freq=1, gradient_steps=1, learning_starts=100, learning_rate=3e-4)
    wide, narrow = (2.2, 2.0, 1.6, 1.0), (6.0, 5.0, 2.5, 1.0)
    targets = dict(zip(("jax", "tensorflow", "torch", "mindspore"), wide if hidden[0] == 256 else narrow))
    return Job("sac", env, steps, same | dict(hidden=hidden, n_envs=1), same, hidden, sbx=True, targets=targets)


def _on_policy(algorithm: str, steps: int, rlzoo: dict[str, Any], peer: dict[str, Any], **more: Any) -> Job:
    """CartPole in 8 environments; `rlzoo` and `peer` hold what the two call differently or one alone has."""
    same = dict(gamma=0.99, gae_lambda=0.95) | peer.pop("same", {})
    settings = same | dict(hidden=(64, 64), n_envs=8) | rlzoo
    return Job(algorithm, "CartPole-v1", steps, settings, same | peer, (64, 64), 8, **more)


def _discrete(algorithm: str, steps: int, rlzoo: dict[str, Any], **more: Any) -> Job:
    """CartPole, a gradient step every second environment step, in bursts as in dqn-cartpole."""
    same = dict(learning_rate=1e-3, batch_size=64, buffer_size=100_000, learning_starts=1000, gamma=0.99,
                train_freq=256, gradient_steps=128, target_update_interval=10)  # fmt: skip
    peer = same | dict(exploration_fraction=0.16, exploration_final_eps=0.04) if more.get("library") != "" else {}
    settings = same | dict(hidden=(64, 64), n_envs=1) | rlzoo
    return Job(algorithm, "CartPole-v1", steps, settings, peer | more.pop("peer", {}), (64, 64), **more)


def _continuous(algorithm: str, steps: int, rlzoo: dict[str, Any], peer: dict[str, Any], **more: Any) -> Job:
    """Pendulum, a gradient step an environment step."""
    same = dict(learning_rate=1e-3, batch_size=256, buffer_size=100_000, learning_starts=100, gamma=0.99, tau=0.005,
                train_freq=1, gradient_steps=1)  # fmt: skip
    settings = same | dict(hidden=(64, 64), n_envs=1) | rlzoo
    return Job(algorithm, "Pendulum-v1", steps, settings, same | peer, (64, 64), **more)


FOUNDATION = {
    "ppo-cartpole": _ppo_cartpole(),
    "ppo-halfcheetah": Job(
        "ppo", "HalfCheetah-v5", 8192,
        dict(n_envs=1, n_steps=512, batch_size=64, n_epochs=20, hidden=(64, 64)),
        dict(n_steps=512, batch_size=64, n_epochs=20), (64, 64), sbx=True,
        targets=dict(jax=6.0, tensorflow=5.0, torch=3.5, mindspore=1.5),
    ),
    "dqn-cartpole": Job(
        "dqn", "CartPole-v1", 10_000,
        dict(learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1000, gamma=0.99,
             target_update_interval=10, train_freq=256, gradient_steps=128, exploration="linear(1, 0.04, 0.16)",
             hidden=(256, 256), double=False),
        dict(learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1000, gamma=0.99,
             target_update_interval=10, train_freq=256, gradient_steps=128, exploration_fraction=0.16,
             exploration_final_eps=0.04), (256, 256), sbx=True,
        targets=dict(jax=4.0, tensorflow=3.5, torch=2.5, mindspore=1.0),
    ),
    "sac-pendulum": _sac("Pendulum-v1", (256, 256), 1500),
    "sac-pendulum-64": _sac("Pendulum-v1", (64, 64), 3000),
    "sac-halfcheetah": _sac("HalfCheetah-v5", (256, 256), 1500),
    "sac-halfcheetah-64": _sac("HalfCheetah-v5", (64, 64), 3000),
}  # fmt: skip

_NOISE = dict(exploration_noise="gaussian", exploration_deviation=0.1)

# One row an algorithm that has none above.
ALGORITHMS = {
    "a2c-cartpole": _on_policy(
        "a2c", 20_000, dict(learning_rate=7e-4, max_grad_norm=0.5, rmsprop=True),
        dict(same=dict(n_steps=5, gae_lambda=1.0), learning_rate=7e-4, max_grad_norm=0.5),
    ),
    "trpo-cartpole": _on_policy(
        "trpo", 16_384,
        dict(cg_steps=15, cg_damping=0.1, line_search_steps=10, line_search_shrink=0.8, n_critic_epochs=10),
        dict(same=dict(n_steps=256, batch_size=128, learning_rate=1e-3, target_kl=0.01), cg_max_steps=15,
             cg_damping=0.1, line_search_max_iter=10, line_search_shrinking_factor=0.8, n_critic_updates=10),
        library="contrib",
    ),
    "recurrent-ppo-cartpole": _on_policy(
        "ppo", 4096,
        dict(recurrent="lstm", recurrent_units=64, sequence_length=16, clip_range=0.2, learning_rate=3e-4),
        dict(same=dict(n_steps=128, batch_size=128, n_epochs=10), clip_range=0.2, learning_rate=3e-4),
        library="contrib", peer_class="RecurrentPPO", policy="MlpLstmPolicy",
        policy_settings=dict(lstm_hidden_size=64, n_lstm_layers=1),
    ),
    "reinforce-cartpole": _on_policy(
        "reinforce", 65_536, dict(n_steps=128, gae_lambda=1.0, learning_rate=3e-3), {}, library="",
    ),
    "qrdqn-cartpole": _discrete(
        "qrdqn", 5_000, dict(n_quantiles=50, exploration="linear(1, 0.04, 0.16)", adam_epsilon=0.01 / 64),
        library="contrib", policy_settings=dict(n_quantiles=50),
    ),
    "rainbow-cartpole": _discrete("rainbow", 5_000, {}, library=""),
    "discrete-sac-cartpole": _discrete(
        "discrete_sac", 3_000, dict(train_freq=1, gradient_steps=1, target_update_interval=0, tau=0.005), library="",
    ),
    "ddpg-pendulum": _continuous("ddpg", 1_500, _NOISE, dict(action_noise=0.1)),
    "td3-pendulum": _continuous("td3", 1_500, _NOISE, dict(action_noise=0.1)),
    "tqc-pendulum": _continuous("tqc", 1_000, {}, {}, library="contrib"),
}  # fmt: skip

JOBS = FOUNDATION | ALGORITHMS


def _on_a_gpu() -> dict[str, Job]:
    images = dict(n_steps=128, batch_size=256, n_epochs=4, gae_lambda=0.95, gamma=0.99, learning_rate=2.5e-4)
    found = {
        "ppo-images": Job(
            "ppo", "benchmarks.pictures:Pictures-v0", 8_192, images | dict(n_envs=8, hidden=(64,)), images, (64,), 8,
            policy="CnnPolicy",
        )
    }  # fmt: skip
    for batch_size in (256, 4096):
        sac, size = _sac("Pendulum-v1", (256, 256), 2000), dict(batch_size=batch_size)
        found[f"sac-pendulum-{batch_size}"] = replace(sac, rlzoo=sac.rlzoo | size, peer=sac.peer | size, targets={})
    return found


ON_A_GPU = _on_a_gpu()
ALL = JOBS | ON_A_GPU
