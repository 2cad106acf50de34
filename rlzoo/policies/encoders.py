"""From observations to features: each encoder is a layer that takes the observations as the environment gives them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from rlzoo.backend import ops
from rlzoo.errors import UserError
from rlzoo.nn import Activation, Conv2D, Dense, Flatten, Layer, Sequential
from rlzoo.nn.layers import Params, Shape
from rlzoo.policies.spaces import SMALLEST_IMAGE, is_bytes, is_image, parts_of

Array = Any
MISSHAPEN = {  # what is wrong with images of so many axes
    2: "have no axis of channels: give them one of length 1, as GrayscaleObservation(keep_dim=True) and "
       "AtariPreprocessing(grayscale_newaxis=True) of Gymnasium do",
    4: "are stacked along an axis of their own: leave FrameStackObservation out and set frame_stack, which puts frames "
       "side by side as channels",
}  # fmt: skip


class VectorEncoder(Layer):
    """Numbers as they are, flattened: `[N, *shape]` to `[N, size]` float32."""

    def __call__(self, params: Params, x: Array) -> Array:
        x = ops.astype(x, "float32")
        return x if len(x.shape) == 2 else ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class OneHotEncoder(Layer):
    """Integers as one-hot vectors side by side: `[N]` or `[N, *k]` to `[N, sum of counts]`; `starts` are subtracted."""

    counts: tuple[int, ...]
    starts: tuple[int, ...]

    def __call__(self, params: Params, x: Array) -> Array:
        k = len(self.counts)
        columns = ops.split(ops.reshape(ops.astype(x, "int32"), (x.shape[0], k)), [1] * k, 1)
        settings = zip(columns, self.counts, self.starts, strict=True)
        coded = [ops.one_hot(ops.squeeze(column, 1) - start, count) for column, count, start in settings]
        return coded[0] if len(coded) == 1 else ops.concat(coded, -1)


class ImageEncoder(Layer):
    """Pixels 0–255 scaled to 0–1, three convolutions and a dense layer (Mnih 2015): `[N, H, W, C]` to `[N, units]`."""

    units: int = 512

    @property
    def network(self) -> Sequential:
        convolutions = [Conv2D(32, 8, 4), Conv2D(64, 4, 2), Conv2D(64, 3, 1)]
        relu = Activation("relu")
        body = [layer for convolution in convolutions for layer in (convolution, relu)]
        return Sequential((*body, Flatten(), Dense(self.units, math.sqrt(2)), relu))

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        return self.network.init(rng, shape)

    def __call__(self, params: Params, x: Array) -> Array:
        return self.network(params, ops.astype(x, "float32") * (1.0 / 255.0))

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)


class PartsEncoder(Layer):
    """The features of each part of a Dict or Tuple, side by side: a tree of `[N, ...]` to `[N, sum of sizes]`.

    `parts` are the key, the encoder and the shape of one example of each; parameters are under the key as text.
    """

    parts: tuple[tuple[Any, Layer, Any], ...]

    def init(self, rng: np.random.Generator, shape: Any) -> Params:
        return {str(key): encoder.init(rng, part) for key, encoder, part in self.parts}

    def __call__(self, params: Params, x: Any) -> Array:
        features = [encoder(params[str(key)], x[key]) for key, encoder, _ in self.parts]
        return features[0] if len(features) == 1 else ops.concat(features, -1)

    def output_shape(self, shape: Any) -> Shape:
        return (sum(encoder.output_shape(part)[0] for _, encoder, part in self.parts),)


def encoder_for(space: spaces.Space) -> Layer:
    """The encoder of an observation space; raises UserError for a space that has none.

    Convolutions read what `is_image`; of any other Box the numbers are taken as they are.
    """
    parts = parts_of(space)
    if parts is not None:
        if not parts:
            raise UserError(f"no network reads observations of {space}: it is empty")
        return PartsEncoder(tuple((key, encoder_for(part), part.shape or ()) for key, part in parts.items()))
    if is_image(space):
        height, width, channels = space.shape  # type: ignore[misc]
        if min(height, width) < SMALLEST_IMAGE or channels > min(height, width):  # else the channels come first
            raise UserError(
                f"images of shape {space.shape} do not fit: expected [height, width, channels] with both sides at "
                f"least {SMALLEST_IMAGE}, and no more channels than that; resize or transpose them with a Gymnasium "
                "wrapper, and stack frames by frame_stack instead of FrameStackObservation"
            )
        return ImageEncoder()
    shape: Any = space.shape
    if is_bytes(space) and len(shape) in (2, 4) and sorted(shape)[-2] >= SMALLEST_IMAGE:
        raise UserError(f"images of shape {shape} {MISSHAPEN[len(shape)]}")
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return VectorEncoder()
    if isinstance(space, spaces.Discrete):
        return OneHotEncoder((int(space.n),), (int(space.start),))
    if isinstance(space, spaces.MultiDiscrete):
        return OneHotEncoder(tuple(space.nvec.ravel().tolist()), tuple(space.start.ravel().tolist()))
    raise UserError(f"no network reads observations of {space}: have the environment give arrays of a fixed shape")
