"""The process of one case of a study: `python -m kspike_reg.experiments.worker FOLDER`.

It trains by the configuration.json that the study has written into the folder. Its standard input is a pipe from the
study's process, which nothing is written to: when that process has ended, however it did, the pipe ends, and so does
this process. The study may have been started again.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from kspike_reg.errors import InputError
from kspike_reg.experiments.run import recorded_configuration, run

__all__ = ["main"]

# Seconds to wait for the process of a killed study to leave the folder; it does so within one call of native code.
PATIENCE = 60.0


def main(folder: Path) -> None:
    """Run the configuration of a folder; exit with status 1 and one line if it cannot run.

    Args:
        folder: with a configuration.json.
    """
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    for name in ("SIGTERM", "SIGHUP"):  # temporary files are removed on the way out
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: sys.exit(128 + number))
    try:
        run(recorded_configuration(folder), folder, patience=PATIENCE)
    except InputError as error:
        sys.exit(str(error))


def _end_with_the_study() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)  # a run continues after that as after a kill


if __name__ == "__main__":
    main(Path(sys.argv[1]))
