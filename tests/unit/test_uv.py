from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import LockError, SelectionError
from sprawld.lockfiles import uv
from sprawld.model import Environment, Pin, Wanted
from tests.support.locks import DIGEST, INDEX, PLAIN, linux, macos, names, package, uv_lock, windows, write

ROOT = 'editable = "."'
PROJECT = '[project]\nname = "app"\nversion = "1.0"\n'


def select(
    directory: Path,
    text: str,
    wanted: Wanted = PLAIN,
    here: Environment | None = None,
    pyproject: str = PROJECT,
) -> tuple[Pin, ...]:
    write(directory, "pyproject.toml", pyproject)
    return uv.read(write(directory, "uv.lock", text)).select(here or linux(), wanted)


def code_of(directory: Path, text: str, wanted: Wanted = PLAIN, pyproject: str = PROJECT) -> str:
    with pytest.raises((LockError, SelectionError)) as caught:
        select(directory, text, wanted, pyproject=pyproject)
    assert str(directory) in caught.value.message
    return caught.value.code


def edge(name: str, **more: str) -> str:
    rest = "".join(f", {key} = {value}" for key, value in more.items())
    return f'{{ name = "{name}"{rest} }}'


def marker(text: str) -> str:
    return f'"{text}"'


class TestWalk:
    def test_dependencies_of_dependencies(self, tmp_path: Path) -> None:
        text = uv_lock(
            package("app", source=ROOT, dependencies=edge("a")),
            package("a", dependencies=edge("b")),
            package("b"),
            package("unreached"),
        )
        pins = select(tmp_path, text)
        assert names(pins) == ["a==1.0", "app==1.0", "b==1.0"]
        assert [pin.via for pin in pins] == [("app",), (), ("a",)]
        assert pins[0].artifacts[0].hashes[0].value == DIGEST
        assert pins[0].source.index == INDEX
        assert pins[1].source.path == tmp_path

    def test_markers_decide_and_cycles_end(self, tmp_path: Path) -> None:
        text = uv_lock(
            package("app", source=ROOT, dependencies=edge("a", marker=marker("sys_platform == 'win32'"))),
            package("a", dependencies=edge("b")),
            package("b", dependencies=edge("a")),
        )
        assert names(select(tmp_path, text)) == ["app==1.0"]
        assert names(select(tmp_path, text, here=windows())) == ["a==1.0", "app==1.0", "b==1.0"]

    def test_markers_of_what_is_not_reached_are_not_looked_at(self, tmp_path: Path) -> None:
        text = uv_lock(package("app", source=ROOT), package("a", dependencies=edge("gone")))
        assert names(select(tmp_path, text)) == ["app==1.0"]

    def test_extras_along_edges(self, tmp_path: Path) -> None:
        more = f"[package.optional-dependencies]\nfast = [{edge('b')}]"
        text = uv_lock(
            package("app", source=ROOT, dependencies=edge("a", extra='["fast", "absent"]')),
            package("a", more=more),
            package("b"),
        )
        assert names(select(tmp_path, text)) == ["a==1.0", "app==1.0", "b==1.0"]

    def test_forks_of_one_package(self, tmp_path: Path) -> None:
        old, new = marker("python_full_version < '3.12'"), marker("python_full_version >= '3.12'")
        registry = f'{{ registry = "{INDEX}" }}'
        edges = [
            edge("a", version='"1.0"', source=registry, marker=old),
            edge("a", version='"2.0"', source=registry, marker=new),
        ]
        text = uv_lock(
            package("app", source=ROOT, dependencies=", ".join(edges)), package("a"), package("a", "2.0")
        )
        assert names(select(tmp_path, text)) == ["a==2.0", "app==1.0"]
        assert names(select(tmp_path, text, here=linux("3.11.7"))) == ["a==1.0", "app==1.0"]
        both = text.replace(" >= '3.12'", " >= '3.8'").replace(" < '3.12'", " >= '3.8'")
        assert code_of(tmp_path, both) == "lock.duplicate-package"

    def test_python_and_platform(self, tmp_path: Path) -> None:
        app = package("app", source=ROOT)
        assert code_of(tmp_path, uv_lock(app, requires_python=">=3.13")) == "select.requires-python"
        elsewhere = uv_lock(app, head="supported-markers = [\"sys_platform == 'darwin'\"]")
        assert code_of(tmp_path, elsewhere) == "select.unsupported-environment"
        assert names(select(tmp_path, elsewhere, here=macos())) == ["app==1.0"]


class TestGroupsAndExtras:
    TEXT = uv_lock(
        package(
            "app",
            source=ROOT,
            more=f"""[package.optional-dependencies]
cli = [{edge("a")}]
[package.dev-dependencies]
dev = [{edge("b")}]
docs = [{edge("c")}]
[package.metadata]
provides-extras = ["cli", "empty"]
[package.metadata.requires-dev]
none = []""",
        ),
        package("a"),
        package("b"),
        package("c"),
    )

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (Wanted(), "app b"),
            (Wanted(no_dev=True), "app"),
            (Wanted(no_groups=("dev",)), "app"),
            (Wanted(extras=("cli",)), "a app b"),
            (Wanted(extras=("empty",)), "app b"),
            (Wanted(all_extras=True, no_dev=True), "a app"),
            (Wanted(groups=("docs",)), "app b c"),
            (Wanted(groups=("none",)), "app b"),
            (Wanted(all_groups=True), "app b c"),
            (Wanted(all_groups=True, no_groups=("Docs",)), "app b"),
            (Wanted(only_groups=("docs",)), "c"),
        ],
    )
    def test_what_is_asked_for(self, tmp_path: Path, wanted: Wanted, expected: str) -> None:
        assert [pin.name for pin in select(tmp_path, self.TEXT, wanted)] == expected.split()

    def test_unknown_names(self, tmp_path: Path) -> None:
        assert code_of(tmp_path, self.TEXT, Wanted(extras=("nope",))) == "select.unknown-extra"
        assert code_of(tmp_path, self.TEXT, Wanted(groups=("nope",))) == "select.unknown-group"
        assert code_of(tmp_path, self.TEXT, Wanted(only_groups=("nope",))) == "select.unknown-group"

    def test_names_that_only_the_project_file_has(self, tmp_path: Path) -> None:
        newer = (
            PROJECT
            + '[project.optional-dependencies]\nnew = ["x"]\nbare = []\n[dependency-groups]\nfresh = ["x"]\n'
        )
        assert code_of(tmp_path, self.TEXT, Wanted(extras=("new",)), newer) == "lock.stale"
        assert code_of(tmp_path, self.TEXT, Wanted(groups=("fresh",)), newer) == "lock.stale"
        assert names(select(tmp_path, self.TEXT, Wanted(extras=("bare",)), pyproject=newer))

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ('default-groups = ["docs"]', "app c"),
            ('default-groups = "all"', "app b c"),
            ("default-groups = []", "app"),
        ],
    )
    def test_default_groups_of_the_project_file(self, tmp_path: Path, settings: str, expected: str) -> None:
        pins = select(tmp_path, self.TEXT, pyproject=f"{PROJECT}[tool.uv]\n{settings}\n")
        assert [pin.name for pin in pins] == expected.split()

    def test_conflicts(self, tmp_path: Path) -> None:
        registry = f'{{ registry = "{INDEX}" }}'
        one = edge("a", version='"1.0"', source=registry, marker=marker("extra == 'extra-3-app-one'"))
        two = edge("a", version='"2.0"', source=registry, marker=marker("extra == 'extra-3-app-two'"))
        neither = "extra != 'extra-3-app-one' and extra != 'group-3-app-g'"
        text = uv_lock(
            package(
                "app",
                source=ROOT,
                dependencies=edge("b", marker=marker(neither)),
                more=f"""[package.optional-dependencies]
one = [{one}]
two = [{two}]
via = [{edge("app", extra='["one"]')}]
[package.dev-dependencies]
g = []""",
            ),
            package("a"),
            package("a", "2.0"),
            package("b"),
            head='conflicts = [[{ package = "app", extra = "one" }, { package = "app", extra = "two" }], '
            '[{ package = "app", extra = "one" }, { package = "app", group = "g" }], [{ package = "app" }]]',
        )
        assert names(select(tmp_path, text)) == ["app==1.0", "b==1.0"]
        assert names(select(tmp_path, text, Wanted(extras=("one",)))) == ["a==1.0", "app==1.0"]
        assert names(select(tmp_path, text, Wanted(extras=("two",)))) == ["a==2.0", "app==1.0", "b==1.0"]
        assert names(select(tmp_path, text, Wanted(groups=("g",)))) == ["app==1.0"]
        # The extra that an extra brings along is active too, also for the edge found before it.
        assert names(select(tmp_path, text, Wanted(extras=("via",)))) == ["a==1.0", "app==1.0"]
        assert code_of(tmp_path, text, Wanted(extras=("one", "two"))) == "select.conflict"
        assert code_of(tmp_path, text, Wanted(extras=("via", "two"))) == "select.conflict"
        assert code_of(tmp_path, text, Wanted(extras=("one",), groups=("g",))) == "select.conflict"


class TestWorkspaces:
    TEXT = uv_lock(
        package(
            "app",
            source=ROOT,
            dependencies=edge("a"),
            more=f"[package.dev-dependencies]\nshared = [{edge('c')}]",
        ),
        package("member", source='editable = "libs/member"', dependencies=edge("b")),
        package("a"),
        package("b"),
        package("c"),
        package("d"),
        head='[manifest]\nmembers = ["app", "member"]\n',
    )
    MEMBER = '[project]\nname = "Member"\nversion = "1.0"\n'

    def read(self, directory: Path, root: str, pyproject: str) -> uv.UvLock:
        write(directory, f"{root}/pyproject.toml", pyproject)
        return uv.read(write(directory, "uv.lock", self.TEXT), directory / root)

    def test_a_member_is_run_alone(self, tmp_path: Path) -> None:
        lock = self.read(tmp_path, "libs/member", self.MEMBER)
        assert names(lock.select(linux(), PLAIN)) == ["b==1.0", "member==1.0"]
        assert (lock.project.name, lock.project.root) == ("member", tmp_path / "libs/member")
        assert lock.select(linux(), PLAIN)[1].source.path == lock.project.root
        assert lock.inputs == (tmp_path / "uv.lock", tmp_path / "libs/member/pyproject.toml")

    def test_a_group_of_the_root_is_inherited_only_by_name(self, tmp_path: Path) -> None:
        lock = self.read(tmp_path, "libs/member", self.MEMBER + '[tool.uv]\ndefault-groups = ["shared"]\n')
        assert names(lock.select(linux(), PLAIN)) == ["b==1.0", "member==1.0"]
        assert names(lock.select(linux(), Wanted(groups=("shared",)))) == ["b==1.0", "c==1.0", "member==1.0"]

    def test_a_workspace_root_without_a_project_stands_for_all_members(self, tmp_path: Path) -> None:
        groups = '[manifest.dependency-groups]\ndev = [{ name = "d" }]\n'
        text = self.TEXT.replace('members = ["app", "member"]\n', f'members = ["app", "member"]\n{groups}')
        pins = select(tmp_path, text, pyproject='[tool.uv.workspace]\nmembers = ["libs/*"]\n')
        assert [pin.name for pin in pins] == ["a", "app", "b", "d", "member"]

    def test_without_a_project_file_the_lock_tells_the_root(self, tmp_path: Path) -> None:
        text = uv_lock(package("app", source='virtual = "."', dependencies=edge("a")), package("a"))
        lock = uv.read(write(tmp_path, "uv.lock", text))
        assert names(lock.select(linux(), PLAIN)) == ["a==1.0", "app==1.0"]

    def test_a_project_that_is_not_in_the_lock(self, tmp_path: Path) -> None:
        assert code_of(tmp_path, uv_lock(package("other", source=ROOT))) == "lock.stale"
        assert code_of(tmp_path, uv_lock(package("app"))) == "lock.stale"


class TestScripts:
    def test_the_requirements_of_the_script(self, tmp_path: Path) -> None:
        needs = [edge("a", extras='["x"]'), edge("b", marker=marker("os_name == 'nt'"))]
        head = f"[manifest]\nrequirements = [{', '.join(needs)}]\n"
        more = f"[package.optional-dependencies]\nx = [{edge('c')}]"
        text = uv_lock(package("a", more=more), package("b"), package("c"), head=head)
        lock = uv.read(write(tmp_path, "tool.py.lock", text))
        assert names(lock.select(linux(), PLAIN)) == ["a==1.0", "c==1.0"]
        assert lock.inputs == (tmp_path / "tool.py.lock",)

    def test_forks_choose_between_versions(self, tmp_path: Path) -> None:
        forks = "resolution-markers = [\"python_full_version {} '3.12'\"]"
        text = uv_lock(
            package("a", more=forks.format("<")),
            package("a", "2.0", more=forks.format(">=")),
            head=f"[manifest]\nrequirements = [{edge('a')}]\n",
        )
        lock = uv.read(write(tmp_path, "tool.py.lock", text))
        assert names(lock.select(linux(), PLAIN)) == ["a==2.0"]

    def test_an_empty_lock(self, tmp_path: Path) -> None:
        write(tmp_path, "tool.py", "")
        write(tmp_path, "pyproject.toml", PROJECT)
        assert uv.read(write(tmp_path, "tool.py.lock", uv_lock())).select(linux(), PLAIN) == ()


class TestSources:
    def pin(self, directory: Path, source: str, files: str = "") -> Pin:
        text = uv_lock(
            package("app", source=ROOT, dependencies=edge("a")),
            package("a", source=source, wheel="", more=files),
        )
        return select(directory, text)[0]

    def test_git(self, tmp_path: Path) -> None:
        url = "https://git.example.org/a.git?subdirectory=src&tag=v1#" + "0" * 40
        source = self.pin(tmp_path, f'git = "{url}"').source
        assert (source.kind, source.url, source.reference) == ("git", "https://git.example.org/a.git", "v1")
        assert (source.commit, source.subdirectory) == ("0" * 40, "src")

    def test_a_wheel_at_a_url(self, tmp_path: Path) -> None:
        url = "https://files.example.org/a-1.0-py3-none-any.whl"
        files = f'wheels = [{{ url = "{url}", hash = "sha256:{DIGEST}" }}]'
        found = self.pin(tmp_path, f'url = "{url}"', files)
        assert (found.source.kind, found.artifacts[0].url) == ("url", url)

    def test_an_archive_at_a_url(self, tmp_path: Path) -> None:
        found = self.pin(
            tmp_path, 'url = "https://example.org/main.zip"', f'sdist = {{ hash = "sha256:{DIGEST}" }}'
        )
        assert found.artifacts[0].filename == "main.zip"

    def test_a_wheel_in_the_project(self, tmp_path: Path) -> None:
        name = "a-1.0-py3-none-any.whl"
        files = f'wheels = [{{ filename = "{name}", hash = "sha256:{DIGEST}" }}]'
        found = self.pin(tmp_path, f'path = "wheels/{name}"', files)
        assert (found.source.kind, found.artifacts[0].path) == ("path", tmp_path / "wheels" / name)

    def test_a_package_without_any_file_that_can_be_installed(self, tmp_path: Path) -> None:
        for files in (
            "",
            f'wheels = [{{ url = "https://files.example.org/a.egg", hash = "sha256:{DIGEST}" }}]',
        ):
            with pytest.raises(SelectionError) as caught:
                self.pin(tmp_path, f'registry = "{INDEX}"', files)
            assert caught.value.code == "select.no-wheel"

    def test_a_directory_of_wheels_as_an_index(self, tmp_path: Path) -> None:
        found = self.pin(tmp_path, 'registry = "wheels"', 'wheels = [{ path = "a-1.0-py3-none-any.whl" }]')
        assert found.artifacts[0].path == tmp_path / "wheels/a-1.0-py3-none-any.whl"
        assert (found.source.kind, found.source.index) == ("registry", None)


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "lock.unsupported"),
            ("version = 2", "lock.unsupported"),
            ("version = 999", "lock.unsupported"),
            ('version = "1"', "lock.invalid"),
            ("version = 1\n[[distribution]]\nname = 'a'", "lock.unsupported"),
            ("version = 1\npackage = 1", "lock.invalid"),
            ("version = 1\n[[package]]\nversion = '1'", "lock.invalid"),
            ("version = 1\n[[package]]\nname = 'a'", "lock.invalid"),
            ("version = 1\n[[package]]\nname = 'a'\nsource = { registry = 1 }", "lock.invalid"),
            ("version = 1\nconflicts = [1]", "lock.invalid"),
            ("version = 1\nconflicts = [[1]]", "lock.invalid"),
            ("version = 1\nsupported-markers = ['nonsense']", "lock.invalid"),
            ("version = 1\nrequires-python = 3", "lock.invalid"),
        ],
    )
    def test_what_is_no_lock_of_this_version(self, tmp_path: Path, text: str, code: str) -> None:
        assert code_of(tmp_path, text) == code

    def test_the_same_package_twice(self, tmp_path: Path) -> None:
        text = uv_lock(package("app", source=ROOT), package("a"), package("a"))
        assert code_of(tmp_path, text) == "lock.duplicate-package"

    def test_more_than_any_project_has(self, tmp_path: Path) -> None:
        many = uv_lock(*(f'[[package]]\nname = "a{i}"\nsource = {{ virtual = "a" }}' for i in range(20_001)))
        assert code_of(tmp_path, many) == "lock.too-large"
        versions = uv_lock(*(package("a", f"1.{i}") for i in range(300)))
        assert code_of(tmp_path, versions) == "lock.invalid"

    def test_an_edge_to_nowhere(self, tmp_path: Path) -> None:
        app = package("app", source=ROOT, dependencies=edge("gone"))
        assert code_of(tmp_path, uv_lock(app)) == "lock.stale"
        ambiguous = uv_lock(
            package("app", source=ROOT, dependencies=edge("a")), package("a"), package("a", "2.0")
        )
        assert code_of(tmp_path, ambiguous) == "lock.invalid"

    def test_the_message_says_where(self, tmp_path: Path) -> None:
        text = uv_lock(
            package("app", source=ROOT), package("a").replace("dependencies = []", "dependencies = [{}]")
        )
        with pytest.raises(LockError) as caught:
            select(tmp_path, text)
        assert caught.value.message == f"{tmp_path}/uv.lock: package[1].dependencies[0]: name: missing"


class TestFreshness:
    LOCK = uv_lock(
        package(
            "app",
            source=ROOT,
            dependencies=edge("a"),
            more="""[package.metadata]
requires-dist = [{ name = "a", specifier = ">=1" }, { name = "l", directory = "l" }]
[package.metadata.requires-dev]
dev = [{ name = "b" }]""",
        ),
        package("a"),
    )

    def warnings(self, directory: Path, dependencies: str, dev: str) -> tuple[str, ...]:
        text = f"{PROJECT}dependencies = {dependencies}\n[dependency-groups]\ndev = {dev}\n"
        write(directory, "pyproject.toml", text)
        return uv.read(write(directory, "uv.lock", self.LOCK)).warnings

    def test_a_lock_that_fits(self, tmp_path: Path) -> None:
        assert self.warnings(tmp_path, '["A>=1", "l>3"]', '["b"]') == ()

    def test_differences_are_told(self, tmp_path: Path) -> None:
        (warning,) = self.warnings(tmp_path, '["A>=2", "c"]', "[]")
        assert "(+c, -b, -l, ~a)" in warning
        assert "uv lock" in warning

    def test_what_cannot_be_compared_is_not(self, tmp_path: Path) -> None:
        assert self.warnings(tmp_path, '["not a requirement!"]', '["b"]') == ()
