"""Whatever lies in a folder, its drafted `tritongen.yaml` is one that the reader accepts."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from support import onnx_models
from support.optimize import faulty
from tritongen.repository.drafts import draft_intent
from tritongen.repository.project import load_project

CONTENTS = (
    onnx_models.relu().SerializeToString(),
    faulty.zipmap().SerializeToString(),
    b"\x80\x04.",
    b"{}",
    b"broken",
    b"",
)
STEMS = st.one_of(
    st.sampled_from(
        ("rf", "on", "null", "12", "1e3", "my model", "a: b", "#x", "- y", "'q\"", "é")
    ),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), max_size=12),
)
SUFFIXES = (".onnx", ".joblib", ".pkl", ".pt", ".json", ".xml", ".h5", "/model.onnx", "/m.pkl")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(STEMS, st.sampled_from(SUFFIXES), st.sampled_from(CONTENTS)),
        min_size=1,
        max_size=6,
    )
)
def test_a_draft_is_accepted(files):
    with tempfile.TemporaryDirectory() as name:
        models = Path(name) / "models"
        onnx_models.save(CONTENTS[0], models / "one.onnx")
        for stem, suffix, content in files:
            path = models / f"{stem}{suffix}"
            if not path.exists() and not path.parent.is_file():
                onnx_models.save(content, path)
        draft = draft_intent(models, force=False)
        draft.path.write_text(draft.text, encoding="utf-8")
        project = load_project(models, Path(name) / "repository")
        assert tuple(project.intent.models) == draft.models
        assert {facts.name: facts.servable for facts in project.models}.keys() == set(draft.models)
