"""Start-up times: importing the package after Keras, and `kspike-reg --help`.

    python profiling/import_time.py

prints a table and writes profiling/results/import_time.json. The goals are less than 0.3 s in addition to Keras, and
0.5 s for the whole process of the help. Each time is measured several times in new processes, after one process that
warms the file system's cache. The least time is that of an idle machine.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from kspike_reg.files import write_json
from kspike_reg.tables import markdown

RESULTS = Path(__file__).parent / "results" / "import_time.json"
REPETITIONS = 9
# Goal of each time in seconds.
GOALS = {"import keras": None, "import kspike_reg, after it": 0.3, "kspike-reg --help, the process": 0.5}
IMPORTS = """
import json, time
moments = [time.perf_counter()]
import keras
moments.append(time.perf_counter())
import kspike_reg
moments.append(time.perf_counter())
from importlib.metadata import version
names = ("kspike_reg", "keras", "tensorflow")
print(json.dumps([moments[1] - moments[0], moments[2] - moments[1], {name: version(name) for name in names}]))
"""


def import_times() -> tuple[float, float, dict[str, str]]:
    """Seconds to import Keras and then the package in a new process, and the versions there."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    process = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, env=environment
    )
    return tuple(json.loads(process.stdout.splitlines()[-1]))


def help_time() -> float:
    """Seconds of the process that prints the help."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "kspike_reg", "--help"], capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure, print and write."""
    seconds = {name: [] for name in GOALS}
    for _ in range(1 + REPETITIONS):
        of_keras, of_package, versions = import_times()
        for name, value in zip(seconds, (of_keras, of_package, help_time()), strict=True):
            seconds[name].append(value)
    rows = [
        {"what": name, "goal / s": GOALS[name], "least / s": min(warm), "median / s": statistics.median(warm)}
        for name, (_, *warm) in seconds.items()
    ]
    machine = {"architecture": platform.machine(), "cores": len(os.sched_getaffinity(0))}
    versions |= {"python": platform.python_version()}
    write_json(RESULTS, {"repetitions": REPETITIONS, "versions": versions, "machine": machine, "results": rows})
    print(markdown(pd.DataFrame(rows, dtype=object)))


if __name__ == "__main__":
    main()
