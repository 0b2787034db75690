"""Service files are made for one user, replace only our own, and hold what the managers require."""

from __future__ import annotations

import argparse
import plistlib
import sys
from pathlib import Path

import pytest

from virtual_sprawl import service_command
from virtual_sprawl.servicefiles import ServiceError, ServiceFile, install, installed, render, uninstall

PROGRAM = "/opt/sprawl/bin/sprawld"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def named(files: list[ServiceFile]) -> dict[str, str]:
    return {file.path.rpartition("/")[2]: file.content for file in files}


def test_units_lie_where_systemd_looks(tmp_path: Path, environ: dict[str, str]) -> None:
    directory = tmp_path / ".config/systemd/user"
    assert [file.path for file in render(PROGRAM, environ, "linux")] == [
        f"{directory}/sprawld.service.d/50-userns.conf",
        f"{directory}/sprawld.socket",
        f"{directory}/sprawld.service",
    ]
    assert len(render(PROGRAM, environ, "linux", userns=False)) == 2
    moved = render(PROGRAM, {**environ, "XDG_CONFIG_HOME": "/etc/mine"}, "linux")
    assert all(file.path.startswith("/etc/mine/systemd/user/") for file in moved)


def test_no_placeholder_is_left(environ: dict[str, str]) -> None:
    for platform in ("linux", "darwin"):
        for with_cache in ({}, {"XDG_CACHE_HOME": "/var/cache/me"}):
            for file in render(PROGRAM, {**environ, **with_cache}, platform):
                words = file.content.replace("@system-service", "").replace("@privileged", "")
                assert "@" not in words.replace("@resources", ""), file.path


def test_the_program_is_one_word_whatever_is_in_its_path(environ: dict[str, str]) -> None:
    unit = named(render('/opt/a b/100%/"x"\\y/sprawld', environ, "linux"))["sprawld.service"]
    assert 'ExecStart="/opt/a b/100%%/\\"x\\"\\\\y/sprawld"\n' in unit


def test_the_store_of_the_clients_is_the_store_of_the_service(environ: dict[str, str]) -> None:
    assert "Environment=" not in named(render(PROGRAM, environ, "linux"))["sprawld.service"]
    environ["XDG_CACHE_HOME"] = "/srv/cache of mine"
    unit = named(render(PROGRAM, environ, "linux"))["sprawld.service"]
    assert 'Environment="XDG_CACHE_HOME=/srv/cache of mine"\n' in unit


@pytest.mark.parametrize("path", ["/opt/\nExecStartPre=/bin/evil", "relative/sprawld", "/opt/$HOME/sprawld"])
def test_paths_that_no_unit_can_hold_are_refused(environ: dict[str, str], path: str) -> None:
    for platform in ("linux", "darwin"):
        with pytest.raises(ServiceError) as caught:
            render(path, environ, platform)
        assert caught.value.code == "service.bad-path"


def test_variables_cannot_add_lines_and_relative_ones_are_left_out(environ: dict[str, str]) -> None:
    with pytest.raises(ServiceError) as caught:
        render(PROGRAM, {**environ, "XDG_CACHE_HOME": "/opt\nExecStartPre=/bin/evil"}, "linux")
    assert caught.value.code == "service.bad-path"
    relative = render(
        PROGRAM, {**environ, "XDG_CONFIG_HOME": "config", "SSL_CERT_FILE": "certs.pem"}, "linux"
    )
    assert "Environment=" not in named(relative)["sprawld.service"]


def test_the_property_list_says_what_launchd_needs(tmp_path: Path, environ: dict[str, str]) -> None:
    environ["XDG_CACHE_HOME"] = "/Users/me/a & b"
    (file,) = render("/opt/<x>/sprawld", environ, "darwin")
    assert file.path == f"{tmp_path}/Library/LaunchAgents/org.virtual-sprawl.sprawld.plist"
    document = plistlib.loads(file.content.encode())
    assert document["Label"] == "org.virtual-sprawl.sprawld"
    assert document["ProgramArguments"] == ["/opt/<x>/sprawld"]
    assert document["EnvironmentVariables"] == {"XDG_CACHE_HOME": "/Users/me/a & b"}
    listener = document["Sockets"]["Listener"]
    assert listener["SockPathMode"] == 0o600
    assert (listener["SockFamily"], listener["SockType"]) == ("Unix", "stream")
    assert document["Umask"] == 0o077
    assert document["KeepAlive"] == {"Crashed": True}
    # launchd expands nothing.
    for path in (listener["SockPathName"], document["StandardErrorPath"], *document["ProgramArguments"]):
        assert path.startswith("/")
    assert "EnvironmentVariables" in plistlib.loads(
        render(PROGRAM, {"HOME": "/x"}, "darwin")[0].content.encode()
    )


def test_install_and_uninstall_leave_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    for platform in ("linux", "darwin"):
        files = render(PROGRAM, environ, platform)
        assert {file.state() for file in files} == {"absent"}
        assert install(files) == [file.path for file in files]
        assert {file.state() for file in files} == {"current"}
        assert all(Path(file.path).stat().st_mode & 0o777 == 0o644 for file in files)
        assert install(files) == []
        assert installed(environ, platform) == [file.path for file in files]
        newer = render("/new/sprawld", environ, platform)
        assert len(install(newer)) == 1
        assert sorted(uninstall(environ, platform)) == sorted(file.path for file in files)
        assert uninstall(environ, platform) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not (tmp_path / ".config/systemd/user/sprawld.service.d").exists()


def test_what_somebody_wrote_by_hand_is_kept(environ: dict[str, str]) -> None:
    files = render(PROGRAM, environ, "linux")
    own = Path(files[-1].path)
    own.parent.mkdir(parents=True)
    own.write_text("[Service]\nExecStart=/my/own\n")
    with pytest.raises(ServiceError) as caught:
        install(files)
    assert caught.value.code == "service.foreign-file"
    # Checked before anything is written.
    assert [path.name for path in own.parent.iterdir()] == ["sprawld.service"]
    assert uninstall(environ, "linux") == []
    assert own.read_text() == "[Service]\nExecStart=/my/own\n"


def test_a_drop_in_of_the_users_survives(environ: dict[str, str]) -> None:
    files = render(PROGRAM, environ, "linux")
    install(files)
    own = Path(files[0].path).with_name("override.conf")
    own.write_text("[Service]\nNice=5\n")
    uninstall(environ, "linux")
    assert own.exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / ".config").write_text("a file")
    with pytest.raises(ServiceError) as caught:
        install(render(PROGRAM, environ, "linux"))
    assert caught.value.code == "service.unwritable"


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    service_command.configure(parser)
    return parser.parse_args(words)


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the process's own environment that of a user whose home is empty and who has a sprawld."""
    program = tmp_path / "bin/sprawld"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_SPRAWL_DAEMON", str(program))
    return tmp_path


def test_the_command_line_writes_and_tells_what_to_do_next(
    user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = parse("install", "--dry-run")
    assert arguments.run(arguments) == 0
    assert str(user / "bin/sprawld") in capsys.readouterr().out
    assert not list(user.rglob("sprawld.s*"))

    arguments = parse("install")
    assert arguments.run(arguments) == 0
    said = capsys.readouterr().out
    assert said.count("wrote ") >= 1
    assert "sprawlctl stop" in said
    assert ("launchctl bootstrap" if sys.platform == "darwin" else "enable --now sprawld.socket") in said

    arguments = parse("status")
    assert arguments.run(arguments) == 0
    assert "current" in capsys.readouterr().out

    arguments = parse("uninstall", "--dry-run")
    assert arguments.run(arguments) == 0
    assert "would remove" in capsys.readouterr().out
    arguments = parse("uninstall")
    assert arguments.run(arguments) == 0
    assert "removed" in capsys.readouterr().out
    assert arguments.run(arguments) == 0
    assert capsys.readouterr().out == ""


def test_without_a_program_nothing_is_written(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIRTUAL_SPRAWL_DAEMON", str(user / "gone"))
    arguments = parse("install")
    assert arguments.run(arguments) == 1
    assert "[service.no-program]" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "darwin", reason="the drop-in is systemd's")
def test_without_user_name_spaces_the_drop_in_is_left_out(user: Path) -> None:
    # No session bus: systemd-run cannot start anything, which is what a forbidden name space looks like too.
    install(render(str(user / "bin/sprawld"), {"HOME": str(user)}))
    arguments = parse("install")
    assert arguments.run(arguments) == 0
    directory = user / ".config/systemd/user"
    assert {path.name for path in directory.iterdir()} == {"sprawld.socket", "sprawld.service"}
