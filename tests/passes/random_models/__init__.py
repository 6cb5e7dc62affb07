"""Small random models, made from a seed: odd shapes, all kinds of scopes, and the shapes of inputs only half told."""

from __future__ import annotations

import numpy as np

from tests.passes.random_models import layer_recipes, shape_recipes
from tests.passes.random_models.builder import Builder, RefusedError
from tests.passes.random_models.scopes import RandomModel, finished

RECIPES = (*shape_recipes.RECIPES, *layer_recipes.RECIPES)


def grow(seed: int, *, odd_values: bool = False) -> RandomModel | None:
    """The random model of this seed; None where nothing came of it. odd_values: infinities, NaN and -0.0 among them."""
    builder = Builder(seed, odd_values=odd_values)
    kind = builder.choose([np.float32] * 6 + [np.float16, np.float64, np.int64, np.int32])
    builder.input(builder.shape(builder.choose([2, 3, 3, 4, 4, 1, 0])), kind)
    for _ in range(int(builder.random.integers(2, 9))):
        try:
            builder.choose(RECIPES)(builder)
        except RefusedError:
            continue
    return finished(builder)
