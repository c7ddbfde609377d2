"""TG32x to TG36x: traffic, prices, plan of machines. TG75x to TG79x: exports. TG98x: observe."""

from tritongen.errors.code import Code

CAPACITY_CODES: tuple[Code, ...] = (
    Code(
        "TG320",
        "no rate to plan for",
        "State `rate: {average: …, peak: …}` of the models in tritongen.yaml, or give a history.",
    ),
    Code("TG321", "traffic that cannot be planned by", "Correct the rates or the pattern."),
    Code("TG322", "peak below the average", "State a peak of at least the average."),
    Code(
        "TG323",
        "history cannot be read",
        "Give a CSV with a `time` column, or the JSON of a Prometheus range query.",
    ),
    Code(
        "TG324",
        "hole in the history",
        "Record more weeks, or leave the incomplete days out of the file.",
    ),
    Code("TG325", "history was mended", "Check that the filled stretches are typical."),
    Code("TG326", "unknown time zone", "Use an IANA name such as Europe/Berlin."),
    Code(
        "TG327",
        "clocks change on different days",
        "State `time_zone` of the traffic's pattern if the plan's clock should be another.",
    ),
    Code("TG330", "price list cannot be used", "Correct the lines that the message names."),
    Code("TG331", "unknown provider or region", "Use one of the catalogue, or add a price list."),
    Code("TG332", "unknown machine type", "Use one of the catalogue, or add it by a price list."),
    Code("TG333", "no machine type is left", "Admit more machine types, regions or providers."),
    Code(
        "TG334",
        "price is old",
        "Check the price with the provider, or give a price list of your own.",
    ),
    Code(
        "TG335",
        "machine with Arm processors",
        "Use images and model files for arm64, or name other types with --machine.",
    ),
    Code(
        "TG340",
        "service times were not measured on a server",
        "Run `tritongen tune`, and plan again with its measurements.",
    ),
    Code(
        "TG341",
        "no service times at all",
        "Run `tritongen build` with the trial, then plan again.",
    ),
    Code(
        "TG342",
        "model without a rate",
        "State its rate in tritongen.yaml, or `skip: true`; it is planned as idle.",
    ),
    Code(
        "TG343",
        "no latency goal",
        "State `latency:` in tritongen.yaml; five service times are taken instead.",
    ),
    Code(
        "TG350",
        "no machine type holds the goal",
        "Relax the goal or the rate as the message says, or make the model cheaper.",
    ),
    Code(
        "TG351",
        "budget is too small",
        "Raise the budget to what the message names, or lower rate or goal.",
    ),
    Code("TG352", "beyond the platform's limits", "Split the traffic, or use another platform."),
    Code("TG353", "service that the plan cannot form", "Correct `services` in tritongen.yaml."),
    Code("TG354", "plan cannot be read", "Run `tritongen plan MODELS` again."),
    Code("TG355", "plan is not of these models", "Run `tritongen plan MODELS` again."),
)
EXPORT_CODES: tuple[Code, ...] = (
    Code(
        "TG750",
        "plan and repository differ",
        "Run `tritongen build MODELS --cpus N` with the plan's cores, then export.",
    ),
    Code("TG751", "unknown export target", "See `tritongen export --help`."),
    Code("TG752", "name that the target refuses", "Name the service otherwise in tritongen.yaml."),
    Code(
        "TG753",
        "selector and labels differ",
        "Give the pod template every label that the selector asks for.",
    ),
    Code("TG754", "quantity that cannot be read", "Write it like 500m, 4, 512Mi or 8Gi."),
    Code(
        "TG755", "port or its name is invalid", "Use 1 to 65535 and names of up to 15 characters."
    ),
    Code("TG756", "volume is not declared", "Declare each mounted volume once."),
    Code("TG757", "threads exceed the CPU limit", "Keep instances × threads within the CPU limit."),
    Code(
        "TG758", "probe cannot succeed", "Probe /v2/health/live or /v2/health/ready on port 8000."
    ),
    Code("TG759", "autoscaler cannot work", "Correct its target, bounds or metric."),
    Code("TG760", "machine type that the target does not offer", "Use one that the message names."),
    Code("TG761", "number out of the target's range", "Keep it within the range in the message."),
    Code("TG762", "setting that the target does not have", "Leave it out."),
    Code("TG763", "requests starve the server", "Allow the measured number of requests at a time."),
    Code("TG764", "thread environment differs from the lock", "Run `tritongen export` again."),
    Code("TG765", "shared memory is too small", "Give Python models at least 64 MiB an instance."),
    Code("TG766", "update interrupts the service", "Start new replicas before old ones stop."),
    Code(
        "TG767",
        "path that the target cannot name",
        "Move the repository to a path of letters, digits, spaces and ._-+@=,~ only.",
    ),
)
OBSERVE_CODES: tuple[Code, ...] = (
    Code(
        "TG980",
        "no metrics to observe",
        "Start Triton with --allow-metrics=true and name its metrics address, or a Prometheus that "
        "scrapes it.",
    ),
    Code("TG981", "too little was observed", "Observe for longer, or while there is traffic."),
    Code("TG982", "peak exceeds the intent", "Plan again with the observed rates."),
    Code(
        "TG983", "traffic is below the intent", "Plan again with the observed rates: it is cheaper."
    ),
    Code(
        "TG984",
        "batches do not form",
        "Drop the queue delay: it adds latency and gathers no company.",
    ),
    Code("TG985", "requests wait for instances", "Add replicas, instances or room in batches."),
    Code("TG986", "instances are idle", "Take replicas or instances away; plan again."),
    Code("TG987", "requests fail", "Read the reasons in the server's log and its failure metric."),
    Code("TG988", "execution is slower than measured", "Tune again on this machine."),
    Code("TG989", "server was restarted meanwhile", "Find out why; its counters began anew."),
    Code(
        "TG979",
        "tritongen.yaml cannot be changed safely",
        "Write the rates that the message names by hand.",
    ),
)
