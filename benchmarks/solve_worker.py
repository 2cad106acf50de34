"""Trains PPO until CartPole-v1 is solved with Stable-Baselines3, in the peers' environment, as `rlzoo train` would.

RL Zoo's settings; an evaluation of 20 episodes every `every` steps, and the end at the first of at least `solved`.
"""

from __future__ import annotations

import sys

from benchmarks.jobs import JOBS
from benchmarks.peer_worker import scheduled


def main(seed: str, every: str, solved: str, threads: str) -> None:
    import torch

    torch.set_num_threads(int(threads))
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
    from stable_baselines3.common.env_util import make_vec_env

    job = JOBS["ppo-cartpole"]
    settings = {name: scheduled(value) for name, value in job.peer.items()}
    env = make_vec_env(job.env, n_envs=job.n_envs, seed=int(seed))
    model = PPO("MlpPolicy", env, seed=int(seed), device="cpu", **settings)
    stop = StopTrainingOnRewardThreshold(float(solved))
    evaluate = EvalCallback(
        make_vec_env(job.env, n_envs=10), callback_on_new_best=stop, n_eval_episodes=20,
        eval_freq=int(every) // job.n_envs, verbose=0,
    )  # fmt: skip
    model.learn(job.steps, callback=evaluate)
    print(f"{model.num_timesteps} steps")


if __name__ == "__main__":
    main(*sys.argv[1:])
