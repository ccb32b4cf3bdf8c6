"""Files that attack the readers: claims of sizes, steps that differ by a nanosecond, pipes."""

import io
import os
import subprocess
import sys
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest

from kspike_reg import InputError
from kspike_reg.datasets import Paths, read, write_csv
from kspike_reg.datasets.streams import sha256_of

TABLE = "path,step,strain,stress\na,0,0.5,10\na,1,-1.5,-20\nb,0,2.5,30\nb,1,4.0,55\nb,2,5.5,60\n"


# ------------------------------------------------------------------------------------------------ sizes in archives


def npz(file, **members):
    """Write an archive of members as they are; a dictionary stands for the header of an array, without its numbers."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            stream = io.BytesIO()
            if isinstance(content, dict):
                np.lib.format.write_array_header_1_0(stream, content)
                stream.write(bytes(80))
            else:
                np.save(stream, content)
            archive.writestr(f"{name}.npy", stream.getvalue())
    return file


def claim(*shape, descr="<f8"):
    return {"descr": descr, "fortran_order": False, "shape": shape}


@pytest.mark.attack("Files", "archives that claim terabytes")
@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"strain": claim(10**6, 10**6)}, id="the named array"),
        pytest.param({"strain": np.ones((2, 5)), "other": claim(10**12)}, id="another array"),
        pytest.param({"strain": np.ones((2, 5)), "lengths": claim(10**13, descr="<i8")}, id="the lengths"),
        pytest.param({"strain": claim(11, 1)}, id="one number too many"),
        pytest.param({"strain": claim(-2, -5)}, id="a negative shape"),
        pytest.param({"strain": claim(2**62, 4)}, id="a product beyond 64 bits"),
        pytest.param({"strain": claim(2, 5, descr="<U100000000")}, id="a wide dtype"),
    ],
)
def test_a_header_that_claims_more_than_the_archive_holds_is_refused_before_memory_is_asked_for(tmp_path, members):
    file = npz(tmp_path / "claims.npz", **members)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"claims\.npz: not an NPZ archive .* claims the shape .*, and holds "):
        read(file, ["strain"])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10e6


@pytest.mark.attack("Files", "archives that claim terabytes")
def test_an_archive_larger_than_the_memory_is_refused(tmp_path, monkeypatch):
    file = npz(tmp_path / "large.npz", strain=np.ones((20, 50)), unused=np.ones((900, 1000)))
    assert len(read(file, ["strain"])) == 20
    monkeypatch.setattr("kspike_reg.archives.memory", lambda: 23_000)
    with pytest.raises(InputError, match=r"large\.npz: the data needs 24 kB of memory, and there are 23 kB"):
        read(file, ["strain"])
    monkeypatch.setattr("kspike_reg.archives.memory", lambda: 24_000)
    assert len(read(file, ["strain"])) == 20


@pytest.mark.attack("Files", "archives that claim terabytes")
def test_an_array_of_a_million_quantities_is_refused(tmp_path):
    file = npz(tmp_path / "wide.npz", strain=np.zeros((1, 2, 10**6), "i1"))
    with pytest.raises(InputError, match="expected at most 10000 quantities"):
        read(file, ["strain_1"])


# ------------------------------------------------------------------------------------------------ exact steps

NANOSECONDS = 1_700_000_000_000_000_001  # since 1970; neighbouring doubles are 256 apart


@pytest.mark.attack("Data", "steps in nanoseconds since 1970")
def test_steps_of_nanoseconds_are_told_apart_ordered_and_written_as_they_were(tmp_path):
    lines = [(NANOSECONDS + 2, 7.0), (NANOSECONDS, 3.0), (NANOSECONDS + 1, 5.0)]
    file = tmp_path / "nanoseconds.csv"
    file.write_text("path,step,strain\n" + "".join(f"a,{step},{strain}\n" for step, strain in lines), encoding="utf-8")
    paths = read(file, ["strain"])
    assert paths.steps.tolist() == [[NANOSECONDS, NANOSECONDS + 1, NANOSECONDS + 2]]
    assert paths.inputs[0, :, 0].tolist() == [3.0, 5.0, 7.0]
    for part in (paths, paths.take([0, 0]).take([1])):
        write_csv(tmp_path / "again.csv", part, part.inputs, ["strain"])
        again = (tmp_path / "again.csv").read_text(encoding="utf-8").split()
        assert again == ["path,step,strain", *(f"a,{step},{strain}" for step, strain in sorted(lines))]


@pytest.mark.attack("Data", "steps in nanoseconds since 1970")
@pytest.mark.parametrize(
    "steps", [(2**63 - 1, 2**63 - 2), (2**63 + 5, 2**63 + 4), (2**64 - 1, 2**64 - 2), (-(2**63), 0)]
)
def test_whole_steps_are_exact_to_the_last_of_64_bits(tmp_path, steps):
    file = tmp_path / "steps.csv"
    file.write_text("path,step,strain\n" + "".join(f"a,{step},{step % 7}\n" for step in steps), encoding="utf-8")
    paths = read(file, ["strain"])
    assert paths.steps.tolist() == [sorted(steps)]
    write_csv(tmp_path / "again.csv", paths, paths.inputs, ["strain"])
    assert [line.split(",")[1] for line in (tmp_path / "again.csv").read_text().split()[1:]] == list(
        map(str, sorted(steps))
    )


@pytest.mark.attack("Data", "steps in nanoseconds since 1970")
@pytest.mark.parametrize("steps", [("1700000000.123456789", "1700000000.123456790"), (str(2**70), str(2**70 + 1))])
def test_steps_that_double_precision_cannot_tell_apart_are_refused_with_the_way_out(tmp_path, steps):
    file = tmp_path / "steps.csv"
    file.write_text("path,step,strain\n" + "".join(f"a,{step},1\n" for step in steps), encoding="utf-8")
    with pytest.raises(InputError) as error:
        read(file, ["strain"])
    assert "lines 2 and 3" in str(error.value)
    assert f"the steps {steps[0]} and {steps[1]}, which are one number in double precision" in str(error.value)


@pytest.mark.parametrize("steps", [("1", "1.0"), ("0.5", "5e-1"), ("1", "+1")])
def test_one_step_in_two_notations_is_the_same_step(tmp_path, steps):
    file = tmp_path / "steps.csv"
    file.write_text("path,step,strain\n" + "".join(f"a,{step},1\n" for step in steps), encoding="utf-8")
    with pytest.raises(InputError, match=r"has step .* twice"):
        read(file, ["strain"])


# ------------------------------------------------------------------------------------------------ pipes

PIPES = pytest.mark.attack("Files", "data from named pipes and standard input")


def fed(tmp_path, content, name="pipe"):
    """A named pipe into which a thread writes `content` once."""
    pipe = tmp_path / name
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=[content], daemon=True).start()
    return pipe


@PIPES
@pytest.mark.parametrize("name", ["pipe", "pipe.csv", "pipe.npz"])
def test_a_named_pipe_is_read_to_its_end(tmp_path, name):
    content = TABLE.encode()
    if name.endswith(".npz"):
        np.savez(tmp_path / "file.npz", strain=np.arange(6.0).reshape(2, 3), stress=np.ones((2, 3)))
        content = (tmp_path / "file.npz").read_bytes()
    (tmp_path / "same").write_bytes(content)
    pipe = fed(tmp_path, content, name)
    paths = read(pipe, ["strain"], ["stress"])
    assert (len(paths), paths.width) == (2, 3)
    assert paths.source == {"file": name}
    assert sha256_of(pipe) == sha256_of(tmp_path / "same")


@PIPES
def test_a_pipe_longer_than_its_buffer_is_read_whole(tmp_path):
    lines = "".join(f"a,{step},{step % 17},1\n" for step in range(200_000))
    paths = read(fed(tmp_path, b"path,step,strain,stress\n" + lines.encode()), ["strain"], ["stress"])
    assert paths.lengths.tolist() == [200_000]
    assert paths.inputs[0, -1, 0] == 199_999 % 17


@PIPES
def test_an_empty_pipe_an_endless_device_and_a_pipe_that_nobody_read_are_refused(tmp_path):
    with pytest.raises(InputError, match="pipe: the file is empty"):
        read(fed(tmp_path, b""), ["strain"])
    with pytest.raises(InputError, match="/dev/null: the file is empty"):
        read("/dev/null", ["strain"])
    with pytest.raises(InputError, match="/dev/zero: a device without an end"):
        read("/dev/zero", ["strain"])
    os.mkfifo(tmp_path / "unread")
    with pytest.raises(InputError, match="read it first"):
        sha256_of(tmp_path / "unread")


@PIPES
@pytest.mark.parametrize("how", ["a pipe", "a file"])
def test_standard_input_is_read(tmp_path, how):
    script = (
        "import sys; sys.argv = ['kspike-reg']\n"  # which starts without Keras
        "from kspike_reg.datasets import read; print(read('/dev/stdin', ['strain'], ['stress']))"
    )
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    with open(tmp_path / "table.csv", encoding="utf-8") as file:
        given = {"input": TABLE} if how == "a pipe" else {"stdin": file}
        process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, **given)
    assert process.stdout == "Paths(2 of 2 to 3 steps: strain -> stress)\n", process.stderr


def test_write_csv_takes_a_list_with_one_array_for_each_path(tmp_path):
    paths = Paths(np.arange(12.0).reshape(2, 3, 2), None, ("one", "two"), lengths=np.array([2, 3]))
    for file, values in (("padded.csv", paths.inputs), ("list.csv", paths.ragged("inputs").each())):
        write_csv(tmp_path / file, paths, values, paths.input_names)
    assert (tmp_path / "padded.csv").read_bytes() == (tmp_path / "list.csv").read_bytes()
