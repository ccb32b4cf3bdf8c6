"""Where a network can run and what it can be exported to, by name; importing this module does not import Keras.

A new simulator is a function like those in `bridges.simulation` and one line in `SIMULATORS`. A new target is a
function that writes files and one entry in `TARGETS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kspike_reg.registry import Registry

if TYPE_CHECKING:
    import keras

    from kspike_reg.datasets import Paths

__all__ = ["SIMULATORS", "TARGETS", "Target"]

# Each is a function (model or network, inputs, batch size, progress) that returns a recording, see `simulate`.
SIMULATORS = Registry(
    {
        "nengo": "kspike_reg.bridges.simulation:on_nengo",
        "nengo-dl": "kspike_reg.bridges.simulation:on_nengo_dl",
        "loihi": "kspike_reg.bridges.simulation:on_loihi",
    }
)


@dataclass(frozen=True)
class Target:
    """A format that networks are exported in.

    Args:
        summary: what is written, a noun phrase for the help.
        suffixes: of the files that are written. The user names the file with the first suffix; the others have the
            same stem.
        write: a function (model, file, **options) that writes them and returns what the user should know, "" for
            nothing.
        options: names of the options that `write` takes: "form", a name in `nir.parameters.FORMS`; "paths",
            `datasets.Paths` with inputs and targets.
    """

    summary: str
    suffixes: tuple[str, ...]
    write: Callable[..., str]
    options: tuple[str, ...] = ()


def _write_nengo(model: "keras.Model", file: Path) -> str:
    from kspike_reg.bridges.nengo.script import export_nengo

    export_nengo(model, file)
    return ""


def _write_nir(model: "keras.Model", file: Path, *, form: str) -> str:
    from kspike_reg.bridges.nir.files import write_nir

    in_words = write_nir(model, file, form=form).metadata["unsaid"]
    if not in_words:
        return ""
    return (
        f"only the file's metadata say this, which other readers ignore: {in_words}\n"
        "--form exact expresses it in NIR's own primitives"
    )


def _write_loihi_report(model: "keras.Model", file: Path, *, paths: "Paths") -> str:
    from kspike_reg.bridges.loihi import loihi_report
    from kspike_reg.files import replacing, write_json

    report = loihi_report(model, paths)
    with replacing(file) as partial:
        partial.write_text(report.to_markdown(), encoding="utf-8")
    write_json(file.with_suffix(".json"), report.to_dict())
    return report.to_markdown()


TARGETS = Registry(
    {
        "nengo": Target("a Nengo script and its weights", (".py", ".npz"), _write_nengo),
        "nir": Target("a NIR file", (".nir",), _write_nir, options=("form",)),
        "loihi-report": Target(
            "a report on Loihi's emulator, as text and as numbers",
            (".md", ".json"),
            _write_loihi_report,
            options=("paths",),
        ),
    }
)
