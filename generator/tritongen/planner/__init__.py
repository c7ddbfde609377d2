"""Facts, intent and evidence in; one serving plan out. Pure: the same inputs, the same plan."""

from tritongen.planner.planning import held_by_environment, left_out, model_inputs, plan_serving

__all__ = ["held_by_environment", "left_out", "model_inputs", "plan_serving"]
