"""Archives that claim more than they hold: refused before memory is asked for; genuine models never are."""

import io
import json
import random
import shutil
import time
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest

import kspike_reg
from kspike_reg import InputError, build
from kspike_reg.network import archive as archives
from kspike_reg.network.archive import bytes_of_weights, check_archive

ATTACK = pytest.mark.attack("Security", "model files that claim gigabytes")
MOST = 100e6  # bytes that a refusal may take; the claims below are thirty times as large
WEIGHTS = "model.weights.h5"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model with its optimizer, as Keras saves it."""
    file = tmp_path_factory.mktemp("saved") / "model.keras"
    build("lif", units=5, population=3, depth=2).save(file)
    return file


def changed(file, target, **contents):
    """Write a copy of an archive, compressed, with some members replaced: bytes, or a number of zeros."""
    with (
        zipfile.ZipFile(file) as archive,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as copy,
    ):
        members = {name: archive.read(name) for name in archive.namelist()}
        for name, content in (members | contents).items():
            with copy.open(name, "w", force_zip64=True) as member:
                if isinstance(content, int):
                    for _ in range(content // 1_000_000):
                        member.write(bytes(1_000_000))
                else:
                    member.write(content)
    return target


def configuration_of(file):
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("config.json"))


def refused(file, *fragments):
    """Loading raises an InputError that names the file, at once and without the memory."""
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(InputError) as error:
        kspike_reg.load(file)
    seconds = time.perf_counter() - start
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).startswith(str(file))
    for fragment in fragments:
        assert fragment in str(error.value)
    assert most < MOST
    assert seconds < 20  # reading what it claims takes minutes; the machine may be busy


@ATTACK
def test_a_bomb_of_zeros_in_the_weights_is_refused(saved, tmp_path):
    file = changed(saved, tmp_path / "bomb.keras", **{WEIGHTS: 300_000_000})
    refused(file, "claims to hold 300 MB", "zip -0")


@ATTACK
def test_a_bomb_in_another_member_is_refused(saved, tmp_path):
    refused(changed(saved, tmp_path / "bomb.keras", **{"assets/words.txt": 200_000_000}), "claims to hold 200 MB")


@ATTACK
@pytest.mark.parametrize("name", ["config.json", "metadata.json"])
def test_a_bomb_in_the_configuration_is_refused(saved, tmp_path, name):
    refused(changed(saved, tmp_path / "bomb.keras", **{name: 50_000_000}), f"{name} claims 50 MB")


@ATTACK
def test_a_bomb_inside_the_weights_file_is_refused(saved, tmp_path):
    """HDF5 compresses too: a dataset of gigabytes in a file of kilobytes, and a shape without any numbers."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as weights:
        weights.create_dataset("layers/lif/cell/vars/0", (30_000, 30_000), "f4", chunks=(3000, 3000), compression=9)
    refused(changed(saved, tmp_path / "bomb.keras", **{WEIGHTS: stream.getvalue()}), "claims to hold 3.6 GB")


@ATTACK
@pytest.mark.parametrize("units", [10**6, 10**9, 10**15])
def test_layers_of_absurd_size_are_refused(saved, tmp_path, units):
    text = json.dumps(configuration_of(saved)).replace('"units": 5', f'"units": {units}')
    assert str(units) in text
    refused(changed(saved, tmp_path / "wide.keras", **{"config.json": text.encode()}))


@ATTACK
def test_a_configuration_nested_without_end_is_refused(saved, tmp_path):
    refused(changed(saved, tmp_path / "deep.keras", **{"config.json": b"[" * 10**6}))


@ATTACK
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_genuine_model_of_zeros_loads_however_well_it_compresses(tmp_path, method, monkeypatch):
    """4 MB of zeros shrink four hundredfold; the floor is lowered so that the rule itself decides."""
    monkeypatch.setattr(archives, "SMALL", 1000)
    inputs = keras.Input((1000,))
    model = keras.Model(inputs, keras.layers.Dense(1000, kernel_initializer="zeros")(inputs))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "zeros.keras")
    with zipfile.ZipFile(tmp_path / "zeros.keras") as archive, zipfile.ZipFile(tmp_path / "z.keras", "w", method) as z:
        for name in archive.namelist():
            z.writestr(name, archive.read(name))
    assert kspike_reg.load(tmp_path / "z.keras").count_params() == model.count_params()


def test_the_weights_of_a_model_are_counted_without_memory(saved):
    model = keras.models.load_model(saved)
    expected = sum(keras.ops.convert_to_numpy(variable).nbytes for variable in model.variables)
    assert bytes_of_weights(configuration_of(saved)) == expected
    assert bytes_of_weights({"class_name": "Nothing"}) is None


def test_counting_leaves_no_trace(saved):
    """Neither variables without values, nor a different sequence of seeds."""
    random.seed(3)  # Keras draws seeds from it
    expected = random.random()
    random.seed(3)
    check_archive(saved)
    assert random.random() == expected
    with keras.StatelessScope():  # its end would give values to what is left over
        pass
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    assert np.all(np.isfinite(keras.ops.convert_to_numpy(layer.kernel)))


def test_a_model_that_needs_more_memory_than_there_is_is_refused(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("kspike_reg.archives.memory", lambda: 1000)
    shutil.copy(saved, tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"the model needs .* kB of memory, and there are 1 kB; give it in parts"):
        kspike_reg.load(tmp_path / "model.keras")


def test_an_archive_that_holds_what_it_claims_is_no_bomb(saved, tmp_path, monkeypatch):
    """However small the weights of its model are: a member of 300 kB that does not shrink."""
    monkeypatch.setattr(archives, "SMALL", 1000)
    words = np.random.default_rng(0).bytes(300_000)
    file = changed(saved, tmp_path / "words.keras", **{"assets/words.bin": words})
    assert 1000 + archives.COPIES * bytes_of_weights(configuration_of(saved)) < 300_000, "a vacuous test: large weights"
    assert kspike_reg.load(file).count_params() == keras.models.load_model(saved).count_params()
