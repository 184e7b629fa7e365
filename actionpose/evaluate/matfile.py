"""Numeric arrays out of Matlab files, both kinds: level 5 (what scipy and Matlab write by default) and 7.3 (HDF5).

Only what predictions need: full numeric arrays at the top level. Cells, structs, sparse and complex arrays are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from actionpose import isolated
from actionpose.errors import UserError
from actionpose.sniff import refuse_no_data

HINT = "write it with save(…) in Matlab or scipy.io.savemat, one array for each sequence; or give an .npz"


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Name → array as Matlab shows it (first axis first) of every numeric array in the file; read in a child process.

    Raises:
        UserError: not a Matlab file, damaged, or with content that is not a plain numeric array.
    """
    refuse_no_data(path, HINT)
    arrays: dict[str, NDArray[Any]] = isolated.call("actionpose.evaluate.matfile:stored_arrays", path)
    return arrays


def stored_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """As `read_arrays`, in this process.

    Raises:
        UserError: as `read_arrays`.
    """
    try:
        if h5py.is_hdf5(path):
            return _read_hdf5(path)
        members = loadmat(path, appendmat=False)
        arrays = {name: array for name, array in members.items() if not name.startswith("__")}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
                raise ValueError(f"'{name}' is not a plain numeric array")
        return arrays
    except Exception as error:  # scipy has many words for damage
        raise UserError(f"{path} cannot be read as a Matlab file of plain arrays: {error}", HINT) from error


def _read_hdf5(path: Path) -> dict[str, NDArray[Any]]:
    with h5py.File(path, "r") as file:
        arrays = {}
        for name, item in file.items():
            if name.startswith("#"):  # Matlab's own bookkeeping
                continue
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf":
                raise ValueError(f"'{name}' is not a numeric array")
            linked = not isinstance(file.get(name, getlink=True), h5py.HardLink)
            if linked or item.is_virtual or item.external:
                raise ValueError(f"'{name}' is stored in another file")
            arrays[name] = np.asarray(item[()]).T
        return arrays
