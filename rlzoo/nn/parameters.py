"""Parameters as one flat float32 vector and a static layout: name → offset, shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rlzoo.backend import ops, tree

Array = Any


class Layout:
    """Where each named array of a tree of dicts, lists and tuples lies in the flat vector; its name is its path."""

    def __init__(self, params: dict[str, Any]):
        leaves, self.structure = tree.flatten(params)
        self.shapes = tuple(np.shape(leaf) for leaf in leaves)
        self.sizes = tuple(int(np.prod(shape)) for shape in self.shapes)
        self.size = sum(self.sizes)
        self.names = tuple(tree.paths(params))

    def flatten(self, params: dict[str, Any]) -> np.ndarray:
        """The flat vector of these arrays, NumPy float32."""
        leaves, structure = tree.flatten(params)
        if structure != self.structure:
            raise ValueError("these parameters do not have this layout's names")
        return np.concatenate([np.asarray(leaf, np.float32).ravel() for leaf in leaves])

    def split(self, flat: Array) -> dict[str, Any]:
        """The named arrays of a flat vector; views of it where the engine has views."""
        return tree.unflatten(self.structure, self._pieces(flat))

    def _pieces(self, flat: Array) -> list[Array]:
        pieces = ops.split(flat, self.sizes)
        return [
            piece if len(shape) == 1 else ops.reshape(piece, shape)  # an operation costs, where steps are small
            for piece, shape in zip(pieces, self.shapes, strict=True)
        ]

    def value_and_grad(
        self, loss: Callable[[dict[str, Any]], tuple[Array, Any]], flat: Array
    ) -> tuple[Array, Any, Array]:
        """Value, auxiliary tree and flat gradient of `loss(params) -> (scalar, auxiliary)` at `flat`.

        Differentiates with respect to the pieces, never through slices of the flat vector.
        """

        def of_pieces(pieces: list[Array]) -> tuple[Array, Any]:
            return loss(tree.unflatten(self.structure, pieces))

        value, auxiliary, gradients = ops.value_and_grad(of_pieces, self._pieces(flat))
        return value, auxiliary, self._joined(gradients)

    @staticmethod
    def _joined(pieces: list[Array]) -> Array:
        return ops.concat([piece if len(piece.shape) == 1 else ops.reshape(piece, (-1,)) for piece in pieces])

    def hessian_product(self, function: Callable[[dict[str, Any]], Array], flat: Array, vector: Array) -> Array:
        """H v, flat, where H are the second derivatives of `function(params) -> scalar` at `flat`.

        The gradient of ∇f · v (Pearlmutter 1994); H itself is never formed.
        """

        def slope(pieces: list[Array]) -> tuple[Array, None]:
            def value(pieces: list[Array]) -> tuple[Array, None]:
                return function(tree.unflatten(self.structure, pieces)), None

            _, _, gradients = ops.value_and_grad(value, pieces)
            total: Any = 0.0
            for gradient, part in zip(gradients, parts, strict=True):
                total = total + ops.sum(gradient * part)
            return total, None

        parts = self._pieces(vector)
        _, _, product = ops.value_and_grad(slope, self._pieces(flat))
        return self._joined(product)

    def range(self, *groups: str) -> tuple[int, int]:
        """First and last-plus-one position of all that lies under these neighbouring top-level names."""
        inside = [i for i, name in enumerate(self.names) if name.split("/")[0] in groups]
        if not inside or inside != list(range(inside[0], inside[-1] + 1)):
            raise ValueError(f"{groups} do not lie side by side in {sorted({n.split('/')[0] for n in self.names})}")
        start = sum(self.sizes[: inside[0]])
        return start, start + sum(self.sizes[inside[0] : inside[-1] + 1])
