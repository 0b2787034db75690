"""The user's configuration: what it may say, and refusals that name the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.config import load_config, parse_age, parse_size
from sprawld.errors import ConfigError


def load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_config({"HOME": str(tmp_path)}, path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2592000), ("12h", 43200), ("90m", 5400), ("2w", 1209600), ("1.5", 129600)]
)
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("20G", 20 << 30), ("500M", 500 << 20), ("1.5 KiB", 1536), ("7", 7), ("1tb", 1 << 40), ("8 b", 8)],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "-1d", "x", "1y", "nan", "1e9", "d"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match="not an age"):
        parse_age(text)


@pytest.mark.parametrize("text", ["", "-1", "G", "1P", "1.G", "inf", "1GG"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


def test_limits_of_the_store(tmp_path: Path) -> None:
    config = load_config({"HOME": str(tmp_path)}, tmp_path / "absent.toml")
    assert (config.gc_max_age, config.gc_max_size, config.gc_min_free) == (None, None, None)
    assert not config.has_budget
    path = tmp_path / "config.toml"
    path.write_text('gc-max-age = "1w"\ngc-max-size = "20G"\ngc-min-free = "5G"\n')
    config = load_config({"HOME": str(tmp_path)}, path)
    assert (config.gc_max_age, config.gc_max_size, config.gc_min_free) == (604800, 20 << 30, 5 << 30)
    assert config.has_budget


def test_what_the_user_allows(tmp_path: Path) -> None:
    config = load_config({"HOME": str(tmp_path)}, tmp_path / "absent.toml")
    assert (config.allow_hosts, config.allow_bad_record, config.keyring) == ((), (), False)
    assert (config.scrub, config.scrub_age) == ("report", 7 * 86400)
    path = tmp_path / "config.toml"
    path.write_text('allow-hosts = ["a:80"]\nkeyring = true\nscrub = "repair"\nscrub-age = "1d"\n')
    config = load_config({"HOME": str(tmp_path)}, path)
    assert (config.allow_hosts, config.keyring) == (("a:80",), True)
    assert (config.scrub, config.scrub_age) == ("repair", 86400)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('gc-max-age = "old"', "gc-max-age: 'old' is not an age"),
        ("gc-max-size = 5", "gc-max-size must be a str"),
        ('gc-min-free = "5 GX"', "gc-min-free: '5 GX' is not a size"),
        ('gc-color = "red"', "unknown key 'gc-color'"),
        ('scrub = "sometimes"', "scrub: 'sometimes' is none of report, repair and off"),
        ('scrub-age = "5m"', "scrub-age: less than 1h"),
        ('allow-hosts = "wheels.internal"', "allow-hosts must be a list"),
        ("keyring = 1", "keyring must be a bool"),
        ("workers = true", "workers must be a int"),
    ],
)
def test_refusals_name_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path, text)
    assert refusal.value.code == "config.invalid"
    assert str(refusal.value).startswith(f"{tmp_path / 'config.toml'}: {said}")
