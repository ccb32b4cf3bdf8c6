"""The figures: every line shows the numbers that were passed, and every axis has its label."""

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from kspike_reg import InputError
from kspike_reg.datasets import Paths, elasticity
from kspike_reg.evaluation import Record
from kspike_reg.plotting import (
    break_even,
    calibration,
    compared_predictions,
    energy_bars,
    error_histogram,
    error_lines,
    learning_curves,
    loss_curves,
    membrane_traces,
    pareto,
    path_predictions,
    prediction_spread,
    reference_curves,
    sample_errors,
    save,
    seed_errors,
    spike_raster,
)

HISTORY = {
    "epoch": [0.0, 1.0, 2.0, 3.0],
    "loss": [1.0, 0.5, 0.3, 0.2],
    "val_loss": [1.5, 0.7, 0.4, 0.6],
    "seconds": [0.1, 0.2, 0.3, 0.4],
}


def curves(axes):
    """The lines with data in an axes as (style, marker, x, y)."""
    return [
        (line.get_linestyle(), line.get_marker(), tuple(line.get_xdata()), tuple(line.get_ydata()))
        for line in axes.lines
        if len(line.get_xdata())
    ]


def legend(axes):
    return [entry.get_text() for entry in axes.get_legend().get_texts()]


def rendered(axes):
    """Draw the figure; many mistakes cause a warning or an error only then."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.ravel(axes)[0].figure.canvas.draw()


# ----------------------------------------------------------------------------------------- loss curves


def test_loss_curves_show_both_losses_over_the_epochs_starting_at_one():
    axes = loss_curves(HISTORY)
    by_label = {line.get_label(): line for line in axes.lines}
    assert list(by_label) == ["training", "validation", "best, epoch 3"]
    for label, losses in (("training", HISTORY["loss"]), ("validation", HISTORY["val_loss"])):
        assert list(by_label[label].get_xdata()) == [1, 2, 3, 4]
        assert list(by_label[label].get_ydata()) == losses
    assert by_label["training"].get_linestyle() != by_label["validation"].get_linestyle()
    assert axes.get_yscale() == "log"
    assert legend(axes) == list(by_label)
    rendered(axes)


def test_loss_curves_mark_the_best_epoch_on_the_validation_curve():
    """The third of four epochs: neither first nor last, and not the one with the lowest training loss."""
    best = next(line for line in loss_curves(HISTORY).lines if line.get_label().startswith("best"))
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([3], [0.4])


def test_an_epoch_that_diverged_is_never_the_best():
    history = HISTORY | {"val_loss": [1.5, 0.7, np.nan, np.inf]}
    best = next(line for line in loss_curves(history).lines if line.get_label().startswith("best"))
    assert best.get_label() == "best, epoch 2"
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([2], [0.7])


def test_loss_curves_have_labels_on_their_axes():
    axes = loss_curves(HISTORY)
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel() == "mean squared error (standardised)"
    assert axes.get_xlim() == (1, 4)


def test_loss_curves_draw_on_given_axes():
    figure = Figure()
    first, second = figure.subplots(1, 2)
    assert loss_curves(HISTORY, axes=second) is second
    assert not first.lines
    assert len(second.lines) == 3


def test_a_single_epoch_is_drawn():
    axes = loss_curves({name: values[:1] for name, values in HISTORY.items()})
    assert axes.get_xlim() == (1, 2)
    assert legend(axes)[-1] == "best, epoch 1"
    rendered(axes)


# ------------------------------------------------------------------------------------ path predictions


def ragged():
    """Four paths of 2 to 5 steps with two outputs; the first target grows in size with the path and has mixed signs."""
    lengths = np.array([3, 5, 2, 4])
    path, step = np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")
    targets = np.stack([(-1) ** path * (10 * path + step), 1000 + path * step], axis=-1)
    inputs = np.stack([0.01 * path + 0.1 * step, -step], axis=-1)
    for values in (targets, inputs):
        values[step >= lengths[:, None]] = np.nan
    return Paths(
        inputs=inputs,
        targets=targets,
        input_names=("strain", "temperature"),
        target_names=("stress", "energy"),
        lengths=lengths,
        steps=10 * step + path,
        units={"stress": "MPa", "temperature": "K"},
    )


def test_every_path_shows_its_targets_and_its_predictions_over_steps_and_over_strain():
    """Lines for the reference, dashes with dots for the network; the padding is not drawn."""
    paths = ragged()
    prediction = paths.targets + 0.5
    prediction[np.isnan(prediction)] = 1e9
    axes = path_predictions(paths, prediction, count=4)
    assert np.shape(axes) == (2, 2)
    for row in range(2):
        for column in range(2):
            expected = set()
            for path, length in enumerate(paths.lengths):
                across = (paths.steps[path, :length], paths.inputs[path, :length, 0])[column]
                for style, marker, values in (("-", "None", paths.targets), ("--", "o", prediction)):
                    expected.add((style, marker, tuple(across), tuple(values[path, :length, row])))
            drawn = curves(axes[row, column])
            assert len(drawn) == len(expected) == 8
            assert set(drawn) == expected
    rendered(axes)


def test_reference_and_prediction_of_a_path_share_a_colour_and_paths_differ():
    paths = ragged()
    lines = [line for line in path_predictions(paths, paths.targets)[1, 1].lines if len(line.get_xdata())]
    colours = [line.get_color() for line in lines]
    assert colours[::2] == colours[1::2]
    assert len(set(colours)) == 4


def test_axes_have_names_with_units_if_units_are_known():
    axes = path_predictions(ragged(), ragged().targets)
    assert [panel.get_xlabel() for panel in axes.flat] == ["step", "strain", "step", "strain"]
    assert [panel.get_ylabel() for panel in axes[:, 0]] == ["stress / MPa", "energy"]
    assert legend(axes[0, 0]) == ["reference", "network"]


def test_an_input_with_a_unit_shows_it():
    paths = Paths(np.ones((1, 2, 1)), np.ones((1, 2, 1)), ("force",), ("path",), units={"force": "N", "path": "mm"})
    axes = path_predictions(paths, paths.targets)
    assert (axes[0, 1].get_xlabel(), axes[0, 0].get_ylabel()) == ("force / N", "path / mm")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 9])
def test_the_requested_number_of_paths_is_drawn(count):
    paths = elasticity(9, timesteps=4, seed=3)
    assert len(curves(path_predictions(paths, paths.targets, count=count)[0, 0])) == 2 * count


def test_the_paths_drawn_are_spread_evenly_over_the_size_of_the_stress():
    """Five of nine sorted by size: the first, third, fifth, seventh and ninth, for any order and sign."""
    peaks = np.array([5, -1, 8, 3, -7, 2, 9, -4, 6.0])
    targets = (peaks[:, None] * [0.0, 1.0])[..., None]
    paths = Paths(targets / 100, targets, ("strain",), ("stress",))
    drawn = [
        values[-1] for style, _, _, values in curves(path_predictions(paths, targets, count=5)[0, 0]) if style == "-"
    ]
    assert sorted(drawn, key=abs) == [-1, 3, 5, -7, 9]


def test_padding_does_not_affect_which_paths_are_drawn():
    """The smallest and the largest path of three; the padding of the middle one holds the largest values."""
    targets = np.array([[[1.0], [2.0], [3.0]], [[1.0], [4.0], [1e6]], [[1.0], [2.0], [9.0]]])
    paths = Paths(targets / 100, targets, ("strain",), ("stress",), lengths=[3, 2, 3])
    drawn = [values for style, _, _, values in curves(path_predictions(paths, targets, count=2)[0, 0]) if style == "-"]
    assert drawn == [(1.0, 2.0, 3.0), (1.0, 2.0, 9.0)]


def test_a_single_path_is_drawn_once():
    paths = elasticity(1, timesteps=3, seed=4)
    axes = path_predictions(paths, 2 * paths.targets)
    (_, _, steps, reference), (_, _, _, network) = curves(axes[0, 0])
    assert steps == (0, 1, 2)
    assert reference == tuple(paths.targets[0, :, 0])
    assert network == tuple(2 * paths.targets[0, :, 0])
    rendered(axes)


def test_path_predictions_draw_on_given_axes():
    paths = elasticity(3, timesteps=3, seed=4)
    figure = Figure()
    grid = figure.subplots(2, 2)
    result = path_predictions(paths, paths.targets, axes=grid[1:])
    assert result.shape == (1, 2)
    assert result[0, 0] is grid[1, 0]
    assert [len(curves(panel)) for panel in grid.flat] == [0, 0, 6, 6]


def test_arguments_are_not_modified():
    paths, before = ragged(), ragged()
    path_predictions(paths, paths.targets)
    np.testing.assert_array_equal(paths.targets, before.targets)
    np.testing.assert_array_equal(paths.inputs, before.inputs)


# ------------------------------------------------------------------------------- several inputs, several outputs


def test_path_predictions_are_drawn_over_the_requested_input():
    for feature in (1, "temperature"):
        axes = path_predictions(ragged(), ragged().targets, count=4, feature=feature)
        assert [panel.get_xlabel() for panel in axes.flat] == ["step", "temperature / K"] * 2
        drawn = {line[2] for line in curves(axes[1, 1])}
        assert drawn == {tuple(-np.arange(float(length))) for length in ragged().lengths}


def test_compared_predictions_show_the_requested_output_over_the_requested_input():
    paths = ragged()
    predictions = {"slstm": paths.targets + 1, "lstm": paths.targets - 1}
    for output, feature in ((1, 1), ("energy", "temperature")):
        over_steps, over_input = compared_predictions(paths, predictions, 3, output=output, feature=feature)
        # Path 3 has four steps; its second target is 1000 + 3 step.
        values = [tuple(1000 + 3 * np.arange(4.0) + shift) for shift in (0, 1, -1)]
        assert [line[2:] for line in curves(over_steps)] == [((3, 13, 23, 33), numbers) for numbers in values]
        assert [line[2:] for line in curves(over_input)] == [((0, -1, -2, -3), numbers) for numbers in values]
        assert (over_steps.get_ylabel(), over_input.get_xlabel()) == ("energy", "temperature / K")
        rendered(over_steps)
    first, _ = compared_predictions(paths, predictions, 3)
    assert curves(first)[0][3] == tuple(paths.targets[3, :4, 0])


def test_reference_curves_of_another_output_are_spread_over_its_own_range():
    """Sorted by the first target the paths are 0, 1, 2; sorted by the second one 2, 0, 1."""
    targets = np.stack([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[5.0, 6.0], [8.0, 9.0], [1.0, 2.0]]], axis=-1)
    paths = Paths(targets, targets, ("one", "two"), ("stress", "energy"), units={"energy": "mJ"})
    for output in (1, "energy"):
        axes = reference_curves(paths.steps, paths, "step", count=2, output=output)
        assert [line[3] for line in curves(axes)] == [(1, 2), (8, 9)]
        assert axes.get_ylabel() == "energy / mJ"
    assert [line[3] for line in curves(reference_curves(paths.steps, paths, "step", count=2))] == [(1, 2), (5, 6)]


def test_the_band_is_that_of_the_requested_output():
    paths = ragged()
    spread = np.stack([np.full((4, 5), 0.5), np.full((4, 5), 7.0)], axis=-1)
    for output, feature in ((1, 1), ("energy", "temperature")):
        panels = prediction_spread(paths, paths.targets, spread, 3, output=output, feature=feature)
        for panel, across in zip(panels, ((3, 13, 23, 33), (0, -1, -2, -3)), strict=True):
            corners = {(float(x), float(y)) for piece in panel.collections[0].get_paths() for x, y in piece.vertices}
            assert corners == {(x, 1000 + 3 * step + side) for step, x in enumerate(across) for side in (7, -7)}
        assert (panels[0].get_ylabel(), panels[1].get_xlabel()) == ("energy", "temperature / K")
        rendered(panels[0])


def test_a_raster_shows_the_requested_output_and_input():
    paths = ragged()
    spikes = np.ones((4, 5, 2))
    record = {"layer": Record(spikes, spikes, np.array([0.5, 0.5]), {})}
    for output, feature in ((1, 1), ("energy", "temperature")):
        axes = spike_raster(record, paths, 3, paths.targets + 2, output=output, feature=feature)
        assert curves(axes[1])[0][2:] == ((3, 13, 23, 33), (0, -1, -2, -3))
        values = (1000, 1003, 1006, 1009)
        assert [line[2:] for line in curves(axes[2])[:2]] == [
            ((0, -1, -2, -3), values), ((0, -1, -2, -3), tuple(np.add(values, 2)))
        ]  # fmt: skip
        assert [text.xy for text in axes[2].texts] == list(zip((0, -1, -2, -3), values, strict=True))
        assert (axes[2].get_ylabel(), axes[2].get_xlabel(), axes[1].get_ylabel()) == (
            "energy", "temperature / K", "temperature / K"
        )  # fmt: skip
        rendered(axes)


@pytest.mark.parametrize("wrong", [2, -1, "heat", 0.5, None])
def test_a_quantity_that_the_paths_do_not_have_is_refused_with_the_choices(wrong):
    paths = ragged()
    spread = np.ones((4, 5, 2))
    record = {"layer": Record(spread, spread, np.ones(2), {})}
    of_both = {
        "compared_predictions": lambda **which: compared_predictions(paths, {"lif": paths.targets}, 0, **which),
        "prediction_spread": lambda **which: prediction_spread(paths, paths.targets, spread, **which),
        "spike_raster": lambda **which: spike_raster(record, paths, **which),
    }
    for name, draw in of_both.items():
        with pytest.raises(
            InputError, match=rf"{name}: no quantity {wrong!r}; choose one of 0 \(stress\), 1 \(energy\)"
        ):
            draw(output=wrong)
        with pytest.raises(InputError, match=rf"{name}: no quantity {wrong!r}.* 0 \(strain\), 1 \(temperature\)"):
            draw(feature=wrong)
    with pytest.raises(InputError, match="path_predictions: no quantity"):
        path_predictions(paths, paths.targets, feature=wrong)
    with pytest.raises(InputError, match="reference_curves: no quantity"):
        reference_curves(paths.steps, paths, "step", output=wrong)


# ----------------------------------------------------------------------------------------- figures of the studies


def test_learning_curves_show_the_lowest_loss_so_far_over_the_fraction_of_the_training():
    axes = learning_curves({"one": HISTORY, "two": {"val_loss": [3.0, 1.0]}})
    (_, _, x, y), (_, _, other_x, other_y) = curves(axes)
    assert (x, y) == ((0.25, 0.5, 0.75, 1.0), (1.5, 0.7, 0.4, 0.4))
    assert (other_x, other_y) == ((0.5, 1.0), (3.0, 1.0))
    assert legend(axes) == ["one", "two"]
    rendered(axes)


def test_twenty_curves_differ_in_colour_or_line():
    axes = learning_curves({str(number): HISTORY for number in range(20)})
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 20


def test_error_lines_have_a_tick_for_each_number():
    axes = error_lines([2, 5, 100], {"all": [0.3, 0.1, 0.2], "last": [0.5, np.nan, 0.05]}, "number of steps")
    assert next(line[2:] for line in curves(axes)) == ((2, 5, 100), (0.3, 0.1, 0.2))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "5", "100"]
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlabel()) == ("log", "log", "number of steps")
    rendered(axes)


def test_reference_curves_run_from_the_smallest_to_the_largest_target():
    paths = elasticity(9, timesteps=3, seed=4)
    across = np.cumsum(np.ones((9, 3)), axis=1) * np.arange(9)[:, None]
    axes = reference_curves(across, paths, "another quantity", count=3)
    ends = np.sort(paths.targets[:, -1, 0])
    assert [line[3][-1] for line in curves(axes)] == [ends[0], ends[4], ends[8]]
    smallest = int(np.argmin(paths.targets[:, -1, 0]))
    assert curves(axes)[0][2] == tuple(across[smallest])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("another quantity", "stress / MPa")
    rendered(axes)


def test_sample_errors_show_every_path_and_their_mean():
    axes = sample_errors(np.array([0.1, 0.4, 0.1]))
    assert curves(axes)[0][3] == (0.1, 0.4, 0.1)
    assert legend(axes) == ["path", "mean, 2.00e-01"]
    rendered(axes)


def test_compared_predictions_follow_one_path_to_its_end():
    paths = Paths(
        inputs=np.arange(8.0).reshape(2, 4, 1), targets=np.arange(8.0).reshape(2, 4, 1) ** 2, input_names=("strain",),
        target_names=("stress",), lengths=np.array([4, 3]), units={"stress": "MPa"},
    )  # fmt: skip
    predictions = {"slstm": paths.targets + 1, "lstm": paths.targets - 1}
    over_steps, over_strain = compared_predictions(paths, predictions, 1)
    assert [line[2:] for line in curves(over_steps)] == [
        ((0, 1, 2), (16, 25, 36)), ((0, 1, 2), (17, 26, 37)), ((0, 1, 2), (15, 24, 35))
    ]  # fmt: skip
    assert [line[2] for line in curves(over_strain)] == [(4, 5, 6)] * 3
    assert legend(over_steps) == ["reference", "slstm", "lstm"]
    assert (over_strain.get_xlabel(), over_steps.get_ylabel()) == ("strain", "stress / MPa")
    rendered(over_steps)


def test_calibration_sorts_by_spread_into_classes_of_equal_size():
    """Two classes of two: spreads 1, 2 with errors 3, -4, spreads 5, 10 with errors 0, 6. Root mean squares by hand."""
    axes = calibration(np.array([[5.0, 2.0], [10.0, 1.0]]), np.array([[0.0, -4.0], [6.0, 3.0]]), "MPa", bins=2)
    (_, _, x, y) = curves(axes)[1]
    np.testing.assert_allclose(x, np.sqrt([2.5, 62.5]), rtol=1e-12)
    np.testing.assert_allclose(y, np.sqrt([12.5, 18.0]), rtol=1e-12)
    # The ranks of spread are 0 1 2 3, of |error| 1 2 0 3; the correlation is 1 - 6 (1 + 1 + 4) / (4 * 15) = 0.4.
    assert legend(axes)[1] == "2 classes of spread; rank correlation 0.40"
    assert axes.get_xlabel().endswith("/ MPa")
    rendered(axes)


def test_seed_errors_show_every_seed_their_mean_and_the_levels():
    axes = seed_errors({"slstm": [0.1, 0.3], "rnn": [0.5]}, "error / deviations", {"without memory": 0.76})
    lines = curves(axes)
    assert [line[2:] for line in lines[:4]] == [((0.1, 0.3), (0, 0)), ((0.2,), (0,)), ((0.5,), (1,)), ((0.5,), (1,))]
    assert lines[4][2] == (0.76, 0.76)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["slstm", "rnn"]
    assert legend(axes) == ["without memory"]
    rendered(axes)


# ------------------------------------------------------------------------------------------------------------ energy


def test_energy_bars_have_a_height_for_each_layer_and_device_in_microjoules():
    """Bars are side by side around each position. Layers without any cost are omitted; a cost of 0 has no bar."""
    joules = {
        "loihi": {"scaling": 0.0, "first": 2e-6, "second": 5e-7, "mean": 0.0},
        "v100": {"scaling": 0.0, "first": 8e-6, "second": 4e-6, "mean": 0.0},
        "cmos": {"scaling": 0.0, "first": 1e-6, "second": 3e-6, "mean": 7e-9},
    }
    axes = energy_bars(joules)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["first", "second", "mean"]
    assert legend(axes) == ["loihi", "v100", "cmos"]
    for number, (device, of) in enumerate(joules.items()):
        bars = axes.containers[number]
        assert bars.get_label() == device
        heights = [bar.get_height() for bar in bars]
        np.testing.assert_allclose(
            heights, [of[name] * 1e6 or np.nan for name in ("first", "second", "mean")], rtol=1e-12
        )
        centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        np.testing.assert_allclose(centres, np.arange(3) + (number - 1) * 0.8 / 3, atol=1e-12)
    assert (axes.get_yscale(), axes.get_ylabel()) == ("log", "energy for one path / µJ")
    rendered(axes)


def test_bars_of_different_devices_differ_without_colour():
    axes = energy_bars({str(number): {"layer": 1e-6} for number in range(5)})
    assert len({bars[0].get_hatch() for bars in axes.containers}) == 5
    assert len({bars[0].get_facecolor() for bars in axes.containers}) == 5


def test_break_even_draws_every_line_in_a_colour_of_its_own():
    spiking = {name: [1e-6, 2e-6] for name in "abc"}
    dense = dict.fromkeys("def", 3e-06)
    lines = break_even([0.1, 1.0], spiking, dense).get_lines()
    assert [line.get_label() for line in lines] == [*(f"spiking, {n}" for n in "abc"), *(f"dense, {n}" for n in "def")]
    assert len({line.get_color() for line in lines}) == 6


def test_break_even_shows_the_energy_over_the_rate_the_levels_and_the_network_itself():
    rates = np.array([0.01, 0.1, 1.0])
    spiking = {"on a chip": [1e-6, 2e-6, 1.1e-5], "elsewhere": [3e-6, 3.5e-6, 8e-6]}
    axes = break_even(rates, spiking, {"half": 5e-6, "single": 4e-5}, here=0.25)
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == [
        "spiking, on a chip", "spiking, elsewhere", "dense, half", "dense, single", "as trained"
    ]  # fmt: skip
    assert legend(axes) == list(lines)
    for name, joules in spiking.items():
        line = lines[f"spiking, {name}"]
        assert list(line.get_xdata()) == list(rates)
        np.testing.assert_allclose(line.get_ydata(), np.multiply(joules, 1e6), rtol=1e-12)
    np.testing.assert_allclose(lines["dense, half"].get_ydata(), 5, rtol=1e-12)
    np.testing.assert_allclose(lines["dense, single"].get_ydata(), 40, rtol=1e-12)
    assert set(lines["as trained"].get_xdata()) == {0.25}
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlim()) == ("log", "log", (0.01, 1))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("spikes per neuron and step", "energy for one path / µJ")
    rendered(axes)
    figure = Figure()
    first, second = figure.subplots(1, 2)
    assert break_even(rates, spiking, {"half": 5e-6}, axes=second) is second
    assert not first.lines
    assert len(second.lines) == 3


def test_pareto_shows_every_point_and_the_front():
    """Five points of two series: no point dominates (1, 9), (2, 4) and (8, 1); (2, 4) dominates (3, 5) and (8, 7)."""
    series = {"lif": ([8e-6, 1e-6, 3e-6], [1.0, 9.0, 5.0]), "rnn": ([2e-6, 8e-6], [4.0, 7.0])}
    axes = pareto(series, "error")
    front, lif, rnn = axes.lines
    np.testing.assert_allclose(front.get_xydata(), [(1, 9), (2, 4), (8, 1)], rtol=1e-12)
    np.testing.assert_allclose(lif.get_xydata(), [(8, 1), (1, 9), (3, 5)], rtol=1e-12)
    np.testing.assert_allclose(rnn.get_xydata(), [(2, 4), (8, 7)], rtol=1e-12)
    assert legend(axes) == ["beaten by none", "lif", "rnn"]
    assert lif.get_marker() != rnn.get_marker()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("energy for one path / µJ", "error")
    rendered(axes)


def test_a_single_point_is_a_front():
    axes = pareto({"lif": ([1e-6], [0.5])}, "error")
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [(1, 0.5)], rtol=1e-12)
    rendered(axes)


def test_a_figure_is_saved_completely_or_not_at_all(tmp_path):
    """From one axes or an array of axes of one figure; if saving fails, an existing file does not change."""
    panels = Figure(figsize=(3, 2)).subplots(1, 2)
    panels[1].plot([0, 1], [1, 0])
    for name, axes in (("all.png", panels), ("one.png", panels[0])):
        save(axes, tmp_path / name)
        assert imread(tmp_path / name).shape[:2] == (300, 450)  # 3 x 2 inches at 150 dots
    np.testing.assert_array_equal(imread(tmp_path / "all.png"), imread(tmp_path / "one.png"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.png", "one.png"]
    before = (tmp_path / "one.png").read_bytes()
    with pytest.raises(InputError, match=r"one\.png/below\.png: cannot be written"):
        save(panels, tmp_path / "one.png" / "below.png")
    with pytest.raises(InputError, match=r"absent/a\.png: cannot be written"):
        save(panels, tmp_path / "absent" / "a.png")
    assert (tmp_path / "one.png").read_bytes() == before


# --------------------------------------------------------------------------------------------- spikes and membranes


# Two paths of three and four steps, three neurons. The last neuron is silent on both paths. On path 1 the first neuron
# fires early and the second late. Path 0 has other spikes, and one in its padding.
SPIKES = np.array(
    [[[0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 1, 1]], [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]]], dtype=float
)
RECORD = Record(SPIKES, SPIKES - 0.25 + 0.1 * np.arange(4)[:, None], np.array([0.5, 0.6, 0.7]), {})


def two_paths():
    return Paths(
        inputs=np.arange(8.0).reshape(2, 4, 1), targets=np.arange(8.0).reshape(2, 4, 1) ** 2, input_names=("strain",),
        target_names=("stress",), lengths=np.array([3, 4]), steps=np.arange(4) * [[1], [10]], units={"stress": "MPa"},
    )  # fmt: skip


def ticks(panel):
    """The spikes in a panel of a raster as (step, row of the neuron)."""
    return {(x, round((low + high) / 2, 9)) for (x, low), (_, high) in panel.collections[0].get_segments()}


def test_a_raster_shows_every_spike_of_the_path_with_neurons_sorted_by_mean_time():
    paths = two_paths()
    axes = spike_raster({"first": RECORD, "second": RECORD}, paths, 1, paths.targets + 5)
    assert len(axes) == 4
    for panel in axes[:2]:
        # Neuron 0 fires at steps 0 and 10, at 5 on average, so it is lowest; neuron 1 fires at 30.
        assert ticks(panel) == {(0, 0), (10, 0), (30, 1)}
    assert [panel.get_ylabel().split("\n")[0] for panel in axes] == ["first", "second", "strain", "stress / MPa"]
    assert curves(axes[2])[0][2:] == ((0, 10, 20, 30), (4, 5, 6, 7))
    reference, network = curves(axes[3])[:2]
    assert reference[2:] == ((4, 5, 6, 7), (16, 25, 36, 49))
    assert network[2:] == ((4, 5, 6, 7), (21, 30, 41, 54))
    assert legend(axes[3]) == ["reference", "network", "step, numbered"]
    assert [text.get_text() for text in axes[3].texts] == ["0", "10", "20", "30"]
    rendered(axes)


def test_a_raster_does_not_show_the_padding():
    paths = two_paths()
    axes = spike_raster({"layer": RECORD}, paths, 0)
    # Neuron 1 fires at step 0, neuron 0 at step 2; step 3 is beyond the path.
    assert ticks(axes[0]) == {(0, 0), (2, 1)}
    assert legend(axes[2]) == ["reference", "step, numbered"]


def test_a_raster_draws_its_curve_over_another_quantity_and_on_given_axes():
    paths, panels = two_paths(), Figure().subplots(3, 1)
    axes = spike_raster({"layer": RECORD}, paths, 0, across=-paths.inputs[..., 0], label="other / K", axes=panels)
    assert [one is other for one, other in zip(axes, panels, strict=True)] == [True] * 3
    assert curves(axes[2])[0][2:] == ((0, -1, -2), (0, 1, 4))
    assert axes[2].get_xlabel() == "other / K"


def test_membranes_are_drawn_with_their_thresholds_and_spikes():
    axes = membrane_traces(RECORD, 1, neurons=(2, 0))
    for panel, neuron, fired in zip(axes, (2, 0), ([], [0, 1]), strict=True):
        membrane, threshold = (line[2:] for line in curves(panel)[:2])
        spikes = list(panel.lines[2].get_xdata())
        assert membrane == ((0, 1, 2, 3), tuple(RECORD.membranes[1, :, neuron]))
        assert threshold[1] == (RECORD.thresholds[neuron],) * 2
        assert spikes == fired
        assert panel.get_ylabel() == f"neuron {neuron}"
    assert legend(axes[0]) == ["membrane", "threshold", "spike"]
    assert axes[-1].get_xlabel() == "step"
    rendered(axes)


def test_a_threshold_that_moves_is_drawn_step_by_step_on_its_own_path():
    thresholds = 9 - 0.1 * np.arange(24.0).reshape(2, 4, 3)
    axes = membrane_traces(RECORD._replace(thresholds=thresholds), 1, neurons=(2, 0))
    for panel, neuron in zip(axes, (2, 0), strict=True):
        assert curves(panel)[1][2:] == ((0, 1, 2, 3), tuple(thresholds[1, :, neuron]))
        # The range is that of this path, whose first threshold is its highest; those of the other path are higher.
        low, high = min(RECORD.membranes[1, :, neuron].min(), 0), thresholds[1, 0, neuron]
        assert panel.get_ylim()[1] == pytest.approx(high + 0.3 * (high - low))
    assert legend(axes[0]) == ["membrane", "threshold", "spike"]
    rendered(axes)


def test_graded_spikes_of_any_size_and_sign_are_shown():
    graded = SPIKES * [-2.0, 0.5, 3.0]
    raster = spike_raster({"layer": RECORD._replace(spikes=graded)}, two_paths(), 1)[0]
    assert ticks(raster) == ticks(spike_raster({"layer": RECORD}, two_paths(), 1)[0])
    (panel,) = membrane_traces(RECORD._replace(spikes=graded), 1, neurons=(0,))
    assert list(panel.lines[2].get_xdata()) == [0, 1]


def test_membranes_of_the_most_silent_and_the_busiest_neuron_are_among_those_drawn():
    """Four of nine neurons that fire 3, 0, 8, ... times: those with 0, 3, 5 and 8 spikes."""
    counts = [3, 0, 8, 1, 7, 2, 6, 4, 5]
    spikes = (np.arange(10)[:, None] < counts).astype(float)[None]
    axes = membrane_traces(Record(spikes, spikes, np.full(9, 0.5), {}))
    drawn = [counts[int(panel.get_ylabel().removeprefix("neuron "))] for panel in axes]
    assert drawn == [0, 3, 5, 8]


def test_the_band_extends_by_the_spread_to_each_side():
    paths = two_paths()
    spread = np.full((2, 4, 1), 2.0) + paths.inputs
    over_steps, over_strain = prediction_spread(paths, paths.targets + 1, spread, 0)
    for panel, across in ((over_steps, (0, 1, 2)), (over_strain, (0, 1, 2))):
        (band,) = panel.collections
        corners = {(float(x), float(y)) for piece in band.get_paths() for x, y in piece.vertices}
        expected = {(x, y**2 + 1 + side * (2 + y)) for x, y in zip(across, (0, 1, 2), strict=True) for side in (1, -1)}
        assert corners == expected
        assert [line[3] for line in curves(panel)] == [(0, 1, 4), (1, 2, 5)]
    assert legend(over_steps) == ["spread", "reference", "network"]
    assert (over_strain.get_xlabel(), over_steps.get_ylabel()) == ("strain", "stress / MPa")
    rendered(over_steps)
    _, over_other = prediction_spread(
        paths, paths.targets, spread, 1, across=paths.inputs[..., 0] * 3, label="time / s"
    )
    assert curves(over_other)[0][2] == (12, 15, 18, 21)
    assert over_other.get_xlabel() == "time / s"


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_histogram_counts_every_error_once_in_bins_shared_by_all_names(logarithmic):
    errors = {"slstm": np.array([[1.0, 2.0], [2.0, 9.0]]), "lstm": np.array([3.0, 16.0])}
    axes = error_histogram(errors, "error / MPa", bins=4, logarithmic=logarithmic)
    # Edges 1, 2, 4, 8, 16, or 1, 4.75, 8.5, 12.25, 16. A number on an edge counts above it, on the last edge below.
    expected = {False: ([3, 0, 1, 0], [1, 0, 0, 1]), True: ([1, 2, 0, 1], [0, 1, 0, 1])}[logarithmic]
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    for outline, counts in zip(outlines, expected, strict=True):
        heights = outline.get_xy()[1:-1:2, 1]
        np.testing.assert_allclose(heights, counts)
    assert legend(axes) == ["slstm, median 2", "lstm, median 9.5"]
    assert axes.get_xscale() == ("log" if logarithmic else "linear")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("error / MPa", "number")
    rendered(axes)


def test_a_notebook_can_show_a_figure_without_configuration():
    """The data start with the signature of a PNG file."""
    assert loss_curves(HISTORY).figure._repr_png_().startswith(b"\x89PNG\r\n\x1a\n")
