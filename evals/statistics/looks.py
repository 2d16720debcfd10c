"""Which look at a bundle an evaluation is: one more for each evaluation of its kind that was recorded before.

The number stands in the inputs, since the bounds depend on it (see `levels`), and in the ledger, where anyone can count
again: `bundles.evidence_rules` refuses an evaluation that calls itself an earlier look than it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bundles.canonical import short_id
from bundles.evidence_rules import look_problem
from evals.statistics.trials import TRIALS, VARIANCE

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.evidence import EvaluationInputs

LOOK: Final = "look"
_COUNTED: Final = {LOOK, TRIALS, VARIANCE}
"""Settings that tell what was there when the evaluation was asked for, not what is to be evaluated."""


def look_of(catalog: Catalog, inputs: EvaluationInputs) -> EvaluationInputs:
    """Return the inputs with the number of the look among their settings.

    Inputs that were evaluated already are no further look: the ones recorded then are returned, with the look and the
    trials of that time, unless that look was counted wrongly. So the same question finds the same record.
    """
    bundle_id = short_id("bun", inputs.bundle)
    state = catalog.ledger.state(bundle_id)
    same_kind = [each for each in catalog.evaluations(bundle_id) if each.inputs.kind == inputs.kind]
    asked = _uncounted(inputs)
    for each in same_kind:
        if _uncounted(each.inputs) == asked and LOOK in each.inputs.settings and not look_problem(each.inputs, state):
            return each.inputs
    return inputs.model_copy(update={"settings": {**inputs.settings, LOOK: 1 + len(same_kind)}})


def _uncounted(inputs: EvaluationInputs) -> EvaluationInputs:
    settings = {name: value for name, value in inputs.settings.items() if name not in _COUNTED}
    return inputs.model_copy(update={"settings": settings})
