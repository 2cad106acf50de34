"""What each layer computes, worked out independently, and the interface that a new layer is written to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from parity import assert_close, compiled, single, uncompiled

from rlzoo import nn
from rlzoo.backend import ops
from rlzoo.errors import UserError
from rlzoo.nn import Layer, orthogonal, zeros


class Affine(Layer):  # the ten-line layer of the documentation, under another name
    units: int

    def init(self, rng, shape):
        return {"kernel": orthogonal(rng, (shape[-1], self.units)), "bias": zeros(self.units)}

    def __call__(self, params, x):
        return ops.matmul(x, params["kernel"]) + params["bias"]


def rng():
    return np.random.default_rng(0)


def test_a_layer_of_ones_own(engine):
    params = Affine(3).init(rng(), (5,))
    x = rng().standard_normal((4, 5))
    assert Affine(3).output_shape((5,)) == (3,)
    assert nn.Sequential((Affine(3), nn.Activation("tanh"), Affine(2))).output_shape((5,)) == (2,)
    assert_close(compiled(engine, Affine(3), params, x), x @ params["kernel"] + params["bias"])


def test_layers_are_values():
    assert nn.Dense(3) == nn.Dense(3) != nn.Dense(4)
    assert nn.Dense(3) != Affine(3)
    assert hash(nn.mlp((8, 8), 2)) == hash(nn.mlp((8, 8), 2))
    assert repr(Affine(units=3)) == "Affine(units=3)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        nn.Dense(3).units = 4
    with pytest.raises(TypeError, match="units"):
        nn.Dense()


def test_an_init_of_ones_own_keeps_layers_apart():
    """What it keeps is in no field, by which layers are told apart otherwise."""

    class Zeros(Layer):
        def __init__(self, units):
            object.__setattr__(self, "units", units)

        def __call__(self, params, x):
            return ops.asarray(zeros(x.shape[0], self.units), x)

    assert [Zeros(units).output_shape((3,)) for units in (4, 7)] == [(4,), (7,)]


def test_a_layer_below_one_with_an_init_of_its_own():
    class Scaled(Layer):
        def __init__(self, factor):
            object.__setattr__(self, "factor", factor)

        def __call__(self, params, x):
            return x * self.factor

    class Shifted(Scaled):
        def __call__(self, params, x):
            return super().__call__(params, x) + 1.0

    class Doubled(Shifted):
        def __init__(self):
            super().__init__(2.0)

    assert [layer({}, 5.0) for layer in (Scaled(3.0), Shifted(3.0), Doubled())] == [15.0, 16.0, 11.0]
    assert Shifted(3.0) != Shifted(3.0)  # as before: only fields tell that two are the same


def test_names_that_are_none_are_refused_with_the_valid_ones():
    with pytest.raises(UserError, match=r"unknown activation 'gelu'.* \(valid: tanh, relu, sigmoid, softplus\)"):
        nn.mlp((4,), activation="gelu")
    for layer in (nn.Dense, lambda units, initializer: nn.Conv2D(units, 3, initializer=initializer)):
        with pytest.raises(UserError, match=r"unknown initializer 'xavir' — did you mean 'xavier'\?"):
            layer(4, initializer="xavir")


def test_layers_in_a_list():
    assert nn.Sequential([nn.Dense(4), nn.Activation("tanh")]) == nn.Sequential((nn.Dense(4), nn.Activation("tanh")))
    assert nn.Sequential([nn.Sequential([nn.Dense(4)]), nn.Dense(2)]).output_shape((3,)) == (2,)


def test_orthogonal_initialisation():
    for shape in ((5, 3), (3, 5), (3, 3, 2, 4)):
        flat = orthogonal(rng(), shape, 2.0).reshape(-1, shape[-1])
        small = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
        np.testing.assert_allclose(small, 4.0 * np.eye(len(small)), atol=1e-5)


@pytest.mark.parametrize(
    "initializer, variance",
    [(nn.xavier_uniform, 2.0 / 500), (nn.he_uniform, 2.0 / 300), (nn.fan_in_uniform, 1.0 / (3 * 300))],
)
def test_uniform_initialisation(initializer, variance):
    drawn = initializer(rng(), (300, 200), 1.0)
    bound = np.sqrt(3.0 * variance)
    assert np.abs(drawn).max() <= bound and np.abs(drawn).max() > 0.999 * bound
    assert drawn.var() == pytest.approx(variance, rel=0.01)
    np.testing.assert_allclose(initializer(rng(), (300, 200), 2.0), 2.0 * drawn, rtol=1e-6)


def test_convolution_by_its_definition():
    layer, x = nn.Conv2D(4, 3, stride=2), rng().standard_normal((2, 7, 6, 3))
    params = layer.init(rng(), (7, 6, 3))
    params["bias"] = rng().standard_normal(4)
    output = layer(params, x)
    assert output.shape == (2, 3, 2, 4)
    for row in range(3):
        for column in range(2):
            window = x[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            expected = np.einsum("nijc,ijcf->nf", window, params["kernel"]) + params["bias"]
            np.testing.assert_allclose(output[:, row, column], expected, rtol=1e-10)


def test_layer_norm():
    x = 3.0 + 5.0 * rng().standard_normal((4, 50))
    output = nn.LayerNorm()({"scale": np.full(50, 2.0), "shift": np.full(50, -1.0)}, x)
    np.testing.assert_allclose(output.mean(-1), -1.0, atol=1e-10)
    np.testing.assert_allclose(output.std(-1), 2.0, rtol=1e-5)


def test_embedding():
    params = nn.Embedding(4, 2).init(rng(), ())
    np.testing.assert_array_equal(nn.Embedding(4, 2)(params, np.array([3, 0, 3])), params["table"][[3, 0, 3]])


def test_dropout():
    layer, x = nn.Dropout(0.25), np.ones((2000, 10), np.float32)
    assert layer({}, x) is x
    dropped = layer({}, x, layer.noise(rng(), (10,), 2000))
    assert set(np.unique(dropped)) == {np.float32(0.0), np.float32(1.0 / 0.75)}
    assert np.mean(dropped == 0.0) == pytest.approx(0.25, abs=0.01)


def test_noisy_dense_is_a_dense_layer_with_noisy_weights():
    layer, x = nn.NoisyDense(3), rng().standard_normal((4, 5))
    params, noise = layer.init(rng(), (5,)), layer.noise(rng(), (5,), 4)
    assert np.allclose(params["kernel_sigma"], 0.5 / np.sqrt(5))
    kernel = params["kernel"] + params["kernel_sigma"] * np.outer(noise["input"], noise["output"])
    bias = params["bias"] + params["bias_sigma"] * noise["output"]
    np.testing.assert_allclose(layer(params, x, noise), x @ kernel + bias, rtol=1e-5)
    np.testing.assert_allclose(layer(params, x), x @ params["kernel"] + params["bias"], rtol=1e-10)


def test_lstm_step_by_its_equations():
    layer, x = nn.LSTMCell(2), rng().standard_normal((4, 3))
    params = layer.init(rng(), (3,))
    assert params["bias"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    h, c = rng().standard_normal((2, 4, 2))
    gates = x @ params["input"] + h @ params["state"] + params["bias"]
    i, f, o = (1.0 / (1.0 + np.exp(-gates[:, 2 * k : 2 * k + 2])) for k in (0, 1, 3))
    new_c = f * c + i * np.tanh(gates[:, 4:6])
    assert_close(layer(params, x, (h, c)), (o * np.tanh(new_c), (o * np.tanh(new_c), new_c)), 1e-12)
    zero = layer.initial_state(4)
    assert_close(layer(params, x), layer(params, x, zero), 0.0)


def test_gru_step_by_its_equations():
    """The reset gate acts on the state's product, as in cuDNN and PyTorch."""
    layer, x = nn.GRUCell(2), rng().standard_normal((4, 3))
    params, h = layer.init(rng(), (3,)), rng().standard_normal((4, 2))
    params["new_bias"] = np.array([0.3, -0.7])
    a, b = x @ params["input"] + params["bias"], h @ params["state"]
    r, z = (1.0 / (1.0 + np.exp(-(a + b)[:, 2 * k : 2 * k + 2])) for k in (0, 1))
    new = (1.0 - z) * np.tanh(a[:, 4:] + r * (b[:, 4:] + params["new_bias"])) + z * h
    assert_close(layer(params, x, h), (new, new), 1e-12)
    assert_close(layer(params, x), layer(params, x, layer.initial_state(4)), 0.0)


@pytest.mark.parametrize("cell", [nn.LSTMCell(2), nn.GRUCell(2)])
def test_cells_without_a_state_uncompiled(engine, cell):
    params, x = cell.init(rng(), (3,)), single(rng().standard_normal((4, 3)))
    assert_close(uncompiled(engine, cell, params, x), cell(params, x))


def test_each_member_of_an_ensemble_has_noise_of_its_own():
    layer, x = nn.Ensemble(nn.NoisyDense(3), 2), rng().standard_normal((4, 5))
    params, noise = layer.init(rng(), (5,)), layer.noise(rng(), (5,), 4)
    members = [nn.NoisyDense(3)(params[i], x, noise[i]) for i in ("0", "1")]
    assert_close(layer(params, x, noise), tuple(members), 0.0)
    assert not np.array_equal(noise["0"]["input"], noise["1"]["input"])
    assert nn.Ensemble(nn.Dense(3), 2).noise(rng(), (5,), 4) is None


def test_ensemble_members_differ():
    layer, x = nn.Ensemble(nn.Dense(2), 3), rng().standard_normal((4, 5))
    outputs = layer(layer.init(rng(), (5,)), x)
    assert len(outputs) == 3 and layer.output_shape((5,)) == (2,)
    assert not np.allclose(outputs[0], outputs[1]) and not np.allclose(outputs[1], outputs[2])


def test_dueling_is_the_value_and_what_is_above_the_mean():
    """Of each of two returns' numbers by itself; its mean over actions is the value."""
    layer, x = nn.Dueling(nn.Dense(2), nn.Dense(6), actions=3), rng().standard_normal((4, 5))
    params = layer.init(rng(), (5,))
    value, advantage = x @ params["value"]["kernel"], (x @ params["advantage"]["kernel"]).reshape(4, 3, 2)
    output = layer(params, x).reshape(4, 3, 2)
    for n in range(4):
        for action in range(3):
            for k in range(2):
                above = advantage[n, action, k] - sum(advantage[n, other, k] for other in range(3)) / 3
                assert output[n, action, k] == pytest.approx(value[n, k] + above, rel=1e-9)
    np.testing.assert_allclose(output.mean(1), value, rtol=1e-9)
    assert layer.output_shape((5,)) == (6,)


def test_noise_reaches_both_streams_of_a_dueling_network():
    layer, x = nn.Dueling(nn.NoisyDense(1), nn.NoisyDense(3), 3), rng().standard_normal((4, 5))
    params, noise = layer.init(rng(), (5,)), layer.noise(rng(), (5,), 1)
    still = layer(params, x)
    for stream in noise:
        quiet = {name: {k: 0.0 * v for k, v in part.items()} for name, part in noise.items() if name != stream}
        assert np.abs(layer(params, x, quiet | {stream: noise[stream]}) - still).max() > 1e-3
    assert nn.Dueling(nn.Dense(1), nn.Dense(3), 3).noise(rng(), (5,), 1) is None


def test_mlp_structure():
    network = nn.mlp((8, 4), 2, output_gain=0.01)
    params = network.init(rng(), (3,))
    assert [layer.units for layer in network.layers if isinstance(layer, nn.Dense)] == [8, 4, 2]
    np.testing.assert_allclose(params["2"]["kernel"].T @ params["2"]["kernel"], 2.0 * np.eye(4), atol=1e-5)
    assert np.linalg.norm(params["4"]["kernel"], axis=0) == pytest.approx([0.01, 0.01], rel=1e-5)
    assert len(nn.mlp((8, 4)).layers) == 4
    assert network.noise(rng(), (3,), 2) is None


def test_noise_of_a_sequence_reaches_its_layers():
    network = nn.Sequential((nn.Dense(50), nn.Dropout(0.5), nn.Dense(2)))
    noise = network.noise(rng(), (3,), 4)
    assert noise["0"] is None and noise["1"].shape == (4, 50) and noise["2"] is None
    params, x = network.init(rng(), (3,)), single(rng().standard_normal((4, 3)))
    assert not np.allclose(network(params, x, noise), network(params, x))
