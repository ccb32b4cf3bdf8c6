"""Every law as a row of one table; `test_law.py` checks the contract for each row."""

import numpy as np

from kspike_reg.mechanics import IsotropicHardening, LinearElasticity, RambergOsgood

PATHS, STEPS = 4, 7
# Symmetric and positive definite (leading minors 2.4e5, 4.7e10 and 3.0e15); all components differ.
MATRIX = np.array([[2.4e5, 5.0e4, 1.0e4], [5.0e4, 2.07e5, -2.0e4], [1.0e4, -2.0e4, 7.0e4]])
LAWS = {
    "modulus": LinearElasticity(),
    "modulus for each path": LinearElasticity([7e4, 2.1e5, 1.1e5, 4.5e4]),
    "two springs": LinearElasticity(7e4, components=2),
    "two springs for each path": LinearElasticity([7e4, 2.1e5, 1.1e5, 4.5e4], components=2),
    "matrix": LinearElasticity(MATRIX),
    "ramberg-osgood": RambergOsgood(300.0, 1.9e5, 7.0),
    "ramberg-osgood for each path": RambergOsgood([120.0, 300.0, 455.0, 210.0], 2.1e5, [1.0, 10.0, 3.5, 2.0]),
    "hardening": IsotropicHardening(290.0, 2.1e5, 2.1e4, 5e3),
    "perfect plasticity": IsotropicHardening(250.0, 7e4, 0.0),
}


def strain_for(law, seed=5):
    """Random walks of 0.002 per step: all laws of the table leave their linear range and return into it."""
    generator = np.random.default_rng(seed)
    return np.cumsum(generator.normal(0.0, 2e-3, (PATHS, STEPS, law.components)), axis=1)
