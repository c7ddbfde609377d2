"""Properties of whole plans, whatever the business says."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.capacity import capacity_input, machine
from tritongen.fleet.capacity.capacity_plan import PlanFile, parse_plan, plan_text
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.model.business import (
    Burst,
    Business,
    Clients,
    Cloud,
    Compression,
    Grouping,
    Pattern,
    PatternKind,
    Payload,
    Place,
    Platform,
    Scaling,
    ScalingMode,
)
from tritongen.model.intent import ModelIntent

TYPES = ("c6i.large", "c7a.xlarge", "Standard_F8s_v2", "g4dn.xlarge")
PATTERNS = st.builds(
    Pattern,
    kind=st.sampled_from([kind for kind in PatternKind if kind is not PatternKind.HISTORY]),
    night=st.floats(0.05, 1.0),
    weekend=st.floats(0.1, 2.0),
    burst=st.builds(Burst, factor=st.floats(1.0, 10.0), per_day=st.integers(0, 6)),
)
MODELS = st.dictionaries(
    st.sampled_from(["ocr", "rank", "embed"]),
    st.tuples(
        st.floats(0.05, 60.0),
        st.builds(
            ModelIntent,
            rate=st.floats(0.5, 800.0),
            latency_ms=st.none() | st.floats(2.0, 500.0),
            percentile=st.sampled_from([50.0, 95.0, 99.0]),
            request_batch=st.sampled_from([1, 2]),
            payload=st.builds(Payload, st.none() | st.integers(100, 3_000_000)),
        ),
    ),
    min_size=1,
)
BUSINESSES = st.builds(
    Business,
    pattern=PATTERNS,
    burstiness=st.sampled_from([0.0, 1.0, 2.5]),
    clients=st.builds(
        Clients, place=st.sampled_from(Place), compression=st.sampled_from(Compression)
    ),
    grouping=st.sampled_from(Grouping),
    min_replicas=st.integers(1, 3),
    budget_usd=st.none() | st.floats(5.0, 20_000.0),
    cloud=st.builds(Cloud, platform=st.sampled_from(Platform)),
    scaling=st.builds(
        Scaling,
        mode=st.sampled_from(ScalingMode),
        start_up_s=st.floats(0.0, 900.0),
        max_replicas=st.none() | st.integers(3, 60),
    ),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(MODELS, BUSINESSES, st.sampled_from(["", "Intel Xeon Platinum 8370C", "AMD EPYC 9R14"]))
def test_a_plan_keeps_its_word(
    models: dict[str, tuple[float, ModelIntent]], business: Business, cpu: str
) -> None:
    given_inputs = capacity_input(models, business, machines=[machine(n) for n in TYPES], cpu=cpu)
    plan = plan_capacity(given_inputs, refined=2)
    assert len(plan.options) == len(TYPES)
    feasible = [option for option in plan.options if option.feasible]
    assert plan.options[: len(feasible)] == tuple(feasible)
    for option in feasible:
        assert sorted(m for one in option.services for m in one.models) == sorted(models)
        assert option.usd_per_month <= (business.budget_usd or math.inf)
        assert option.least >= business.min_replicas * len(option.services)
        assert option.utilization is not None
        assert 0.0 <= option.utilization[0] <= 1.0
        for service in option.services:
            assert service.most <= (business.scaling.max_replicas or math.inf)
            assert len(service.hourly) == 168
            assert business.min_replicas <= min(service.hourly)
            assert max(service.hourly) <= service.most
            for one in service.forecasts:
                assert one.latency_s.low <= one.latency_s.value <= one.latency_s.high
                if option.estimate == "simulated":
                    assert one.late_share <= (1.0 - one.percentile / 100.0) * 1.02
    if feasible:
        assert plan.best == plan.options[0]
        file = PlanFile("tritongen", plan, 0, business=business)
        text = plan_text(file)
        assert plan_text(parse_plan(text, "plan")) == text
    else:
        assert plan.findings[-1].code in {"TG350", "TG351", "TG352"}
