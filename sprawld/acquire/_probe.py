"""The questions put to an interpreter: sent as text with `-c`, answered as one JSON object on stdout.

It runs in the target, so it keeps to the syntax of Python 3.6 (old enough to be told "too old") and imports
nothing but the standard library and, where the target is new enough, the daemon's own `packaging` from the
directory named by the first argument. Without it, `facts` let the daemon compute the tags.
"""

import json
import os
import platform
import sys
import sysconfig
from importlib import machinery
from pathlib import Path

OLDEST = (3, 8)


def base_executable() -> str:
    """Return the interpreter below a virtual environment, or the running one."""
    running = Path(getattr(sys, "_base_executable", None) or sys.executable)
    # Before 3.11 a virtual environment made of copies still names itself: its pyvenv.cfg knows better.
    for directory in list(running.parents)[:2]:
        home = _home(directory / "pyvenv.cfg")
        if not home:
            continue
        for name in (running.name, f"python{sys.version_info[0]}.{sys.version_info[1]}", "python3", "python"):
            if os.access(home + "/" + name, os.X_OK):
                return home + "/" + name
    return str(running)


def _home(config: Path) -> str:
    try:
        text = config.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip().lower() == "home":
            return value.strip()
    return ""


def markers() -> "dict[str, str]":
    """Return the marker environment as the dependency specifiers specification defines it."""
    info = sys.implementation.version
    pre = "" if info[3] == "final" else info[3][0] + str(info[4])
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": f"{info[0]}.{info[1]}.{info[2]}{pre}",
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "sys_platform": sys.platform,
    }


def facts() -> "dict[str, object]":
    """Return what platform tags and ABIs follow from."""
    return {
        "platform": sysconfig.get_platform(),
        "wide": sys.maxsize > 2**32,
        "libc": _libc(),
        "macos": platform.mac_ver()[0],
        "debug": bool(sysconfig.get_config_var("Py_DEBUG")) or hasattr(sys, "gettotalrefcount"),
    }


def _libc() -> "list[str]":
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        return [name, version]
    except (AttributeError, OSError, ValueError):
        return ["musl", _musl()] if sys.platform == "linux" else ["", ""]


def _musl() -> str:
    # musl tells its version only when its loader is run by itself.
    import subprocess

    try:
        maps = Path("/proc/self/maps").read_text().splitlines()
        loader = next(line.split()[-1] for line in maps if "/ld-musl-" in line)
        said = subprocess.run([loader], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL).stderr
        return said.decode().splitlines()[1].split()[1]
    except (OSError, IndexError, StopIteration):
        return ""


def tags(directory: str) -> "list[str] | None":
    """Return the supported tags, best first, or None where `packaging` does not load."""
    sys.path.append(directory)
    try:
        from packaging.tags import sys_tags

        return [str(tag) for tag in sys_tags()]
    except Exception:
        # What too new a packaging raises here is up to the syntax it happens to use.
        return None


def answer() -> "dict[str, object]":
    """Return everything the daemon wants to know."""
    known: dict[str, object] = {
        "implementation": sys.implementation.name,
        "version": list(sys.version_info[:3]),
    }
    if sys.version_info < OLDEST or sys.implementation.name != "cpython":
        return known
    threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return {
        **known,
        "base": base_executable(),
        "abiflags": getattr(sys, "abiflags", ""),
        "cache_tag": sys.implementation.cache_tag or "",
        "soabi": sysconfig.get_config_var("SOABI") or "",
        "extension_suffix": sysconfig.get_config_var("EXT_SUFFIX") or "",
        "library": f"python{sys.version_info[0]}.{sys.version_info[1]}{threads}",
        "suffixes": machinery.EXTENSION_SUFFIXES + machinery.SOURCE_SUFFIXES + machinery.BYTECODE_SUFFIXES,
        "free_threaded": bool(threads),
        "facts": facts(),
        "markers": markers(),
        "tags": tags(sys.argv[1]),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer()))
