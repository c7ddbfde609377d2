"""`plan` as a user runs it: options, the stored plan, and every fault of its inputs."""

import json

import pytest

from support.cli import Project

pytestmark = pytest.mark.smoke


OPTION_KEYS = {
    "machine", "provider", "region", "usd_per_hour", "price_date", "replicas", "services",
    "usd_per_month", "usd_per_million", "p99_us", "utilization", "binding", "lower_bound_ratio",
    "feasible", "reason",
}  # fmt: skip
RATES = """\
target: {cpus: 4}
models:
  dense: {rate: {average: 50, peak: 200}, latency: 50ms}
  fixed: {rate: 10}
"""


def intend(project: Project, text: str) -> None:
    project.write("models/tritongen.yaml", text)


def test_options_best_first_with_their_keys(built: Project) -> None:
    document = built.json("plan", "models")
    options = document["options"]
    assert len(options) == 10
    assert document["considered"] == 65
    assert set(options[0]) >= OPTION_KEYS
    assert [one["usd_per_month"] for one in options] == sorted(o["usd_per_month"] for o in options)
    best = options[0]
    assert best["feasible"]
    assert best["replicas"]["min"] <= best["replicas"]["max"]
    assert best["p99_us"]["low"] <= best["p99_us"]["value"] <= best["p99_us"]["high"]
    assert best["price_date"].startswith("2026-")
    service = best["services"][0]
    assert "dense" in service["models"]
    for one in service["split"]:
        assert one["instances"] * one["threads"] <= service["cpus"]
    codes = {item["code"] for item in document["findings"]}
    assert "TG340" in codes  # planned from the trial, and said so


def test_the_stored_plan_is_the_same_for_the_same_inputs(built: Project) -> None:
    first = built.json("plan", "models")
    path = built.folder / first["plan_file"]
    text = path.read_text()
    built.run("plan", "models")
    assert path.read_text() == text
    stored = json.loads(text)
    chosen = stored["plan"]["options"][stored["chosen"]]
    assert chosen["machine"]["name"] == first["options"][0]["machine"]
    assert chosen["services"]


def test_a_person_reads_a_table(built: Project) -> None:
    out = built.run("plan", "models", "--top", "3", "--dry-run").out
    assert "USD/month" in out
    assert "and 62 more" in out
    assert "price of 2026-" in out
    assert not (built.folder / "model_repository.plan.json").exists()


def test_models_that_were_never_built_are_tried(built: Project) -> None:
    (built.repository / "tritongen.lock").unlink()
    assert built.json("plan", "models", "--dry-run")["options"][0]["feasible"]
    assert built.error("plan", "models", "--no-trial", expect=2)["code"] == "TG341"


def test_a_provider_and_a_region(built: Project) -> None:
    options = built.json("plan", "models", "--provider", "gcp", "--top", "65")["options"]
    assert {one["provider"] for one in options} == {"gcp"}
    assert not any(one["feasible"] for one in options if one["machine"].startswith("g2-"))


def test_own_prices_win_and_say_so(built: Project) -> None:
    prices = built.write("ours.csv", "name,usd_per_hour,price_date\nc7a.xlarge,0.001,2026-11-01\n")
    best = built.json("plan", "models", "--price-list", str(prices))["options"][0]
    assert (best["machine"], best["usd_per_hour"]) == ("c7a.xlarge", 0.001)
    assert best["price_date"] == "2026-11-01"
    assert "user's price list" in best["price_source"]


def test_a_catalogue_of_our_own(built: Project) -> None:
    text = (
        "provider,name,vcpus,physical_cores,memory_gib,usd_per_hour,region\n"
        "cellar,box,8,8,32,0.05,berlin\n"
    )
    path = built.write("machines.csv", text)
    document = built.json("plan", "models", "--catalogue", str(path))
    assert [one["machine"] for one in document["options"]] == ["box"]
    assert "TG334" in {item["code"] for item in document["findings"]}  # without a date


def test_a_budget_that_is_too_small_names_the_nearest(built: Project) -> None:
    intend(built, RATES + "budget: 5\n")
    ran = built.run("plan", "models", "--format", "json", expect=4)
    document = json.loads(ran.out)
    assert not any(one["feasible"] for one in document["options"])
    finding = next(item for item in document["findings"] if item["code"] == "TG351")
    assert "a budget of" in finding["fix"]
    assert document["nearest"][0]["usd_per_month"] > 5
    assert document["plan_file"] is None


def test_a_goal_below_the_way_there_is_refused_with_the_nearest(built: Project) -> None:
    intend(built, "models: {dense: {rate: 5, latency: 5ms}}\nclients: mobile\n")
    ran = built.run("plan", "models", "--format", "json", expect=4)
    document = json.loads(ran.out)
    assert "TG350" in {item["code"] for item in document["findings"]}
    assert "latency goals" in document["nearest"][-1]["change"]


@pytest.mark.parametrize(
    ("intent", "arguments", "code", "says"),
    [
        ("models: {dense: {rate: {average: 9, peak: 3}}}", [], "TG305", "must not be below"),
        ("models: {dense: {rate: -4}}", [], "TG304", "rate"),
        ("models: {dense: {latency: 5ms}}", [], "TG320", "no model has a rate"),
        (RATES, ["--region", "atlantis"], "TG331", "atlantis"),
        (RATES, ["--provider", "azur"], "TG331", "azur"),
        (RATES, ["--machine", "Standard_D4s_v6"], "TG332", "Standard_D4s_v6"),
        (RATES, ["--provider", "aws", "--machine", "c3-highcpu-4"], "TG333", "together"),
        (RATES, ["--price-list", "nowhere.csv"], "TG330", "cannot be read"),
        (RATES + "services: {web: [dense, absent]}", [], "TG353", "not served"),
        (RATES + "traffic: {pattern: {file: lost.csv}}", [], "TG323", "cannot be read"),
        (RATES + "traffic: {pattern: {kind: constant, time_zone: Mars/Base}}", [], "TG304", "zone"),
    ],
)
def test_faults_of_the_inputs(
    built: Project, intent: str, arguments: list[str], code: str, says: str
) -> None:
    intend(built, intent)
    problem = built.error("plan", "models", *arguments, expect=2)
    whole = problem["message"] + problem["where"] + problem["fix"] + " ".join(problem["details"])
    assert code in problem["code"] + " ".join(problem["details"])
    assert says in whole


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("name,usd_per_hour\nc7a.xlarge,\n", "usd_per_hour is missing"),
        ("name,usd_per_hour\nc7a.xlarge,free\n", "number above 0"),
        ("name,usd_per_hour\nours,1.0\n", "not in the shipped list"),
        ("name,price\nc7a.xlarge,1\n", "lacks usd_per_hour"),
        ("name,usd_per_hour,price_date\nc7a.xlarge,1,yesterday\n", "not a day"),
        ("name,usd_per_hour\nc7a.xlarge\n", "cells"),
        ("", "lacks"),
    ],
)
def test_price_lists_with_gaps(built: Project, lines: str, says: str) -> None:
    prices = built.write("ours.csv", lines)
    problem = built.error("plan", "models", "--price-list", str(prices), expect=2)
    assert problem["code"] == "TG330"
    assert says in problem["message"] + " ".join(problem["details"])


HISTORY = "models: {dense: {latency: 50ms}}\n"


def history(hours: list[int]) -> str:
    """Two weeks by the hour, without some hours of the first day."""
    lines = ["time,model,rate"]
    for hour in range(14 * 24):
        if hour not in hours:
            day, rest = divmod(hour, 24)
            rate = 20 if 8 <= rest < 18 else 5
            lines.append(f"2026-03-{2 + day:02d}T{rest:02d}:00:00+00:00,dense,{rate}")
    return "\n".join(lines) + "\n"


def test_a_history_gives_the_rates_and_its_holes_are_filled_and_told(built: Project) -> None:
    intend(built, HISTORY + "traffic: {pattern: {file: past.csv}}\n")
    built.write("models/past.csv", history([5, 6, 7]))
    document = built.json("plan", "models", "--dry-run")
    traffic = {one["model"]: one for one in document["traffic"]}
    assert traffic["dense"]["peak_per_s"] == 20
    assert traffic["dense"]["mean_per_s"] == pytest.approx(11.25, rel=0.01)
    assert "TG325" in {item["code"] for item in document["findings"]}


def test_a_history_of_all_together_is_no_rate_of_each(built: Project) -> None:
    intend(built, HISTORY + "traffic: {pattern: {file: past.csv}}\n")
    built.write("models/past.csv", history([]).replace(",dense", "").replace(",model", ""))
    problem = built.error("plan", "models", expect=2)
    assert problem["code"] == "TG320"
    assert "does not tell models apart" in problem["message"]


def test_a_hole_that_nothing_fills(built: Project) -> None:
    intend(built, HISTORY + "traffic: {pattern: {file: past.csv}}\n")
    lines = history([]).splitlines()
    built.write("models/past.csv", "\n".join([lines[0], *lines[1:10], *lines[15:20]]) + "\n")
    problem = built.error("plan", "models", expect=2)
    assert problem["code"] == "TG324"
    assert "2026-03-02" in " ".join(problem["details"])


def test_local_times_across_the_change_of_clocks(built: Project) -> None:
    """Berlin, 29 March 2026: 02:30 does not exist."""
    intend(built, HISTORY + "traffic: {pattern: {file: past.csv, time_zone: Europe/Berlin}}\n")
    rows = [f"2026-03-29T{hour:02d}:30:00,dense,5" for hour in (0, 1, 2, 3)]
    built.write("models/past.csv", "time,model,rate\n" + "\n".join(rows) + "\n")
    problem = built.error("plan", "models", expect=2)
    assert problem["code"] == "TG323"
    assert "clocks went forward" in " ".join(problem["details"])


def test_clocks_that_change_on_different_days_are_planned_for_both(built: Project) -> None:
    pattern = "{kind: weekday-weekend, hours: 9-17, time_zone: America/New_York}"
    intend(
        built,
        "models:\n  dense: {rate: {average: 50, peak: 200}, pattern: " + pattern + "}\n"
        "traffic: {pattern: {kind: constant, time_zone: UTC}}\n",
    )
    document = built.json("plan", "models", "--dry-run")
    assert "TG327" in {item["code"] for item in document["findings"]}


def what_if(project: Project, case: str, *words: str, expect: int = 0) -> dict:
    return project.json("plan", "models", "--what-if", case, *words, expect=expect)


def test_what_if_the_rate_were_another(built: Project) -> None:
    intend(
        built,
        "models:\n  dense: {rate: {average: 20, peak: 40}, latency: 50ms}\n"
        "  fixed: {rate: 20, latency: 50ms}\n",
    )
    stored = built.folder / "model_repository.plan.json"
    stored.unlink(missing_ok=True)
    usual = built.json("plan", "models", "--machine", "Standard_F2s_v2", "--dry-run")
    tripled = what_if(built, "rate × 3", "--machine", "Standard_F2s_v2")
    assert tripled.keys() == usual.keys()
    assert tripled["options"][0].keys() == usual["options"][0].keys()
    for before, after in zip(usual["traffic"], tripled["traffic"], strict=True):
        assert after["peak_per_s"] == pytest.approx(3 * before["peak_per_s"])
    one = what_if(built, "dense rate x 2", "--machine", "Standard_F2s_v2")
    grown = {item["model"]: item["mean_per_s"] for item in one["traffic"]}
    same = {item["model"]: item["mean_per_s"] for item in usual["traffic"]}
    assert grown["dense"] == pytest.approx(2 * same["dense"])
    assert grown["fixed"] == pytest.approx(same["fixed"])
    assert not stored.exists()


def test_what_if_a_replica_were_gone(built: Project) -> None:
    intend(
        built,
        "availability: {replicas: 3}\nmodels:\n  dense: {rate: 20, latency: 50ms}\n"
        "  fixed: {rate: 20, latency: 50ms}\n",
    )
    usual = built.json("plan", "models", "--machine", "Standard_F2s_v2", "--dry-run")
    assert usual["options"][0]["replicas"]["max"] == 3
    fewer = what_if(built, "one replica less", "--machine", "Standard_F2s_v2")
    assert fewer["options"][0]["replicas"]["max"] == 2
    assert fewer["options"][0]["feasible"]
    error = what_if(built, "3 replicas less", "--machine", "Standard_F2s_v2", expect=2)["error"]
    assert error["code"] == "TG009"


@pytest.mark.parametrize("case", ["rate", "rate × many", "a replica less", "nobody rate × 2"])
def test_what_is_no_case_is_told(built: Project, case: str) -> None:
    error = what_if(built, case, expect=2)["error"]
    assert error["code"] == "TG009"
