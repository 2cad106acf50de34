"""A masked action has probability zero, exactly: in acting, in losses and their gradients, and in the entropy."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from masked import Masked, Pairs, mask_of
from parity import compiled, single

from rlzoo import A2C, DQN, PPO, DiscreteSAC
from rlzoo.backend import ops
from rlzoo.errors import UserError
from rlzoo.nn import ExpectedReturn, Layout
from rlzoo.policies import ActorCritic, DiscreteActorCritics, QNetwork, Trunk
from rlzoo.policies.heads import allowed, stochastic_head

RNG = np.random.default_rng(0)
ONE, TWO = spaces.Discrete(3), spaces.MultiDiscrete([2, 3])
ROWS = 40
LOGITS = {"one": 3.0 * RNG.standard_normal((ROWS, 3)), "two": 3.0 * RNG.standard_normal((ROWS, 5))}
MASKS = {
    "one": np.stack([mask_of(i, 1) for i in range(ROWS)]),
    "two": np.stack([np.concatenate([mask_of(i, 0, 2), mask_of(i, 1, 3)]) for i in range(ROWS)]),
}
HEADS = {"one": stochastic_head(ONE), "two": stochastic_head(TWO)}


def parts(name, x):
    """What belongs to each of the actions."""
    return [x] if name == "one" else [x[..., :2], x[..., 2:]]


def softmax_among(logits, mask):
    """Probabilities of what is allowed, by the definition; zero elsewhere."""
    p = np.where(mask > 0, np.exp(logits - logits.max(-1, keepdims=True)), 0.0)
    return p / p.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", HEADS)
def test_probabilities_in_float32(name):
    """Of every action that could be taken: zero where it is masked, and otherwise shared among what is not."""
    distribution = HEADS[name].distribution
    logits = allowed(single(LOGITS[name]), MASKS[name])
    whole = [softmax_among(*pair) for pair in zip(parts(name, LOGITS[name]), parts(name, MASKS[name]))]
    for choice in np.ndindex(*((3,) if name == "one" else (2, 3))):
        action = np.full(ROWS, choice[0], np.int32) if name == "one" else np.tile(np.int32(choice), (ROWS, 1))
        expected = np.prod([p[:, k] for p, k in zip(whole, choice)], 0)
        probability = np.exp(distribution.log_prob(logits, action))
        np.testing.assert_allclose(probability, expected, rtol=1e-5)
        assert (probability[expected == 0.0] == 0.0).all() and (expected == 0.0).any()
    entropy = -sum((p * np.log(np.where(p > 0, p, 1.0))).sum(-1) for p in whole)
    np.testing.assert_allclose(distribution.entropy(logits), entropy, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_what_is_masked_is_never_sampled_nor_chosen_at_random(name):
    head, rng = HEADS[name], np.random.default_rng(1)
    logits = np.where(MASKS[name] > 0, 0.0, 20.0).astype(np.float32)  # the network wants all that is not allowed
    taken = [head.distribution.mode(allowed(logits, MASKS[name]))]
    for _ in range(50):
        noise = head.distribution.noise(rng, (ROWS,))
        taken += [head.distribution.sample(allowed(logits, MASKS[name]), noise), head.random_among(noise, MASKS[name])]
    for action in taken:
        columns = [action] if name == "one" else list(action.T)
        for part, column in zip(parts(name, MASKS[name]), columns):
            assert part[np.arange(ROWS), column].all()


def test_random_actions_are_uniform_among_what_is_allowed():
    mask = np.tile(np.int8([1, 0, 1]), (30_000, 1))
    noise = HEADS["one"].distribution.noise(np.random.default_rng(0), (30_000,))
    counts = np.bincount(HEADS["one"].random_among(noise, mask), minlength=3)
    assert counts[1] == 0 and abs(counts[0] - 15_000) < 5 * np.sqrt(30_000 / 4)


TRUNK = Trunk.of(spaces.Dict({"action_mask": spaces.MultiBinary(3), "observation": spaces.Box(-1, 1, (2,))}),
                 masked=True)  # fmt: skip
TRUNK_OF_TWO = Trunk.of(spaces.Dict({"action_mask": spaces.MultiBinary(5), "observation": spaces.Box(-1, 1, (2,))}),
                        masked=True)  # fmt: skip
POLICIES = {
    "one": ActorCritic.of(TRUNK, ONE, (4,), (4,), "tanh"), "two": ActorCritic.of(TRUNK_OF_TWO, TWO, (4,), (4,), "tanh"),
    "soft": DiscreteActorCritics.of(TRUNK, ONE, (4,), (4,), "tanh", 2, "discrete_sac"),
}  # fmt: skip
PARAMS = {name: policy.init(np.random.default_rng(2)) for name, policy in POLICIES.items()}
LAYOUTS = {name: Layout(params) for name, params in PARAMS.items()}
OBSERVATIONS = RNG.standard_normal((ROWS, 2))
NEVER_ALLOWED = {"one": 1, "two": 3, "soft": 1}  # one choice of each that is masked in all rows


def always_masked(name):
    mask = MASKS["two" if name == "two" else "one"].copy()
    mask[:, NEVER_ALLOWED[name]] = 0
    mask[:, [0, 2]] = 1
    return mask


def actions_within(name, mask):
    first = np.argmax(mask[:, :2] if name == "two" else mask, -1).astype(np.int32)
    return np.stack([first, np.argmax(mask[:, 2:], -1).astype(np.int32)], -1) if name == "two" else first


def losses(flats, observations, masks, actions, old):
    """Every term that losses are made of, with its gradient by the parameters."""
    found = {}
    for name, policy in POLICIES.items():
        distribution, seen = policy.head.distribution, {"action_mask": masks[name], "observation": observations}

        def terms(params, name=name, policy=policy, distribution=distribution, seen=seen):
            features = policy.features(params, seen)
            logits = policy.parameters_of_action(params, features)
            before = allowed(old[name], masks[name])
            found = {
                "log_prob": ops.sum(distribution.log_prob(logits, actions[name])),
                "entropy": ops.sum(distribution.entropy(logits)),
                "kl": ops.sum(distribution.kl(before, logits)),
            }
            if name == "soft":  # as its loss and its target take them: expectations over all actions
                log_prob, values = ops.log_softmax(logits), policy.values(params, features)
                found["expectation"] = ops.sum(ops.exp(log_prob) * (log_prob - ops.stop_gradient(values[0])))
            return found

        for term in terms(LAYOUTS[name].split(flats[name])):
            value, _, gradient = LAYOUTS[name].value_and_grad(
                lambda params, term=term, terms=terms: (terms(params)[term], None), flats[name]
            )
            found[name, term] = {"value": value, "gradient": gradient}
    return found


def test_losses_send_no_gradient_to_what_is_masked(engine):
    masks = {name: always_masked(name) for name in POLICIES}
    actions = {name: actions_within(name, mask) for name, mask in masks.items()}
    flats = {name: LAYOUTS[name].flatten(params) for name, params in PARAMS.items()}
    old = {"one": LOGITS["one"], "two": LOGITS["two"], "soft": LOGITS["one"]}
    found = compiled(engine, losses, flats, OBSERVATIONS, masks, actions, old)
    assert len(found) == 10
    for (name, term), result in found.items():
        assert np.isfinite(result["value"]), (name, term)
        last = LAYOUTS[name].split(result["gradient"])["actor"]["2"]
        masked, column = NEVER_ALLOWED[name], np.delete(np.arange(last["bias"].size), NEVER_ALLOWED[name])
        assert (last["kernel"][:, masked] == 0.0).all() and last["bias"][masked] == 0.0, (name, term)
        assert (np.abs(last["kernel"][:, column]).max(0) > 1e-6).all(), (name, term)


def test_values_of_what_is_masked_are_never_the_largest():
    policy = QNetwork.of(TRUNK, ONE, (4,), "relu", "dqn", ExpectedReturn())
    params = policy.init(np.random.default_rng(0))
    params["network"]["2"]["bias"] += np.float32([0.0, 1e4, 0.0])
    seen = {"action_mask": MASKS["one"], "observation": single(OBSERVATIONS)}
    greedy = policy.mode(params, seen)[0]
    assert MASKS["one"][np.arange(ROWS), greedy].all()
    assert (greedy[MASKS["one"][:, 1] == 1] == 1).all()
    chance = np.linspace(0.0, np.nextafter(1.0, 0.0), ROWS)
    for _ in range(20):
        chance = np.roll(chance, 1)
        assert MASKS["one"][np.arange(ROWS), policy.by_chance(seen, chance)].all()
    mask = np.tile(np.int8([0, 1, 1]), (1000, 1))
    drawn = policy.by_chance({"action_mask": mask, "observation": None}, np.arange(1000) / 1000)
    np.testing.assert_array_equal(drawn, np.repeat([1, 2], 500))  # each in half of the cases


QUICK = dict(backend="jax", hidden=(8,), action_masks=True)
OFF_POLICY = dict(learning_starts=24, train_freq=4, batch_size=8, buffer_size=100)


@pytest.mark.parametrize("kind, env, settings", [
    (PPO, Masked, dict(n_steps=32, batch_size=16, n_epochs=1)),
    (PPO, Pairs, dict(n_steps=32, batch_size=16, n_epochs=1)),
    (A2C, Masked, dict(n_steps=16, recurrent="gru", sequence_length=8)),
    (DQN, Masked, OFF_POLICY | dict(exploration=0.5)), (DiscreteSAC, Masked, OFF_POLICY),
])  # fmt: skip
def test_agents_take_only_what_is_allowed(kind, env, settings):
    """The environment holds to its masks, through random actions, learning, evaluating and acting."""
    agent = kind(env(5), **QUICK, **settings).learn(96)
    assert np.isfinite(agent.flat).all() and all(map(np.isfinite, agent.last_metrics.values()))
    assert agent.evaluate(3).lengths == (5, 5, 5) and agent.evaluate(3, deterministic=False).lengths == (5, 5, 5)


def test_acting_with_a_mask():
    agent = PPO(Masked(), backend="numpy", hidden=(8,), action_masks=True)
    observation = np.zeros(2)
    for allowed_one in range(3):
        mask = np.arange(3) == allowed_one
        assert agent.act(observation, action_mask=mask) == allowed_one
        assert agent.act(observation, deterministic=False, action_mask=mask) == allowed_one
        assert agent.act({"action_mask": mask, "observation": observation}) == allowed_one
    assert agent.act(np.zeros((2, 2)), action_mask=[[1, 0, 0], [0, 0, 1]]).tolist() == [0, 2]
    with pytest.raises(UserError, match=r"action_mask=mask"):
        agent.act(observation)
    with pytest.raises(UserError, match=r"shape \(2,\) is not valid: expected \(3,\) or \(N, \*\(3,\)\)"):
        agent.act(observation, action_mask=[1, 0])
    with pytest.raises(UserError, match="action_mask allows no action"):
        agent.act(observation, action_mask=[0, 0, 0])
    two = PPO(Pairs(), backend="numpy", hidden=(8,), action_masks=True)
    assert two.act(observation, action_mask=[0, 1, 1, 0, 0]).tolist() == [1, 0]
    assert two.act(observation, action_mask=([0, 1], [1, 0, 0])).tolist() == [1, 0]  # an array for each action
    batch = two.act(np.zeros((2, 2)), action_mask=(np.eye(2), np.eye(3)[[2, 1]]))
    assert batch.tolist() == [[0, 2], [1, 1]]
    for a, b in zip(np.eye(2), np.eye(3)[:2], strict=True):  # as in training, an action without a choice has them all
        assert two.act(observation, action_mask=[*a, 0, 0, 0])[0] == a.argmax()
        assert two.act(observation, action_mask=[0, 0, *b])[1] == b.argmax()
        assert two.act({"action_mask": np.array([0, 0, *b]), "observation": observation})[1] == b.argmax()
    with pytest.raises(UserError, match="action_mask allows no action"):
        two.act({"action_mask": np.zeros(5), "observation": observation})
    with pytest.raises(UserError, match="action_mask allows no action"):
        two.act(observation, action_mask=np.zeros(5))
    with pytest.raises(UserError, match=r"expected 1 or 0 for each of 2 \+ 3 choices"):
        two.act(observation, action_mask=([0, 1], [1, 0], [1]))
    with pytest.raises(UserError, match="1 or 0 for each choice"):
        agent.act(observation, action_mask=["a", "b", "c"])
    with pytest.raises(UserError, match="action_masks = false: leave action_mask out"):
        PPO("CartPole-v1", backend="numpy").act(np.zeros(4), action_mask=[1, 1])
