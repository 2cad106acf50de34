"""Memory through time: a sequence at once is the same steps one by one, also where an episode begins inside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces
from parity import assert_close, compiled, reference, single

from rlzoo import nn
from rlzoo.backend import ops, tree
from rlzoo.errors import UserError
from rlzoo.nn import Layout
from rlzoo.policies import Trunk

LENGTH, SEQUENCES, UNITS = 5, 3, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((LENGTH, SEQUENCES, 2))
FIRST = np.zeros((LENGTH, SEQUENCES), np.float32)
FIRST[2, 0] = FIRST[4, 0] = FIRST[0, 1] = 1.0  # inside a sequence, at its last step, and at its first
KINDS = [("lstm", False), ("gru", False), ("lstm", True), ("gru", True)]
TRUNKS = {kind: Trunk.of(spaces.Box(-1, 1, (2,)), kind[0], UNITS, LENGTH, twins=kind[1]) for kind in KINDS}
WEIGHT = RNG.standard_normal((LENGTH * SEQUENCES, UNITS))


def before(trunk):
    """What was remembered before each step: only what it was before the first of a sequence is to be read."""
    rng = np.random.default_rng(1)
    state = trunk.cell.initial_state(LENGTH * SEQUENCES)
    return tree.map(lambda x: rng.standard_normal(x.shape), state)


def flat(x):
    return x.reshape(LENGTH * SEQUENCES, *x.shape[2:])


def seen(trunk):
    return {"observation": flat(X), "memory": before(trunk), "first": flat(FIRST)}


def outputs(features):
    """Features of actor and critic together."""
    return features.values if features.of_critic is None else features.values + 0.5 * features.of_critic


def params_of(trunk):
    params = trunk.init(np.random.default_rng(2))
    return params, Layout(params)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_sequence_is_its_steps_one_by_one(kind):
    """Each sequence by itself, each step from what the one before it left; zero where `first` says so.

    To the precision of float32, which observations become.
    """
    trunk = TRUNKS[kind]
    params, _ = params_of(trunk)
    whole = outputs(trunk(params, seen(trunk), through_time=True)).reshape(LENGTH, SEQUENCES, UNITS)
    start = tree.map(lambda x: x.reshape(LENGTH, SEQUENCES, UNITS)[0], before(trunk))
    for i in range(SEQUENCES):
        memory = tree.map(lambda x, i=i: x[i : i + 1], start)
        for t in range(LENGTH):
            if FIRST[t, i]:
                memory = trunk.cell.initial_state(1)
            step = {"observation": X[t, i : i + 1], "memory": memory, "first": FIRST[t, i : i + 1]}
            features = trunk(params, step)
            memory = features.memory
            np.testing.assert_allclose(whole[t, i], outputs(features)[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_nothing_of_an_episode_reaches_the_next(kind):
    trunk = TRUNKS[kind]
    params, _ = params_of(trunk)
    one, other = seen(trunk), seen(trunk)
    other["observation"] = other["observation"].copy()
    other["observation"][: 2 * SEQUENCES : SEQUENCES] += 1.0  # the first two steps of the first sequence
    other["memory"] = tree.map(lambda x: x + 1.0, other["memory"])
    results = [outputs(trunk(params, x, True)).reshape(LENGTH, SEQUENCES, UNITS) for x in (one, other)]
    changed = np.abs(results[0] - results[1]).max(-1) > 1e-9
    assert changed[:, 0].tolist() == [True, True, False, False, False]
    assert not changed[:, 1].any() and changed[:, 2].all()


def through_time(flats, inputs):
    """Features and gradients of several trunks in one compiled call."""
    found = {}
    for kind in ON_ENGINES:
        trunk, layout = TRUNKS[kind], params_of(TRUNKS[kind])[1]

        def loss(params, trunk=trunk, given=inputs[kind]):
            values = outputs(trunk(params, given["seen"], through_time=True))
            return ops.sum(values * given["weight"]), values

        _, values, gradient = layout.value_and_grad(loss, flats[kind])
        found[kind] = {"values": values, "gradient": gradient}
    return {str(kind): result for kind, result in found.items()}


ON_ENGINES = ("lstm", True), ("gru", False)
FLATS = {kind: params_of(TRUNKS[kind])[1].flatten(params_of(TRUNKS[kind])[0]) for kind in ON_ENGINES}
INPUTS = {kind: {"seen": seen(TRUNKS[kind]), "weight": WEIGHT} for kind in ON_ENGINES}


@pytest.fixture(scope="module")
def expected():
    return reference(through_time, tree.map(lambda x: x.astype(np.float64), FLATS), INPUTS)


def test_gradients_through_time_on_every_engine(engine, expected):
    assert_close(compiled(engine, through_time, FLATS, INPUTS), expected)


def test_gradients_reach_back_to_the_first_step():
    """Of the last step's features by the cell's input weights: through all steps, not through the last alone."""
    trunk = TRUNKS["gru", False]
    params, layout = params_of(trunk)
    only_last = np.zeros((LENGTH, SEQUENCES, 1))
    only_last[-1, 2] = 1.0  # of the sequence that is one episode

    def gradient(given):
        def loss(params):
            return ops.sum(trunk(params, given, through_time=True).values * flat(only_last)), None

        return layout.value_and_grad(loss, layout.flatten(params).astype(np.float64))[2]

    shut = seen(trunk)
    shut["first"] = np.ones_like(shut["first"])
    assert np.abs(gradient(seen(trunk)) - gradient(shut)).max() > 1e-2


def test_a_longer_sequence_makes_no_longer_a_program():
    """Of 128 steps, each written out, JAX made one that took 17 GB to compile."""
    jax = pytest.importorskip("jax")

    def size(length):
        trunk = Trunk.of(spaces.Box(-1, 1, (2,)), "lstm", UNITS, length, twins=True)
        layout = Layout(params_of(trunk)[0])
        given = {"observation": np.ones((length, 2), np.float32), "first": np.zeros(length, np.float32)}
        given["memory"] = tree.map(lambda x: x.astype(np.float32), trunk.cell.initial_state(length))

        def gradient(flat, given):
            return layout.value_and_grad(lambda p: (ops.sum(outputs(trunk(p, given, True))), None), flat)[2]

        return len(jax.make_jaxpr(gradient)(np.zeros(layout.size, np.float32), given).jaxpr.eqns)

    assert size(64) == size(8)


def test_steps_that_are_no_whole_sequences_are_refused():
    trunk = TRUNKS["gru", False]
    part = tree.map(lambda x: x[:-1], seen(trunk))
    with pytest.raises(UserError, match="14 steps are not sequences of 5: sequence_length must divide them"):
        trunk(params_of(trunk)[0], part, through_time=True)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.NoisyDense(4)])
def test_an_encoder_that_takes_noise_is_refused(layer):
    """It would be given none."""
    trunk = Trunk.of(spaces.Box(-1, 1, (2,)))
    with pytest.raises(UserError, match=r"layers that take noise .*: leave them out, or put them into a network"):
        replace(trunk, encoder=nn.Sequential((trunk.encoder, nn.Dense(4), layer)))


def test_what_is_stored_of_a_step():
    trunk = Trunk.of(spaces.Box(-1, 1, (2,)), "lstm", 3, 4)
    example = trunk.example()
    assert tree.paths(example) == ["observation", "memory/0", "memory/1", "first"]
    assert [(x.shape, x.dtype) for x in tree.flatten(example)[0]] == [
        (shape, np.float32) for shape in ((2,), (3,), (3,), ())
    ]
    assert Trunk.of(spaces.Box(-1, 1, (2,)), None, 3, 4).length == 1  # no memory, no sequences
    assert trunk.size == 3


# ---- observations in parts -------------------------------------------------------------------------------------------
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
NESTED = spaces.Dict({
    "image": IMAGE,
    "more": spaces.Tuple((spaces.Discrete(3, start=1), spaces.Dict({"bits": spaces.MultiBinary(2)}))),
    "vector": spaces.Box(-1, 1, (2, 2)),
})  # fmt: skip


def nested(rng, n):
    return {
        "image": rng.integers(0, 256, (n, 36, 36, 1), np.uint8),
        "more": (rng.integers(1, 4, n).astype(np.int32), {"bits": rng.integers(0, 2, (n, 2)).astype(np.int8)}),
        "vector": rng.standard_normal((n, 2, 2)).astype(np.float32),
    }


def test_features_of_nested_observations_stand_side_by_side():
    trunk, observation = Trunk.of(NESTED), nested(np.random.default_rng(0), 4)
    params = trunk.init(np.random.default_rng(1))
    values = trunk(params, observation).values
    assert trunk.size == 512 + 3 + 2 + 4 == values.shape[1]
    image = Trunk.of(IMAGE)(params["image"], observation["image"]).values
    one_hot = np.eye(3)[observation["more"][0] - 1]
    rest = [one_hot, observation["more"][1]["bits"], observation["vector"].reshape(4, 4)]
    np.testing.assert_allclose(values, np.concatenate([image, *rest], -1), rtol=1e-6)
    assert tree.paths(trunk.example()) == ["image", "more/0", "more/1/bits", "vector"]
    assert values.dtype == single(values).dtype == np.float32


@pytest.mark.parametrize("recurrent", [None, "lstm"])
def test_masks_and_memory_stand_round_an_observation(recurrent):
    space = spaces.Dict({"action_mask": spaces.MultiBinary(2), "observation": NESTED})
    trunk, observation = Trunk.of(space, recurrent, 8, 2, masked=True), nested(np.random.default_rng(0), 4)
    params, mask = trunk.init(np.random.default_rng(1)), np.int8([[1, 0], [0, 1], [1, 1], [1, 0]])
    given = {"action_mask": mask, "observation": observation}
    if recurrent is not None:
        given = {"observation": given, "memory": trunk.cell.initial_state(4), "first": np.ones(4, np.float32)}
    features = trunk(params, given)
    assert features.mask is mask and trunk.mask(given) is mask
    assert features.values.shape == (4, 8 if recurrent else 521) and (features.memory is None) == (recurrent is None)
