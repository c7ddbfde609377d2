"""`plan --what-if`: the same question under another load, or with replicas gone."""

import re
from dataclasses import dataclass, replace

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import CapacityPlan
from tritongen.fleet.capacity.sizing import CapacityInput, plan_capacity

_RATE = re.compile(r"(?:(\S+)\s+)?rate\s*[×x*]\s*(\d{1,6}(?:\.\d{1,6})?)")
_FEWER = re.compile(r"(one|\d{1,4}) replicas? (?:less|fewer)")


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Another case than the one that is planned for.

    Attributes:
        factor: of rates.
        model: whose rate it is; every model's when empty.
        fewer: replicas that are gone from each service of the best option.
    """

    factor: float = 1.0
    model: str = ""
    fewer: int = 0

    def plan(self, inputs: CapacityInput, *, near: bool = True) -> CapacityPlan:
        """Ranked options for this case.

        Args:
            inputs: of the case that is planned for.
            near: where no option is feasible, look for what must give way.

        Raises:
            InvalidInputError: TG009, there is no such model or no such replica; what
                `plan_capacity` raises.
        """
        if self.fewer:
            return self._with_fewer(inputs, near)
        names = set(inputs.profiles)
        if self.model and self.model not in names:
            there = ", ".join(sorted(names))
            raise InvalidInputError(
                "TG009", f"--what-if: no model {self.model!r}; there are {there}"
            )
        rates = {
            name: tuple(rate * self.factor for rate in series)
            if self.model in {"", name} else series
            for name, series in inputs.demand.rates.items()
        }  # fmt: skip
        demand = replace(inputs.demand, rates=rates)
        return plan_capacity(replace(inputs, demand=demand), near=near)

    def _with_fewer(self, inputs: CapacityInput, near: bool) -> CapacityPlan:
        """The best option's machine, and at most the replicas that are left."""
        usual = plan_capacity(inputs, near=near)
        if usual.best is None:
            return usual
        left = max(service.most for service in usual.best.services) - self.fewer
        if left < 1:
            there = left + self.fewer
            what = f"the plan has {there} {'replica' if there == 1 else 'replicas'}"
            raise InvalidInputError("TG009", what, where="--what-if")
        business = inputs.intent.business
        limited = replace(
            business,
            min_replicas=min(business.min_replicas, left),
            scaling=replace(business.scaling, max_replicas=left),
        )
        intent = replace(inputs.intent, business=limited)
        limits = replace(inputs, intent=intent, machines=(usual.best.machine,))
        return plan_capacity(limits, near=near)


def parse_what_if(text: str) -> WhatIf:
    """A case in words.

    Raises:
        InvalidInputError: TG009, they say no case.
    """
    words = " ".join(text.split())
    if match := _RATE.fullmatch(words):
        return WhatIf(factor=float(match[2]), model=match[1] or "")
    if match := _FEWER.fullmatch(words):
        return WhatIf(fewer=1 if match[1] == "one" else int(match[1]))
    raise InvalidInputError(
        "TG009",
        f"--what-if {text!r} is no case",
        fix="Write 'rate × 3', 'MODEL rate × 3' or 'one replica less'.",
    )
