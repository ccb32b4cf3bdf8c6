"""Networks as NIR files, the exchange format of neuromorphic software and chips; docs/nir.md describes the content."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nir.exporting import to_nir
from kspike_reg.bridges.nir.hdf5 import require_plain
from kspike_reg.bridges.nir.importing import from_nir
from kspike_reg.errors import InputError
from kspike_reg.files import replacing

__all__ = ["from_nir", "read_nir", "to_nir", "write_nir"]


def write_nir(model: keras.Model, file: str | os.PathLike, **options: Any) -> Any:
    """Write a network to a NIR file, whole or not at all, with its nodes in the order of execution.

    By default HDF5 sorts the nodes by name. NIRTorch, which snnTorch's reader uses, then fails if a subgraph comes
    before one of its inputs.

    Args:
        model: see `to_nir`.
        file: the name of the file, usually with the suffix .nir.
        **options: those of `to_nir`.

    Returns:
        The `nir.NIRGraph` that the file holds.

    Raises:
        InputError: see `to_nir`; or the file cannot be written.
    """
    nir = needed("nir", "nir", "write_nir")
    graph = to_nir(model, **options)
    with replacing(file) as partial, _in_order():
        nir.write(partial, graph)
    return graph


@contextmanager
def _in_order() -> Iterator[None]:
    """Let HDF5 keep the order in which groups are filled."""
    import h5py  # a dependency of nir

    settings = h5py.get_config()
    before, settings.track_order = settings.track_order, True
    try:
        yield
    finally:
        settings.track_order = before


def read_nir(file: str | os.PathLike, **options: Any) -> keras.Model:
    """Read a network from a NIR file, ours or another tool's.

    Args:
        file: the name of the file.
        **options: those of `from_nir`.

    Returns:
        A `keras.Model`, see `from_nir`.

    Raises:
        InputError: there is no such file, it is not a NIR file, it is one that `hdf5.require_plain` refuses, or
            `from_nir` cannot express its graph.
    """
    nir = needed("nir", "nir", "read_nir")
    if not Path(file).is_file():
        raise InputError(f"{file}: there is no such file; expected a NIR file")
    try:
        require_plain(file)
        # The errors of nir's check of types do not name the node; from_nir runs it after its own checks.
        graph = nir.read(file, type_check=False)
    except InputError:
        raise
    except Exception as error:  # nir and h5py raise errors of many classes on a damaged or foreign file
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{file}: cannot be read as a NIR file: {type(error).__name__}: {reason}") from error
    return from_nir(graph, **options)
