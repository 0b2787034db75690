"""Runs in the interpreter that is looked at: imports modules or reads metadata, and writes down what came.

Called as `python packages_probe.py TASK JOB ANSWER`: two JSON files. Nothing of this repository is imported.
What the program says on its standard streams is not the answer: packages write there too.
"""

import json
import os
import sys


def observe_imports(job):
    """Import the modules one after the other; tell of each what it raised and which modules it brought."""
    if job.get("without_packs"):
        _forget_packs()
    start = set(sys.modules)
    found = {}
    for name in job["modules"]:
        before = set(sys.modules)
        try:
            __import__(name)
            outcome = "imported"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        found[name] = {
            "outcome": outcome,
            "modules": {key: _where(sys.modules.get(key)) for key in set(sys.modules) - before},
        }
    packed = sum(
        1 for module in list(sys.modules.values()) if _attribute(_attribute(module, "__loader__"), "packed")
    )
    return {"prefix": sys.prefix, "start": sorted(start), "found": found, "packed": packed}


def _attribute(thing, name):
    try:
        # Not getattr: modules may answer to every name, or load something.
        return vars(thing).get(name)
    except TypeError:
        return None


def _where(module):
    """Return a module's file and, of a package, its directories; both as the module tells them."""
    path = _attribute(module, "__path__")
    try:
        directories = None if path is None else [str(item) for item in path]
    except Exception as error:
        directories = [type(error).__name__]
    return [str(_attribute(module, "__file__")), directories]


def _forget_packs():
    """Make the finder of this process find no packs, as in a project's first run."""
    for finder in list(sys.path_importer_cache.values()):
        index = getattr(finder, "_index", None)
        if hasattr(index, "_pack_directory"):
            index._pack_directory = "/nowhere/"
            index._packs.clear()


def observe_distributions(job):
    """Tell what importlib.metadata says of each distribution, and where its modules would be found."""
    return {name: _distribution(name) for name in job["names"]}


def _distribution(name):
    import importlib.metadata

    try:
        distribution = importlib.metadata.distribution(name)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    files = {str(file): _state(file) for file in distribution.files or ()}
    modules = _modules_of(files)
    return {
        "version": distribution.version,
        "name": distribution.metadata["Name"],
        "requires": distribution.requires,
        "metadata": [list(item) for item in distribution.metadata.items()],
        "entry_points": sorted([e.group, e.name, e.value] for e in distribution.entry_points),
        "files": files,
        "roots": _roots(files),
        "origins": {module: _origin(module) for module in modules},
    }


def _state(file):
    """Return the size of a file that is listed, and whether it may be executed; None if it is not there."""
    try:
        found = os.stat(str(file.locate()))
    except OSError:
        return None
    return [found.st_size, bool(found.st_mode & 0o100)]


def _modules_of(files):
    """Return module name -> whether it is a package, for all importable files of a distribution."""
    import importlib.machinery

    found = {}
    for path in files:
        for suffix in importlib.machinery.all_suffixes():
            base = path[: -len(suffix)] if path.endswith(suffix) else ""
            parts = base.split("/")
            if base and all(part.isidentifier() for part in parts):
                is_package = parts[-1] == "__init__"
                name = ".".join(parts[:-1] if is_package else parts)
                if name:
                    found[name] = found.get(name, False) or is_package
                break
    return found


def _roots(files):
    """Return what to import of a distribution: its top-level modules, and below namespaces the first ones."""
    modules = _modules_of(files)
    chosen = []
    for name in sorted(modules):
        parents = name.split(".")[:-1]
        above = [".".join(parents[: end + 1]) for end in range(len(parents))]
        if not any(parent in modules for parent in above) and not name.endswith("__main__"):
            chosen.append(name)
    return chosen


def _origin(name):
    """Return where the import system finds a module, and its directories, without importing anything.

    The finders are asked as PathFinder asks them; that one would look for the parents in `sys.modules`.
    """
    path = sys.path
    full = ""
    origin = None
    for part in name.split("."):
        full = full + "." + part if full else part
        portions = []
        for entry in path:
            spec = _asked(entry, full)
            if spec is None:
                continue
            if spec.loader is not None:
                origin, portions = spec.origin, list(spec.submodule_search_locations or ())
                break
            origin = None
            portions += spec.submodule_search_locations or ()
        else:
            if not portions:
                return None
        path = portions
    return [origin, path]


def _asked(entry, name):
    import pkgutil

    finder = pkgutil.get_importer(entry or os.getcwd())
    return finder.find_spec(name) if hasattr(finder, "find_spec") else None


def observe_whole(job):
    """Tell what the environment looks like as a whole."""
    import importlib.metadata
    import pkgutil
    import site
    import sysconfig

    entry_points = importlib.metadata.entry_points()
    if hasattr(entry_points, "items"):
        entry_points = [entry for entries in entry_points.values() for entry in entries]
    binaries = os.path.join(sys.prefix, "bin")
    return {
        "distributions": sorted([d.metadata["Name"], d.version] for d in importlib.metadata.distributions()),
        "entry_points": sorted([e.group, e.name, e.value] for e in entry_points),
        "packages_distributions": {
            key: sorted(value) for key, value in importlib.metadata.packages_distributions().items()
        },
        "modules": sorted([m.name, m.ispkg] for m in pkgutil.iter_modules() if not _is_ours(m.name)),
        "commands": sorted(name for name in os.listdir(binaries) if not _is_of_uv(name)),
        "paths": sysconfig.get_paths(),
        "site": [site.getsitepackages(), site.ENABLE_USER_SITE],
        "path": sys.path[1:],
        "prefixes": [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.executable],
        "data": _data(sys.prefix),
    }


def _is_of_uv(name):
    return name.startswith("activate") or name.endswith(".bat")


def _is_ours(name):
    return name == "_virtual_sprawl"


def _data(prefix):
    """Return the files beside site-packages and bin: below share, etc and so on, and their sizes."""
    found = {}
    for top in sorted(os.listdir(prefix)):
        if top in ("bin", "lib64") or not os.path.isdir(os.path.join(prefix, top)):
            continue
        for directory, names, files in os.walk(os.path.join(prefix, top), followlinks=True):
            if directory.endswith("/site-packages"):
                names[:] = []
                continue
            for file in files:
                path = os.path.join(directory, file)
                found[os.path.relpath(path, prefix)] = os.path.getsize(path)
    return found


TASKS = {"imports": observe_imports, "distributions": observe_distributions, "whole": observe_whole}


def main():
    """Do the task and write the answer."""
    task, job, answer = sys.argv[1:4]
    del sys.argv[1:]
    with open(job) as stream:
        found = TASKS[task](json.load(stream))
    with open(answer, "w") as stream:
        json.dump(found, stream)
        stream.flush()
    # Threads that a package started must not hold the process.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
