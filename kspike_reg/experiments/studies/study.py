"""What a study is, and the settings that several studies have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from kspike_reg.experiments.case import Case

__all__ = ["HARDENING", "SEEDS", "Fields", "Figures", "Rows", "Study"]

Fields: TypeAlias = dict[str, Any]  # of a `Configuration`, by name
Figures: TypeAlias = dict[str, Any]  # matplotlib axes, or an array of them, by the name of the file
Rows: TypeAlias = list[dict[str, Any]]  # of a table, cells by column

# The paper's settings for isotropic hardening.
HARDENING: Fields = {"task": "hardening", "kind": "slstm", "family": "mirror", "timesteps": 100}
SEEDS = (0, 1, 2, 3, 4)


def _no_summary(cases: Sequence["Case"]) -> Rows:
    return []


@dataclass(frozen=True)
class Study:
    """A set of runs that belong together.

    A study is one file in `experiments/studies` with its cases, its figures and its summary, and one line in
    `STUDIES`.

    Args:
        title: the title of the report.
        cases: a function (finished, quick) that returns the subject of each case: fields of a `Configuration`, by the
            name of the case. `finished` holds the metrics of the cases that are complete. The function is called again
            when all its cases are complete, so that the result of some cases may decide which ones come next. `quick`
            says whether the short form is run.
        papers: fields that the paper gives to all cases.
        modern: fields that all cases get under the modern recipe, in addition to those of the recipe.
        quick: fields that all cases get in the short form.
        figures: a function of the finished cases that returns axes by file name.
        summary: a function of the finished cases that returns the rows of a table that sums them up.
        reported: the paper's errors, eq. 14, by case, (all steps, last step); None where it gives none.
        recipe: how the networks are trained unless the user chooses a recipe, a name in `RECIPES`.
    """

    title: str
    cases: Callable[[Mapping[str, Any], bool], Mapping[str, Fields]]
    papers: Fields
    modern: Fields
    quick: Fields
    figures: Callable[[Sequence["Case"]], Figures]
    summary: Callable[[Sequence["Case"]], Rows] = _no_summary
    reported: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    recipe: str = "paper"
