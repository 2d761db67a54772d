"""Arrays in NumPy's archives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tuner.data.mapped import open_member
from tuner.data.spec import DataSpec
from tuner.data.table import Table, from_arrays
from tuner.errors import DataError, nearest


def read(file: Path, spec: DataSpec) -> Table:
    """The arrays `x` and `y`, or those that `features` and `target` name: [N, ...] and [N].

    Raises:
        DataError: no such arrays, no archive, or arrays of objects, which could run code.
    """
    names = (spec.features or "x", spec.target or "y")
    try:
        with np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError("is one array, not an archive of arrays", where=str(file))
            for name in names:
                if name not in archive.files:
                    raise DataError(
                        f"no array {name!r}",
                        where=str(file),
                        hint=f"{nearest(name, archive.files)}; name them: features = and target =",
                    )
            large = open_member(file, f"{names[0]}.npy")
            x, y = archive[names[0]] if large is None else large, archive[names[1]]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot be read as arrays: {error}", where=str(file)) from error
    return from_arrays(x, y, str(file))
