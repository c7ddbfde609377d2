"""wrk, a load generator in C, with the probe's own requests; it runs where it is installed.

It neither reads nor checks an answer, which is as little as a client over HTTP can do.
"""

import json
import math
import re
from pathlib import Path

from probe_bench_models import Model
from tritongen.probe.engines.http_messages import request_bytes
from tritongen.probe.load_job import InputOptions, prepare_job
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl

_UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6}


def wrk_command(
    address: str, model: Model, concurrency: int, seconds: float, folder: Path
) -> list[str]:
    """The command for a closed loop of one request of zeros."""
    control = ServerControl(Endpoint.parse(address))
    values = dict.fromkeys(model.inputs, "zeros")
    shapes = {name: tuple(map(int, dims.split(","))) for name, dims in model.shapes}
    job = prepare_job(control, model.name, InputOptions(values=values, shapes=shapes))
    control.close()
    head, _, body = request_bytes(job.messages[0], address).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    for name in ("Host", "Content-Length"):  # wrk adds its own
        del headers[name]
    (folder / "wrk-body").write_bytes(body)
    script = folder / "wrk.lua"
    script.write_text(
        'wrk.method = "POST"\n'
        f'local file = io.open({json.dumps(str(folder / "wrk-body"))}, "rb")\n'
        'wrk.body = file:read("*a")\n'
        + "".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}\n" for k, v in headers.items())
    )
    load = ("-t", "1", "-c", str(concurrency), "-d", f"{max(math.ceil(seconds), 1)}s")
    return ["wrk", *load, "--latency", "-s", str(script), f"http://{address}{first.split(' ')[1]}"]


def read_wrk(text: str) -> tuple[float, dict[str, float], str]:
    """Requests per second, percentiles in microseconds by name, and what went wrong."""
    failed = re.search(r"Non-2xx or 3xx responses: .*|Socket errors: .*", text)
    rate = re.search(r"Requests/sec:\s*([0-9.]+)", text)
    found = re.findall(r"^\s*([0-9]+)%\s+([0-9.]+)(us|ms|s)$", text, re.MULTILINE)
    percentiles = {f"p{part}": float(value) * _UNITS_US[unit] for part, value, unit in found}
    return float(rate[1]) if rate else 0.0, percentiles, failed[0].strip() if failed else ""
