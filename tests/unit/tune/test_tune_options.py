"""The options of `tune`: declared once, and read from the command line as they are declared."""

from pathlib import Path

from tritongen.cli.main import build_parser
from tritongen.cli.parser import declared_options
from tritongen.model.client_protocol import ClientProtocol
from tritongen.triton.server import RuntimeName
from tritongen.tune.tune_options import TuneOptions


def options_of(*words):
    arguments = build_parser("tune", alone=True).parse_args(["tune", "models", *words])
    assert arguments.models == Path("models")
    return declared_options(TuneOptions, arguments)


def test_without_flags_the_defaults_of_the_fields_hold():
    assert options_of() == TuneOptions()


def test_every_flag_fills_its_field():
    words = "-m a --model b -m a --goal throughput --budget 2m --cpus 1.5 --protocol grpc"
    more = "--runtime docker --image i --triton-wheel w.whl --seed 3 --dry-run --resume"
    assert options_of(*words.split(), *more.split()) == TuneOptions(
        models=("a", "b"),
        goal="throughput",
        budget_s=120.0,
        cpus=1.5,
        protocol=ClientProtocol.GRPC,
        runtime=RuntimeName.DOCKER,
        image="i",
        wheel=Path("w.whl"),
        seed=3,
        dry_run=True,
        resume=True,
    )


def test_two_commands_do_not_share_a_list_of_models():
    assert options_of("-m", "a").models == ("a",)
    assert options_of("-m", "b").models == ("b",)
