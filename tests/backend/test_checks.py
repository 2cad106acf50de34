"""What an author gets wrong in a loss or a fold is said in one line, the same on every engine."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from engines import require
from parity import compiled, uncompiled

from rlzoo.backend import ENGINES, ops, tree
from rlzoo.errors import UserError

X = np.arange(6.0, dtype=np.float32).reshape(2, 3)

LOSSES = {
    r"the loss has shape \(2, 3\), not one number: take its mean": lambda p: (p[0] * 2.0, None),
    r"the loss has shape \(1,\), not one number: take its mean": lambda p: (ops.reshape(ops.sum(p[0]), (1,)), None),
    r"the loss returned nothing: return \(value, auxiliary\)": lambda p: None,
    r"the loss returned an array of shape \(\) alone: return": lambda p: ops.sum(p[0]),
    r"the loss returned an array of shape \(2,\) alone: return": lambda p: ops.sum(p[0], -1),  # it could be unpacked
    r"the loss returned 3 values: return": lambda p: (ops.sum(p[0]), None, None),
    r"the loss has the value None, not one number: return": lambda p: (None, ops.sum(p[0])),
}
INPUTS = {
    r"the input 'batch/reward' of a fold has shape \(5,\): its leading axis counts.*, 2": {"reward": np.ones(5)},
    r"the input 'batch/reward' of a fold has shape \(1, 3\)": {"reward": np.ones((1, 3))},  # which would broadcast
    r"the input 'batch/tau' of a fold has shape \(\)": {"tau": np.float32(0.5)},
}


RUNS = [(name, call) for name in ("numpy", *ENGINES) for call in (compiled, uncompiled)]
RUNS.remove(("mindspore", uncompiled))  # an error inside a gradient that is not compiled leaves MindSpore in disorder


@pytest.fixture(params=RUNS, ids=lambda run: f"{run[0]}-{run[1].__name__}")
def run(request):
    name, call = request.param
    return partial(call, require(name))


@pytest.mark.parametrize("message", LOSSES)
def test_a_loss_that_is_not_one_number_and_an_auxiliary_tree(run, message):
    with pytest.raises(UserError, match=message):
        run(lambda x: ops.value_and_grad(LOSSES[message], [x])[1:], X)


def total(inputs):
    def step(carry, row, _):
        return carry + sum(ops.sum(leaf) for leaf in tree.flatten(row)[0]), None

    return ops.fold(step, ops.sum(inputs["batch"]["x"]) * 0.0, inputs)[0]


@pytest.mark.parametrize("message", INPUTS)
def test_inputs_of_a_fold_that_are_not_equally_long(run, message):
    with pytest.raises(UserError, match=message):
        run(total, {"batch": {"x": X, "y": X[:, 0]} | INPUTS[message]})


def test_a_step_of_a_fold_that_does_not_return_a_carry_and_an_output(run):
    with pytest.raises(UserError, match=r"a fold's step returned nothing: return \(carry, output\)"):
        run(lambda x: ops.fold(lambda carry, row, _: None, x[0], x), X)
    with pytest.raises(UserError, match="no inputs to step over"):
        run(lambda x: ops.fold(lambda carry, row, _: (carry, None), x[0], {}), X)
