"""Risk-averse learners of values choose by the worst share of returns, when they act and in their targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rlzoo.algorithms import find

ATOMS = dict(n_atoms=5, v_min=-2.0, v_max=2.0)  # returns of −2, −1, 0, 1, 2
CASES = {
    "dqn": dict(distributional=True, **ATOMS), "rainbow": ATOMS, "qrdqn": dict(n_quantiles=4),
    "dqn dueling": dict(distributional=True, dueling=True, **ATOMS), "qrdqn double": dict(n_quantiles=4, double=True),
}  # fmt: skip
# Of the two actions, the first has the higher mean, 0.8 or 1, and in its worst quarter −2; the second −0.4 or −0.5.
PROBABILITIES = np.array([[0.3, 0.0, 0.0, 0.0, 0.7], [0.0, 0.1, 0.9, 0.0, 0.0]])
QUANTILES = np.array([[-2.0, 2.0, 2.0, 2.0], [-0.5, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize("risk, chosen", [(1.0, 0), (0.25, 1)])
@pytest.mark.parametrize("case", CASES)
def test_the_worst_share_decides(case, risk, chosen):
    name = case.split()[0]
    agent = find(name)("CartPole-v1", backend="numpy", hidden=(4,), risk=risk, **CASES[case])
    outputs = QUANTILES if name == "qrdqn" else np.log(PROBABILITIES + 1e-12)
    said = outputs.reshape(1, -1).astype(np.float32)
    agent.policy = replace(agent.policy, network=lambda params, x, *noise: np.repeat(said, len(x), 0))
    seen = np.zeros((3, 4), np.float32)
    assert agent.mode(seen)[0].tolist() == [chosen] * 3
    batch = {"next_observation": seen, "reward": np.zeros(3, np.float32), "discount": np.ones(3, np.float32)}
    expected = (QUANTILES if name == "qrdqn" else PROBABILITIES)[chosen]
    np.testing.assert_allclose(agent.targets(agent.state, batch, {}), [expected] * 3, atol=1e-6)
