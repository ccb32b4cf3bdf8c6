"""Training: batches, best weights, patience, padding, and errors."""

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
    fit(small_network(), tmp_path)
    (tmp_path / "history.csv").unlink()
    with pytest.raises(InputError, match=r"history\.csv: missing, though 4 epochs are done"):
        fit(small_network(), tmp_path, epochs=9)
