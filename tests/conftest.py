"""Options and fixtures that every test may ask for."""

import pytest

pytest_plugins = ("support.triton", "support.docker", "support.cli", "support.exports")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite expected texts; review the diff"
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether expected texts are rewritten instead of compared."""
    return bool(request.config.getoption("--update-golden"))
