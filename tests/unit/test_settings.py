from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urlsplit

import distlib.index
import pytest

from sprawld.acquire.settings import default_index, resolve_settings
from sprawld.config import Config
from sprawld.errors import ConfigError
from sprawld.model import IndexSettings


class Machine:
    """A home and a system directory with configuration files."""

    def __init__(self, root: Path) -> None:
        self.home, self.system = root / "home", root / "etc"
        self.environ: dict[str, str] = {}
        self.index: str | None = None

    def write(self, place: str, text: str) -> Path:
        path = (self.home if place.startswith(".") else self.system) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def settings(self, **fields: str) -> IndexSettings:
        config = Config(store=self.home, socket=self.home, index=self.index)
        sent = {name.replace("_", "-"): value for name, value in fields.items()}
        return resolve_settings(sent, config, self.environ, self.home, system=self.system)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


PIP = """\
[global]
index-url = https://pip.example/simple
extra-index-url =
    https://one.example/
    https://two.example
"""
UV = """\
[[index]]
url = "https://uv-extra.example/"
[[index]]
url = "https://uv.example/simple"
default = true
"""


def test_nothing_configured_leaves_the_default_to_the_library(machine: Machine) -> None:
    assert machine.settings() == IndexSettings(default=None, extra=())


def test_the_default_index_is_the_librarys_constant_with_the_path_of_the_simple_api() -> None:
    url, constant = urlsplit(default_index()), urlsplit(distlib.index.DEFAULT_INDEX)
    assert (url.scheme, url.netloc, url.path) == (constant.scheme, constant.netloc, "/simple/")


def test_the_order_of_the_sources(machine: Machine) -> None:
    machine.write(".config/uv/uv.toml", UV)
    assert machine.settings().default == "https://uv.example/simple/"
    machine.write("pip.conf", PIP)
    assert machine.settings().default == "https://pip.example/simple/"
    machine.index = "https://config.example/simple"
    assert machine.settings().default == "https://config.example/simple/"
    fields = {"uv_index": "https://uv-variable.example/"}
    assert machine.settings(**fields).default == "https://uv-variable.example/"
    fields["pip_index"] = "https://pip-variable.example/"
    assert machine.settings(**fields).default == "https://pip-variable.example/"
    fields["index"] = "https://sprawl.example/"
    assert machine.settings(**fields).default == "https://sprawl.example/"


def test_a_default_brings_the_extra_indexes_of_its_own_tool(machine: Machine) -> None:
    machine.write("pip.conf", PIP)
    machine.write("uv/uv.toml", UV)
    pip_extra = ("https://one.example/", "https://two.example/")
    assert machine.settings().extra == pip_extra
    assert machine.settings(pip_index="https://other.example/").extra == pip_extra
    assert machine.settings(uv_index="https://other.example/").extra == ("https://uv-extra.example/",)
    assert machine.settings(index="https://other.example/", pip_extra="https://three.example/").extra == ()
    machine.index = "https://config.example/"
    assert machine.settings(pip_extra="https://three.example/").extra == ()


def test_a_variable_replaces_the_same_key_of_the_files(machine: Machine) -> None:
    machine.write("pip.conf", PIP)
    settings = machine.settings(pip_extra="https://three.example/ https://four.example")
    assert settings.default == "https://pip.example/simple/"
    assert settings.extra == ("https://three.example/", "https://four.example/")


def test_extras_of_both_tools_count_beside_the_librarys_default(machine: Machine) -> None:
    settings = machine.settings(
        pip_extra="https://one.example/", uv_extra="inner=https://two.example https://one.example"
    )
    assert settings == IndexSettings(default=None, extra=("https://one.example/", "https://two.example/"))


def test_uv_names_are_dropped_and_urls_with_an_equals_sign_are_not(machine: Machine) -> None:
    assert (
        machine.settings(uv_index="corp=https://corp.example/simple").default
        == "https://corp.example/simple/"
    )
    assert machine.settings(uv_index="https://corp.example/a=b").default == "https://corp.example/a=b/"


def test_indexes_that_are_not_http_are_left_out_or_refused(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        settings = machine.settings(
            pip_extra="file:///srv/wheels https://user:secret@one.example/ /srv/wheels"
        )
    assert settings.extra == ("https://user:secret@one.example/",)
    assert "file:///srv/wheels" in caplog.text
    with pytest.raises(ConfigError) as caught:
        machine.settings(pip_index="ftp://user:secret@one.example/")
    assert caught.value.code == "config.invalid"
    assert "secret" not in str(caught.value)


def test_credentials_of_the_environment_go_to_the_index_of_their_name(machine: Machine) -> None:
    machine.environ |= {
        "UV_INDEX_CORP_2_USERNAME": "me@corp",
        "UV_INDEX_CORP_2_PASSWORD": "s/c:t",
        "UV_INDEX_TORCH_PASSWORD": "token",
        "UV_INDEX_NOBODY_PASSWORD": "never",
    }
    expected = "https://me%40corp:s%2Fc%3At@corp.example/simple/"
    assert machine.settings(uv_index="corp-2=https://corp.example/simple").default == expected
    # Without its name an index has no credentials: the origin alone says nothing.
    assert machine.settings(uv_index="https://corp.example/simple").default == "https://corp.example/simple/"
    own = machine.settings(uv_extra="corp-2=https://own:secret@corp.example/")
    assert own.extra == ("https://own:secret@corp.example/",)
    user_only = machine.settings(uv_extra="torch=https://user@torch.example/")
    assert user_only.extra == ("https://user:token@torch.example/",)
    machine.write(
        ".config/uv/uv.toml",
        '[[index]]\nname = "corp-2"\nurl = "https://corp.example/simple"\ndefault = true\n'
        '[[index]]\nname = "torch"\nurl = "https://torch.example/"\nexplicit = true\n',
    )
    assert machine.settings() == IndexSettings(default=expected, explicit=("https://:token@torch.example/",))


@pytest.mark.parametrize("place", [".pip/pip.conf", ".config/pip/pip.conf", "pip.conf", "xdg/pip/pip.conf"])
def test_the_places_of_pip(machine: Machine, place: str) -> None:
    machine.write(place, PIP)
    assert machine.settings().default == "https://pip.example/simple/"


def test_pip_files_override_each_other_from_the_system_to_the_user(machine: Machine) -> None:
    places = ["xdg/pip/pip.conf", "pip.conf", ".pip/pip.conf", ".config/pip/pip.conf"]
    for place in places:
        machine.write(place, f"[global]\nindex-url = https://{len(place)}.example/\n")
        assert machine.settings().default == f"https://{len(place)}.example/"
    named = machine.write("named.conf", "[install]\nindex_url = https://named.example/\n")
    machine.environ["PIP_CONFIG_FILE"] = str(named)
    assert machine.settings().default == "https://named.example/"
    named.unlink()  # the user's files are still not read, the system's are
    assert machine.settings().default == f"https://{len('pip.conf')}.example/"
    machine.environ["PIP_CONFIG_FILE"] = "/dev/null"
    assert machine.settings().default is None


def test_the_users_configuration_directory_may_lie_elsewhere(machine: Machine, tmp_path: Path) -> None:
    machine.environ["XDG_CONFIG_HOME"] = str(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/uv").mkdir(parents=True)
    (tmp_path / "elsewhere/uv/uv.toml").write_text('index-url = "https://legacy.example/simple"\n')
    assert machine.settings().default == "https://legacy.example/simple/"
    machine.environ["XDG_CONFIG_HOME"] = "relative"
    assert machine.settings().default is None


def test_uv_files_of_the_user_come_before_those_of_the_system(machine: Machine) -> None:
    machine.write(
        "uv/uv.toml", 'index-url = "https://system.example/"\nextra-index-url = ["https://one.example/"]\n'
    )
    machine.write(".config/uv/uv.toml", 'extra-index-url = ["https://two.example/"]\n')
    assert machine.settings() == IndexSettings(
        default="https://system.example/", extra=("https://two.example/", "https://one.example/")
    )
    machine.write(
        ".config/uv/uv.toml", '[[index]]\nname = "torch"\nurl = "https://torch.example/"\nexplicit = true\n'
    )
    assert machine.settings().extra == ("https://one.example/",)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("pip.conf", "index-url = https://no-section.example/\n"),
        ("pip.conf", b"[global]\nindex-url = \xff\n"),
        ("uv/uv.toml", "index-url = \n"),
        ("uv/uv.toml", '[[index]]\nname = "no-url"\n'),
    ],
)
def test_a_file_that_does_not_parse_is_named(machine: Machine, place: str, text: str | bytes) -> None:
    path = machine.write(place, "")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        machine.settings()
    assert caught.value.code == "config.invalid"
    assert str(path) in caught.value.message
    # A source that comes before it is enough, the broken file is not even looked at.
    assert machine.settings(index="https://one.example/").default == "https://one.example/"
