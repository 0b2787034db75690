"""What a wheel says of itself: its file name, METADATA, WHEEL and entry_points.txt.

Each parser takes bytes or a string and raises WheelError `wheel.*`; none of them reads a file.

Specifications: binary distribution format (file name, WHEEL), core metadata, entry points.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sprawld.errors import WheelError

from .membernames import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "WheelName",
    "check_script_name",
    "normalise",
    "parse_entry_points",
    "parse_filename",
    "parse_metadata",
    "parse_wheel_file",
    "same_version",
]

SCRIPT_GROUPS: Final = ("console_scripts", "gui_scripts")
MAX_SCRIPT_NAME: Final = 128

_PROJECT_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_FILENAME_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?", re.ASCII)
_FILENAME_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!]*", re.ASCII)
_FILENAME_TAG: Final = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*", re.ASCII)
_INTERPRETER: Final = re.compile(r"(?:python|pypy|graalpy)w?[0-9.]*[td]*(?:\.exe)?", re.ASCII)
_OBJECT: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelName:
    """The parts of a wheel's file name."""

    name: str
    """Normalised."""
    version: str
    tags: tuple[str, ...]
    """Expanded: `py2.py3-none-any` gives two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What installing needs of METADATA."""

    name: str
    """As the project spells it."""
    version: str
    requires_python: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFields:
    """What installing needs of WHEEL."""

    root_is_purelib: bool
    tags: tuple[str, ...]
    """Expanded; empty when the file has none."""


def normalise(name: str) -> str:
    """Return a project name in the form that is compared (names specification)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def same_version(left: str, right: str) -> bool:
    """Tell whether two spellings mean one version; a spelling that is none equals only itself."""
    left, right = left.replace("_", "-"), right.replace("_", "-")
    if left == right:
        return True
    # Deferred: spellings differ in few wheels, and workers start faster without it.
    from packaging.version import InvalidVersion, Version

    try:
        return Version(left) == Version(right)
    except InvalidVersion:
        return False


def parse_filename(filename: str) -> WheelName:
    """Return the parts of `name-version[-build]-python-abi-platform.whl`."""
    parts = filename.removesuffix(".whl").split("-")
    patterns = [_FILENAME_NAME, _FILENAME_VERSION, *[_FILENAME_TAG] * 3]
    if len(parts) == 6 and parts[2][:1].isdigit():
        del parts[2]
    if (
        not filename.endswith(".whl")
        or len(parts) != 5
        or not all(pattern.fullmatch(part) for pattern, part in zip(patterns, parts, strict=True))
    ):
        raise WheelError("wheel.bad-filename", f"{shown(filename)} is not the file name of a wheel")
    name, version, *tag = parts
    return WheelName(name=normalise(name), version=version, tags=tuple(_expand("-".join(tag))))


def _expand(tag: str) -> Iterator[str]:
    pythons, abis, platforms = (part.split(".") for part in tag.split("-"))
    return (f"{python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms)


def _headers(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield lower-case keys and values of the header block, which ends where the email package ends it."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # Old tools wrote descriptions in other encodings; the fields that are read here are ASCII.
        text = content.decode("latin-1")
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if line[:1] in (" ", "\t"):
            continue  # the rest of a long value, such as a description
        if not colon:
            return
        yield key.strip().lower(), value.strip()


def parse_metadata(content: bytes, expected: WheelName) -> Metadata:
    """Read METADATA and hold it against the file name."""
    fields: dict[str, str] = {}
    for key, value in _headers(content):
        if key in ("name", "version", "requires-python") and fields.setdefault(key, value) != value:
            raise WheelError("wheel.metadata", f"METADATA has two values for {key}")
    name, version = fields.get("name", ""), fields.get("version", "")
    if not _PROJECT_NAME.fullmatch(name) or normalise(name) != expected.name:
        raise WheelError("wheel.metadata", f"METADATA names the project {shown(name)}, not {expected.name}")
    if not version.isprintable() or not same_version(version, expected.version):
        raise WheelError("wheel.metadata", f"METADATA says version {shown(version)}, not {expected.version}")
    return Metadata(name=name, version=version, requires_python=fields.get("requires-python") or None)


def parse_wheel_file(content: bytes, expected: WheelName) -> WheelFields:
    """Read WHEEL and hold its tags against the file name.

    Only the pairs of interpreter and ABI have to meet: a wheel whose platform was widened by renaming it is
    common and honest.
    """
    headers = list(_headers(content))
    fields = dict(headers)
    version = fields.get("wheel-version", "")
    major, dot, minor = version.partition(".")
    if not (major.isascii() and major.isdigit() and (not dot or (minor.isascii() and minor.isdigit()))):
        raise WheelError("wheel.metadata", f"WHEEL says format version {shown(version)}")
    if int(major) != 1:
        hint = "a newer release of virtual-sprawl may read it"
        raise WheelError(
            "wheel.unsupported-version", f"the wheel has format version {shown(version)}", hint=hint
        )
    tags: list[str] = []
    for key, value in headers:
        if key == "tag":
            if value.count("-") != 2:
                raise WheelError("wheel.metadata", f"WHEEL has a tag that is none: {shown(value)}")
            tags += _expand(value)
    if tags and not {_without_platform(tag) for tag in tags} & {
        _without_platform(tag) for tag in expected.tags
    }:
        raise WheelError(
            "wheel.metadata", f"WHEEL says the tag {shown(tags[0])}, the file name {expected.tags[0]}"
        )
    return WheelFields(
        root_is_purelib=fields.get("root-is-purelib", "true").lower() == "true", tags=tuple(tags)
    )


def _without_platform(tag: str) -> str:
    return tag.rpartition("-")[0]


def parse_entry_points(content: bytes) -> dict[str, dict[str, str]]:
    """Return the script groups of entry_points.txt: group -> name -> "module:attribute", extras stripped.

    Groups other than the two of scripts are left to importlib.metadata.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise WheelError("wheel.metadata", "entry_points.txt is not UTF-8") from None
    groups: dict[str, dict[str, str]] = {}
    group = ""
    for line in (line.strip() for line in text.split("\n")):
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            group = line[1:-1].strip()
        elif group in SCRIPT_GROUPS:
            name, equals, value = line.partition("=")
            name = name.strip()
            check_script_name(name)
            target = _callable(value) if equals else None
            if target is None:
                raise WheelError("wheel.bad-entry-point", f"the script {shown(name)} names no callable")
            scripts = groups.setdefault(group, {})
            if scripts.setdefault(name, target) != target:
                raise WheelError("wheel.bad-entry-point", f"the script {shown(name)} is declared twice")
    return groups


def _callable(value: str) -> str | None:
    """Return `module:attribute` of an object reference without its extras; None when it is not one."""
    module, colon, attribute = value.partition("[")[0].partition(":")
    module, attribute = module.strip(), attribute.strip()
    if not (colon and _OBJECT.fullmatch(module) and _OBJECT.fullmatch(attribute)):
        return None
    return f"{module}:{attribute}"


def check_script_name(name: str) -> None:
    """Refuse names of scripts that are no plain file name, read like an option, or replace an interpreter.

    The specification allows nearly every character; what is let in beyond its recommendation is letters of
    any alphabet, `+` and inner spaces.
    """
    allowed = all(character.isalnum() or character in "._-+ " for character in name)
    if (
        not allowed
        or not name[:1].replace("_", "a").isalnum()
        or name[-1:] == " "
        or len(name) > MAX_SCRIPT_NAME
    ):
        raise WheelError("wheel.bad-entry-point", f"{shown(name)} is not a name for a script")
    if _INTERPRETER.fullmatch(name.lower()):
        raise WheelError("wheel.bad-entry-point", f"the script {shown(name)} would replace an interpreter")
