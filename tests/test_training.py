"""Training: batches, best weights, patience, padding, and errors; damaged files and other environments."""

import os
import shutil
import types

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build, training
from kspike_reg.files import prepare_folder


def small_network(seed=3):
    return build("rlif", features=2, outputs=1, units=5, population=4, depth=1, seed=seed)


def arrays(count, steps=6, seed=0):
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, steps, 2)).astype("float32")
    return inputs, np.cumsum(inputs[..., :1] - 0.5 * inputs[..., 1:], axis=1) / 3


def fit(model, folder, **options):
    settings = {"epochs": 4, "batch_size": 8} | options
    return training.fit(model, arrays(21), arrays(9, seed=1), prepare_folder(folder), **settings)


def test_every_epoch_has_every_path_once_in_an_order_of_its_own():
    paths = np.arange(21)[:, None]
    batches = training.Batches((paths, 10 * paths), batch_size=8, seed=5)
    orders = []
    for epoch in range(2):
        batches.shuffle(epoch)
        parts = [batches[index] for index in range(len(batches))]
        assert [len(inputs) for inputs, _ in parts] == [8, 8, 5]
        assert all(np.array_equal(10 * inputs, targets) for inputs, targets in parts)
        orders.append(np.concatenate([inputs[:, 0] for inputs, _ in parts]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(21))
    assert orders[0] != orders[1]


def test_training_ends_with_the_weights_that_were_best_on_validation_data(tmp_path):
    class Remember(keras.callbacks.Callback):
        weights = ()

        def on_epoch_end(self, epoch, logs=None):
            self.weights = [*self.weights, self.model.get_weights()]

    remember, model = Remember(), small_network()
    model.optimizer.learning_rate = 1.0  # so large that the loss goes up and down
    history = fit(model, tmp_path, epochs=8, callbacks=[remember])
    best = int(np.argmin(history["val_loss"]))
    assert best < 7, "a vacuous test: the last epoch was the best"
    for ours, theirs in zip(model.get_weights(), remember.weights[best], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_patience_ends_the_training_and_a_second_call_does_not_continue(tmp_path):
    model = small_network()
    model.optimizer.learning_rate = 1.0
    history = fit(model, tmp_path, epochs=60, patience=3)
    assert len(history["epoch"]) == int(np.argmin(history["val_loss"])) + 1 + 3 < 60
    again = small_network()
    assert fit(again, tmp_path, epochs=60, patience=3) == history
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_more_epochs_on_a_finished_fit_equal_one_longer_fit(tmp_path):
    first, second, whole = small_network(), small_network(), small_network()
    fit(first, tmp_path / "parts", epochs=3)
    history = fit(second, tmp_path / "parts", epochs=7)
    straight = fit(whole, tmp_path / "whole", epochs=7)
    assert history["val_loss"] == straight["val_loss"]
    assert history["epoch"] == list(range(7))
    for ours, theirs in zip(second.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_seed_decides_the_order_of_the_batches(tmp_path):
    losses = [fit(small_network(), tmp_path / str(seed), seed=seed)["loss"] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_padding_does_not_change_loss_and_gradients(tmp_path):
    """Paths of six steps, and the same paths padded to nine with weight zero, give the same losses."""

    def padded(inputs, targets, fill):
        width = ((0, 0), (0, 3), (0, 0))
        weights = np.pad(np.ones(inputs.shape[:2], "float32"), width[:2])
        return np.pad(inputs, width, constant_values=fill), np.pad(targets, width, constant_values=-fill), weights

    histories = []
    for fill in (None, 2.0, -7.0):
        sets = (arrays(21), arrays(9, seed=1))
        if fill is not None:
            sets = [padded(*arrays, fill) for arrays in sets]
        folder = prepare_folder(tmp_path / str(fill))
        histories.append(training.fit(small_network(), *sets, folder, epochs=3, batch_size=8))
    # The sums are over arrays of different lengths, in different orders.
    np.testing.assert_allclose(histories[1]["val_loss"], histories[0]["val_loss"], rtol=1e-5)
    np.testing.assert_allclose(histories[2]["val_loss"], histories[1]["val_loss"], rtol=1e-5)


def test_a_snapshot_of_another_network_is_refused_and_kept(tmp_path):
    fit(small_network(), tmp_path)
    before = (tmp_path / "snapshot.npz").read_bytes()
    other = build("lif", features=2, outputs=1, units=5, population=4, depth=1)
    with pytest.raises(InputError, match="snapshot of another network"):
        fit(other, tmp_path)
    assert (tmp_path / "snapshot.npz").read_bytes() == before


def test_a_training_that_diverges_is_an_error(tmp_path):
    model = small_network()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(InputError, match="not finite in any epoch; lower the learning rate"):
        fit(model, tmp_path)


def test_forget_removes_only_the_snapshot(tmp_path):
    fit(small_network(), tmp_path)
    training.forget(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["history.csv"]
    training.forget(tmp_path)


def test_tensorboard_logs_on_request(tmp_path):
    pytest.importorskip("tensorboard")
    fit(small_network(), tmp_path, epochs=1, tensorboard=True)
    assert list((tmp_path / "tensorboard").rglob("events.out.tfevents.*"))


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'kspike_reg\[tensorboard\]'"):
        fit(small_network(), tmp_path, tensorboard=True)


def test_a_snapshot_without_its_history_is_an_error(tmp_path):
    """An earlier version of the package left the history out of the snapshot."""
    fit(small_network(), tmp_path)
    with np.load(tmp_path / "snapshot.npz") as stored:
        np.savez(tmp_path / "snapshot.npz", **{name: stored[name] for name in stored if name != "history"})
    history = (tmp_path / "history.csv").read_bytes()
    (tmp_path / "history.csv").unlink()
    with pytest.raises(InputError, match=r"history\.csv: missing, though 4 epochs are done"):
        fit(small_network(), tmp_path, epochs=9)
    (tmp_path / "history.csv").write_bytes(history)
    assert fit(small_network(), tmp_path, epochs=6)["epoch"] == [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights and the history of four epochs without an interruption."""
    model = small_network()
    return model, fit(model, tmp_path_factory.mktemp("whole"))


HERE = {"backend": "tensorflow", "versions": {"numpy": "2.1", "tensorflow": "2.21"}, "threads": 2}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The folder of a training that was stopped after three of its four epochs, in the environment `HERE`."""
    folder = tmp_path_factory.mktemp("three")
    fit(small_network(), folder, epochs=3, environment=HERE)
    return folder


@pytest.fixture
def stopped(three, tmp_path):
    """A copy of it."""
    return shutil.copytree(three, tmp_path / "stopped")


def assert_continues(folder, whole, **options):
    """The training in the folder ends with the weights and losses of `whole`."""
    model, history = whole
    again = small_network()
    found = fit(again, folder, **options)
    for name in ("epoch", "loss", "val_loss"):
        assert found[name] == history[name]
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def damage(file, how):
    content = file.read_bytes()
    file.unlink()
    half = len(content) // 2
    if how != "missing":
        file.write_bytes(
            {"empty": b"", "cut": content[:half], "zeros": content[:half] + bytes(len(content) - half)}[how]
        )


@pytest.mark.attack("Files", "a power cut that damages the history of a run that was killed")
def test_a_damaged_history_is_made_again_from_the_snapshot(stopped, whole):
    before = (stopped / "history.csv").read_bytes()
    for how in ("empty", "cut", "zeros", "missing"):
        damage(stopped / "history.csv", how)
        fit(small_network(), stopped, epochs=3)  # no further epoch
        assert (stopped / "history.csv").read_bytes() == before
    damage(stopped / "history.csv", "cut")
    assert_continues(stopped, whole)


@pytest.mark.attack("Files", "a damaged snapshot of a run that was killed")
@pytest.mark.parametrize("how", ["empty", "cut", "zeros"])
def test_a_damaged_snapshot_gives_way_to_the_one_before_it(stopped, whole, how):
    damage(stopped / "snapshot.npz", how)
    with pytest.warns(training.ResumeWarning, match=r"snapshot\.npz: cannot be read.*; .* before it, after epoch 2"):
        fit(small_network(), stopped, epochs=2)  # no further epoch
    # The older one has taken the place of the damaged one, which the next epochs must not bring back.
    assert fit(small_network(), stopped, epochs=2)["epoch"] == [0, 1]
    if how == "cut":
        assert_continues(stopped, whole)


def test_two_damaged_snapshots_are_an_error_and_a_removed_one_starts_again(stopped, whole):
    for name in ("snapshot.npz", "snapshot-previous.npz"):
        damage(stopped / name, "cut")
    for _ in range(2):  # nothing is changed by the first refusal
        with pytest.raises(InputError, match=r"/snapshot\.npz: cannot be read as a snapshot: .*; remove it to start"):
            fit(small_network(), stopped)
    (stopped / "snapshot.npz").unlink()
    assert_continues(stopped, whole)


def test_the_snapshot_before_is_kept_where_files_cannot_have_two_names(stopped, monkeypatch):
    """As on some network drives."""

    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    fit(small_network(), stopped)
    for name, done in (("snapshot.npz", 4), ("snapshot-previous.npz", 3)):
        assert np.load(stopped / name)["epochs_done"] == done


# ------------------------------------------------------------------------------------------- other environments


@pytest.mark.attack("Processes", "a run that continues under other versions or with other threads")
def test_a_training_under_other_versions_says_so_and_records_each(stopped, whole):
    there = HERE | {"versions": HERE["versions"] | {"numpy": "2.3"}, "threads": 4}
    said = r"up to epoch 3, ran with threads 2, numpy 2\.1; it continues with threads 4, numpy 2\.3,"
    with pytest.warns(training.ResumeWarning, match=said):
        assert_continues(stopped, whole, environment=there)
    expected = [{"epochs": [1, 3], "environment": HERE}, {"epochs": [4, 4], "environment": there}]
    assert training.sessions(stopped) == expected


def test_a_training_that_continues_in_the_same_environment_records_it_once(stopped, whole):
    assert_continues(stopped, whole, environment=HERE)
    assert training.sessions(stopped) == [{"epochs": [1, 4], "environment": HERE}]


@pytest.mark.attack("Processes", "a run that continues under another backend")
def test_a_training_under_another_backend_is_refused_and_not_changed(stopped):
    before = {file.name: file.read_bytes() for file in stopped.iterdir()}
    there = {"backend": "torch", "versions": {"numpy": "2.1", "torch": "2.6"}, "threads": 2}
    said = (
        r"epoch 3, ran with backend tensorflow, tensorflow 2\.21, torch unknown instead of .*; "
        r"set KERAS_BACKEND=tensorflow to continue, or remove snapshot\.npz to start again"
    )
    with pytest.raises(InputError, match=said):
        fit(small_network(), stopped, environment=there)
    assert {file.name: file.read_bytes() for file in stopped.iterdir()} == before


def test_a_snapshot_of_an_earlier_version_has_an_unknown_environment(stopped):
    with np.load(stopped / "snapshot.npz") as stored:
        np.savez(stopped / "snapshot.npz", **{name: stored[name] for name in stored if name != "sessions"})
    fit(small_network(), stopped, environment=HERE)
    expected = [{"epochs": [1, 3], "environment": None}, {"epochs": [4, 4], "environment": HERE}]
    assert training.sessions(stopped) == expected


@pytest.mark.parametrize("content", ["", "epoch,loss\n", "epoch,loss\n0,half", "epoch,loss\n0"])
def test_a_damaged_history_is_an_error_in_one_line(tmp_path, content):
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(InputError, match=r"history\.csv: cannot be read as the history of a training"):
        training.read_history(tmp_path / "history.csv")


# ------------------------------------------------------------------------------------------- settings and counts


def test_the_clock_of_a_resumed_training_goes_on(tmp_path, monkeypatch):
    """Two epochs end 3 and 7.5 seconds after the start; a third, in another run, 2 seconds after its own."""
    moments = iter([10.0, 13.0, 17.5, 100.0, 102.0])
    monkeypatch.setattr(training, "time", types.SimpleNamespace(perf_counter=lambda: next(moments)))
    assert fit(small_network(), tmp_path, epochs=2)["seconds"] == [3.0, 7.5]
    assert fit(small_network(), tmp_path, epochs=3)["seconds"] == [3.0, 7.5, 9.5]


def test_a_batch_has_1024_paths_unless_told(tmp_path, monkeypatch):
    """The paper's, as `Configuration` has it."""
    sizes = []

    class Recorded(training.Batches):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            sizes.append(len(batch[0]))
            return batch

    monkeypatch.setattr(training, "Batches", Recorded)
    training.fit(small_network(), arrays(1030, steps=2), arrays(3, steps=2), tmp_path, epochs=1)
    assert sorted(set(sizes)) == [6, 1024]


def test_of_equal_losses_the_first_is_the_best(tmp_path):
    """With a learning rate of zero no epoch is better than the first, and patience counts from there."""
    model = small_network()
    model.optimizer.learning_rate = 0.0
    history = fit(model, tmp_path, epochs=9, patience=2)
    assert len(set(history["val_loss"])) == 1, "a vacuous test: the losses differ"
    assert len(history["epoch"]) == 1 + 2
    assert np.load(tmp_path / "snapshot.npz")["epoch_of_best"] == 1
