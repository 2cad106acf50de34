"""PPO's update for CartPole written by hand in plain JAX, torch and TensorFlow: what the layer API is measured against.

Same arithmetic, minibatches and compilation as rlzoo's own (`jit` and `scan`; a traced step; one XLA program), with no
layer, no ops and no recorder. `python -m benchmarks.by_hand jax` prints both times, taken in turns, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

GAMMA, LAMBDA, STEPS, ENVS = 0.98, 0.8, 32, 8


def jax_update(sizes: list[int], shapes: list[tuple[int, ...]]) -> Any:
    import jax
    import jax.numpy as jnp

    ends = np.cumsum(sizes)[:-1]

    def split(flat):
        return [x.reshape(s) for x, s in zip(jnp.split(flat, ends), shapes)]

    def mlp(p, x):
        return jnp.tanh(jnp.tanh(x @ p[0] + p[1]) @ p[2] + p[3]) @ p[4] + p[5]

    def chosen(p, observation, action):
        log_p = jax.nn.log_softmax(mlp(p, observation))
        return log_p, (log_p * jax.nn.one_hot(action, 2)).sum(-1)

    def loss(p, b, clip, entropy_weight):
        log_p, log_prob = chosen(p[:6], b["observation"], b["action"])
        ratio = jnp.exp(log_prob - b["log_prob"])
        a = b["advantage"] - b["advantage"].mean()
        a = a / (jnp.sqrt((a * a).mean()) + 1e-8)
        policy = -jnp.minimum(ratio * a, jnp.clip(ratio, 1 - clip, 1 + clip) * a).mean()
        value = ((mlp(p[6:], b["observation"])[:, 0] - b["return"]) ** 2).mean()
        entropy = -(jnp.exp(log_p) * log_p).sum(-1).mean()
        kl = (ratio - 1 - (log_prob - b["log_prob"])).mean()
        clipped = (jnp.abs(ratio - 1) > clip).astype(jnp.float32).mean()
        return policy + 0.5 * value - entropy_weight * entropy, jnp.stack([policy, value, entropy, kl, clipped])

    def step(state, indices, batch, scalars):
        flat, m, v, t = state
        b = {k: x[indices] for k, x in batch.items()}
        (_, metrics), g = jax.value_and_grad(loss, has_aux=True)(
            split(flat), b, scalars["clip_range"], scalars["entropy_coefficient"]
        )
        g = jnp.concatenate([x.reshape(-1) for x in g])
        g = g * jnp.minimum(1.0, 0.5 / (jnp.linalg.norm(g) + 1e-6))
        t, m, v = t + 1, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        unbias = jnp.sqrt(1 - 0.999**t)
        flat = flat - scalars["learning_rate"] * unbias / (1 - 0.9**t) * m / (jnp.sqrt(v) + 1e-5 * unbias)
        return (flat, m, v, t), metrics

    def update(state, r, minibatches, scalars):
        p = split(state[0])
        value, following = mlp(p[6:], r["observation"])[..., 0], mlp(p[6:], r["next_observation"])[..., 0]
        a, c = r["reward"] + GAMMA * (1 - r["terminated"]) * following - value, GAMMA * LAMBDA * (1 - r["done"])
        k = 1
        while k < STEPS:
            z = jnp.zeros((k, ENVS))
            a, c = a + c * jnp.concatenate([a[k:], z]), c * jnp.concatenate([c[k:], z])
            k *= 2
        batch = {
            "observation": r["observation"].reshape(-1, 4), "action": r["action"].reshape(-1),
            "log_prob": chosen(p[:6], r["observation"], r["action"])[1].reshape(-1),
            "advantage": a.reshape(-1), "return": (a + value).reshape(-1),
        }  # fmt: skip
        state, metrics = jax.lax.scan(lambda s, i: step(s, i, batch, scalars), state, minibatches)
        return state, metrics.mean(0)

    compiled = jax.jit(update, donate_argnums=0)

    def run(state, *data):
        state, _ = compiled(state, *data)
        return state, np.array(state[0])

    return run


def tensorflow_update(sizes: list[int], shapes: list[tuple[int, ...]]) -> Any:
    import tensorflow as tf

    def split(flat):
        return [tf.reshape(x, s) for x, s in zip(tf.split(flat, sizes), shapes)]

    def mlp(p, x):
        return tf.tanh(tf.tanh(x @ p[0] + p[1]) @ p[2] + p[3]) @ p[4] + p[5]

    def chosen(p, observation, action):
        log_p = tf.nn.log_softmax(mlp(p, observation))
        return log_p, tf.reduce_sum(log_p * tf.one_hot(action, 2), -1)

    def loss(p, b, clip, entropy_weight):
        log_p, log_prob = chosen(p[:6], b["observation"], b["action"])
        ratio = tf.exp(log_prob - b["log_prob"])
        a = b["advantage"] - tf.reduce_mean(b["advantage"])
        a = a / (tf.sqrt(tf.reduce_mean(a * a)) + 1e-8)
        held = tf.clip_by_value(ratio, 1 - clip, 1 + clip)
        policy = -tf.reduce_mean(tf.minimum(ratio * a, held * a))
        value = tf.reduce_mean((mlp(p[6:], b["observation"])[:, 0] - b["return"]) ** 2)
        entropy = -tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * log_p, -1))
        kl = tf.reduce_mean(ratio - 1 - (log_prob - b["log_prob"]))
        clipped = tf.reduce_mean(tf.cast(tf.abs(ratio - 1) > clip, tf.float32))
        return policy + 0.5 * value - entropy_weight * entropy, tf.stack([policy, value, entropy, kl, clipped])

    def step(state, indices, batch, scalars):
        flat, m, v, t = state
        b = {k: tf.gather(x, indices) for k, x in batch.items()}
        with tf.GradientTape() as tape:
            p = split(flat)
            tape.watch(p)
            value, metrics = loss(p, b, scalars["clip_range"], scalars["entropy_coefficient"])
        g = tf.concat([tf.reshape(x, [-1]) for x in tape.gradient(value, p)], 0)
        g = g * tf.minimum(1.0, 0.5 / (tf.norm(g) + 1e-6))
        t, m, v = t + 1, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        unbias = tf.sqrt(1 - 0.999**t)
        flat = flat - scalars["learning_rate"] * unbias / (1 - 0.9**t) * m / (tf.sqrt(v) + 1e-5 * unbias)
        return (flat, m, v, t), metrics

    @tf.function(jit_compile=True, autograph=False)
    def update(state, r, minibatches, scalars):
        p, rows = split(state[0]), {k: tf.reshape(x, [-1, *x.shape[2:]]) for k, x in r.items()}
        value, following = mlp(p[6:], rows["observation"])[:, 0], mlp(p[6:], rows["next_observation"])[:, 0]
        value, following = tf.reshape(value, [STEPS, ENVS]), tf.reshape(following, [STEPS, ENVS])
        a, c = r["reward"] + GAMMA * (1 - r["terminated"]) * following - value, GAMMA * LAMBDA * (1 - r["done"])
        k = 1
        while k < STEPS:
            z = tf.zeros((k, ENVS))
            a, c = a + c * tf.concat([a[k:], z], 0), c * tf.concat([c[k:], z], 0)
            k *= 2
        batch = {
            "observation": rows["observation"], "action": rows["action"],
            "log_prob": chosen(p[:6], rows["observation"], rows["action"])[1],
            "advantage": tf.reshape(a, [-1]), "return": tf.reshape(a + value, [-1]),
        }  # fmt: skip
        n = minibatches.shape[0]

        def body(i, state, total):
            state, metrics = step(state, minibatches[i], batch, scalars)
            return i + 1, state, total + metrics

        _, state, total = tf.while_loop(lambda i, *_: i < n, body, (0, state, tf.zeros(5)), maximum_iterations=n)
        return state, total / n

    def run(state, *data):
        state, _ = update(*tf.nest.map_structure(tf.convert_to_tensor, (state, *data)))
        return state, np.array(state[0])

    return run


def torch_update(sizes: list[int], shapes: list[tuple[int, ...]]) -> Any:
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    torch.set_num_threads(1)

    def split(flat):
        return [x.view(s) for x, s in zip(flat.split(sizes), shapes)]

    def mlp(p, x):
        h = torch.tanh(torch.addmm(p[1], x, p[0]))
        return torch.addmm(p[5], torch.tanh(torch.addmm(p[3], h, p[2])), p[4])

    def chosen(p, observation, action):
        log_p = torch.log_softmax(mlp(p, observation), -1)
        return log_p, log_p.gather(1, action[:, None]).squeeze(1)

    def loss(p, observation, action, old, advantage, target, clip, entropy_weight):
        log_p, log_prob = chosen(p[:6], observation, action)
        ratio = torch.exp(log_prob - old)
        a = advantage - advantage.mean()
        a = a / (torch.sqrt((a * a).mean()) + 1e-8)
        held = torch.minimum(torch.maximum(ratio, 1 - clip), 1 + clip)
        policy = -torch.minimum(ratio * a, held * a).mean()
        value = ((mlp(p[6:], observation).squeeze(-1) - target) ** 2).mean()
        entropy = -(log_p.exp() * log_p).sum(-1).mean()
        kl = (ratio - 1 - (log_prob - old)).mean()
        clipped = ((ratio - 1).abs() > clip).float().mean()
        return policy + 0.5 * value - entropy_weight * entropy, torch.stack([policy, value, entropy, kl, clipped])

    def step(flat, m, v, t, i, observation, action, old, advantage, target, lr, clip, entropy_weight):
        with torch.enable_grad():
            p = [x.detach().requires_grad_(True) for x in split(flat)]
            rows = (observation[i], action[i], old[i], advantage[i], target[i])
            value, metrics = loss(p, *rows, clip, entropy_weight)
            g = torch.cat([x.reshape(-1) for x in torch.autograd.grad(value, p)])
        g = g * torch.clamp(0.5 / (g.norm() + 1e-6), max=1.0)
        t, m, v = t + 1, m.lerp(g, 0.1), v.mul(0.999).addcmul(g, g, value=0.001)
        unbias = torch.sqrt(1 - 0.999**t)
        return flat - lr * unbias / (1 - 0.9**t) * m / (v.sqrt() + 1e-5 * unbias), m, v, t, metrics.detach()

    traced = None

    @torch.no_grad()
    def run(state, r, minibatches, scalars):
        nonlocal traced
        state = [torch.as_tensor(x) for x in state]
        rows = {k: torch.from_numpy(x).reshape(-1, *x.shape[2:]) for k, x in r.items()}
        p, action = split(state[0]), rows["action"].long()
        value, following = mlp(p[6:], rows["observation"]).squeeze(-1), mlp(p[6:], rows["next_observation"]).squeeze(-1)
        delta = rows["reward"] + GAMMA * (1 - rows["terminated"]) * following - value
        a, c = delta.view(STEPS, ENVS), (GAMMA * LAMBDA * (1 - rows["done"])).view(STEPS, ENVS)
        k = 1
        while k < STEPS:
            z = torch.zeros(k, ENVS)
            a, c = a + c * torch.cat([a[k:], z]), c * torch.cat([c[k:], z])
            k *= 2
        a = a.reshape(-1)
        names = ("learning_rate", "clip_range", "entropy_coefficient")
        data = (rows["observation"], action, chosen(p[:6], rows["observation"], action)[1], a, a + value)
        data += tuple(torch.tensor(scalars[name]) for name in names)
        total = torch.zeros(5)
        for i in torch.from_numpy(minibatches).long():
            if traced is None:
                graph = make_fx(step)(*state, i, *data)
                traced = torch.jit.freeze(torch.jit.trace(graph.eval(), (*state, i, *data), check_trace=False))
            *state, metrics = traced(*state, i, *data)
            total += metrics
        return state, state[0].numpy().copy()

    return run


def compare(engine: str, rounds: int = 60) -> dict[str, float]:
    """Both updates on the same data in turns: medians and best in milliseconds, and how far their results are apart."""
    from benchmarks.jobs import JOBS
    from benchmarks.rlzoo_worker import agent_of

    agent = agent_of(JOBS["ppo-cartpole"], engine)
    agent.collector.reset(0)
    agent._collect()
    data = agent.rollout.arrays(), agent.noise_of_update(), agent.scalars()
    flat = agent.flat.copy()
    by_hand = globals()[f"{engine}_update"](list(agent.layout.sizes), list(agent.layout.shapes))
    ours, theirs = agent.state, (flat, np.zeros_like(flat), np.zeros_like(flat), np.zeros((), np.float32))
    times: dict[str, list[float]] = {"rlzoo": [], "by_hand": []}
    difference = 0.0
    for i in range(rounds):
        begun = time.perf_counter()
        ours, _ = agent.compiled_update(ours, *data)
        mine = agent.engine.to_numpy(ours["parameters"])
        middle = time.perf_counter()
        theirs, other = by_hand(theirs, *data)
        ended = time.perf_counter()
        if i == 0:
            difference = float(np.abs(mine - other).max())
        if i >= 5:
            times["rlzoo"].append((middle - begun) * 1e3)
            times["by_hand"].append((ended - middle) * 1e3)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    best = {f"{name}_best": float(np.min(values)) for name, values in times.items()}
    return medians | best | {"ratio": medians["rlzoo"] / medians["by_hand"], "difference": difference}


if __name__ == "__main__":
    print(json.dumps(compare(sys.argv[1])))
