"""Definitions written out the slow way, one number after another, for tests to compare with."""

from __future__ import annotations


def quantile_huber(ours, targets):
    """Equation 10 of Dabney 2018 for one row: summed over our quantiles, averaged over the target's."""
    n, total = len(ours), 0.0
    for i, theta in enumerate(ours):
        tau = (2 * i + 1) / (2 * n)
        for target in targets:
            u = float(target - theta)
            loss = 0.5 * u * u if abs(u) <= 1.0 else abs(u) - 0.5
            total += abs(tau - (u < 0.0)) * loss / len(targets)
    return total
