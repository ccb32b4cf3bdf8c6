"""The contract of laws and their driver: every law is one row of a table and passes every test."""

import inspect
from typing import NamedTuple

import numpy as np
import pytest

from kspike_reg import mechanics
from kspike_reg.mechanics import IsotropicHardening, Law, LinearElasticity, Step, drive
from mechanics.law_table import LAWS, MATRIX, PATHS, STEPS, strain_for

every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
# Two stresses of the Ramberg-Osgood law may differ by twice the residual of the iteration, 1e-13, and some roundings,
# because the iteration of a batch ends when all its values converged. Results of other laws differ only by rounding.
TWO_ITERATIONS = 3e-13


def frozen(*arrays):
    """Read-only copies, which raise an error on writing."""
    copies = [np.array(array) for array in arrays]
    for copy in copies:
        copy.flags.writeable = False
    return copies


def test_every_law_is_in_the_table():
    public = {thing for name in mechanics.__all__ if inspect.isclass(thing := getattr(mechanics, name))}
    laws = {thing for thing in public if issubclass(thing, Law) and thing is not Law}
    assert laws == {type(law) for law in LAWS.values()}


@every_law
def test_a_step_keeps_the_shapes_and_the_type_of_the_state(law):
    state = law.initial_state(PATHS)
    strain = strain_for(law)[:, 0]
    step = law.step(strain, state)
    assert isinstance(step, Step)
    assert step.stress.shape == (PATHS, law.components)
    assert step.stress.dtype == np.float64
    assert step.tangent is None
    assert type(step.state) is type(state)
    assert [part.shape for part in step.state] == [part.shape for part in state]
    assert all(len(part) == PATHS for part in state)
    assert law.step(strain, state, tangent=True).tangent.shape == (PATHS, law.components, law.components)


@every_law
def test_the_driver_gives_what_step_by_step_gives(law):
    """The same operations on the same numbers, so results are equal to the bit."""
    strain = strain_for(law)
    response = drive(law, strain, states=True, tangents=True)
    assert response.stress.shape == strain.shape
    assert response.tangents.shape == (*strain.shape, law.components)
    state = law.initial_state(PATHS)
    for index in range(STEPS):
        step = law.step(np.ascontiguousarray(strain[:, index]), state, tangent=True)
        state = step.state
        np.testing.assert_array_equal(response.stress[:, index], step.stress)
        np.testing.assert_array_equal(response.tangents[:, index], step.tangent)
        for past, part in zip(response.states, state, strict=True):
            np.testing.assert_array_equal(past[:, index], part)
    for last, part in zip(response.state, state, strict=True):
        np.testing.assert_array_equal(last, part)
    assert type(response.states) is type(state)
    bare = drive(law, strain)
    np.testing.assert_array_equal(bare.stress, response.stress)
    assert bare.states is bare.tangents is None


@every_law
def test_a_step_can_be_rolled_back(law):
    """Step from a state to a strain, to another strain, and to the first again; read-only arguments prove purity."""
    strain = strain_for(law)
    committed = law.initial_state(PATHS)
    for index in range(3):
        committed = law.step(strain[:, index], committed).state
    committed = type(committed)(*frozen(*committed))
    before = [part.copy() for part in committed]
    first, other = frozen(strain[:, 3] + 1e-3, strain[:, 4] - 4e-3)
    one = law.step(first, committed, tangent=True)
    one = Step(one.stress.copy(), type(committed)(*(part.copy() for part in one.state)), one.tangent.copy())
    away = law.step(other, committed, tangent=True)
    again = law.step(first, committed, tangent=True)
    assert not np.array_equal(away.stress, one.stress)
    np.testing.assert_array_equal(again.stress, one.stress)
    np.testing.assert_array_equal(again.tangent, one.tangent)
    for part, expected in zip(again.state, one.state, strict=True):
        np.testing.assert_array_equal(part, expected)
    for part, expected in zip(committed, before, strict=True):
        np.testing.assert_array_equal(part, expected)


@every_law
def test_tangents_are_the_central_differences_of_the_stress(law):
    """For each component of the strain, at every step, from the previous state.

    The difference is off by the third derivative times h^2 / 6 and by the error of the stress over h. With h = 3e-7
    the first error is below 2e11 MPa * 9e-14 / 6 = 3e-3 MPa for the sharpest bend, that of Ramberg and Osgood (2.1e5
    over the square of 1e-3), and zero for piecewise linear laws. The second is below 3e-13 * 1000 MPa / 3e-7 = 1e-3
    MPa. Tangents are of 1e3 to 2e5 MPa, so 1e-6 of them and 4e-3 MPa cover both errors. No strain of these paths is
    within h of the end of an elastic range, where the difference would mix two tangents.
    """
    h = 3e-7
    strain = strain_for(law)
    tangents = drive(law, strain, tangents=True).tangents
    state, differences = law.initial_state(PATHS), np.zeros_like(tangents)
    for index in range(STEPS):
        now = strain[:, index]
        for component in range(law.components):
            shift = h * np.eye(law.components)[component]
            above, below = law.step(now + shift, state).stress, law.step(now - shift, state).stress
            differences[:, index, :, component] = (above - below) / (2 * h)
        state = law.step(now, state).state
    np.testing.assert_allclose(tangents, differences, rtol=1e-6, atol=4e-3)
    # The test is not vacuous: on these paths every law except the linear one has steep and flat tangents.
    if not isinstance(law, LinearElasticity):
        assert tangents.min() < 2.5e4
        assert tangents.max() > 6e4


@every_law
def test_a_path_in_two_pieces_is_the_whole_path(law):
    strain = strain_for(law)
    whole = drive(law, strain, states=True)
    first = drive(law, strain[:, :3], states=True)
    second = drive(law, strain[:, 3:], state=first.state, states=True)
    np.testing.assert_array_equal(np.concatenate([first.stress, second.stress], axis=1), whole.stress)
    for one, other, both in zip(first.states, second.states, whole.states, strict=True):
        np.testing.assert_array_equal(np.concatenate([one, other], axis=1), both)


@pytest.mark.parametrize("name", [name for name in LAWS if "each path" not in name])
def test_many_paths_at_once_give_what_each_gives_alone(name):
    law = LAWS[name]
    strain = strain_for(law)
    together = drive(law, strain).stress
    for path, alone in zip(together, strain, strict=True):
        # A matrix product rounds each of its c terms of some 1000 MPa.
        np.testing.assert_allclose(drive(law, alone[None]).stress[0], path, rtol=TWO_ITERATIONS, atol=1e-12 * 1e3)


@pytest.mark.parametrize("name", ["modulus for each path", "ramberg-osgood for each path"])
def test_each_path_has_its_own_parameter(name):
    law = LAWS[name]
    strain = strain_for(law)
    together = drive(law, strain).stress
    own = {"stiffness"} if isinstance(law, LinearElasticity) else {"yield_stress", "exponent"}
    for path in range(PATHS):
        parameters = {parameter: getattr(law, parameter)[path] for parameter in own}
        alone = drive(type(law)(**parameters), strain[path, :, 0]).stress
        np.testing.assert_allclose(together[path, :, 0], alone, rtol=TWO_ITERATIONS)


@pytest.mark.parametrize("name", [name for name, law in LAWS.items() if law.components == 1])
def test_the_axes_of_a_single_component_and_of_a_single_path_may_be_omitted(name):
    """Strain (n, T, 1), (n, T) and (T,): the same numbers to the bit, without the axes that the strain omits."""
    law = LAWS[name]
    strain = strain_for(law)
    full, flat = (drive(law, array, states=True, tangents=True) for array in (strain, strain[..., 0]))
    np.testing.assert_array_equal(flat.stress, full.stress[..., 0])
    np.testing.assert_array_equal(flat.tangents, full.tangents[..., 0, 0])
    for one, other in zip(flat.states, full.states, strict=True):
        np.testing.assert_array_equal(one, other)
    if "each path" in name:
        return
    single = drive(law, strain[2, :, 0], states=True, tangents=True)
    expected = drive(law, strain[2:3], states=True, tangents=True)
    assert single.stress.shape == single.tangents.shape == (STEPS,)
    np.testing.assert_array_equal(single.stress, expected.stress[0, :, 0])
    np.testing.assert_array_equal(single.tangents, expected.tangents[0, :, 0, 0])
    for one, other in zip(single.states, expected.states, strict=True):
        np.testing.assert_array_equal(one, other[0])
    for one, other in zip(single.state, expected.state, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_stress_of_several_components_follows_the_matrix():
    """By hand, MATRIX times (1, 2, -3) / 1000: 240 + 100 - 30, 50 + 414 + 60, 10 - 40 - 210."""
    strain = np.array([[[0.0, 0.0, 0.0], [1e-3, 2e-3, -3e-3]]])
    response = drive(LinearElasticity(MATRIX), strain, tangents=True)
    # Three products of up to 414, each rounded, and two sums.
    np.testing.assert_allclose(response.stress, [[[0, 0, 0], [310, 524, -240]]], rtol=0, atol=5 * 2.3e-16 * 414)
    np.testing.assert_array_equal(response.tangents, np.broadcast_to(MATRIX, (1, 2, 3, 3)))


def test_a_matrix_that_is_not_symmetric_acts_from_the_left():
    """stress_i = sum_j stiffness_ij strain_j: (3, 1; 0, 2) times (1, 10) is (13, 20), its transpose gives (3, 21)."""
    response = drive(LinearElasticity([[3.0, 1.0], [0.0, 2.0]]), [[[1.0, 10.0]]])
    np.testing.assert_array_equal(response.stress, [[[13.0, 20.0]]])


def test_springs_with_a_scalar_modulus_are_independent():
    strain = strain_for(LAWS["two springs"])
    np.testing.assert_array_equal(drive(LAWS["two springs"], strain).stress, 7e4 * strain)
    np.testing.assert_array_equal(
        drive(LAWS["two springs"], strain, tangents=True).tangents[1, 2], [[7e4, 0.0], [0.0, 7e4]]
    )


def test_newton_with_the_tangent_finds_the_strain_of_a_given_stress():
    """A bar under force: each step is repeated from the committed state until the stress matches, then committed.

    The hardening curve has two straight lines, so the algorithmic tangent needs at most two corrections; a wrong
    tangent needs more or never converges. The closed form of the strain under loading is: 300 MPa at 300 / E, then
    a slope of E * 2.1e4 / (E + 2.1e4); unloading has the slope E.
    """
    law, elastic, hardening = IsotropicHardening(), 2.1e5, 2.1e4
    slope = elastic * hardening / (elastic + hardening)
    forces = np.array([[150.0, 280.0, 340.0, 400.0, 100.0], [-200.0, -320.0, -321.0, -500.0, -450.0]])
    committed, strain, found = law.initial_state(2), np.zeros((2, 1)), []
    for force in forces.T[..., None]:
        for _ in range(3):
            step = law.step(strain, committed, tangent=True)
            strain = strain + (force - step.stress) / step.tangent[..., 0]
        step = law.step(strain, committed)
        np.testing.assert_allclose(step.stress, force, rtol=0, atol=1e-9)  # rounding of a few hundred MPa
        committed = step.state
        found.append(strain[:, 0])
    size = np.abs(forces)
    loading = np.where(size <= 300, size / elastic, 300 / elastic + (size - 300) / slope)
    peak = loading[:, 3] - (size[:, 3] - size[:, 4]) / elastic
    expected = np.sign(forces[:, :1]) * np.column_stack([loading[:, :4], peak])
    np.testing.assert_allclose(np.transpose(found), expected, rtol=0, atol=1e-14)


class MaxwellState(NamedTuple):
    """Strain and stress at the end of the last step, each (paths, 1)."""

    strain: np.ndarray
    stress: np.ndarray


class Maxwell(Law):
    """A spring and a dashpot in series, written in strain increments: stress <- decay * stress + E * increment."""

    components = 1

    def __init__(self, modulus, decay):
        self.modulus, self.decay = modulus, decay

    def initial_state(self, paths):
        return MaxwellState(np.zeros((paths, 1)), np.zeros((paths, 1)))

    def step(self, strain, state, *, tangent=False):
        stress = self.decay * state.stress + self.modulus * (strain - state.strain)
        slope = np.full((len(strain), 1, 1), self.modulus) if tangent else None
        return Step(stress, MaxwellState(strain, stress), slope)


def test_a_law_in_strain_increments_keeps_the_last_strain_in_its_state():
    """One increment e: the stress is E e and then decays at each step. All numbers are powers of two, so exact."""
    response = drive(Maxwell(1024.0, 0.5), [[0.0, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]], states=True)
    np.testing.assert_array_equal(response.stress, [[0, 256, 128, 64], [512, 256, -384, -192]])
    np.testing.assert_array_equal(response.states.strain[..., 0], [[0, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])
    np.testing.assert_array_equal(response.states.stress[..., 0], response.stress)


class Counting(Law):
    """A law whose state has an additional axis and holds integers."""

    components = 2

    def initial_state(self, paths):
        return CountingState(np.zeros((paths, 3), dtype=np.int64))

    def step(self, strain, state, *, tangent=False):
        return Step(strain.copy(), CountingState(state.steps + np.array([1, 2, 3])))


class CountingState(NamedTuple):
    steps: np.ndarray


def test_a_state_keeps_its_shape_and_dtype():
    response = drive(Counting(), np.ones((4, 5, 2)), states=True)
    assert response.states.steps.shape == (4, 5, 3)
    assert response.states.steps.dtype == np.int64
    np.testing.assert_array_equal(response.states.steps[2], np.outer(np.arange(1, 6), [1, 2, 3]))


def test_no_paths_or_paths_without_steps_give_an_empty_response():
    for shape in ((0, 5), (3, 0)):
        response = drive(IsotropicHardening(), np.zeros(shape), states=True, tangents=True)
        assert response.stress.shape == response.tangents.shape == shape
        assert response.states.plastic_strain.shape == shape
