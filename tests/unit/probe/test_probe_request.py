"""From the command line of `probe` to what is measured."""

from tritongen.cli.main import build_parser
from tritongen.cli.probe import _request
from tritongen.probe.load_engine import EngineOptions
from tritongen.queueing import ClosedLoop, OpenLoop, Pacing


def request_of(*words):
    return _request(build_parser("probe", alone=True).parse_args(["probe", *words]))


def test_a_cap_of_outstanding_requests_reaches_the_engine():
    request = request_of("--rate", "100", "--max-outstanding", "8")
    assert request.options.max_outstanding == 8
    assert request.loads == (OpenLoop(100.0, max_outstanding=8),)
    assert request_of("--rate", "100").options == EngineOptions()


def test_a_loop_is_what_was_asked_for():
    assert request_of().loads == (ClosedLoop(8),)
    assert request_of("--concurrency", "1:4").loads == tuple(map(ClosedLoop, (1, 2, 4)))
    (load,) = request_of("--rate", "50", "--arrivals", "constant").loads
    assert (load.cv, load.pacing) == (0.0, Pacing.CONSTANT)
