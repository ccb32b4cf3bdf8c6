"""The record of profiling/speed.py: results in a JSON file, which is replaced as a whole after each measurement."""

import json
import os
import platform
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from implementations.cases import SEED
from implementations.process import Process

from kspike_reg.errors import InputError
from kspike_reg.files import write_json

# Parts of the record; `speed_parts.MEASURE` has a function for each.
PARTS = ("rounds", "firing", "fresh", "linearity", "retracings")
ROUNDS = (5, 200)  # the least and the most


class Record:
    """Results by part, with settings and environment.

    Args:
        file: the JSON file; an existing record of the same machine and versions is continued.
        seconds: no round of a case starts later than this, except the first five.
        compiled: whether to try the compiled forms of other packages.

    Attributes:
        content: what the file holds.

    Raises:
        InputError: the file is no such record, or was made on another machine or with other versions.
    """

    def __init__(self, file: Path, seconds: float, compiled: bool = True) -> None:
        self.file = file
        settings = {"seed": SEED, "rounds": ROUNDS[0], "seconds": seconds, "compiled": compiled}
        self.content: dict[str, Any] = json.loads(json.dumps({"settings": settings, "environment": environment()}))
        self.content |= {part: [] for part in PARTS}
        if not file.exists():
            return
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            same = found["environment"] == self.content["environment"] and found.keys() <= self.content.keys()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: not a record of speed ({error}); remove it or choose another --out") from error
        if not same:
            raise InputError(f"{file}: measured elsewhere or with other versions; remove it or choose another --out")
        self.content |= found  # an older record may lack a part

    def has(self, part: str, **entries: Any) -> bool:
        """Whether a row of a part has these entries."""
        return any(entries.items() <= row.items() for row in self.content[part])

    def add(self, part: str, *rows: dict) -> None:
        """Append rows to a part and write the file."""
        self.content[part] += rows
        write_json(self.file, self.content)


def environment() -> dict[str, Any]:
    """The machine, and what each process reports about itself."""
    found = {"cpu": cpu(), "cores": len(os.sched_getaffinity(0))}
    with Process("keras") as process:
        found |= process.ask("about")
    if find_spec("torch"):
        with Process("torch") as process:
            found["torch"] = process.ask("about")
    return found


def cpu() -> str:
    """Name of the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
