"""The line grammar of requirements files: from bytes to requirements and options, without meaning.

Specification: pip's documentation, "Requirements File Format", and what pip's parser does beyond it:

1. Text is decoded by its byte order mark, else by a coding cookie in the first two lines, else as UTF-8.
2. A line ending in `\\` continues; a line that is a comment ends the continuation. Then comments go: `#` at
   the start or after white space. Then variables: `${NAME}` of capitals, digits and `_`, if set to something.
3. What stands before the first word that begins with `-` is a requirement; the rest are options, split like
   a shell would. Options may be abbreviated. Unknown ones are an error, and so are stray words, which pip
   drops; but a marker after an editable requirement, which pip drops too, is kept: uv writes them.
4. Variables come from the caller; without any, a lock cannot make the daemon reveal its environment.
"""

from __future__ import annotations

import codecs
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ._toml import Fault, at, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Line", "decode", "parse_line", "parse_text", "via_comments"]

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with that of UTF-16-LE
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_COOKIE: Final = re.compile(rb"coding[:=]\s*([-\w.]+)")
# Python has codecs that are no character sets, and some that take quadratic time.
_CHARACTER_SETS: Final = re.compile(
    r"ascii|utf-8|iso8859-[0-9]+|cp[0-9]+|koi8-[rtu]|mac-[a-z]+|gb2312|gbk|gb18030|hz|big5(?:hkscs)?"
    r"|shift_jis\w*|euc_\w+|johab|tis-620|kz1048|ptcp154|hp-roman8"
)
# The longest requirement of 40 real files, with 240 hashes, has 21 kB.
_LINE_CHARACTERS: Final = 1 << 20
_VARIABLE: Final = re.compile(r"\$\{([A-Z0-9_]+)\}")
_VIA_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\[\],-]*|-[rc] \S+")

_SHORT: Final = {
    "-i": "--index-url",
    "-c": "--constraint",
    "-r": "--requirement",
    "-e": "--editable",
    "-f": "--find-links",
    "-C": "--config-settings",
}
_WITH_VALUE: Final = frozenset(
    {
        "--index-url",
        "--pypi-url",
        "--extra-index-url",
        "--constraint",
        "--requirement",
        "--editable",
        "--find-links",
        "--no-binary",
        "--only-binary",
        "--trusted-host",
        "--use-feature",
        "--all-releases",
        "--only-final",
        "--hash",
        "--config-settings",
    }
)
_FLAGS: Final = frozenset(
    {"--no-index", "--no-require-hashes", "--prefer-binary", "--require-hashes", "--pre"}
)
_LONG: Final = tuple(sorted(_WITH_VALUE | _FLAGS))
_ALIASES: Final = {"--pypi-url": "--index-url"}
# uv writes markers behind editable requirements, where a shell's rules would take the quotes off.
_EDITABLE: Final = re.compile(r"""(?:-e|--editable)(?:\s+|=|(?=[^\s-]))(?=[^\s'"])""")
_EDITABLE_PLACE: Final = re.compile(r"(?:[^\s\[;]|\[[^\]\[]*\]|\[)+\s*")
_OPTION: Final = re.compile(r"\s--?[a-zA-Z]")
# Nearly all option strings are a list of hashes, and a shell's rules take a second for a megabyte of them.
_ONLY_HASHES: Final = re.compile(r"--hash=[a-z0-9]+:[0-9A-Fa-f]+(?: +--hash=[a-z0-9]+:[0-9A-Fa-f]+)*")


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line."""

    number: int
    """Of its first physical line, from 1."""
    requirement: str
    """Empty for a line of options."""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Long name -> values in order; a flag has one empty value."""

    def values(self, option: str) -> tuple[str, ...]:
        """Return the values given for an option."""
        return self.options.get(option, ())


def decode(data: bytes) -> str:
    """Return the text of a requirements file; raises Fault `lock.not-utf8`."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode(data[len(mark) :], encoding)
    for line in data.split(b"\n", 2)[:2]:
        if line.startswith(b"#") and (match := _COOKIE.search(line)) is not None:
            return _decode(data, match[1].decode("ascii", "replace"))
    return _decode(data, "utf-8")


def _decode(data: bytes, encoding: str) -> str:
    try:
        codec = codecs.lookup(encoding)
        if not (_CHARACTER_SETS.fullmatch(codec.name) or codec.name.startswith(("utf-16", "utf-32"))):
            raise LookupError
        return codec.decode(data, "strict")[0]
    except LookupError:
        raise Fault("lock.not-utf8", f"not a character set: {shown(repr(encoding))}") from None
    except ValueError as error:  # UnicodeDecodeError
        place = getattr(error, "start", 0)
        raise Fault("lock.not-utf8", f"not {codec.name} at byte {place}") from None


def parse_text(text: str, variables: Mapping[str, str] | None = None) -> Iterator[Line]:
    """Yield the lines of a requirements file that say anything (rules 2 and 3)."""
    for number, joined in _joined(text):
        line = _without_comment(joined)
        if line:
            with at(f"line {number}"):
                parsed = parse_line(_expanded(line, variables or {}), number)
            yield parsed


def _joined(text: str) -> Iterator[tuple[int, str]]:
    pieces: list[str] = []
    first = length = 0
    for number, physical in enumerate(text.splitlines(), start=1):
        is_comment = physical.lstrip().startswith("#")
        # White space before it, so that the comment is seen as one after the lines are joined.
        line = f" {physical}" if is_comment else physical
        if not pieces:
            first, length = number, 0
        length += len(line)
        if length > _LINE_CHARACTERS:
            raise Fault("lock.invalid", f"line {first}: more than {_LINE_CHARACTERS} characters")
        if line.endswith("\\") and not is_comment:
            pieces.append(line.strip("\\"))
            continue
        yield first, "".join((*pieces, line))
        pieces = []
    if pieces:
        yield first, "".join(pieces)


def _without_comment(line: str) -> str:
    """Return what stands before a `#` at the start or after white space."""
    position = line.find("#")
    while position > 0 and not line[position - 1].isspace():
        position = line.find("#", position + 1)
    return (line if position < 0 else line[:position]).strip()


def _expanded(line: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables.get(match[1]) or match[0], line)


def parse_line(line: str, number: int = 1) -> Line:
    """Split a logical line without comment into requirement and options; raises Fault `lock.syntax`."""
    words = line.split(" ")
    count = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    requirement, rest = " ".join(words[:count]).strip(), " ".join(words[count:])
    if not rest:
        return Line(number, requirement)
    if _ONLY_HASHES.fullmatch(rest):
        return Line(number, requirement, {"--hash": tuple(word[7:] for word in rest.split())})
    editable, rest = _editable(rest)
    try:
        arguments = shlex.split(rest)
    except ValueError as error:
        raise Fault("lock.syntax", str(error)) from None
    options = _options(arguments)
    if editable is not None:
        options["--editable"] = (editable, *options.get("--editable", ()))
    return Line(number, requirement, options)


def _editable(text: str) -> tuple[str | None, str]:
    """Cut a leading `-e PLACE[EXTRAS] ; MARKER` from options; without one, nothing is cut."""
    option = _EDITABLE.match(text)
    place = _EDITABLE_PLACE.match(text, option.end()) if option is not None else None
    if option is None or place is None:
        return None, text
    end = place.end()
    if text.startswith(";", end):
        following = _OPTION.search(text, end)
        end = len(text) if following is None else following.start()
    return text[option.end() : end].strip(), text[end:]


def _options(arguments: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    remaining = iter(arguments)
    for argument in remaining:
        name, value = _named(argument)
        if name in _WITH_VALUE and value is None:
            value = next(remaining, None)
            if value is None:
                raise Fault("lock.syntax", f"option {name} without a value")
        elif name in _FLAGS and value is not None:
            raise Fault("lock.syntax", f"option {name} takes no value")
        found.setdefault(_ALIASES.get(name, name), []).append(value or "")
    return {name: tuple(values) for name, values in found.items()}


def _named(argument: str) -> tuple[str, str | None]:
    """Return the full name of an option and the value that is part of the same word."""
    if argument.startswith("--"):
        given, equals, value = argument.partition("=")
        matching = [given] if given in _LONG else [name for name in _LONG if name.startswith(given)]
        if len(matching) == 1 and given != "--":
            return matching[0], value if equals else None
    elif argument[:2] in _SHORT:
        return _SHORT[argument[:2]], argument[2:] or None
    raise Fault("lock.syntax", f"not an option: {shown(repr(argument))}")


def via_comments(text: str) -> dict[int, tuple[str, ...]]:
    """Return what pip-compile and uv say below a requirement about who needs it: `# via NAME`.

    The keys are the numbers that `parse_text` gives to the lines.
    """
    found: dict[int, dict[str, None]] = {}
    current, listing, continued = 0, False, False
    for number, physical in enumerate(text.splitlines(), start=1):
        line = physical.strip()
        body = line.removeprefix("#").strip()
        if not line.startswith("#"):
            listing = False
            current = current if continued else number
            continued = line.endswith("\\")
            continue
        if body == "via" or body.startswith("via "):
            listing = True
            body = body.removeprefix("via").strip()
        if listing and current:
            names = (part.strip() for part in body.split(", "))
            found.setdefault(current, {}).update((name, None) for name in names if _VIA_NAME.fullmatch(name))
    return {line: tuple(names) for line, names in found.items()}
