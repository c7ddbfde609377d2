"""facts + intent + evidence → config.pbtxt, one folder a case, reviewed as text."""

import json
from pathlib import Path

import pytest

from tritongen.intent.reader import parse_intent
from tritongen.model.codec import decode
from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import Evidence, ModelEvidence
from tritongen.model.facts import ModelFacts
from tritongen.model.lock_files import lock_files, parse_lock_files
from tritongen.planner import plan_serving
from tritongen.repository.project import CpuBudget
from tritongen.repository.render_repository import make_lock, outline, render_models

CASES = Path(__file__).parent / "config"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_config(case: str, update_golden: bool) -> None:
    folder = CASES / case
    facts = decode(ModelFacts, json.loads((folder / "facts.json").read_text()))
    evidence = decode(ModelEvidence, json.loads((folder / "evidence.json").read_text()))
    document = parse_intent((folder / "tritongen.yaml").read_text(), case)
    assert not document.faults
    cores = budget_of_limit(document.intent.target.cpus or 1)

    plan = plan_serving([facts], document.intent, Evidence({facts.name: evidence}), cores)
    (rendered,) = render_models(plan, (facts,))

    expected = folder / "config.pbtxt"
    if update_golden:
        expected.write_text(rendered.text)
    assert rendered.text == expected.read_text()
    assert plan.total_threads <= cores.value
    # What the lock says of the server follows from what it says of each model.
    known = Evidence({facts.name: evidence})
    lock = make_lock(plan, [outline(rendered)], known, CpuBudget(cores, None), document.intent)
    assert lock.server.environment == {name: item.value for name, item in plan.server.environment}
    assert lock.server.flags == tuple((name, item.value) for name, item in plan.server.flags)
    assert lock.server.gpu_bytes == plan.server.gpu_bytes
    assert parse_lock_files(dict(lock_files(lock)), Path()) == lock
