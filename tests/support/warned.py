"""What is warned of when an object goes without having been used."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any


def collected(make: Callable[[], Any]) -> list[str]:
    """Return what is warned of when ``make()`` has made something for nobody."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # what other tests have left is not what this one tells of
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
        gc.collect()
    return [str(w.message) for w in caught if w.category is RuntimeWarning]
