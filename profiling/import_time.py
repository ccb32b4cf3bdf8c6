"""How long one waits for the package: its import beside Keras's own, and `kspike-reg --help`.

    python profiling/import_time.py

prints a table and writes profiling/results/import_time.json. The goals: less than 0.3 s on top of Keras, and 0.5 s for
the help in all. Each is measured several times in new processes, after one that warms the file system's cache; the
least is what it takes on a machine that does nothing else.
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


def main():
    """Measure, print and write."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    seconds = {"import keras": [], "import kspike_reg, after it": [], "kspike-reg --help, the process": []}
    for _ in range(1 + REPETITIONS):
        process = subprocess.run(
            [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, env=environment
        )
        of_keras, of_package, versions = json.loads(process.stdout.splitlines()[-1])
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "kspike_reg", "--help"], capture_output=True, check=True)
        for name, value in zip(seconds, (of_keras, of_package, time.perf_counter() - start), strict=True):
            seconds[name].append(value)
    goals = (None, 0.3, 0.5)
    rows = [
        {"what": name, "goal / s": goal, "least / s": min(warm), "median / s": statistics.median(warm)}
        for (name, (_, *warm)), goal in zip(seconds.items(), goals, strict=True)
    ]
    machine = {"architecture": platform.machine(), "cores": len(os.sched_getaffinity(0))}
    versions |= {"python": platform.python_version()}
    write_json(RESULTS, {"repetitions": REPETITIONS, "versions": versions, "machine": machine, "results": rows})
    print(markdown(pd.DataFrame(rows, dtype=object)))


if __name__ == "__main__":
    main()
