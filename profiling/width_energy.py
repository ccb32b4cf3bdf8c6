"""Energy and error of each network of a study of widths, for the figure of energy_table.py.

    kspike-reg reproduce width --recipe modern
    python profiling/width_energy.py runs/width-modern

writes profiling/results/width_energy.json. The study trains for an hour; this script takes two minutes.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from kspike_reg.energy import comparison, profile
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.run import environment, recorded_configuration
from kspike_reg.files import write_json
from kspike_reg.network import SPIKING

RESULTS = Path(__file__).parent / "results" / "width_energy.json"


def main() -> None:
    """Profile the networks in the folder that is given on the command line."""
    study = Path(sys.argv[1])
    rows = [row_of(folder) for folder in sorted((study / "cases").iterdir())]
    rows.sort(key=lambda row: (row["network"], row["units"]))
    command = json.loads((study / "results.json").read_text(encoding="utf-8"))["command"]
    write_json(RESULTS, {"command": command, "environment": environment(), "cases": rows})
    print(f"wrote {len(rows)} networks to {RESULTS}")


def row_of(folder: Path) -> dict[str, Any]:
    """Operations, energy of one path and errors of one network on its test set.

    Args:
        folder: folder of one case of the study.
    """
    configuration = recorded_configuration(folder)
    case = Case(folder.name, configuration, configuration, folder)
    report = profile(case.model, case.test)
    fires = configuration.kind in SPIKING
    errors = case.metrics["test"]["errors"]["standardised"]
    return {
        "network": f"{configuration.kind}, {configuration.readout}" if fires else configuration.kind,
        "units": configuration.units,
        "parameters": case.metrics["test"]["parameters"],
        "eq. 14, all steps": errors["mean_relative_error"]["all"],
        "RMSE / deviations": errors["root_mean_squared_error"]["all"],
        "spikes per neuron and step": comparison.mean_rate(report) if fires else None,
        "accumulates": report.accumulates / report.samples,
        "multiply-accumulates": report.multiply_accumulates / report.samples,
        **comparison.energies_in_use(report),
    }


if __name__ == "__main__":
    main()
