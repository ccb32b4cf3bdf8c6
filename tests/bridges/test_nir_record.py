"""The tables of docs/nir.md are those of the record of profiling/nir_consumers.py."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "profiling" / "results" / "nir_consumers.json").read_text(encoding="utf-8"))


def table_of_readers():
    lines = [
        "| network | reset | reader | form | layer 1 | layer 2 | layer 3 | output |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in RECORD["results"]:
        shares = " | ".join(share(layer) for layer in row["layers"].values())
        gap = row.get("largest_output_difference")
        gap = "" if gap is None else f"{gap:.1e}"
        lines.append(f"| `{row['network']}` | {row['reset']} | {row['reader']} | `{row['form']}` | {shares} | {gap} |")
    return lines


def share(layer):
    """In percent; less than 100 if a single spike differs."""
    if layer["unequal_neuron_steps"] == 0:
        return "100 %"
    return f"{100 * layer['equal']:.4f} %".replace("100.0000", "99.9999")


def table_of_whole_networks():
    lines = ["| network | reader | form | answer |", "|---|---|---|---|"]
    for row in RECORD["whole_networks"]:
        lines.append(f"| `{row['network']}` | {row['reader']} | `{row['form']}` | {row['outcome']} |")
    return lines


@pytest.mark.parametrize(("name", "table"), [("readers", table_of_readers), ("whole", table_of_whole_networks)])
def test_the_documentation_shows_the_record(name, table):
    text = (ROOT / "docs" / "nir.md").read_text(encoding="utf-8")
    written = text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]
    assert written.split("\n") == table()


def test_the_claims_of_the_documentation_hold_in_the_record():
    """A zero reset, snnTorch set to our reset, and the exact form agree to 99.99 %; other combinations do not."""
    assert len(RECORD["results"]) == 18
    for row in RECORD["results"]:
        shares = [layer["equal"] for layer in row["layers"].values()]
        assert len(shares) == 3
        assert all(0.05 < layer["spikes_ours"] < 0.95 for layer in row["layers"].values())
        agrees = (row["reset"] == "zero" and row["form"] != "trained") or "set to our" in row["reader"]
        if agrees or row["form"] == "exact":
            assert min(shares) >= 0.9999
        else:
            assert max(shares) < 0.99
        assert row.get("largest_output_difference", 0) < 1e-4
