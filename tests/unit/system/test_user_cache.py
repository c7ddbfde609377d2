"""Where the tool keeps what it may lose, and which folder it takes when the first will not do."""

from pathlib import Path

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.system import user_cache as cache
from tritongen.system.files import FileLock


def test_a_relative_cache_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert cache.user_cache() == tmp_path / ".cache/tritongen"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    assert cache.user_cache() == tmp_path / ".cache/tritongen"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert cache.user_cache() == tmp_path / "own/tritongen"


def test_without_a_home_there_is_one_among_the_temporary_files(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = cache.user_cache()
    assert found.parent == tmp_path
    assert found.name.startswith("tritongen-")


def test_the_lock_of_a_folder_is_one_for_every_path_to_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "link").symlink_to(tmp_path)
    with cache.folder_lock(tmp_path, "a build"):
        again = cache.folder_lock(tmp_path / "link", "another")
        with pytest.raises(EnvironmentProblem, match="at work: another"), again:
            pass
        other = cache.folder_lock(tmp_path / "other", "another")
        assert isinstance(other, FileLock)
        with other:
            pass
    assert len(list((tmp_path / "cache/tritongen/locks").iterdir())) == 2


def test_a_folder_is_made_with_those_above_it(tmp_path):
    made = cache.cache_folder("a", tmp_path / "x/y/tritongen")
    assert made == tmp_path / "x/y/tritongen/a"
    assert made.stat().st_mode & 0o777 == 0o700
    with pytest.raises(EnvironmentProblem) as caught:
        cache.cache_folder("a", Path("/dev/null/tritongen"))
    assert caught.value.code == "TG004"
