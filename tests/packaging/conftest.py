"""What the packaging tests share: packages and environments, each made once."""

from pathlib import Path

import pytest

from support.packages import ROOT, Installed, install, make_package


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return make_package(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this checkout."""
    return make_package(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The base install."""
    return install(wheel, "", tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def with_onnx(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The install with what runs ONNX models, in an environment of copies."""
    return install(wheel, "[onnx]", tmp_path_factory.mktemp("onnx"), links=False)
