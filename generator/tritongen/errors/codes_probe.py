"""TG9xx: probing and tuning. TG90x to TG94x are the probe's."""

from tritongen.errors.code import Code

PROBE_CODES: tuple[Code, ...] = (
    Code(
        "TG901",
        "no server at the address",
        "Start one with `tritongen up`, or name a running one with -u HOST:PORT.",
    ),
    Code(
        "TG902",
        "the server does not speak Triton's protocol",
        "Name Triton's HTTP port (8000) or, with --protocol grpc, its gRPC port (8001).",
    ),
    Code(
        "TG903",
        "model is not ready",
        "See `tritongen logs`; the repository index names the reason.",
    ),
    Code(
        "TG904",
        "model refuses the generated request",
        "Describe its inputs: --values NAME=int[0,10), --shape NAME:1,3,224,224, or --data FILE.",
    ),
    Code("TG905", "load cannot be understood", "See `tritongen probe --help`."),
    Code(
        "TG906",
        "input data cannot be used",
        'Give .npz, .npy, or JSON of the form {"data": [{"INPUT": [...]}]}.',
    ),
    Code(
        "TG907",
        "input shape is not known",
        "Give it with --shape NAME:1,3,224,224, or declare it in tritongen.yaml.",
    ),
    Code(
        "TG908",
        "server went away during the measurement",
        "See `tritongen status` and `tritongen logs`; the numbers so far are printed.",
    ),
    Code(
        "TG909",
        "shared memory refused",
        "Start the server with --allow-client-shm=true, or probe without --shm.",
    ),
    Code(
        "TG910",
        "goal not met",
        "Relax the goal, or tune the model: `tritongen tune`.",
    ),
    Code(
        "TG911",
        "slower than before",
        "See which level moved; measure again to be sure: `tritongen probe --compare`.",
    ),
    Code(
        "TG912",
        "not a probe result",
        "Give a file that `tritongen probe --format json -o FILE` wrote.",
    ),
    Code(
        "TG913",
        "the server does not allow loading models",
        "Start it with --model-control-mode=explicit, on loopback only.",
    ),
    Code(
        "TG914",
        "the engine cannot send this",
        "Use --protocol grpc for streaming and decoupled models.",
    ),
    Code(
        "TG915",
        "response is not what the model's metadata says",
        "Compare the model's configuration with its outputs: `tritongen check`.",
    ),
    Code("TG916", "no model is ready", "Load one, or name it with -m."),
    Code(
        "TG917",
        "a load process ended early",
        "Run again with --processes 1; report the message if it persists.",
    ),
    Code(
        "TG918",
        "server answers nothing",
        "See `tritongen logs`; the server may be stalled or its port half open.",
    ),
    Code(
        "TG919",
        "every request failed",
        "See the failures' codes and messages, and `tritongen logs`.",
    ),
    Code(
        "TG950",
        "tuning journal cannot be continued",
        "Delete the journal and tune afresh.",
    ),
    Code("TG951", "budget too small", "Give more time, such as --budget 60s."),
    Code(
        "TG952",
        "nothing could be measured",
        "Serve the model by itself: `tritongen build`, `tritongen up`, `tritongen probe`.",
    ),
)
