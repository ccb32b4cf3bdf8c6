"""The studies, by name: each is one file with its cases, its figures and its summary.

A new study is one file here and one line in `STUDIES`. The paper's Table I and the corrections of its counting are in
`table_one` and `corrections`; they train nothing.
"""

from kspike_reg.registry import Registry

__all__ = ["STUDIES"]

STUDIES = Registry(
    {
        "elasticity": "kspike_reg.experiments.studies.elasticity:STUDY",
        "ramberg-osgood": "kspike_reg.experiments.studies.ramberg_osgood:STUDY",
        "hardening-grid": "kspike_reg.experiments.studies.hardening_grid:STUDY",
        "hardening-comparison": "kspike_reg.experiments.studies.hardening_comparison:STUDY",
        "cyclic": "kspike_reg.experiments.studies.cyclic:STUDY",
        "width": "kspike_reg.experiments.studies.width:STUDY",
        "recipe": "kspike_reg.experiments.studies.recipe:STUDY",
    }
)
