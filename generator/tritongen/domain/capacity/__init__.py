"""Capacity: which machines, how many, at what cost, and whether the latency goals hold."""

from tritongen.domain.capacity.demand import Demand
from tritongen.domain.capacity.plan import CapacityInput, plan_capacity
from tritongen.domain.capacity.planfile import PlanFile, parse_plan, plan_path, plan_text
from tritongen.domain.capacity.result import (
    Binding,
    CapacityPlan,
    Estimate,
    ModelForecast,
    Nearest,
    Option,
    Range,
    ServicePlan,
)
from tritongen.domain.capacity.scaling import Policy, changes
from tritongen.domain.capacity.work import Goal, Work, work_of

__all__ = [
    "Binding",
    "CapacityInput",
    "CapacityPlan",
    "Demand",
    "Estimate",
    "Goal",
    "ModelForecast",
    "Nearest",
    "Option",
    "PlanFile",
    "Policy",
    "Range",
    "ServicePlan",
    "Work",
    "changes",
    "parse_plan",
    "plan_capacity",
    "plan_path",
    "plan_text",
    "work_of",
]
