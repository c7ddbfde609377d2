"""What perf_analyzer's names ask for here: what they ask for there."""

import re
from pathlib import Path

import pytest

from tritongen.cli import perf_analyzer
from tritongen.cli.main import build_parser
from tritongen.cli.probe import _check_question, _request, _search
from tritongen.cli.server_options import shown_command
from tritongen.errors import InvalidInputError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.queueing import Pacing

PAGE = (Path(__file__).parents[3] / "docs/from-perf-analyzer.md").read_text()


def options(*words):
    args = build_parser("probe").parse_args(["probe", *words])
    _check_question(args)
    return args


def request(line):
    return _request(options(*line.split()))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("-b 4", "--batch 4"),
        ("-m ocr -x 2", "-m ocr/2"),
        ("--model-version 2 -m ocr -m rank/3", "-m ocr/2 -m rank/3"),
        ("-i GRPC", "--protocol grpc"),
        ("-t 4", "--concurrency 4"),
        ("--concurrency-range 2:5", "--concurrency 2,3,4,5"),
        ("--concurrency-range 4", "--concurrency 4"),
        ("--concurrency-range 2:6:2", "--concurrency 2,4,6"),
        ("--request-rate-range 10:12", "--rate 10,11,12 --arrivals constant"),
        ("--request-rate-range 10 --request-distribution poisson", "--rate 10"),
        ("--request-distribution poisson --request-rate-range 10", "--rate 10"),
        ("-p 2000", "--time-budget 20s"),
        ("-r 4 --measurement-interval 1000", "--time-budget 4s"),
        ("--max-trials 3", "--time-budget 15s"),
        ("-s 5", "--width 0.05"),
        ("--sequence-length 20 --random-seed 7", "--sequence 20 --seed 7"),
        ("--shared-memory system", "--shm"),
        ("--shared-memory none --input-data random", ""),
        ("--grpc-compression-algorithm gzip", "--compression gzip"),
        ("--grpc-compression-algorithm none", ""),
        ("-u h:1 -H X-Key:abc", "-u h:1 --header X-Key:abc"),
        ("-u h:1 --ssl-grpc-use-ssl", "-u h:1 --tls"),
        ("-u h:1 --ssl-https-verify-peer 0", "-u h:1 --insecure"),
        ("-u h:1 --ssl-https-ca-certificates-file a.pem", "-u h:1 --ca a.pem"),
        (
            "-u h:1 --ssl-grpc-certificate-chain-file c --ssl-grpc-private-key-file k",
            "-u h:1 --cert c --key k",
        ),
    ],
)  # fmt: skip
def test_a_name_asks_for_what_it_asks_for_there(theirs, ours, tmp_path):
    assert request(theirs) == request(ours)


def test_our_own_ranges_and_arrivals_stay_as_they_are():
    assert [load.value for load in request("--concurrency 1:8").loads] == [1, 2, 4, 8]
    assert request("--rate 10").loads[0].pacing is Pacing.POISSON
    assert request("-i http").protocol is ClientProtocol.HTTP


@pytest.mark.parametrize(
    ("words", "goal"),
    [
        ("-l 5", "mean<5ms"),
        ("-l 5 --percentile 95", "p95<5ms"),
        ("--percentile 99 --latency-threshold 2.5", "p99<2.5ms"),
    ],
)
def test_a_threshold_is_a_goal(words, goal):
    args = options("--concurrency-range", "1:64", *words.split())
    (found,) = _search(args).goals
    assert found.text == goal
    assert _search(args).most == 64


def test_a_percentile_alone_asks_nothing():
    assert request("--percentile 95") == request("")


def test_files_are_the_same_files(tmp_path):
    data = tmp_path / "rows.json"
    data.write_text('{"data": [{"x": [1]}]}')
    found = request(f"--input-data {data}")
    assert found.inputs.data == request(f"--data {data}").inputs.data
    args = options("-f", str(tmp_path / "report"))
    assert (args.output, args.format) == (tmp_path / "report", "csv")


@pytest.mark.parametrize("name", [*perf_analyzer.ABSENT])
def test_what_has_no_counterpart_is_answered_in_one_line(name):
    _, valued = perf_analyzer.ABSENT[name]
    with pytest.raises(InvalidInputError) as caught:
        options(name, *(["1"] if valued else []))
    assert caught.value.code == "TG921"
    assert caught.value.what.startswith(name)
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", caught.value.fix)) - {"--server-flag"}
    known = build_parser("probe")._subparsers._group_actions[0].choices["probe"]
    assert flags <= set(known._option_string_actions)


@pytest.mark.parametrize("words", ["--input-data zero", "--shared-memory cuda"])
def test_values_without_a_counterpart_are_answered(words):
    with pytest.raises(InvalidInputError) as caught:
        options(*words.split())
    assert caught.value.code == "TG921"


def test_what_changes_nothing_is_taken_and_told(capsys):
    assert request("--async --max-threads 4 -t 2") == request("--concurrency 2")
    said = capsys.readouterr().err
    assert "--async changes nothing" in said
    assert "--max-threads changes nothing" in said


def test_names_hide_from_the_list_and_stand_in_the_last_section():
    parser = build_parser("probe")._subparsers._group_actions[0].choices["probe"]
    listed, _, section = parser.format_help().partition("names of perf_analyzer")
    ours = {"--streaming", "--request-count", "-m", "-u", "-v"}
    assert not {name for name in perf_analyzer.all_names() if f" {name}" in listed}
    assert ours <= set(re.findall(r"--?[\w-]+", listed))
    named = set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*[a-z]\b|(?<!\S)-[A-Za-z]\b", section))
    assert named - {"--ssl-"} <= {*perf_analyzer.all_names(), "--ssl"}


def test_the_page_tells_of_every_name():
    assert [name for name in perf_analyzer.all_names() if f"`{name}" not in PAGE] == []


def test_no_value_of_a_header_is_stored():
    for words in (["-H", "X-Key: abc"], ["-HX-Key: abc"], ["--header", "X-Key: abc"]):
        shown = " ".join(shown_command(["probe", *words]))
        assert "abc" not in shown
        assert "X-Key" in shown
