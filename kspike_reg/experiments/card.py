"""The card of a trained network: its task, its range, its errors, and the command that trains it again."""

from dataclasses import fields
from typing import Any

from kspike_reg.escape import code_block, markdown_text, shell_words
from kspike_reg.evaluation import error_text
from kspike_reg.experiments.configuration import Configuration
from kspike_reg.experiments.environment import in_words

__all__ = ["card", "training_command"]


def card(metrics: dict[str, Any]) -> str:
    """Write the text of card.md, Markdown.

    Args:
        metrics: the content of metrics.json of a run.

    Returns:
        The text. It lists every input with its range and every output.
    """
    data, test, configuration = metrics["data"], metrics["test"], metrics["configuration"]
    names = [*data["inputs"], *data["outputs"]]
    # Markdown would read the names of columns as its own.
    shown = {name: markdown_text(name) for name in names}
    unit = {name: f" in {markdown_text(data['units'][name])}" if name in data["units"] else "" for name in names}
    inputs = [
        f"- {shown[name]}{unit[name]}, from {low:.6g} to {high:.6g}" for name, (low, high) in data["range"].items()
    ]
    outputs = [f"- {shown[name]}{unit[name]}" for name in data["outputs"]]
    steps = data["steps"]
    length = (
        str(steps["shortest"]) if steps["shortest"] == steps["longest"] else "{shortest} to {longest}".format(**steps)
    )
    rates = [f"{markdown_text(name)} {rate:.3f}" for name, rate in test["spike_rates"].items() if rate is not None]
    versions = ", ".join(f"{name} {version}" for name, version in metrics["environment"]["versions"].items())
    training = metrics["training"]
    lines = [
        f"# {configuration['kind'].upper()} on {configuration['task'] or 'paths from a file'}",
        f"{configuration['depth']} hidden layers of {configuration['units']}, {configuration['population']} population "
        f"neurons, {test['parameters']} parameters. Physical units in, physical units out.",
        "## Task",
        ", ".join(f"{name} {markdown_text(value)}" for name, value in data["source"].items()),
        "Inputs, and the range of the training data, outside which `predict` warns:",
        "\n".join(inputs),
        "Outputs:",
        "\n".join(outputs),
        f"Paths of {length} steps: {data['paths']['training']} for training, {data['paths']['validation']} for "
        f"validation, {data['paths']['test']} for the test.",
        "## Errors on the test set",
        "\n".join(["| | all steps | last step |", "|---|---|---|", *_errors(data, test)]),
        f"Spikes per neuron and step: {', '.join(rates)}." if rates else "",
        "## Training",
        code_block(training_command(configuration)),
        f"{training['epochs']} epochs in {training['seconds'] / 60:.1f} minutes, best on validation data after "
        f"{training['best_epoch']}; seed {configuration['seed']}; {versions}; on {metrics['environment']['device']}.",
        _sessions(training),
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _sessions(training: dict[str, Any]) -> str:
    """What trained which epochs, if that was not the recorded environment alone."""
    if "sessions" not in training:
        return ""
    lines = [
        f"- epochs {first} to {last}: {in_words(environment)}"
        for (first, last), environment in (session.values() for session in training["sessions"])
    ]
    return "\n".join(["The training was interrupted and continued in other environments:", "", *lines])


def _errors(data: dict[str, Any], test: dict[str, Any]) -> list[str]:
    """The rows of the table of errors; physical ones for each output, since outputs may have different units."""
    rows = {f"{_words(metric)}, standardised": error for metric, error in test["errors"]["standardised"].items()}
    by_output = test.get("errors_by_output") or {data["outputs"][0]: test["errors"]}
    for name, errors in by_output.items():
        of = f"{name} " if len(by_output) > 1 else ""
        unit = data["units"].get(name, "the own units of the data")
        rows |= {f"{_words(metric)}, {of}in {unit}": error for metric, error in errors["physical"].items()}
    return [
        f"| {markdown_text(label)} | {error_text(error['all'])} | {error_text(error['last'])} |"
        for label, error in rows.items()
    ]


def _words(metric: str) -> str:
    return metric.replace("_", " ")


def training_command(configuration: dict[str, Any]) -> str:
    """Return the command that trains a network of this configuration, a dictionary as in metrics.json."""
    words = ["kspike-reg", "train"]
    configuration = Configuration.of_record(configuration)
    for field in fields(Configuration):
        value = getattr(configuration, field.name)
        if value != field.default:
            values = value if isinstance(value, tuple) else (value,)
            option = f"--{field.name.replace('_', '-')}"
            # A single value that begins with a dash would be taken for an option.
            joined = len(values) == 1 and str(values[0]).startswith("-")
            words += [f"{option}={values[0]}"] if joined else [option, *values]
    return shell_words([*words, "--out", "FOLDER"])
