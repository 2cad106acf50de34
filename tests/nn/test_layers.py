"""Every layer on every engine: output, and gradient by its flat parameters and its input, against NumPy in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from parity import assert_close, compiled, leaves_by_name, reference

from rlzoo import nn
from rlzoo.backend import ops, tree

BATCH = 4
LAYERS = {
    "Dense": (nn.Dense(3), (5,)),
    "Dense, fan_in": (nn.Dense(3, initializer="fan_in"), (5,)),
    "Activation, tanh": (nn.Sequential((nn.Dense(3), nn.Activation("tanh"))), (5,)),
    "Activation, relu": (nn.Sequential((nn.Dense(3), nn.Activation("relu"))), (5,)),
    "Activation, sigmoid": (nn.Sequential((nn.Dense(3), nn.Activation("sigmoid"))), (5,)),
    "Activation, softplus": (nn.Sequential((nn.Dense(3), nn.Activation("softplus"))), (5,)),
    "Conv2D": (nn.Conv2D(4, 3), (6, 5, 2)),
    "Conv2D, strided": (nn.Conv2D(4, 3, stride=2), (7, 9, 2)),
    "Flatten": (nn.Sequential((nn.Conv2D(2, 2), nn.Flatten(), nn.Dense(3))), (4, 3, 2)),
    "LayerNorm": (nn.LayerNorm(), (5,)),
    "Embedding": (nn.Embedding(6, 3), ()),
    "Dropout": (nn.Sequential((nn.Dense(6), nn.Dropout(0.4))), (5,)),
    "NoisyDense": (nn.NoisyDense(3), (5,)),
    "NoisyDense, stacked": (nn.Sequential((nn.NoisyDense(4), nn.Activation("tanh"), nn.NoisyDense(2))), (5,)),
    "Ensemble": (nn.Ensemble(nn.mlp((4,), 1), 3), (5,)),
    "Ensemble, noisy": (nn.Ensemble(nn.NoisyDense(3), 2), (5,)),
    "Sequential": (nn.Sequential((nn.Dense(4), nn.LayerNorm(), nn.Activation("tanh"), nn.Dense(2))), (5,)),
    "mlp": (nn.mlp((6, 4), 3), (5,)),
    "mlp without output": (nn.mlp((6, 4), activation="relu", initializer="he"), (5,)),
    "Dueling": (nn.Dueling(nn.Dense(1), nn.Dense(3), 3), (5,)),
    "Dueling, distributional": (nn.Dueling(nn.mlp((4,), 2), nn.mlp((4,), 6), 3), (5,)),
    "Dueling, noisy": (nn.Dueling(nn.NoisyDense(1), nn.NoisyDense(3), 3), (5,)),
    "LSTMCell": (nn.LSTMCell(3), (5,)),
    "GRUCell": (nn.GRUCell(3), (5,)),
}
RECURRENT = (nn.LSTMCell, nn.GRUCell)


def case(name):
    """Parameters moved off their initial zeros and ones, an input, and the noise where the layer takes some."""
    layer, shape = LAYERS[name]
    rng = np.random.default_rng(len(name))
    layout = nn.Layout(layer.init(rng, shape))
    flat = layout.flatten(layer.init(rng, shape)).astype(np.float64)
    x = rng.standard_normal((BATCH, *shape))
    if isinstance(layer, nn.Embedding):
        x = rng.integers(0, layer.count, BATCH).astype(np.int32)
    if isinstance(layer, RECURRENT):
        x = rng.standard_normal((3, BATCH, *shape))
    noise = tree.map(lambda leaf: leaf.astype(np.float64), layer.noise(rng, shape, BATCH))
    return SimpleNamespace(
        layer=layer, layout=layout, flat=flat + 0.1 * rng.standard_normal(layout.size), x=x, noise=noise
    )


def apply(layer, params, x, noise):
    """The layer's output as one array; a recurrent cell's over three steps, the last state included."""
    if isinstance(layer, RECURRENT):
        state, outputs = None, []
        for t in range(3):
            output, state = layer(params, x[t], state)
            outputs.append(output)
        return ops.stack([*outputs, *tree.flatten(state)[0]])
    output = layer(params, x) if noise is None else layer(params, x, noise)
    return ops.stack(output) if isinstance(output, tuple) else output


CASES = {name: case(name) for name in LAYERS}


def outputs_and_gradients(inputs):
    """Of all layers in one function: the loss is quadratic in the output, so no gradient is constant."""
    results = {}
    for name, (flat, x, noise) in inputs.items():
        found = CASES[name]

        def loss(params, layer=found.layer, x=x, noise=noise):
            output = apply(layer, params, x, noise)
            return ops.mean(ops.square(output + 0.5)), output

        value, output, gradient = found.layout.value_and_grad(loss, flat)
        results[name] = {"value": value, "output": output, "gradient": gradient}
    return results


INPUTS = {name: (found.flat, found.x, found.noise) for name, found in CASES.items()}


@pytest.fixture(scope="module")
def expected():
    return reference(outputs_and_gradients, INPUTS)


def test_layers_on_every_engine(engine, expected):
    assert_close(compiled(engine, outputs_and_gradients, INPUTS), expected)


def test_every_layer_is_tested():
    kinds = {kind.__name__ for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Layer)}
    assert sorted(kinds - {"Layer"} - {name.split(",")[0] for name in LAYERS}) == []


@pytest.mark.parametrize("name", LAYERS)
def test_output_shape_and_float32(name):
    layer, shape = LAYERS[name]
    params = layer.init(np.random.default_rng(0), shape)
    assert {leaf.dtype for _, leaf in leaves_by_name(params)} == {np.dtype(np.float32)}
    if not isinstance(layer, RECURRENT):
        output = layer(params, np.zeros((BATCH, *shape), np.float32))
        outputs = output if isinstance(output, tuple) else (output,)
        assert all(one.shape == (BATCH, *layer.output_shape(shape)) for one in outputs)
        assert all(one.dtype == np.float32 for one in outputs)


@pytest.mark.parametrize("name", LAYERS)
def test_one_generator_gives_one_initialisation(name):
    layer, shape = LAYERS[name]
    first, again, other = (layer.init(np.random.default_rng(seed), shape) for seed in (5, 5, 6))
    assert_close(first, again, tolerance=0.0)
    if name != "LayerNorm":
        assert any(np.any(a != b) for (_, a), (_, b) in zip(leaves_by_name(first), leaves_by_name(other)))
