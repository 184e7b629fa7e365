"""Objects of classes that are not installed, read as their plain state, and the arrays that can be made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Holder:
    """Stands for a chumpy or scipy object: keeps its state, given once, as attributes; does nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if self.__dict__:
            raise ValueError("two states for one object")
        if isinstance(state, dict):
            self.__dict__.update({str(key): value for key, value in state.items()})


def as_array(value: Any) -> NDArray[Any]:
    """A member as a plain array: chumpy's `Ch` and `Select`, scipy's column-compressed matrix, or an array.

    Raises:
        ValueError: none of these, or its parts do not fit together.
    """
    if not isinstance(value, Holder):
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise ValueError("it holds Python objects")
        return array
    state: Mapping[str, Any] = value.__dict__
    for names, make in _SHAPES.items():
        if set(names) <= state.keys():
            return make(*(state[name] for name in names))
    raise ValueError(f"an object with {', '.join(sorted(state)) or 'nothing'} in it, which this reader does not know")


def _selected(source: Any, index: Any, shape: Any) -> NDArray[Any]:
    return as_array(source).ravel()[as_array(index).astype(np.int64).ravel()].reshape(tuple(shape))


def _dense(data: Any, indices: Any, starts: Any, shape: Any) -> NDArray[Any]:
    values, rows, starts = as_array(data), as_array(indices).astype(np.int64), as_array(starts).astype(np.int64)
    n_rows, n_columns = (int(n) for n in shape)
    fits = min(n_rows, n_columns) >= 0 and n_rows * n_columns <= 10**8 and len(starts) == n_columns + 1
    if not fits or not len(values) == len(rows) == starts[-1] - starts[0] or not ((rows >= 0) & (rows < n_rows)).all():
        raise ValueError("a sparse matrix whose parts do not fit together")
    out = np.zeros((n_rows, n_columns))
    np.add.at(out, (rows, np.repeat(np.arange(n_columns), np.diff(starts))), values)
    return out


_SHAPES: dict[tuple[str, ...], Callable[..., NDArray[Any]]] = {
    ("a", "idxs", "preferred_shape"): _selected,
    ("data", "indices", "indptr", "_shape"): _dense,
    ("x",): as_array,
}
