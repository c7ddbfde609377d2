"""How the options of a probe are understood, and which cannot be meant."""

import pytest

from tritongen.cli.main import build_parser
from tritongen.cli.probe import _check_question, _request, _search
from tritongen.errors import InvalidInputError
from tritongen.queueing import ClosedLoop

LATER = "9" * 11


def budget(*words: str) -> float:
    return _request(build_parser("probe").parse_args(["probe", *words])).conditions.budget_s


def test_a_schedule_is_replayed_as_a_whole_unless_a_time_is_given(tmp_path):
    path = tmp_path / "day.txt"
    path.write_text("1h 5\n1h 5..80\n")
    day = ("--schedule", str(path))
    assert budget(*day) == 7_200.0
    assert budget(*day, "--speedup", "60") == 120.0
    assert budget(*day, "--time-budget", "1m") == 60.0
    assert budget("--schedule", "bursts", "--rate", "5") == 10.0


@pytest.mark.parametrize(
    ("words", "expected"),
    [((), 10.0), (("--time-budget", "500ms"), 0.5), (("--duration", "2m", "--rate", "5"), 120.0)],
)
def test_times_of_other_loads(words, expected):
    assert budget(*words) == expected


def refused(*words: str) -> str:
    """What is said of a command line that cannot be meant."""
    args = build_parser("probe").parse_args(["probe", *words])
    with pytest.raises(InvalidInputError) as caught:  # noqa: PT012 - one of the two refuses
        _check_question(args)
        _request(args)
    assert caught.value.code == "TG905"
    return caught.value.what


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--find", "knee", "--goal", "p99<5ms"), "--find and --goal are different questions"),
        (("--goal", "p99<5ms", "--schedule", "ramp"), "--goal chooses its own load"),
        (("--find", "knee", "--schedule", "ramp"), "--find chooses its own load"),
        (("--tolerance", "-0.01"), "--tolerance is a share"),
        (("-o", "page.txt"), "the name page.txt tells no format"),
        (("--confidence", "0.49"), "--confidence lies between"),
        (("--confidence", "1"), "--confidence lies between"),
        (("--batch", "0"), "--batch is at least 1, not 0"),
        (("--processes", "0"), "--processes is at least 1, not 0"),
        (("--sequence", "-1"), "--sequence is at least 0, not -1"),
        (("--max-outstanding", "0"), "--max-outstanding is at least 1, not 0"),
        (("--rate", "5", "--concurrency", "1"), "--concurrency and --rate are two kinds"),
        (("-m", "a b"), "-m 'a b' is not a model"),
        (("-m", "a=0"), "-m 'a=0' is not a model"),
        (("--start-at", "noon"), "--start-at 'noon' is no time with a zone"),
        (("--start-at", "2030-01-31T12:00:00"), "--start-at '2030-01-31T12:00:00' is no"),
        (("--start-at", "1e99"), "--start-at '1e99' is no time with a zone"),
        (("--start-at", LATER, "--goal", "p99<5ms"), "--start-at does not go together with --goal"),
        (
            ("--start-at", LATER, "--client", "both"),
            "--start-at does not go together with --client",
        ),
        (
            ("--start-at", LATER, "--request-count", "5"),
            "--start-at does not go together with --req",
        ),
        (
            ("--start-at", LATER, "--schedule", "ramp"),
            "--start-at does not go together with --sched",
        ),
        (("--merge", "a", "b", "--compare", "a", "b"), "--compare and --merge are different"),
        (("--shape", "x"), "--shape 'x' is not NAME:…"),
        (("--shape", ":1"), "--shape ':1' is not NAME:…"),
        (("--shape", "x:"), "--shape 'x:' is not NAME:…"),
        (("--shape", "x:1,a"), "--shape 'x:1,a' is not NAME:1,3,224,224"),
        (("--values", "x"), "--values 'x' is not NAME=…"),
    ],
)
def test_what_cannot_be_meant_is_told(words, said):
    assert refused(*words).startswith(said)


def test_the_least_numbers_are_taken():
    words = (
        "--tolerance", "0", "--confidence", "0.5", "--batch", "1", "--processes", "1",
        "--sequence", "0", "--max-outstanding", "1", "--rate", "5,7", "--insecure",
        "-u", "host:1",
        "-m", "a", "-m", "b/3=2.5", "--shape", "x:1,3", "--values", "x=int[0,10)",
    )  # fmt: skip
    args = build_parser("probe").parse_args(["probe", *words])
    _check_question(args)
    found = _request(args)
    assert [(one.name, one.version, one.share) for one in found.models] == [
        ("a", "", None), ("b", "3", 2.5),
    ]  # fmt: skip
    assert (found.inputs.shapes, found.inputs.values) == ({"x": (1, 3)}, {"x": "int[0,10)"})
    assert [load.value for load in found.loads] == [5.0, 7.0]
    assert found.options.max_outstanding == 1
    assert found.access.tls is not None
    assert not found.access.tls.verify
    assert not found.conditions.fixed


def test_without_a_load_eight_requests_are_on_their_way():
    args = build_parser("probe").parse_args(["probe", "--duration", "3"])
    found = _request(args)
    assert found.loads == (ClosedLoop(8),)
    assert found.conditions.fixed
    assert found.access.tls is None


@pytest.mark.parametrize(
    ("words", "by_concurrency", "first", "most"),
    [
        ((), False, None, None),
        (("--concurrency", "4"), True, 4, None),
        (("--concurrency", "2:16"), True, 2, 16),
        (("--rate", "50,100"), False, 50.0, 100.0),
    ],
)
def test_a_load_bounds_a_search(words, by_concurrency, first, most):
    args = build_parser("probe").parse_args(["probe", "--goal", "p99<5ms", *words])
    found = _search(args)
    assert len(found.goals) == 1
    assert (found.by_concurrency, found.first, found.most) == (by_concurrency, first, most)
    knee = build_parser("probe").parse_args(["probe", "--find", "knee", *words])
    assert _search(knee).goals == ()


@pytest.mark.parametrize(
    ("name", "form"), [("a.json", "json"), ("b.CSV", "csv"), ("c.html", "html")]
)
def test_the_name_of_a_file_tells_its_format(name, form, tmp_path):
    path = str(tmp_path / name)
    args = build_parser("probe").parse_args(["probe", "-o", path])
    _check_question(args)
    assert args.format == form
    args = build_parser("probe").parse_args(["probe", "-o", path, "--format", "csv"])
    _check_question(args)
    assert args.format == "csv"


def test_parameters_of_requests_have_types():
    words = ("a:1:int", "b:0.5:float", "c:TRUE:bool", "d:x:y:string", "e::string")
    line = [word for one in words for word in ("--request-parameter", one)]
    found = _request(build_parser("probe").parse_args(["probe", *line]))
    assert found.inputs.parameters == {"a": 1, "b": 0.5, "c": True, "d": "x:y", "e": ""}
    assert found.options.compression == ""


@pytest.mark.parametrize(
    "text",
    ["a", "a:1", "a:x:int", "a:yes:bool", ":1:int", "a b:1:int", "a:1:long", "sequence_id:1:int",
     "triton_x:1:int"],
)  # fmt: skip
def test_a_parameter_that_is_none_is_told(text):
    refused("--request-parameter", text)


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_compression_is_asked_of_the_engine(kind):
    found = _request(build_parser("probe").parse_args(["probe", "--compression", kind]))
    assert found.options.compression == kind


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1900000000", 1_900_000_000.0),
        ("1900000000.25", 1_900_000_000.25),
        ("2030-03-17T17:46:40Z", 1_900_000_000.0),
        ("2030-03-17T18:46:40.5+01:00", 1_900_000_000.5),
    ],
)
def test_a_begin_is_a_moment_everywhere(text, seconds):
    args = build_parser("probe").parse_args(["probe", "--start-at", text])
    assert _request(args).conditions.begin_at == seconds
    assert _request(build_parser("probe").parse_args(["probe"])).conditions.begin_at is None


@pytest.mark.parametrize("text", ["0", "1700000000", "1999-12-31T23:59:59Z"])
def test_a_begin_that_has_passed_is_refused(text):
    args = build_parser("probe").parse_args(["probe", "--start-at", text])
    with pytest.raises(InvalidInputError) as caught:
        _request(args)
    assert caught.value.code == "TG922"
    assert text in caught.value.what
