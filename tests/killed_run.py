"""A run that kills itself, for test_resume.py: `python killed_run.py FOLDER POINT`.

POINT is `never`, or `<event>@<count>`: the process is killed by SIGKILL at the count-th event, counted from 1.
"""

import io
import os
import signal
import sys

import keras
import numpy as np

import kspike_reg.files
from kspike_reg.experiments import Configuration, run

CONFIGURATION = Configuration(
    task="elasticity", timesteps=3, kind="rlif", units=6, population=4, depth=2, epochs=7, batch_size=300, seed=11
)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(keras.callbacks.Callback):
    """Counts the events of one kind, and kills the process at one of them."""

    def __init__(self, event, count):
        super().__init__()
        self.event, self.left = event, count

    def tick(self, event):
        if event == self.event:
            self.left -= 1
            if self.left == 0:
                die()

    def on_epoch_begin(self, epoch, logs=None):
        self.tick("epoch begins")

    def on_train_batch_end(self, batch, logs=None):
        self.tick("batch ends")

    def on_epoch_end(self, epoch, logs=None):
        self.tick("history written")  # the history's callback comes before this one, the snapshot's after


def arm(point):
    event, _, count = point.partition("@")
    killer = Killer(event, int(count or 0))
    replace, savez, save = os.replace, np.savez, keras.Model.save

    def tick_and_replace(source, target):
        killer.tick(f"{os.path.basename(target)} about to be replaced")
        replace(source, target)
        killer.tick(f"{os.path.basename(target)} replaced")

    def half_savez(file, **arrays):
        whole = io.BytesIO()
        savez(whole, **arrays)
        with open(file, "wb") as partial:
            partial.write(whole.getvalue()[: len(whole.getvalue()) // 2])
            partial.flush()
            killer.tick("snapshot half written")
        savez(file, **arrays)

    def half_save(model, file):
        save(model, file)
        os.truncate(file, os.path.getsize(file) // 2)
        killer.tick("model half written")
        save(model, file)

    kspike_reg.files.os.replace = tick_and_replace
    np.savez, keras.Model.save = half_savez, half_save
    return killer


if __name__ == "__main__":
    folder, point = sys.argv[1:]
    run(CONFIGURATION, folder, callbacks=[] if point == "never" else [arm(point)])
