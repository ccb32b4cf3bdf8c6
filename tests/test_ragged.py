"""Paths of unequal length without padding, and the memory that they take."""

import importlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kspike_reg import build, metrics
from kspike_reg.datasets import Paths, Standardiser, read, write_csv
from kspike_reg.evaluation import evaluate, predict
from kspike_reg.experiments import Configuration
from kspike_reg.network.physical import in_physical_units
from kspike_reg.ragged import SMALL, WASTE, Ragged, buckets, mask_of
from kspike_reg.training import Batches

running = importlib.import_module("kspike_reg.experiments.run")  # its package has a function of this name

ATTACK = pytest.mark.attack("Data", "one path a thousand times as long as the others")
many = settings(max_examples=100, deadline=None, derandomize=True)
some_lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12).map(np.array)


def wild(short=300, longest=30_000):
    """Paths of 10 to 20 steps and one that is as long as six of their sets."""
    generator = np.random.default_rng(5)
    lengths = np.array([*generator.integers(10, 21, short), longest])
    lengths[[3, -1]] = lengths[[-1, 3]]
    rows = generator.normal(size=(lengths.sum(), 2))
    inputs, targets = (Ragged(rows[:, [column]], lengths, longest) for column in (0, 1))
    steps = Ragged(np.concatenate([np.arange(length) for length in lengths]), lengths, longest)
    return Paths(inputs, targets, ("strain",), ("stress",), lengths=lengths, steps=steps)


@many
@given(some_lengths, st.integers(0, 5), st.booleans())
def test_both_forms_hold_the_same_values(lengths, extra, from_rows):
    width = int(lengths.max()) + extra
    padded = np.where(mask_of(lengths, width), 1.0 + np.arange(len(lengths) * width).reshape(-1, width), 0)
    rows = padded[mask_of(lengths, width)]
    values = Ragged(rows, lengths, width) if from_rows else Ragged.of(padded, lengths)
    np.testing.assert_array_equal(values.padded(), padded)
    np.testing.assert_array_equal(values.rows, rows)
    assert [part.tolist() for part in values.each()] == [
        path[:length].tolist() for path, length in zip(padded, lengths, strict=True)
    ]
    order = np.random.default_rng(1).permutation(len(lengths))[: max(1, len(lengths) - 2)]
    np.testing.assert_array_equal(values.take(order).padded(), padded[order])
    np.testing.assert_array_equal(values.batch(order, width), padded[order])


@many
@given(st.lists(st.integers(2, 200) | st.sampled_from([10_000, 300_000]), min_size=1, max_size=60).map(np.array))
def test_every_path_is_in_one_bucket_and_little_of_it_is_padding(lengths):
    found = buckets(lengths, int(lengths.max()))
    assert sorted(np.concatenate([members for members, _ in found])) == list(range(len(lengths)))
    assert sum(len(members) * width for members, width in found) <= max(SMALL, WASTE * lengths.sum())
    for members, width in found:
        assert lengths[members].max() == width
        assert len(found) == 1 or 2 * lengths[members].min() > width


def test_moderately_unequal_lengths_are_one_bucket_in_their_order():
    """Recorded results depend on the order and on the padding of batches."""
    lengths = np.random.default_rng(0).integers(25, 101, 4000)
    ((members, width),) = buckets(lengths, 120)
    assert members.tolist() == list(range(4000))
    assert width == 120


def test_batches_without_padding_are_those_of_padded_arrays_where_one_bucket_holds_all():
    lengths = np.array([3, 5, 2, 4, 5])
    padded = np.arange(25.0).reshape(5, 5, 1) * mask_of(lengths, 5)[..., None]
    both = [Batches((array, array), 2, seed=7) for array in (padded, Ragged.of(padded, lengths))]
    for epoch in range(3):
        for batches in both:
            batches.shuffle(epoch)
        assert [len(batches) for batches in both] == [3, 3]
        for index in range(3):
            np.testing.assert_array_equal(both[0][index][0], both[1][index][0])


@ATTACK
def test_batches_of_widely_unequal_lengths_hold_every_path_once_in_an_order_of_seed_and_epoch():
    paths = wild()
    of_seeds = [Batches((paths.ragged("inputs"), paths.ragged("targets")), 32, seed) for seed in (1, 1, 2)]
    seen = []
    for batches in of_seeds:
        batches.shuffle(4)
        assert sorted(np.concatenate([members for members, _ in batches.batches])) == list(range(len(paths)))
        assert batches[0][0].shape[1] != batches[1][0].shape[1]  # Keras would take their length for that of all
        seen.append([members.tolist() for members, _ in batches.batches])
    assert seen[0] == seen[1] != seen[2]
    of_seeds[0].shuffle(5)
    assert [members.tolist() for members, _ in of_seeds[0].batches] != seen[0]


@ATTACK
@pytest.mark.parametrize("weighting", ["uniform", "relative"])
def test_weights_are_those_of_padded_arrays(weighting, monkeypatch):
    paths = wild(40, 3000)
    configuration = Configuration(
        data="paths.csv", inputs=("strain",), outputs=("stress",), loss_weighting=weighting, last_step_weight=3.0
    )
    scaling = [Standardiser.fit(paths.ragged(side).rows, (side,)) for side in ("inputs", "targets")]
    ragged = running._arrays(configuration, paths, *scaling)
    monkeypatch.setattr("kspike_reg.ragged.SMALL", 10**9)
    padded = running._arrays(configuration, paths, *scaling)
    assert isinstance(ragged[0], Ragged)
    assert isinstance(padded[0], np.ndarray)
    for found, expected in zip(ragged, padded, strict=True):
        # Sums over paths of another length round differently.
        np.testing.assert_allclose(found.padded(), expected, rtol=1e-6)


@ATTACK
def test_a_network_gives_every_path_what_it_gives_it_alone(monkeypatch):
    paths = wild(40, 3000)
    sides = (Standardiser((0.1,), (2.0,), ("strain",)), Standardiser((7.0,), (3.0,), ("stress",)))
    model = in_physical_units(build("rlif", units=4, population=2, depth=1, seed=3), *sides)
    found = predict(model, paths, batch_size=8, padded=False)
    errors = evaluate(model, paths, batch_size=8)
    for number in (0, 3, 17, 40):
        alone = predict(model, paths.take([number]), padded=False)[0]
        np.testing.assert_allclose(found[number], alone, rtol=1e-5, atol=1e-5)  # other matrix products
    monkeypatch.setattr("kspike_reg.ragged.SMALL", 10**9)
    padded = evaluate(model, paths, batch_size=8)
    for metric, values in padded["errors"]["standardised"].items():
        for steps, value in values.items():
            assert errors["errors"]["standardised"][metric][steps] == pytest.approx(value, rel=1e-5)
    assert errors["spike_rates"]["rlif_1"] == pytest.approx(padded["spike_rates"]["rlif_1"], rel=1e-3)
    expected = metrics.mean_relative_error(*(paths.ragged(side) for side in ("targets", "inputs")))
    assert expected == pytest.approx(metrics.mean_relative_error(paths.targets, paths.inputs, lengths=paths.lengths))


@ATTACK
def test_memory_is_proportional_to_the_steps(tmp_path):
    """Padded, one array of these paths takes 72 MB; their 34,500 steps take 0.3 MB a quantity."""
    paths = wild()
    both = [paths.ragged(side).rows for side in ("inputs", "targets")]
    values = Ragged(np.concatenate(both, axis=1), paths.lengths, paths.width).each()
    write_csv(tmp_path / "paths.csv", paths, values, ["strain", "stress"])
    sides = (Standardiser((0.1,), (2.0,), ("strain",)), Standardiser((7.0,), (3.0,), ("stress",)))
    model = in_physical_units(build("lif", units=3, population=2, depth=1), *sides)
    configuration = Configuration(data="paths.csv", inputs=("strain",), outputs=("stress",))
    tracemalloc.start()
    again = read(tmp_path / "paths.csv", ["strain"], ["stress"])
    first, *_ = again.split((0.7, 0.15, 0.15), 0)
    scaling = [Standardiser.fit(first.ragged(side).rows, (side,)) for side in ("inputs", "targets")]
    batches = Batches(running._arrays(configuration, again, *scaling), 64, 1)
    assert sum(batch[0].shape[0] for batch in (batches[index] for index in range(len(batches)))) == len(again)
    evaluate(model, again)
    write_csv(tmp_path / "predicted.csv", again, predict(model, again, padded=False), ["stress"])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 60e6  # the text of the table takes half of it
    assert (tmp_path / "predicted.csv").read_text().count("\n") == 1 + paths.lengths.sum()
