"""One function on an engine in float32, against the same function on NumPy in float64 with finite differences."""

from __future__ import annotations

import numpy as np

from rlzoo.backend import ops, tree


def single(arguments):
    """The same tree as engines are given it: floats as float32."""
    return tree.map(lambda leaf: leaf.astype(np.float32) if leaf.dtype == np.float64 else leaf, arguments)


def copied(engine):
    """A function that copies an array of the engine to NumPy."""
    return lambda x: np.array(engine.view(x))


def compiled(engine, function, *arguments):
    """`function` compiled on the engine, its outputs as NumPy arrays; that a second call gives the same is held too."""
    call, inputs = engine.compile(function), single(arguments)
    first, second = (tree.map(copied(engine), call(*inputs)) for _ in range(2))
    for one, other in zip(tree.flatten(first)[0], tree.flatten(second)[0], strict=True):
        np.testing.assert_array_equal(one, other, "the second call differs")
    return second


def uncompiled(engine, function, *arguments):
    """`function` run op by op on the engine, its outputs as NumPy arrays."""
    return tree.map(copied(engine), function(*tree.map(engine.asarray, single(arguments))))


def reference(function, *arguments):
    """`function` on NumPy in float64."""
    return tree.map(np.asarray, function(*arguments))


def weighted_gradient(function, arrays, weight, floats):
    """The function's output, and the gradient of its sum weighted by `weight` for the arrays at positions `floats`."""

    def weighted(pieces):
        given = list(arrays)
        for position, piece in zip(floats, pieces):
            given[position] = piece
        output = function(*given)
        return ops.sum(output * weight), output

    _, output, gradients = ops.value_and_grad(weighted, [arrays[position] for position in floats])
    return {"value": output, "gradients": gradients}


def differentiated(cases, seed=0):
    """A function of all cases (name → (function, *arrays)) together, and its input, weights of the outputs included.

    One compiled call for all of them: engines take seconds to compile a function and no time to run it.
    """
    rng = np.random.default_rng(seed)
    inputs, floats = {}, {}
    for name, (function, *arrays) in cases.items():
        floats[name] = [i for i, array in enumerate(arrays) if array.dtype.kind == "f"]
        inputs[name] = {"arrays": arrays, "weight": rng.standard_normal(np.shape(function(*arrays)))}

    def run(inputs):
        return {
            name: weighted_gradient(function, inputs[name]["arrays"], inputs[name]["weight"], floats[name])
            for name, (function, *_) in cases.items()
        }

    return run, inputs


def leaves_by_name(value, prefix=""):
    """(path, array) of each leaf of nested dicts and sequences."""
    if isinstance(value, dict):
        value = list(value.items())
    elif isinstance(value, tuple | list):
        value = list(enumerate(value))
    else:
        return [] if value is None else [(prefix.strip("."), value)]
    return [pair for key, child in value for pair in leaves_by_name(child, f"{prefix}.{key}")]


def assert_close(actual, expected, tolerance=1e-5):
    """Every leaf of one shape and within `tolerance` (relative above one); names each leaf that is not."""
    actual, expected = leaves_by_name(actual), leaves_by_name(expected)
    assert [name for name, _ in actual] == [name for name, _ in expected]
    wrong = []
    for (name, got), (_, want) in zip(actual, expected):
        if np.shape(got) != np.shape(want):
            wrong.append(f"{name}: shape {np.shape(got)}, not {np.shape(want)}")
            continue
        want = np.asarray(want, np.float64)
        error = np.max(np.abs(got - want) / np.maximum(1.0, np.abs(want)), initial=0.0)
        if not error <= tolerance:
            wrong.append(f"{name}: off by {error:.2e}: {np.ravel(got)[:4]}, not {np.ravel(want)[:4]}")
    assert not wrong, "\n".join(wrong)


def assert_parity(engine, cases, run=compiled, tolerance=1e-5):
    """Value and gradient of every case on the engine, against NumPy in float64."""
    function, inputs = differentiated(cases)
    assert_close(run(engine, function, inputs), reference(function, inputs), tolerance)
