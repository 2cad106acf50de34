"""Products with second derivatives, which TRPO takes of a divergence, through whatever its policies are made of."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from parity import assert_close, compiled

from rlzoo import nn
from rlzoo.backend import numpy as reference
from rlzoo.backend import ops
from rlzoo.policies import ActorCritic, Trunk
from rlzoo.policies.heads import allowed

RNG = np.random.default_rng(4)
ROWS = 6
NETWORK = nn.mlp((4,), 5, output_gain=1.0)
IMAGES = {  # of 6 × 6 pixels; two ways of a convolution, by whether its stride divides its kernel
    "odd": nn.Sequential((nn.Conv2D(2, 3, 2), nn.Activation("relu"), nn.Conv2D(5, 2, 1), nn.Flatten())),
    "even": nn.Sequential((nn.Conv2D(1, 4, 2), nn.Activation("tanh"), nn.Conv2D(5, 2, 2), nn.Flatten())),
}
MEMORY = Trunk.of(spaces.Box(-1.0, 1.0, (3,)), "lstm", 3, length=2)
HELD = ActorCritic.of(
    Trunk.of(spaces.Box(-1.0, 1.0, (3,))), spaces.Box(-1.0, 1.0, (5,)), (4,), (4,), "tanh", sde_every=2, log_std=-0.5
)
PARAMS = {
    "network": NETWORK.init(RNG, (3,)), "log_std": 0.3 * RNG.standard_normal(5), "memory": MEMORY.init(RNG),
    "held": {name: part for name, part in HELD.init(RNG).items() if name != "critic"},
    **{name: images.init(RNG, (6, 6, 1)) for name, images in IMAGES.items()},
}  # fmt: skip
MASK = (RNG.random((ROWS, 5)) < 0.6).astype(np.int8)
MASK[np.arange(ROWS), RNG.integers(5, size=ROWS)] = 1
GIVEN = {
    "states": RNG.standard_normal((ROWS, 3)), "old": RNG.standard_normal((ROWS, 5)), "mask": MASK,
    "images": RNG.standard_normal((ROWS, 6, 6, 1)), "first": (RNG.random(ROWS) < 0.3).astype(np.float64),
    "h": RNG.standard_normal((ROWS, 3)), "c": RNG.standard_normal((ROWS, 3)),
}  # fmt: skip
CHOICES, NUMBERS = nn.Categorical(5), nn.Gaussian(5)


def network(params, given):
    return NETWORK(params["network"], given["states"])


def of_choices(outputs, distribution=CHOICES):
    """The divergence of choices whose logits are these outputs."""
    return lambda params, given: ops.mean(distribution.kl(given["old"], outputs(params, given)))


def remembered(params, given):
    """The divergence of choices whose logits are features through time, an episode's beginning within."""
    seen = {"observation": given["states"], "memory": (given["h"], given["c"]), "first": given["first"]}
    values = MEMORY(params["memory"], seen, through_time=True).values
    return ops.mean(nn.Categorical(3).kl(given["c"], values))


def numbers(mean_and_log_std):
    """The divergence of Gaussians."""

    def divergence(params, given):
        return ops.mean(NUMBERS.kl((given["old"], 0.1 * given["old"]), mean_and_log_std(params, given)))

    return divergence


def power(params, given):
    return ops.mean(ops.square(network(params, given)) * ops.square(network(params, given)))


def masked(params, given):
    old, new = (allowed(logits, given["mask"]) for logits in (given["old"], network(params, given)))
    return ops.mean(CHOICES.kl(old, new))


CURVED = {  # name → the parameters that it is a function of, and the function
    "power": ("network", power), "masked": ("network", masked), "categorical": ("network", of_choices(network)),
    "multi-categorical": ("network", of_choices(network, nn.MultiCategorical((2, 3)))),
    "bernoulli": ("network", of_choices(network, nn.Bernoulli(5))),
    "gaussian": ("network log_std", numbers(lambda params, given: (network(params, given), params["log_std"]))),
    "odd": ("odd", of_choices(lambda params, given: IMAGES["odd"](params["odd"], given["images"]))),
    "even": ("even", of_choices(lambda params, given: IMAGES["even"](params["even"], given["images"]))),
    "memory": ("memory", remembered),
    "held": ("held", numbers(lambda params, given: HELD.parameters_of_action(
        params["held"], HELD.features(params["held"], given["states"])))),
}  # fmt: skip
LAYOUTS = {name: nn.Layout({key: PARAMS[key] for key in keys.split()}) for name, (keys, _) in CURVED.items()}


def products(flats, vectors, given):
    """H v of all functions."""
    return {
        name: LAYOUTS[name].hessian_product(lambda params, f=f: f(params, given), flats[name], vectors[name])
        for name, (_, f) in CURVED.items()
    }


def holding_stopped_values(f, params, monkeypatch):
    """`f` of parameters with what `stop_gradient` gives at `params`, which finite differences would see through."""
    held = []
    with monkeypatch.context() as patch:
        patch.setattr(reference, "stop_gradient", lambda x: held.append(x) or x)
        f(params, GIVEN)

    def with_held(params):
        again = iter(held)
        with monkeypatch.context() as patch:
            patch.setattr(reference, "stop_gradient", lambda x: next(again))
            return f(params, GIVEN), None

    return with_held


@pytest.fixture(scope="module")
def expected():
    """Where, in which direction, and (∇f(θ + h v) − ∇f(θ − h v)) / 2h of every function, in float64."""
    rng, h = np.random.default_rng(6), 1e-3
    flats, vectors, found = {}, {}, {}
    for name, (keys, f) in CURVED.items():
        layout = LAYOUTS[name]
        flat = flats[name] = layout.flatten({key: PARAMS[key] for key in keys.split()}).astype(np.float64)
        v = vectors[name] = 0.2 * rng.standard_normal(layout.size)
        with pytest.MonkeyPatch.context() as patch:
            held = holding_stopped_values(f, layout.split(flat), patch)
            one, other = (layout.value_and_grad(held, flat + step * v)[2] for step in (h, -h))
        found[name] = (one - other) / (2.0 * h)
        assert np.abs(found[name]).max() > 0.01, name
    return flats, vectors, found


def test_hessian_product_is_the_difference_of_gradients(engine, expected):
    """Of all of these functions in one compiled call."""
    flats, vectors, differences = expected
    assert_close(compiled(engine, products, flats, vectors, GIVEN), differences, tolerance=2e-5)
