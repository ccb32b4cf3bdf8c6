"""The process behind one case of a study: `python -m kspike_reg.experiments.worker FOLDER`.

Trains by the configuration.json that the study has laid down in the folder, and stops when the study is gone, since
it may be running anew.
"""

import os
import sys
from pathlib import Path

import keras

from kspike_reg.errors import InputError
from kspike_reg.experiments.run import recorded_configuration, run


def main(folder):
    """Run what the folder's configuration.json says."""
    study = os.getppid()
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: os.getppid() == study or sys.exit(1))
    try:
        run(recorded_configuration(folder), folder, callbacks=[watch])
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
