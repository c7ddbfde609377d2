"""TG8xx: serving."""

from tritongen.errors.code import Code

SERVING_CODES: tuple[Code, ...] = (
    Code(
        "TG801",
        "Triton cannot be downloaded",
        "Check the network and pip's settings, or download the wheel elsewhere and pass "
        "--triton-wheel PATH.",
    ),
    Code(
        "TG802",
        "download does not match its hash",
        "Download the file again from a source that you trust; it was not used.",
    ),
    Code(
        "TG803",
        "machine cannot run the embedded Triton",
        "Use Linux on x86_64 with glibc 2.35 or newer, or --runtime docker.",
    ),
    Code(
        "TG804",
        "shared Python library is missing",
        "Install the package that holds libpython of this Python (Debian: libpython3.X), or use a "
        "Python that ships it, such as one from uv or conda.",
    ),
    Code(
        "TG805",
        "package for a backend is missing",
        "Install it into the environment that runs tritongen: pip install 'tritongen[onnx]'.",
    ),
    Code(
        "TG806",
        "backend is not part of this runtime",
        "Use --runtime docker with an image that holds the backend.",
    ),
    Code(
        "TG807",
        "port is taken",
        "End the program that listens there, or choose another port (0 takes a free one).",
    ),
    Code(
        "TG808",
        "server is already running",
        "Use it, or end it with `tritongen down`.",
    ),
    Code("TG809", "no server is running", "Start one with `tritongen up`."),
    Code(
        "TG810",
        "server did not start",
        "Read the log lines below; the log file holds the rest.",
    ),
    Code(
        "TG811",
        "server is not ready in time",
        "Wait longer with --timeout, or read the log to see what it is doing.",
    ),
    Code(
        "TG812",
        "server ended unexpectedly",
        "Read the log lines below, then start it again with `tritongen up`.",
    ),
    Code(
        "TG813",
        "killed for lack of memory",
        "Give the server more memory, or serve fewer models or instances.",
    ),
    Code(
        "TG814",
        "server cannot be reached",
        "Check the address, the port and that the server is running.",
    ),
    Code(
        "TG815", "server refused the request", "Read the server's reason and correct the request."
    ),
    Code(
        "TG816",
        "server cannot be stopped",
        "End the named process yourself; you may need the rights of its owner.",
    ),
    Code(
        "TG817",
        "state file cannot be read",
        "Run `tritongen down`: it ends what the file may have named, and forgets it.",
    ),
    Code(
        "TG818",
        "shared memory is short",
        "Enlarge /dev/shm (Docker: --shm-size), or plan fewer instances.",
    ),
    Code(
        "TG819",
        "server listens beyond this machine",
        "Keep the default address 127.0.0.1 unless a firewall or proxy guards the port.",
    ),
    Code(
        "TG820",
        "model is not ready",
        "Read the server's reason, correct the model or its configuration, and start again.",
    ),
    Code(
        "TG821",
        "configuration cannot be read by the server",
        "Run `tritongen check`, and correct the line that the server names.",
    ),
    Code(
        "TG822",
        "model file refused by its runtime",
        "Run `tritongen inspect`, or export the model again for the runtime's version.",
    ),
    Code(
        "TG823",
        "configuration disagrees with the model",
        "Run `tritongen build`, or write the dims and types that the server names.",
    ),
    Code(
        "TG824",
        "backend parameter refused",
        "Correct the parameter that the server names; `tritongen check` lists the accepted values.",
    ),
    Code(
        "TG825",
        "backend is not installed in the server",
        "Use an image or runtime that holds it, or correct `backend` in config.pbtxt.",
    ),
    Code(
        "TG826",
        "GPU is asked for and absent",
        "Set the instance group's kind to KIND_CPU, or run on a machine with that GPU.",
    ),
    Code(
        "TG827",
        "warm-up failed",
        "Correct model_warmup: every input, its type, full dims and a batch size within the limit.",
    ),
    Code(
        "TG828",
        "no model version to serve",
        "Give the model a version folder (1, 2, …) that its version_policy accepts.",
    ),
    Code(
        "TG829",
        "backend process died",
        "Read the log; the process may lack memory, a package or a shared library.",
    ),
    Code(
        "TG830",
        "server flag or variable belongs to the runtime",
        "Leave it out; use the command's own option for it.",
    ),
    Code(
        "TG831",
        "model repository cannot be served",
        "Name an existing folder that the server may read; run `tritongen check` on it.",
    ),
    Code("TG832", "model-control API is open", "Use it for tuning only, on the loopback address."),
    Code(
        "TG833",
        "system library is missing",
        "Install the package that holds it (Debian: libstdc++6, zlib1g), or use --runtime docker.",
    ),
    Code(
        "TG834",
        "TLS cannot be used",
        "Check the certificate files and that the server speaks TLS on this port.",
    ),
    Code(
        "TG835",
        "ensemble cannot be served",
        "Correct the step, tensor or model that the server names; its models must be ready first.",
    ),
    Code(
        "TG836",
        "weights are not where the configuration says",
        "Run `tritongen build` to fill them in, or correct default_model_filename.",
    ),
    Code(
        "TG837",
        "release with known weaknesses",
        "Keep 127.0.0.1 with a proxy before it, or serve with a newer image: see docs/serving.md.",
    ),
    Code(
        "TG838",
        "other users can read the server's keys",
        "Allow a process to trace its child (sysctl kernel.yama.ptrace_scope=1), or mount /proc "
        "with hidepid=2.",
    ),
    Code(
        "TG839",
        "answer of the server cannot be used",
        "Name the address of Triton itself: something else answers there, or stands between.",
    ),
)
