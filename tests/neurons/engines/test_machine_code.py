"""Machine code on disk: what a change of sources, a damaged file, a missing home or a second process does to it."""

import ast
import hashlib
import importlib
import os
import pickle
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numba
import numpy as np
import pytest

import kspike_reg
from kspike_reg.neurons import surrogates
from kspike_reg.neurons.engines.cpu import buffers, machine_code, surrogate_derivatives
from kspike_reg.neurons.engines.cpu.tile_functions import LOOP_OPTIONS, TileFunction, entry

pytestmark = pytest.mark.skipif(keras.backend.backend() == "jax", reason="there are no compiled loops on JAX")

ENGINE = Path(machine_code.__file__).parent
ROOT = Path(kspike_reg.__file__).parents[1]
attack = pytest.mark.attack

# Runs the forward pass of leaky integrators with decay 1/2 and currents 1, and prints what numba did.
USE = """
import warnings
warnings.simplefilter("error")
import numba, numpy as np
from kspike_reg.neurons.engines.cpu import leaky_integrator, loops, machine_code
from kspike_reg.neurons.engines.cpu.sequence import Sequence

array = lambda *shape: np.ones(shape, "float32")
sequence = Sequence(leaky_integrator.KERNEL, (), leading=0)
arrays = array(1, 2, 3), array(0, 3), array(3), array(0, 3), array(1, 3) / 2, array(1, 1, 3)
for _ in range(3):  # only the first call looks for files
    outputs, states, _ = sequence.forward(False, *arrays)
assert len(loops.forward.signatures) == 1
print(outputs[0, :, 0], sum(loops.forward.stats.cache_hits.values()), machine_code.folder())
"""

# Keras loads fastest on NumPy, for which it asks for JAX.
LIGHT = "numpy" if find_spec("jax") else keras.backend.backend()

# Asks for one function, and prints whether it came from disk.
RESTORE = """
from kspike_reg.neurons.engines.cpu import leaky_integrator, machine_code
print(leaky_integrator.KERNEL.restore.machine_code("{dtype}").code._cache_hits, machine_code.folder())
"""


def start(root, script, **variables):
    """Start a script on a copy of the package."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment = inherited | {"PYTHONPATH": str(root), "KERAS_BACKEND": LIGHT} | variables
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", script], cwd=root, env=environment, **streams)


def use(root, script=USE, **variables):
    """Run a script on a copy of the package; returns its output."""
    child = start(root, script, **variables)
    output, errors = child.communicate()
    assert child.returncode == 0, errors
    assert "Traceback" not in errors
    return output.strip()


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package, and the folder of machine code that it has filled."""
    root, place = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("place")
    shutil.copytree(ROOT / "kspike_reg", root / "kspike_reg", ignore=shutil.ignore_patterns("__pycache__"))
    first = use(root, NUMBA_CACHE_DIR=str(place))
    assert first.startswith("[2.5  3.25] 0 "), "the trace: (1/2 + (1 + 1)), then half of it and 2"
    return root, place


def files_in(place):
    return sorted(file for file in place.rglob("*") if file.is_file())


def test_the_second_process_compiles_nothing(copy):
    root, place = copy
    before = {file: file.stat().st_mtime_ns for file in files_in(place)}
    assert {file.name.split("-")[0] for file in before} == {"loops.forward", "leaky_integrator.advance", "matmul._gemm"}
    assert use(root, NUMBA_CACHE_DIR=str(place)).startswith("[2.5  3.25] 1 ")
    assert {file: file.stat().st_mtime_ns for file in files_in(place)} == before


@attack("Machine-code cache", "a change in a file whose functions others inline")
def test_a_change_in_an_inlined_function_is_seen(copy, tmp_path):
    """`buffers.add_to_each` adds the bias to the currents; the changed one subtracts it."""
    root, place = copy
    changed = tmp_path / "changed"
    shutil.copytree(root, changed)
    file = changed / "kspike_reg/neurons/engines/cpu/buffers.py"
    source = file.read_text(encoding="utf-8")
    assert source.count("rows[r, n] += row[n]") == 1
    file.write_text(source.replace("rows[r, n] += row[n]", "rows[r, n] -= row[n]"), encoding="utf-8")
    assert use(changed, NUMBA_CACHE_DIR=str(place)).startswith("[0.5  0.25] 0 ")
    assert use(root, NUMBA_CACHE_DIR=str(place)).startswith("[2.5  3.25] 1 "), "both versions keep their own"


@attack("Machine-code cache", "a change in a surrogate")
def test_a_change_in_a_surrogate_is_seen(copy, tmp_path):
    root, _ = copy
    script = "from kspike_reg.neurons.engines.cpu import machine_code; print(machine_code.stamp())"
    before = use(root, script)
    changed = tmp_path / "changed"
    shutil.copytree(root, changed)
    assert use(changed, script) == before, "the place of the package does not matter"
    with open(changed / "kspike_reg/neurons/surrogates.py", "a", encoding="utf-8") as file:
        file.write("# changed")
    assert use(changed, script) != before


def test_surrogates_of_the_package_are_kept_and_those_of_users_are_not(tmp_path, monkeypatch):
    """Machine code of a user's function may not outlive a change in a notebook; each of ours has its own file."""
    monkeypatch.setattr(machine_code, "folder", lambda: tmp_path)
    monkeypatch.setattr(surrogates, "_REGISTRY", dict(surrogates._REGISTRY))
    surrogates.register("mine")(lambda x, scale=1.0: 1 / (1 + scale * x * x))
    derivatives = {}
    for hits in (0, 1):
        for name in ("atan", "fast_sigmoid", "mine"):
            pointer = surrogate_derivatives.surrogate_derivative.__wrapped__(name, "float32")
            assert pointer.code._cache_hits == (hits if name != "mine" else 0)
            filled = np.zeros((1, 1), "float32")
            membrane, threshold = np.full((1, 1), 1.5, "float32"), np.ones((1, 1), "float32")
            run_function(pointer, 1, membrane, threshold, filled, 2.0)
            derivatives.setdefault(name, []).append(filled[0, 0])
    assert {file.name.split("-")[0] for file in files_in(tmp_path)} == {
        "surrogate_derivatives.atan",
        "surrogate_derivatives.fast_sigmoid",
    }
    for first, second in derivatives.values():
        assert first == second
    assert len({first for first, _ in derivatives.values()}) == 3


@numba.njit
def run_function(function, *arguments):
    function(*arguments)


def test_machine_code_depends_on_no_source_outside_its_stamp():
    """Modules with compiled functions import nothing of this package from elsewhere, except for type checkers."""
    compiled = {"buffers", "functions", "kernels", "loops", "matmul", "streaming_stores", "tile_functions", "vectors"}
    compiled |= {Path(target.split(":")[0].replace(".", "/")).name for target in _kernel_modules()}
    for name in compiled:
        tree = ast.parse((ENGINE / f"{name}.py").read_text(encoding="utf-8"))
        for node in (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for module in modules:
                assert not module.startswith("kspike_reg") or module.startswith(machine_code.PACKAGE), (name, module)


def _kernel_modules():
    from kspike_reg.neurons.engines.cpu import KERNELS

    return [KERNELS[kind].advance.function.__module__ for kind in KERNELS]


@attack("Machine-code cache", "versions, settings and processors that share a folder")
@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        ("numba", "__version__", "0.0.1"),
        ("llvmlite", "__version__", "0.0.1"),
        ("numpy", "__version__", "0.0.1"),
        ("numba.core.config", "BOUNDSCHECK", 1),
        ("llvmlite.binding", "get_host_cpu_name", lambda: "abacus"),
    ],
)
def test_what_determines_machine_code_is_in_the_stamp(module, name, value, monkeypatch):
    stamp = machine_code.stamp.__wrapped__
    before = stamp()
    monkeypatch.setattr(importlib.import_module(module), name, value)
    assert stamp() != before


@pytest.fixture
def clear(tmp_path, monkeypatch):
    """A function that clears an array by newly made machine code; returns whether that came from disk."""
    monkeypatch.setattr(machine_code, "folder", lambda: tmp_path)

    def run():
        function = entry(numba.njit(**LOOP_OPTIONS)(buffers.clear.py_func))
        callback = TileFunction(buffers.clear.py_func, (2,)).machine_code("float32").code
        rows = np.ones((2, 3), "float32")
        function(rows)
        assert not rows.any()
        return sum(function.stats.cache_hits.values()), callback._cache_hits

    assert run() == (0, 0)
    assert len(files_in(tmp_path)) == 2, "one file for each signature"
    return run


def with_digest(content):
    return hashlib.sha256(content).digest() + content


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "shorter than a digest": lambda content: content[:7],
    "garbage": lambda content: b"\x80\x05garbage" * 50,
    "one bit": lambda content: content[:-100] + bytes([content[-100] ^ 4]) + content[-99:],
    "no pickle": lambda content: with_digest(b"garbage"),
    "another object": lambda content: with_digest(pickle.dumps((1, 2, 3))),
}


@attack("Machine-code cache", "empty, truncated and garbled files")
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_compiled_again_and_replaced(damage, clear, tmp_path):
    assert clear() == (1, 1)
    for file in files_in(tmp_path):
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert clear() == (0, 0)
    assert clear() == (1, 1)


@attack("Machine-code cache", "files that cannot be read, written or replaced")
def test_files_that_cannot_be_used_are_ignored(clear, tmp_path):
    files = files_in(tmp_path)
    for file in files:
        file.unlink()
        file.mkdir()
    assert clear() == (0, 0)
    assert clear() == (0, 0)
    assert set(tmp_path.iterdir()) == set(files), "no temporary file is left"
    for file in files:
        file.rmdir()
    tmp_path.rmdir()
    tmp_path.write_text("not a folder")
    assert clear() == (0, 0)


@attack("Machine-code cache", "processes that write at once")
def test_processes_may_write_at_once(copy, tmp_path, record_property):
    """They begin with an empty folder, two of them in the same precision."""
    root, _ = copy
    scripts = [RESTORE.format(dtype=dtype) for dtype in ("float32", "float64", "float32")]
    record_property("times", len(scripts))
    children = [start(root, script, NUMBA_CACHE_DIR=str(tmp_path)) for script in scripts]
    for child in children:
        output, errors = child.communicate()
        assert re.match("[01] ", output), errors
    assert len(files_in(tmp_path)) == 2, "one for each precision; no temporary file is left"
    for script in scripts[:2]:
        assert use(root, script, NUMBA_CACHE_DIR=str(tmp_path)).startswith("1 ")


NOWHERE = "/dev/null/nowhere"  # no user, not even root, can make this folder


@attack("Machine-code cache", "no writable home, no temporary folder")
def test_the_folder_is_the_users_else_a_temporary_one_else_none(tmp_path, monkeypatch):
    home, caches, chosen, temporary = (tmp_path / name for name in ("home", "caches", "chosen", "temporary"))
    temporary.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches))
    monkeypatch.setattr(machine_code.config, "CACHE_DIR", str(chosen))  # numba read NUMBA_CACHE_DIR
    monkeypatch.setattr(machine_code.tempfile, "tempdir", str(temporary))
    find = machine_code.folder.__wrapped__
    assert find() == chosen / "kspike_reg" / machine_code.stamp()
    monkeypatch.setattr(machine_code.config, "CACHE_DIR", NOWHERE)
    assert find().parent == caches / "kspike_reg"
    monkeypatch.setattr(machine_code.config, "CACHE_DIR", "")
    assert find().parent == caches / "kspike_reg"
    if sys.platform == "linux":
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert find().parent == home / ".cache" / "kspike_reg"
    monkeypatch.setenv("HOME", NOWHERE)
    monkeypatch.setenv("XDG_CACHE_HOME", NOWHERE)
    of_user = temporary / f"kspike_reg-{os.getuid()}"
    assert find().parent == of_user
    assert of_user.stat().st_mode & 0o077 == 0
    of_user.chmod(0o777)
    assert find() is None, "others could have put code of theirs there"
    monkeypatch.setattr(machine_code.tempfile, "tempdir", NOWHERE)
    assert find() is None


@attack("Machine-code cache", "no place for files at all")
def test_without_a_folder_everything_is_compiled(copy):
    """Nor is anything written to the package, which need not be writable."""
    root, _ = copy
    script = f"import tempfile\ntempfile.tempdir = {NOWHERE!r}\n" + RESTORE.format(dtype="float32")
    none = {"NUMBA_CACHE_DIR": NOWHERE, "XDG_CACHE_HOME": NOWHERE, "HOME": NOWHERE, "MPLCONFIGDIR": str(root)}
    assert use(root, script, **none) == "0 None"
    assert not [file for file in files_in(root / "kspike_reg") if file.suffix in (".nbi", ".nbc")]


def test_old_versions_are_deleted(tmp_path, monkeypatch):
    """The test makes the folders of 20 versions, one after the other; the first is used again in between."""
    monkeypatch.setattr(machine_code, "_places", lambda: iter([(tmp_path, True)]))
    for version in range(20):
        for stamp in {version, 0}:
            monkeypatch.setattr(machine_code, "stamp", lambda stamp=stamp: f"{stamp:016}")
            found = machine_code.folder.__wrapped__()
            os.utime(found, (1e9 + version, 1e9 + version))  # file systems may count time in whole seconds
    kept = {int(folder.name) for folder in tmp_path.iterdir()}
    assert len(kept) == machine_code.MOST_FOLDERS
    assert kept >= {0, 18, 19}


def test_functions_of_other_modules_are_not_kept(tmp_path, monkeypatch):
    """Nobody watches what they inline; so nothing is read that a change has made wrong."""
    monkeypatch.setattr(machine_code, "folder", lambda: tmp_path)

    def double(values):
        for n in range(values.shape[0]):
            values[n] *= 2

    values = np.array([1.5, -2.0], "float32")
    TileFunction(double, (1,)).machine_code("float32")
    assert machine_code.MachineCodeCache(double).cache_path is None
    assert not files_in(tmp_path)
    double(values)
    np.testing.assert_array_equal(values, [3, -4])


def test_numba_keeps_the_functions_of_others_as_before():
    from numba.core.caching import CacheImpl, FunctionCache

    assert all(locator.__module__ == "numba.core.caching" for locator in CacheImpl._locator_classes)
    dispatcher = numba.njit(cache=True)(importlib.import_module(__name__).files_in)
    assert type(dispatcher._cache) is FunctionCache
