"""Forests, read without the libraries that grew them and compared with what those say."""

import pytest

from support import format_models as make
from tritongen.formats import inspect_folder
from tritongen.model.facts import TreeTask
from tritongen.model.findings import Severity
from tritongen.model.intent import DeclaredTensor, Intent, ModelIntent
from tritongen.model.releases import find
from tritongen.model.tensors import DType

RELEASE = find("26.07")


def facts_of(folder, intent=None, release=RELEASE):
    (facts,) = inspect_folder(folder, release, intent=intent).models
    return facts


def codes(facts, severity=Severity.ERROR):
    return [item.code for item in facts.findings if item.severity is severity]


@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize(
    ("objective", "task", "classes", "width", "trees"),
    [
        ("binary:logistic", TreeTask.BINARY, 2, 1, 4),
        ("multi:softprob", TreeTask.MULTICLASS, 3, 3, 12),
        ("reg:squarederror", TreeTask.REGRESSION, 0, 1, 4),
    ],
)
def test_xgboost(tmp_path, suffix, objective, task, classes, width, trees):
    import xgboost

    make.xgboost_forest(tmp_path / f"m.{suffix}", objective)
    facts = facts_of(tmp_path)
    assert facts.trees.task is task
    assert (facts.trees.classes, facts.trees.trees) == (classes, trees)
    assert facts.trees.features == make.FEATURES
    assert facts.trees.library == f"XGBoost {xgboost.__version__}"
    assert [(spec.name, spec.shape) for spec in facts.inputs] == [("input__0", ("batch", 5))]
    assert [(spec.name, spec.shape) for spec in facts.outputs] == [("output__0", ("batch", width))]
    assert facts.outputs[0].dtype is DType.FP32
    assert facts.findings == ()


@pytest.mark.parametrize(
    ("objective", "task", "width"),
    [
        ("multiclass", TreeTask.MULTICLASS, 3),
        ("binary", TreeTask.BINARY, 1),
        ("regression", TreeTask.REGRESSION, 1),
    ],
)
def test_lightgbm(tmp_path, objective, task, width):
    import lightgbm

    path = make.lightgbm_forest(tmp_path / "m.txt", objective)
    facts = facts_of(tmp_path)
    booster = lightgbm.Booster(model_file=str(path))
    assert (facts.trees.task, facts.trees.features) == (task, booster.num_feature())
    assert facts.trees.trees == booster.num_trees()
    assert facts.outputs[0].shape == ("batch", width)


def test_treelite(tmp_path):
    import treelite

    path = make.treelite_forest(tmp_path / "m.tl")
    facts = facts_of(tmp_path)
    model = treelite.Model.deserialize(str(path))
    assert (facts.trees.features, facts.trees.trees) == (model.num_feature, model.num_tree)
    assert (facts.trees.task, facts.trees.classes) == (TreeTask.MULTICLASS, 3)
    assert facts.trees.library == f"Treelite {treelite.__version__}"


def test_the_old_binary_format(tmp_path):
    (tmp_path / "m.model").write_bytes(make.xgboost_old_binary())
    facts = facts_of(tmp_path)
    assert (facts.trees.task, facts.trees.features, facts.trees.trees) == (TreeTask.BINARY, 4, 12)
    assert facts.trees.library == "XGBoost 1.7"
    assert [ref.target for ref in facts.versions[0].files] == ["xgboost.model"]


def test_a_narrow_output_asks_for_the_class(tmp_path):
    make.xgboost_forest(tmp_path / "m.json", "multi:softprob")
    narrow = ModelIntent(outputs={"output__0": DeclaredTensor("output__0", dims=(-1, 1))})
    facts = facts_of(tmp_path, Intent(models={"m": narrow}))
    assert not facts.trees.probabilities
    assert facts.outputs[0].shape == ("batch", 1)
    assert facts.servable


def test_a_forest_without_trees_and_an_older_server(tmp_path):
    import xgboost

    linear = xgboost.train({"booster": "gblinear"}, xgboost.DMatrix(*make.table(0)), 1)
    (tmp_path / "a").mkdir()
    linear.save_model(str(tmp_path / "a" / "m.json"))
    assert codes(facts_of(tmp_path / "a")) == ["TG142"]
    make.xgboost_forest(tmp_path / "b" / "m.ubj")
    assert codes(facts_of(tmp_path / "b", release=find("24.09"))) == ["TG136"]


def test_probabilities_that_are_not_the_librarys_are_told(tmp_path):
    make.lightgbm_forest(tmp_path / "m.txt", "multiclassova")
    assert codes(facts_of(tmp_path), Severity.WARNING) == ["TG143"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.json", b'{"learner":{"gradient_booster":{"model":{"trees":[' + b"[" * 100),
        ("m.json", b'{"learner":{"learner_model_param":{"num_feature":"x"}},"version":[1]}'),
        ("m.json", b'{"version":[3,0,0],"learner":{"objective":{"name":"reg:squarederror"}}}'),
        ("m.ubj", b"{L" + bytes(7) + b"\x07learner{L" + b"\xff" * 8),
        ("m.ubj", b"{L" + bytes(7) + b"\x07learner[$U#L\x7f" + b"\xff" * 7),
        ("m.txt", b"tree\nversion=v4\nnum_class=1\nmax_feature_idx=1\n"),
        ("m.txt", b"tree\nversion=v4\nnum_class=x\nmax_feature_idx=1\ntree_sizes=1\n\nTree=0\n"),
        ("m.tl", b"\x04\0\0\0\x01\0\0\0\0\0\0\0\x02\x02" + b"\xff" * 30),
        ("m.tl", b"\x03\0\0\0\x09\0\0\0\0\0\0\0\x02\x02" + bytes(60)),
        ("m.model", make.xgboost_old_binary(features=0)),
    ],
)
def test_damage_is_told(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert codes(facts_of(tmp_path)) == ["TG102"]


@pytest.mark.parametrize("number", [b"1e999", b"-Infinity", b"NaN"])
def test_a_number_that_is_not_finite_is_damage(tmp_path, number):
    learner = b'{"learner_model_param":{"num_feature":' + number + b'},"objective":{"name":"a"}}'
    (tmp_path / "m.json").write_bytes(b'{"learner":' + learner + b',"version":[2,1,0]}')
    assert codes(facts_of(tmp_path)) == ["TG102"]


def test_large_arrays_are_stepped_over(tmp_path):
    # Numbers of a tree cost no Python work; a text with brackets is no structure.
    numbers = b",".join([b"1.5"] * 300_000)
    text = (
        b'{"learner":{"attributes":{"note":"]}{[\\""},"gradient_booster":{"model":{"trees":'
        b'[{"values":[' + numbers + b']},{"values":[]}]},"name":"gbtree"},"learner_model_param":'
        b'{"num_class":"0","num_feature":"7","num_target":"1"},"objective":{"name":"rank:ndcg"}},'
        b'"version":[2,1,0]}'
    )
    (tmp_path / "m.json").write_bytes(text)
    facts = facts_of(tmp_path)
    assert (facts.trees.features, facts.trees.trees) == (7, 2)
    assert facts.trees.task is TreeTask.RANKING
