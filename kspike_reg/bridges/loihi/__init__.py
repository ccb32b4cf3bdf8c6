"""Trained LIF and RLIF networks on Intel's Loihi, by NengoLoihi's emulator of the chip.

    real input - host - bias currents - spiking layers on the chip - spikes, membranes - host - answer

`quantise` gives the network as the chip stores it, to be looked at in Keras; `simulate_on_loihi` runs it on the
emulator; `loihi_report` tells what either costs in accuracy, and what the chip spends. Networks need `reset="zero"`,
the chip's own. The emulator comes with the extra `loihi`, which wants NumPy below 2; `quantise` does without.
"""

from kspike_reg.bridges.loihi.comparison import loihi_report
from kspike_reg.bridges.loihi.quantise import Quantised, quantise
from kspike_reg.bridges.loihi.run import LoihiRun, simulate_on_loihi

__all__ = ["LoihiRun", "Quantised", "loihi_report", "quantise", "simulate_on_loihi"]
