"""Capacity: which machines, how many, at what cost, and whether the latency goals hold."""

from tritongen.fleet.capacity.capacity_plan import (
    Binding,
    CapacityPlan,
    Estimate,
    ModelForecast,
    Nearest,
    Option,
    Range,
    ServicePlan,
)
from tritongen.fleet.capacity.demand import Demand
from tritongen.fleet.capacity.model_profile import Goal, Work, work_of
from tritongen.fleet.capacity.plan_file import PlanFile, parse_plan, plan_path, plan_text
from tritongen.fleet.capacity.scaling import Policy, changes
from tritongen.fleet.capacity.sizing import CapacityInput, plan_capacity

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
