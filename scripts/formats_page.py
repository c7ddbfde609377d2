"""Writes docs/formats.md from the registry of backends; `--check` compares instead.

What the page says of a backend is what planner, `check` and trial know of it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from tritongen.model.backends import BackendRules, BatchSupport, every_flavour
from tritongen.model.tensors import DType

PAGE = Path(__file__).parent.parent / "docs" / "formats.md"

INTRO = """\
# Formats and backends

Generated from the registry of backends by `python scripts/formats_page.py`; a test holds it against
the registry.

`inspect` reads every format below without loading weights, running code or unpickling anything.
Where a file does not describe its inputs and outputs, `tritongen.yaml` does, or the trial finds
out:

```yaml
models:
  ranker:
    inputs:  { x: { dtype: FP32, dims: [-1, 16] } }
    outputs: { OUTPUT__0: { dtype: FP32, dims: [-1, 3] } }
```
"""

OUTRO = """\
## Whose runtime

What one version of a library loads, another may refuse, and both may disagree on shapes. For ONNX
models the trial, the local run of `verify` and the embedded server's backend therefore take the
ONNX Runtime of `target.triton`. Where another one is installed, the target's is fetched once into
the cache (`~/.cache/tritongen/onnxruntime`, 33 to 58 MB a version), by pip with your index, proxy
and certificates, against hashes in the tool. Only child processes load it; nothing is installed. A
wheel that lies in a folder will do, too: `PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER`.

The installed version stands in, and one warning a build says so with both versions (TG217):

| where | why |
|---|---|
| `TRITONGEN_ONNXRUNTIME=installed` | you want it |
| no network, no room, a wheel that is not the expected file | the reason is in the warning |
| releases up to 24.08, unless numpy 1 is installed | their wheels do not run with numpy 2 |
| 24.03; 24.09 to 24.11 with Python 3.13; up to 24.02 with Python 3.12 | there is no wheel |

OpenVINO and PyTorch run as they are installed. Where they are newer than the target's, the same
warning says so. A build that takes evidence from the lock fetches nothing; `--format json` tells of
a version that is not the target's as a remark, and `build --remeasure` tries the models again.

## What was run, and what was not

Rows with a library in the column *trial* are tried in a child process and compared row by row. That
process is [a sandbox](trust.md#the-sandbox): without network, with files of its own only. A Python
model, a TorchScript file and an AOT Inductor package are programs: `build` runs them in its trial,
and `build --dry-run`, `--diff`, `--check` and `plan` do not; they rest on the evidence of the lock,
or on what can be read, and say so (TG147).

Rows with an entry in the column *embedded Triton* were served by a real Triton in the tests, from
the file to answers that equal a local run, with the busy threads counted. The others were not run:
TensorRT, DALI, vLLM and TensorRT-LLM need a GPU, TensorFlow's backend left Triton after 25.02, and
the embedded server's release does not know AOT Inductor packages. Their configurations follow
Triton's documentation and the sources of its backends, and `check` holds them against the same
rules.

Pickles (scikit-learn's, and PyTorch's weights without code), Keras files, safetensors and
TensorFlow Lite models are told apart and explained; no backend of Triton's standard image loads
them.
"""

BATCHING = {
    BatchSupport.FREE: "0, or any size up to it",
    BatchSupport.EXACT: "exactly that size in every execution; 0 is planned",
    BatchSupport.REQUIRED: "above 0 always",
}
FILES = {
    "xgboost_json": "XGBoost JSON",
    "xgboost_ubj": "XGBoost UBJSON",
    "xgboost_binary": "XGBoost's old binary format",
    "lightgbm_text": "LightGBM text",
    "treelite_checkpoint": "Treelite checkpoint (scikit-learn, cuML, …)",
    "onnx": "ONNX",
    "torchscript": "TorchScript",
    "torch_aoti": "AOT Inductor package",
    "openvino": "OpenVINO IR",
    "python": "Python model",
    "tensorrt_plan": "TensorRT plan",
    "tensorflow_savedmodel": "TensorFlow SavedModel",
    "tensorflow_graphdef": "TensorFlow GraphDef",
    "vllm_arguments": "vLLM engine arguments",
    "dali_pipeline": "DALI pipeline",
    "dali_python": "DALI pipeline in Python",
    "config_template": "model of a TensorRT-LLM set, beside its version folders",
}


def page() -> str:
    """The whole text."""
    parts = [INTRO, *_overview(), *(line for rules in every_flavour() for line in _backend(rules))]
    return "\n".join([*parts, OUTRO])


def _overview() -> Iterator[str]:
    yield "| format | backend | file in the version folder | releases | trial | embedded Triton |"
    yield "|---|---|---|---|---|---|"
    for rules in every_flavour():
        for artefact in rules.artefacts:
            since, until = artefact.since or rules.since, artefact.until or rules.until
            platform = f", platform `{artefact.platform}`" if artefact.platform else ""
            yield (
                f"| {FILES[artefact.format.value]} | `{rules.name}`{platform} "
                f"| `{artefact.filename}` | {_releases(since, until)} | {rules.trial or '–'} "
                f"| {rules.embedded or '–'} |"
            )
    yield ""


def _releases(since: str, until: str) -> str:
    if since and until:
        return f"{since} to {until}"
    return f"from {since}" if since else f"up to {until}" if until else "all"


def _backend(rules: BackendRules) -> Iterator[str]:
    title = f"`{rules.name}`" + (f", `{rules.flavour}`" if rules.flavour else "")
    yield f"## {title}\n"
    yield f"- Names: {rules.naming}."
    yield f"- `max_batch_size`: {BATCHING[rules.batching]}."
    yield f"- Instance kinds: {', '.join(f'KIND_{kind}' for kind in rules.kinds)}."
    yield f"- Element types that it refuses: {_refused(rules)}."
    yield f"- Threads: {_threads(rules)}."
    states = "kept by the server, with `sequence`" if rules.states else "left to the clients"
    yield f"- States of recurrent models: {states}."
    yield f"- Filled in by the backend: {rules.completes}."
    if rules.parameters:
        yield f"- Booleans: {_booleans(rules)}.\n"
        yield "| parameter | value | default | releases | effect |"
        yield "|---|---|---|---|---|"
        for rule in rules.parameters:
            values = ", ".join(f"`{choice}`" for choice in rule.choices)
            kind = rule.kind.value if rule.kind.value != "choice" else ""
            value = " or ".join(part for part in (kind, values) if part)
            default = "required" if rule.required else rule.default or "–"
            releases = _releases(rule.since, rule.until)
            yield f"| `{rule.key}` | {value} | {default} | {releases} | {rule.effect} |"
    yield ""


def _refused(rules: BackendRules) -> str:
    names = [dtype.value for dtype in DType if dtype in rules.refused_dtypes]
    if len(names) == len(DType) - 1:
        kept = next(dtype.value for dtype in DType if dtype not in rules.refused_dtypes)
        return f"all but {kept}"
    if DType.BF16 not in rules.refused_dtypes and rules.bf16_since != "00.00":
        names.append(f"BF16 before {rules.bf16_since}" if rules.bf16_since else "BF16")
    return ", ".join(names) or "none"


def _threads(rules: BackendRules) -> str:
    rule = rules.threads
    keys = " and ".join(f"`{key}`" for key in (rule.intra_key, rule.inter_key) if key)
    scope = rule.scope.value
    variables = ", ".join(f"`{name}`" for name in rule.environment)
    parts = [f"{keys} hold for the {scope}" if keys else f"no parameter; a {scope}"]
    if variables:
        parts.append(f"bounded by {variables}" if rule.capped else f"else {variables}")
    parts.append(f"without them: {rule.unset}")
    return "; ".join(parts)


def _booleans(rules: BackendRules) -> str:
    true = ", ".join(f"`{text}`" for text in rules.true_texts)
    false = ", ".join(f"`{text}`" for text in rules.false_texts)
    case = "in this case only" if rules.case_sensitive else "in any case"
    return f"{true}; {false or 'anything else'} for false; {case}"


def main() -> int:
    """Write the page, or tell whether it is up to date."""
    text = page()
    if "--check" in sys.argv[1:]:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        if current != text:
            sys.stderr.write("docs/formats.md is not up to date: python scripts/formats_page.py\n")
        return int(current != text)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
