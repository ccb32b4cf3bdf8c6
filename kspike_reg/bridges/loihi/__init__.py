"""Trained LIF and RLIF networks on Intel's Loihi, by NengoLoihi's emulator of the chip.

    real inputs - host - bias currents - spiking layers on the chip - spikes, membranes - host - outputs

`quantise` returns the network as the chip stores it, as a Keras model. `simulate_on_loihi` runs it on the emulator.
`loihi_report` compares the errors of both with the trained network, and counts what the chip uses. Networks need
`reset="zero"`, the reset of the chip. The emulator needs the extra `loihi`, with NumPy below 2; `quantise` needs
neither.
"""

from kspike_reg.bridges.loihi.comparison import loihi_report
from kspike_reg.bridges.loihi.quantise import Quantised, quantise
from kspike_reg.bridges.loihi.run import LoihiRun, simulate_on_loihi

__all__ = ["LoihiRun", "Quantised", "loihi_report", "quantise", "simulate_on_loihi"]
