"""Accuracy and resources of trained networks on Loihi, by NengoLoihi's emulator of the chip.

    pip install 'kspike_reg[loihi]'                    in its own environment: it needs NumPy below 2
    python profiling/loihi.py [FOLDER ...]

runs each network on the whole test set of its task: as trained, quantised in Keras, and on the emulator. It prints the
reports and writes profiling/results/loihi.json and loihi.md. Each folder holds a trained network, from models/ or from
a run; by default the script takes those of models/ that were trained for the chip.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # hides the start-up messages of TensorFlow

import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kspike_reg
from kspike_reg.bridges import loihi_report
from kspike_reg.bridges.loihi.account import LoihiReport
from kspike_reg.experiments import Configuration
from kspike_reg.experiments.card import training_command
from kspike_reg.files import write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "profiling" / "results"
GOAL = 1.5  # ratio of the error on the emulator to that as trained, equation 14 on standardised data
PACKAGES = ("kspike_reg", "keras", "tensorflow", "nengo", "nengo-loihi", "numpy")


def measure(folder: Path) -> tuple[LoihiReport, dict[str, Any]]:
    """Run one trained network on the test set of its record.

    Args:
        folder: folder of the network, with metrics.json and model.keras.

    Returns:
        The report, and an entry of the record: how the network was trained, and whether it meets the goal.
    """
    record = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["configuration"]
    model = kspike_reg.load(folder / "model.keras")
    paths = Configuration.of_record(record).load_data()[2]
    start = time.perf_counter()
    report = loihi_report(model, paths)
    return report, {
        "network": folder.name,
        "training": training_command(record),
        "seconds": round(time.perf_counter() - start, 1),
        "goal": GOAL,
        "met": report.ratio() <= GOAL,
    }


def main() -> None:
    """Measure, print and write."""
    folders = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "models").glob("*-loihi"))
    results, texts = [], []
    for folder in folders:
        report, about = measure(folder)
        verdict = f"Error on the emulator by that as trained, equation 14: {report.ratio():.3f}, the goal is {GOAL}."
        texts.append(report.to_markdown().replace("# ", f"# {folder.name}: ", 1) + f"\n{verdict}\n")
        print(texts[-1])
        results.append(about | {"report": report.to_dict()})
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / "loihi.json", {"versions": versions, "results": results})
    (RESULTS / "loihi.md").write_text("\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
