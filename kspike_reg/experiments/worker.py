"""The process of one case of a study: `python -m kspike_reg.experiments.worker FOLDER`.

It trains by the configuration.json that the study has written into the folder. It stops when the study's process has
ended, since the study may have been started again.
"""

import os
import sys
from pathlib import Path

import keras

from kspike_reg.errors import InputError
from kspike_reg.experiments.run import recorded_configuration, run

__all__ = ["main"]


def main(folder: Path) -> None:
    """Run the configuration of a folder; exit with status 1 and one line if it cannot run.

    Args:
        folder: with a configuration.json.
    """
    study = os.getppid()
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: os.getppid() == study or sys.exit(1))
    try:
        run(recorded_configuration(folder), folder, callbacks=[watch])
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
