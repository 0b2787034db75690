from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.model import Wanted
from tests.support.locks import INDEX, linux, windows
from tests.support.poetry_locks import code, lock, needs, package, select, walk


class TestWalk:
    """Before 2.1 the graph is walked from the project file."""

    def test_dependencies_of_wanted_groups(self, tmp_path: Path) -> None:
        packages = [package("Aa_b", more=needs(C='">=1"')), package("c"), package("d"), package("unreached")]
        roots = (
            '[tool.poetry.dependencies]\npython = "^3.8"\naA-b = "^1.0"\n'
            '[tool.poetry.group.test]\noptional = true\n[tool.poetry.group.test.dependencies]\nd = "*"\n'
        )
        assert walk(tmp_path, *packages, roots=roots) == ["aa-b==1.0", "c==1.0"]
        assert walk(tmp_path, *packages, roots=roots, wanted=Wanted(only_groups=("test",))) == ["d==1.0"]
        legacy = '[tool.poetry.dependencies]\nc = "*"\n[tool.poetry.dev-dependencies]\nd = "*"\n'
        assert walk(tmp_path, *packages, roots=legacy, version="1.1") == ["c==1.0", "d==1.0"]
        assert walk(tmp_path, *packages, roots=legacy, wanted=Wanted(no_dev=True)) == ["c==1.0"]

    def test_included_groups(self, tmp_path: Path) -> None:
        roots = (
            '[dependency-groups]\ndev = [{include-group = "Test"}, "a>=1"]\ntest = ["b"]\n'
            '[tool.poetry.group.more]\noptional = true\ninclude-groups = ["test"]\n'
        )
        packages = [package("a"), package("b")]
        assert walk(tmp_path, *packages, roots=roots, wanted=Wanted(only_groups=("dev",))) == [
            "a==1.0",
            "b==1.0",
        ]
        assert walk(tmp_path, *packages, roots=roots, wanted=Wanted(only_groups=("more",))) == ["b==1.0"]
        unknown = '[dependency-groups]\ndev = [{include-group = "gone"}]\n'
        assert code(walk, tmp_path, roots=unknown) == "lock.stale"

    def test_all_items_of_a_list_whose_markers_hold_apply(self, tmp_path: Path) -> None:
        first = '{version = ">=1", markers = "python_version >= \'3\'"}'
        second = '{version = "<2", markers = "os_name == \'posix\'"}'
        listed = f"[{first}, {second}]"
        packages = [package("a", more=needs(b=listed)), package("b", "1.5"), package("b", "2.5")]
        roots = '[tool.poetry.dependencies]\na = "*"\n'
        assert walk(tmp_path, *packages, roots=roots) == ["a==1.0", "b==1.5"]
        assert walk(tmp_path, *packages, roots=roots, here=windows()) == ["a==1.0", "b==2.5"]

    def test_the_highest_version_that_all_constraints_allow(self, tmp_path: Path) -> None:
        packages = [
            package("a", more=needs(c='">=1"')),
            package("b", more=needs(c='"<3"')),
            package("c", "1.0"),
            package("c", "2.0"),
            package("c", "3.0"),
        ]
        roots = '[tool.poetry.dependencies]\na = "*"\nb = "*"\n'
        assert walk(tmp_path, *packages, roots=roots) == ["a==1.0", "b==1.0", "c==2.0"]

    def test_versions_that_exclude_the_interpreter_are_no_candidates(self, tmp_path: Path) -> None:
        packages = [package("a", "1.0"), package("a", "2.0", python=">=3.13")]
        roots = '[tool.poetry.dependencies]\na = "*"\n'
        assert walk(tmp_path, *packages, roots=roots) == ["a==1.0"]
        assert walk(tmp_path, *packages, roots=roots, here=linux("3.13.0")) == ["a==2.0"]
        assert code(walk, tmp_path, package("a", python="<3"), roots=roots) == "lock.stale"

    def test_extras_of_a_dependency(self, tmp_path: Path) -> None:
        optional = '{version = "*", optional = true}'
        marked = '{version = "*", optional = true, markers = "extra == \'x\'"}'
        sub = '[package.extras]\nx = ["b (>=1)", "c[y] (>=1.*)"]\nall = ["a[x]"]\n'
        packages = [
            package("a", more=needs(b=optional, c=marked, d='"*"') + "\n" + sub),
            package("b"),
            package("c"),
            package("d"),
        ]
        assert walk(tmp_path, *packages, roots='[tool.poetry.dependencies]\na = "*"\n') == [
            "a==1.0",
            "d==1.0",
        ]
        for extra in ("x", "all"):
            roots = f'[tool.poetry.dependencies]\na = {{version = "*", extras = ["{extra}"]}}\n'
            assert walk(tmp_path, *packages, roots=roots) == ["a==1.0", "b==1.0", "c==1.0", "d==1.0"]

    def test_optional_dependencies_of_the_project(self, tmp_path: Path) -> None:
        packages = [package("a"), package("b", more=needs(c='"*"')), package("c")]
        roots = (
            '[tool.poetry.dependencies]\na = "*"\nb = {version = "*", optional = true}\n'
            '[tool.poetry.extras]\nx_y = ["b"]\n'
        )
        recorded = 'x-y = ["b"]'
        assert walk(tmp_path, *packages, roots=roots, extras=recorded) == ["a==1.0"]
        chosen = walk(tmp_path, *packages, roots=roots, extras=recorded, wanted=Wanted(extras=("X.Y",)))
        assert chosen == ["a==1.0", "b==1.0", "c==1.0"]

    def test_an_unwanted_optional_dependency_still_constrains(self, tmp_path: Path) -> None:
        packages = [package("a", "1.0"), package("a", "2.0"), package("b", more=needs(a='"<2"'))]
        roots = '[tool.poetry.dependencies]\na = "*"\nb = {version = "*", optional = true}\n'
        assert walk(tmp_path, *packages, roots=roots) == ["a==1.0"]

    def test_the_project_table_is_enriched(self, tmp_path: Path) -> None:
        source = f'[package.source]\ntype = "legacy"\nurl = "{INDEX}"\nreference = "mirror"\n'
        packages = [package("a", "1.0", more=source), package("a", "2.0"), package("b"), package("x")]
        roots = (
            '[tool.poetry.dependencies]\na = {source = "mirror"}\nx = "*"\n'
            '[project]\ndependencies = ["a (>=1,<3)", "b ; sys_platform == \'win32\'"]\n'
        )
        assert walk(tmp_path, *packages, roots=roots) == ["a==1.0"]
        assert walk(tmp_path, *packages, roots=roots, here=windows()) == ["a==1.0", "b==1.0"]

    def test_extras_of_the_project_table(self, tmp_path: Path) -> None:
        packages = [package("a"), package("b")]
        roots = '[project]\ndependencies = ["a"]\n[project.optional-dependencies]\nx = ["b>=1"]\n'
        assert walk(tmp_path, *packages, roots=roots, extras='x = ["b"]') == ["a==1.0"]
        wanted = Wanted(all_extras=True)
        assert walk(tmp_path, *packages, roots=roots, extras='x = ["b"]', wanted=wanted) == [
            "a==1.0",
            "b==1.0",
        ]

    def test_keys_of_old_locks(self, tmp_path: Path) -> None:
        conditions = needs(b='{version = "*", python = "<3.12"}', c='{version = "*", platform = "win32"}')
        packages = [
            package("a", more=conditions),
            package("b"),
            package("c"),
            package("d", more="marker = \"os_name == 'nt'\""),
        ]
        roots = '[tool.poetry.dependencies]\na = "*"\nd = "*"\n'
        assert walk(tmp_path, *packages, roots=roots, version="") == ["a==1.0"]
        everything = ["a==1.0", "b==1.0", "c==1.0", "d==1.0"]
        assert walk(tmp_path, *packages, roots=roots, version="", here=windows("3.11.2")) == everything

    def test_a_full_release_in_python_version(self, tmp_path: Path) -> None:
        marker = '{version = "*", markers = "python_version <= \'3.11.2\'"}'
        packages = [package("a", more=needs(b=marker)), package("b")]
        roots = '[tool.poetry.dependencies]\na = "*"\n'
        assert walk(tmp_path, *packages, roots=roots, here=linux("3.11.7")) == ["a==1.0"]
        assert walk(tmp_path, *packages, roots=roots, here=linux("3.11.2")) == ["a==1.0", "b==1.0"]

    def test_a_solved_package_that_the_project_names_is_taken_whatever_the_marker(
        self, tmp_path: Path
    ) -> None:
        packages = [package("a", more=needs(b='"*"')), package("b")]
        roots = (
            '[tool.poetry.dependencies]\na = {version = "*", optional = true}\n'
            'b = {version = "*", python = "<3"}\n'
        )
        assert walk(tmp_path, *packages, roots=roots) == ["b==1.0"]

    def test_the_project_itself_and_packages_never_locked_may_be_missing(self, tmp_path: Path) -> None:
        packages = [package("a", more=needs(app='"*"', setuptools='"*"', pip='"*"'))]
        assert walk(tmp_path, *packages, roots='[tool.poetry.dependencies]\na = "*"\n') == ["a==1.0"]

    @pytest.mark.parametrize("roots", ['a = "*"\ngone = "*"', 'a = "^2.0"', 'b = "*"'])
    def test_a_lock_that_does_not_fit_the_project_is_stale(self, tmp_path: Path, roots: str) -> None:
        packages = [package("a"), package("b", more=needs(missing='"*"'))]
        assert code(walk, tmp_path, *packages, roots=f"[tool.poetry.dependencies]\n{roots}\n") == "lock.stale"

    def test_without_a_project_file(self, tmp_path: Path) -> None:
        assert code(select, tmp_path, lock(package("a"), version="2.0")) == "lock.stale"

    def test_cycles_end(self, tmp_path: Path) -> None:
        packages = [package("a", more=needs(b='"*"')), package("b", more=needs(a='"*"'))]
        assert walk(tmp_path, *packages, roots='[tool.poetry.dependencies]\na = "*"\n') == [
            "a==1.0",
            "b==1.0",
        ]


def test_a_graph_that_takes_too_many_steps(tmp_path: Path) -> None:
    everything = needs(**{f"p{number}": '"*"' for number in range(500)})
    packages = [package(f"p{number}", files="files = []", more=everything) for number in range(500)]
    roots = '[tool.poetry.dependencies]\np0 = "*"\n'
    assert code(walk, tmp_path, *packages, roots=roots) == "lock.invalid"
