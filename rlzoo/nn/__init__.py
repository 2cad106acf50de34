"""The unified layer API: layers, initializers, distributions, optimizers, schedules and returns, written on `ops`."""

from rlzoo.nn.distributions import Bernoulli, Categorical, Gaussian, MultiCategorical, SquashedGaussian
from rlzoo.nn.dueling import Dueling
from rlzoo.nn.initializers import fan_in_uniform, he_uniform, ones, orthogonal, xavier_uniform, zeros
from rlzoo.nn.layers import (
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Ensemble,
    Flatten,
    Layer,
    LayerNorm,
    NoisyDense,
    Sequential,
    mlp,
)
from rlzoo.nn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from rlzoo.nn.parameters import Layout
from rlzoo.nn.recurrent import GRUCell, LSTMCell
from rlzoo.nn.return_distributions import CategoricalReturn, ExpectedReturn, QuantileReturn
from rlzoo.nn.schedules import Schedule, schedule

__all__ = [
    "SGD", "Activation", "Adam", "AdamW", "Bernoulli", "Categorical", "CategoricalReturn", "Conv2D", "Dense",
    "Dropout", "Dueling", "Embedding", "Ensemble", "ExpectedReturn", "Flatten", "GRUCell", "Gaussian", "LSTMCell",
    "Layer", "LayerNorm", "Layout", "MultiCategorical", "NoisyDense", "Optimizer", "QuantileReturn", "RMSprop",
    "Schedule", "Sequential", "SquashedGaussian", "fan_in_uniform", "he_uniform", "mlp", "ones", "orthogonal",
    "schedule", "xavier_uniform", "zeros",
]  # fmt: skip
