"""Laws and their driver refuse invalid strains, states, parameters and results."""

import re

import numpy as np
import pytest

from kspike_reg.errors import InputError
from kspike_reg.mechanics import IsotropicHardening, Law, LinearElasticity, NoState, RambergOsgood, Step, drive
from mechanics.law_table import LAWS, PATHS, STEPS


def refused(message, *arguments, **options):
    with pytest.raises(InputError, match=re.escape(message)):
        drive(*arguments, **options)


def test_a_strain_without_the_components_of_the_law_is_refused():
    springs = LAWS["two springs"]
    refused(
        "drive: expected strain of shape (n, T, 2), since LinearElasticity has 2 components, received shape (4, 7)",
        springs, np.zeros((4, 7)),
    )  # fmt: skip
    refused("received shape (4, 7, 3)", springs, np.zeros((4, 7, 3)))
    refused("received shape (2,)", springs, np.zeros(2))
    refused(
        "expected strain of shape (T,), (n, T) or (n, T, 1), since IsotropicHardening has 1 component, received shape "
        "(2, 3, 4)",
        IsotropicHardening(), np.zeros((2, 3, 4)),
    )  # fmt: skip
    refused("received shape ()", IsotropicHardening(), 0.1)
    refused("received shape (2, 3, 1, 1)", IsotropicHardening(), np.zeros((2, 3, 1, 1)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_strain_that_is_not_finite_is_refused(wrong):
    refused("drive: expected finite values of strain", IsotropicHardening(), [0.0, wrong])
    refused("mine: expected finite values of strain", IsotropicHardening(), [0.0, wrong], caller="mine")


def test_a_state_of_other_paths_is_refused():
    law = IsotropicHardening()
    refused(
        "expected a state of as many paths as the strain has, 4, received plastic_strain of shape (3,)",
        law, np.zeros((4, 7)), state=law.initial_state(3),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["modulus for each path", "ramberg-osgood for each path"])
def test_parameters_of_other_paths_are_refused(name):
    refused("has values for 4 paths, the strain has 3; give one number, or one value for each path", LAWS[name],
            np.zeros((3, 7)))  # fmt: skip


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_step_refuses_whole_paths_and_other_components(law):
    for shape in ((PATHS,), (PATHS, law.components + 1), (PATHS, STEPS, law.components)):
        message = f"{type(law).__name__}.step: expected the strain of one step, shape (paths, {law.components})"
        with pytest.raises(InputError, match=re.escape(message)):
            law.step(np.zeros(shape), law.initial_state(PATHS))


def test_the_error_names_a_law_that_breaks_the_contract():
    """With as many paths as components NumPy would accept the flat stress and broadcast it."""

    class Flat(Law):
        components = 2

        def initial_state(self, paths):
            return NoState()

        def step(self, strain, state, *, tangent=False):
            return Step(strain[:, 0], state, np.zeros((len(strain), 2)))

    class FlatTangent(Flat):
        def step(self, strain, state, *, tangent=False):
            return Step(strain, state, np.zeros((len(strain), 2)))

    refused("Flat.step: expected to return a stress of shape (2, 2), received (2,)", Flat(), np.zeros((2, 3, 2)))
    refused(
        "FlatTangent.step: expected to return a tangent of shape (2, 2, 2), received (2, 2)",
        FlatTangent(), np.zeros((2, 3, 2)), tangents=True,
    )  # fmt: skip


def test_a_law_that_lacks_a_method_cannot_be_constructed():
    class Half(Law):
        components = 1

        def initial_state(self, paths):
            return NoState()

    with pytest.raises(TypeError, match="step"):
        Half()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "stiffness to be more than zero, in MPa, received stiffness=array(0.)"),
        (([1.0, -2.0],), "stiffness to be more than zero, in MPa, received stiffness=values from -2.0 to 1.0"),
        ((np.nan,), "stiffness to be more than zero"),
        ((7e4, 0), "expected components to be a positive integer, received components=0"),
        ((np.ones((2, 3)),), "received a stiffness of shape (2, 3)"),
        ((np.ones((2, 2, 2)),), "received a stiffness of shape (2, 2, 2)"),
        ((np.eye(2), 3), "received a stiffness of shape (2, 2) for 3 components"),
        ((np.diag([1.0, np.inf]),), "expected finite values of stiffness"),
        (([[1.0, 2.0], [2.0, 1.0]],), "positive energy for every strain, received a matrix whose symmetric part has"),
    ],
)
def test_an_invalid_stiffness_is_refused(arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        LinearElasticity(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "RambergOsgood: expected yield_stress to be more than zero"),
        ((300.0, 2.1e5, 0.5), "RambergOsgood: expected an exponent of 1 or more, received 0.5"),
        (([[300.0], [200.0]],), "one number or one for each path, shape (paths,), received shape (2, 1)"),
        (([300.0, 200.0], [1.0, 2.0, 3.0]), "the shapes do not broadcast: yield_stress (2,), youngs_modulus (3,)"),
    ],
)
def test_a_parameter_of_ramberg_osgood_out_of_range_is_refused(arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        RambergOsgood(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "IsotropicHardening: expected yield_stress to be more than zero"),
        ((300.0, 2.1e5, -1.0), "hardening_modulus to be zero or more"),
        (([300.0, 200.0],), "expected one number for all paths, received yield_stress=[300.0, 200.0]"),
    ],
)
def test_a_constant_of_hardening_out_of_range_is_refused(arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        IsotropicHardening(*arguments)
