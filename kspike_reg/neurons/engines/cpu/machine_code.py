"""Machine code on disk, from one process to the next.

Numba's own cache watches the file of the outermost function alone, so it misses changes in all that the function
inlines; it fails on a damaged file; and two processes that write at once can exchange their files. Here, the machine
code of the engine lies in a folder that is named after everything that determines it: the engine's sources, numba's
version and settings, the processor. Each function has one file for each signature. A file carries the digest of its
content; a damaged one counts as missing.
"""

import hashlib
import importlib.resources
import itertools
import os
import pickle
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

__all__ = ["MachineCodeCache", "folder", "stamp"]

PACKAGE, NEURONS = __package__, "kspike_reg.neurons"
# Settings of numba that change machine code.
SETTINGS = ("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "DISABLE_INTEL_SVML", "ENABLE_AVX", "LOOP_VECTORIZE", "SLP_VECTORIZE")
# Folders of the engine's versions; those that were not used for the longest time are deleted.
MOST_FOLDERS = 8
DIGEST_SIZE = hashlib.sha256().digest_size


class MachineCodeCache(NullCache):
    """What numba asks for the machine code of one function, in place of its own cache.

    It keeps the functions of the engine's modules. Others may depend on sources that nobody watches: functions of
    other packages, and functions that were made at run time, which have a closure, unless a name identifies them.

    Args:
        function: a Python function, before compilation.
        closure: a name of the content of its closure, which must come from a file of the stamp.
    """

    def __init__(self, function: Callable, closure: str | None = None) -> None:
        module = function.__module__ or ""
        self.keeps = module.startswith(f"{PACKAGE}.") and (function.__closure__ is None or closure is not None)
        self.name = ".".join([module.removeprefix(f"{PACKAGE}."), closure or function.__qualname__])
        self.line = function.__code__.co_firstlineno

    @property
    def cache_path(self) -> str | None:
        """The folder, which numba shows among its statistics."""
        return str(folder()) if self.keeps and folder() else None

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """The machine code for a signature, or None if there is none that is sound."""
        target_context.refresh()
        file = self._file(sig, target_context.codegen())
        if file is None:
            return None
        try:
            content = file.read_bytes()
            digest, data = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
            if hashlib.sha256(data).digest() != digest:
                return None
            return CompileResult._rebuild(target_context, *pickle.loads(data))
        except Exception:  # of whatever kind: numba compiles the function again, and saves it
            return None

    def save_overload(self, sig: Any, data: CompileResult) -> None:
        """Keep the machine code for a signature, if the folder still takes it."""
        file = self._file(sig, data.codegen)
        if file is None or data.library.has_dynamic_globals:
            return
        content = dumps(data._reduce())
        with suppress(OSError):  # a full disk
            file.parent.mkdir(mode=0o700, exist_ok=True)
            partial, name = tempfile.mkstemp(dir=file.parent)
            try:
                with open(partial, "wb") as target:
                    target.write(hashlib.sha256(content).digest() + content)
                os.replace(name, file)
            except BaseException:
                os.unlink(name)
                raise

    def _file(self, sig, codegen):
        place = folder() if self.keeps else None
        if place is None:
            return None
        key = hashlib.sha256(repr((self.name, self.line, sig, codegen.magic_tuple())).encode())
        return place / f"{self.name}-{key.hexdigest()[:16]}"


@cache
def stamp() -> str:
    """The name of everything that determines the machine code of this engine, apart from functions and signatures."""
    described = hashlib.sha256()
    versions = sys.version, numba.__version__, llvmlite.__version__, np.__version__
    settings = str(config.OPT), *(getattr(config, name, None) for name in SETTINGS)
    processor = llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()
    described.update(repr((versions, settings, processor)).encode())
    engine, neurons = (importlib.resources.files(package).iterdir() for package in (PACKAGE, NEURONS))
    files = [*engine, *(file for file in neurons if file.name.startswith("surrogates."))]
    for file in sorted(files, key=lambda file: file.name):
        if file.name.endswith((".py", ".pyc")):
            content = file.read_bytes()
            described.update(f"{file.name} {len(content)} ".encode() + content)
    return described.hexdigest()[:16]


@cache
def folder() -> Path | None:
    """The folder of this version of the engine; None if there is no place that can be written to."""
    for place, is_chosen in _places():
        # Files are unpickled, so nobody else may be able to write them, unless the user chose the place.
        with suppress(OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_chosen or _belongs_to_the_user(place):
                found = place / stamp()
                if not found.exists():
                    found.mkdir(mode=0o700, exist_ok=True)
                    _delete_old(place)
                os.utime(found)
                tempfile.TemporaryFile(dir=found).close()
                return found
    return None


def _places() -> Iterator[tuple[Path, bool]]:
    """The folders that may hold those of all versions, the best first, and whether the user chose them for this."""
    if config.CACHE_DIR:  # NUMBA_CACHE_DIR
        yield Path(config.CACHE_DIR, "kspike_reg"), True
    user = Path(AppDirs("kspike_reg", appauthor=False).user_cache_dir)
    if user.is_absolute():  # otherwise there is no home
        yield user, False
    with suppress(OSError):
        yield Path(tempfile.gettempdir(), f"kspike_reg-{os.getuid() if hasattr(os, 'getuid') else ''}"), False


def _belongs_to_the_user(place):
    if not hasattr(os, "getuid"):  # Windows gives each user such folders
        return True
    status = place.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022


def _delete_old(place):
    """Keep the folders of the versions that were used last."""
    versions = sorted(place.iterdir(), key=lambda folder: folder.lstat().st_mtime, reverse=True)
    for old in itertools.islice(versions, MOST_FOLDERS, None):
        shutil.rmtree(old, ignore_errors=True)
