"""Flags of tritonserver: which there are, since when, and what stands behind each."""

import difflib
import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from tritongen.model.releases import RELEASES, older

# Source: the table of options in the server's src/command_line_parser.cc at the tag of each release
# from 2.37 (23.08) to 2.71 (26.07). None was taken away in that time.
_SINCE: Mapping[str, str] = MappingProxyType(
    {
        "cuda-virtual-address-size": "2.40.0", "http-restricted-api": "2.40.0",
        "grpc-max-connection-age": "2.42.0", "grpc-max-connection-age-grace": "2.42.0",
        "model-load-retry-count": "2.42.0", "model-config-name": "2.46.0",
        "enable-peer-access": "2.47.0", "grpc-max-response-pool-size": "2.56.0",
        "grpc-infer-thread-count": "2.57.0", "http-max-input-size": "2.59.0",
        "allow-client-shm": "2.68.0",
    }
)  # fmt: skip


class FlagValue(Enum):
    """What stands behind a flag: the pattern of it, and in words."""

    NOTHING = ("(?!)", "no value")
    SWITCH = ("true|on|1|false|off|0", "true or false")
    WHOLE = ("-?[0-9]{1,18}", "a whole number")
    NUMBER = ("-?[0-9]{1,18}([.][0-9]{1,9})?", "a number")
    TEXT = ("[^\\x00-\\x1f]+", "a text")


_BY_VALUE: Mapping[FlagValue, str] = MappingProxyType(
    {
        FlagValue.NOTHING: "help disable-auto-complete-config",
        FlagValue.SWITCH: """
            exit-on-error strict-readiness model-namespacing allow-http reuse-http-port allow-grpc
            reuse-grpc-port grpc-use-ssl grpc-use-ssl-mutual grpc-keepalive-permit-without-calls
            log-info log-warning log-error allow-sagemaker allow-vertex-ai allow-metrics
            allow-gpu-metrics allow-cpu-metrics strict-model-config enable-peer-access
            allow-client-shm""",
        FlagValue.WHOLE: """
            exit-timeout-secs repository-poll-secs model-load-thread-count model-load-retry-count
            http-port http-thread-count http-max-input-size grpc-port grpc-infer-thread-count
            grpc-infer-allocation-pool-size grpc-max-response-pool-size grpc-keepalive-time
            grpc-keepalive-timeout grpc-http2-max-pings-without-data
            grpc-http2-min-recv-ping-interval-without-data grpc-http2-max-ping-strikes
            grpc-max-connection-age grpc-max-connection-age-grace log-verbose sagemaker-port
            sagemaker-thread-count vertex-ai-port vertex-ai-thread-count metrics-port
            pinned-memory-pool-byte-size buffer-manager-thread-count response-cache-byte-size
            trace-rate trace-count trace-log-frequency""",
        FlagValue.NUMBER: "metrics-interval-ms min-supported-compute-capability",
        FlagValue.TEXT: """
            id model-store model-repository model-control-mode load-model model-config-name
            http-address http-header-forward-pattern http-restricted-api grpc-address
            grpc-header-forward-pattern grpc-server-cert grpc-server-key grpc-root-cert
            grpc-infer-response-compression-level grpc-restricted-protocol log-format log-file
            sagemaker-safe-port-range vertex-ai-default-model metrics-address metrics-config
            trace-config trace-file trace-level cache-config cache-directory rate-limit
            rate-limit-resource cuda-memory-pool-byte-size cuda-virtual-address-size host-policy
            model-load-gpu-limit backend-directory backend-config repoagent-directory""",
    }
)
SERVER_FLAGS: Mapping[str, FlagValue] = MappingProxyType(
    {name: value for value, names in _BY_VALUE.items() for name in names.split()}
)


def flag_fault(flag: str, value: str) -> str:
    """What is wrong with a flag for every release; empty for nothing.

    Args:
        flag: without its dashes.
        value: as text.
    """
    known = SERVER_FLAGS.get(flag)
    if known is None:
        near = difflib.get_close_matches(flag, SERVER_FLAGS, n=1)
        hint = f"; did you mean --{near[0]}?" if near else ""
        return f"tritonserver has no flag --{flag}{hint}"
    pattern, words = known.value
    return "" if re.fullmatch(pattern, value) else f"--{flag} takes {words}, not {value!r}"


def missing_since(flag: str, version: str) -> str:
    """The first release with a flag that an older one lacks, in words; empty where it has it.

    Args:
        flag: a key of `SERVER_FLAGS`.
        version: of the server, or the release's ``YY.MM``; one that is in no table lacks nothing.
    """
    server = next((one.server for one in RELEASES if version in {one.tag, one.server}), "")
    since = _SINCE.get(flag, "")
    if not server or not since or not older(server, since):
        return ""
    return next((f"{one.tag} ({since})" for one in RELEASES if one.server == since), since)
