"""JAX's programs for a GPU, run on the CPU: small NumPy arrays go in as one, and come out of it as they were."""

from __future__ import annotations

import numpy as np
import pytest
from engines import require


@pytest.fixture
def engine(monkeypatch):
    """The backend module, where the CPU is what it takes for a GPU."""
    engine = require("jax")
    import jax

    devices = jax.devices
    monkeypatch.setattr(jax, "devices", lambda kind: devices("cpu"))
    return engine


def test_arrays_of_every_type_and_shape_come_out_as_they_went_in(engine):
    traces = []

    def function(state, arrays):
        traces.append(1)
        return {"state": state + arrays["scalar"], "arrays": arrays}

    call = engine.compile(function, device="cuda", donate=True)
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        arrays = {
            "matrix": rng.normal(size=(3, 2)).astype(np.float32).T, "scalar": np.float32(rng.normal()),
            "large": rng.normal(size=(600, 600)).astype(np.float32), "bytes": rng.integers(0, 256, (2, 5), np.uint8),
            "bool": rng.random((4, 1)) < 0.5, "int": np.int32([[7]]), "none": np.zeros((0, 2), np.float32),
            "long": np.arange(3), "engine's": engine.asarray(np.float32([1, 2])),
            "last": np.float32([np.nan, np.inf, -0.0]),
        }  # fmt: skip
        out = call(np.float32([1, 2]), arrays)
        np.testing.assert_array_equal(out["state"], np.float32([1, 2]) + arrays["scalar"])
        assert list(out["arrays"]) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(out["arrays"][name], array, err_msg=name)
            assert out["arrays"][name].dtype == (np.int32 if name == "long" else array.dtype), name
    assert len(traces) == 1


def test_the_engines_own_arrays_go_in_as_they_are(engine):
    call = engine.compile(lambda x, y: (x + y, y), device="cuda")
    x, y = call(np.float32([1, 2]), np.float32([3, 4]))
    x, y = call(x, y)
    assert x.tolist() == [7, 10]
