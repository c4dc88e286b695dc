"""Whose file a file is, how the user's files are loaded, and what is kept of them."""

from __future__ import annotations

import importlib
import inspect
import json
import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mistakes import World

from devserver.records import stamps
from devserver.records.searches import ANY, REGULAR, Form
from devserver.usercode import loader, ownership


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World(tmp_path, monkeypatch)
    yield found
    found.close()


# ------------------------------------------------------------------ whose file


@pytest.mark.parametrize(
    "path",
    [
        json.__file__,
        os.path.join(sysconfig.get_paths()["purelib"], "numpy", "core.py"),
        os.path.join(os.sep, "home", "me", "project", ".venv", "lib", "python3.11", "site-packages", "pandas", "x.py"),
        os.path.join(os.sep, "usr", "lib", "python3", "dist-packages", "yaml.py"),
        os.path.join(sys.prefix, "bin", "gunicorn"),
        loader.__file__,
        "<string>",
        "<frozen importlib._bootstrap>",
        "",
    ],
)
def test_library_files_are_not_the_users(path: str) -> None:
    """The standard library, installed packages, commands, this package and code without a file are not the user's."""
    assert not ownership.is_user_file(path)


def test_project_files_are_the_users(tmp_path: Path) -> None:
    """Files elsewhere are, whether they exist or not, also where a folder only sounds like a library."""
    assert ownership.is_user_file(str(tmp_path / "score.py"))
    assert ownership.is_user_file(str(tmp_path / "lib" / "site_packages_of_mine" / "helper.py"))


def test_sources_of_compiled_extensions_are_nobodys_code(world: World) -> None:
    """`pandas/_libs/index.pyx` is a relative path that is nowhere here, so no place to point at."""
    assert not loader.is_user_code("pandas/_libs/index.pyx")
    world.write({"mine.py": "x = 1\n"})
    assert loader.is_user_code("mine.py")


# --------------------------------------------------------------------- loading


def test_same_length_edit_in_the_same_second_is_seen(world: World) -> None:
    """Bytecode is neither read nor written: the second text runs, and no __pycache__ appears."""
    for number in (1, 2):
        world.write({"helper_one.py": f"value = {number}\n"})
        os.utime(world.folder / "helper_one.py", (1_000_000_000, 1_000_000_000))
        sys.modules.pop("helper_one", None)
        assert importlib.import_module("helper_one").value == number
    assert not (world.folder / "__pycache__").exists()


WAYS = {
    "a spec from a path": """
from importlib import util
spec = util.spec_from_file_location("loaded", PATH)
module = util.module_from_spec(spec)
spec.loader.exec_module(module)
""",
    "load_module": """
import warnings
from importlib.machinery import SourceFileLoader
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    module = SourceFileLoader("loaded", PATH).load_module()
""",
    "a loader of the user's own": """
from importlib import util
from importlib.machinery import SourceFileLoader
class Own(SourceFileLoader):
    def get_data(self, path):
        return super().get_data(path).replace(b"VAL", b"val")
spec = util.spec_from_loader("loaded", Own("loaded", PATH))
module = util.module_from_spec(spec)
spec.loader.exec_module(module)
""",
    "reload": """
import importlib, helper_one as module
importlib.reload(module)
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_code_that_is_loaded_in_another_way(world: World, way: str) -> None:
    """It is noticed, and bytecode is neither read nor written: the newer of two saves of one second is what runs."""
    path = world.folder / "helper_one.py"
    for number in (1, 2):
        world.write({"helper_one.py": f"{'VAL' if 'own' in way else 'val'}ue = {number}\n"})
        os.utime(path, (1_000_000_000, 1_000_000_000))
        sys.modules.pop("loaded", None)
        names: dict[str, Any] = {"PATH": str(path), "__name__": "score"}
        exec(WAYS[way], names)
        assert names["module"].value == number
        assert loader.loaded[str(path)] == stamps.full_stamp(str(path))
    assert not (world.folder / "__pycache__").exists()


def test_library_files_are_loaded_as_ever(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With their bytecode."""
    folder = tmp_path_factory.mktemp("lib") / "site-packages"
    folder.mkdir()
    (folder / "of_a_library.py").write_text("value = 1\n")
    sys.path.append(str(folder))
    try:
        assert importlib.import_module("of_a_library").value == 1
    finally:
        sys.path.remove(str(folder))
        del sys.modules["of_a_library"]
    assert (folder / "__pycache__").exists() is not sys.dont_write_bytecode
    assert str(folder / "of_a_library.py") not in loader.loaded


def test_where_another_file_would_win(world: World) -> None:
    """Earlier folders in any form, the same folder in a stronger one; for what is missing, all of them."""
    world.write({"late/helper_two.py": "", "late/helper_three/__init__.py": ""})
    sys.path.append(str(world.folder / "late"))
    try:
        for name in ("helper_two", "helper_three"):
            importlib.import_module(name)
        with pytest.raises(ImportError):
            importlib.import_module("helper_four")
    finally:
        sys.path.pop()
    early, late = loader.searched[str(world.folder)], loader.searched[str(world.folder / "late")]
    assert (early["helper_two"], early["helper_three"], early["helper_four"]) == (REGULAR, REGULAR, ANY)
    assert late["helper_two"] == Form.PACKAGE | Form.EXTENSION and not late["helper_three"]
    assert late["helper_four"] == ANY


def test_a_module_that_would_shadow_a_library(world: World) -> None:
    """A file beside the script with the name of a library that was imported, or imported ahead, would be found."""
    loader.ahead.add("some_library")
    loader.UserCode().install().uninstall()
    assert loader.searched[str(world.folder)]["some_library"] == REGULAR


def test_old_bytecode_is_not_trusted(world: World) -> None:
    """A __pycache__ left by another tool is ignored even where its time stamp fits."""
    import py_compile

    path = world.folder / "helper_two.py"
    world.write({"helper_two.py": "VALUE = 1\n"})
    os.utime(path, (1_000_000_000, 1_000_000_000))
    py_compile.compile(str(path))
    world.write({"helper_two.py": "VALUE = 2\n"})
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert importlib.import_module("helper_two").VALUE == 2


def test_stamp_and_text_are_those_that_were_loaded(world: World) -> None:
    """A save after the load changes neither what is known of the file nor what a traceback shows of it."""
    script = world.write({"score.py": "import helper_three\n", "helper_three.py": "NAME = 'old'\r\nX = 1\r\n"})
    stamp = stamps.full_stamp(str(world.folder / "helper_three.py"))
    loader.load_script(script)
    world.write({"helper_three.py": "# new\n" * 10})
    path = str(world.folder / "helper_three.py")
    assert loader.loaded[path] == stamp
    assert loader.source_of(path) == "NAME = 'old'\nX = 1\n"
    linecache.checkcache(path)
    assert linecache.getline(path, 1) == "NAME = 'old'\n"
    assert set(loader.loaded) == {script, path}


def test_inspect_reads_the_loaded_source(world: World) -> None:
    """inspect.getsource() gives the function as loaded, also when the lines moved on disk."""
    script = world.write({"score.py": "def init():\n    return 1\n"})
    module = loader.load_script(script)
    world.write({"score.py": "#\n#\n#\ndef init():\n    return 2\n"})
    assert inspect.getsource(module.init) == "def init():\n    return 1\n"


def test_packages_and_relative_imports_load_from_text(world: World) -> None:
    """Modules in packages, reached relatively, are the user's like any other."""
    script = world.write(
        {
            "score.py": "from pack_one.inner import deep\n",
            "pack_one/__init__.py": "",
            "pack_one/inner/__init__.py": "from . import deep\n",
            "pack_one/inner/deep.py": "VALUE = 3\n",
        }
    )
    loader.load_script(script)
    names = {os.path.relpath(path, world.folder).replace(os.sep, "/") for path in loader.loaded}
    assert names == {"score.py", "pack_one/__init__.py", "pack_one/inner/__init__.py", "pack_one/inner/deep.py"}
    assert isinstance(sys.modules["pack_one.inner.deep"].__spec__.loader, loader.UserLoader)


def test_what_another_finder_finds_is_ours_too(world: World) -> None:
    """Editable installs put finders of their own before the path: their files are the user's all the same."""
    from importlib.util import spec_from_file_location

    world.write({"elsewhere/src/editable_one.py": "VALUE = 4\n"})
    path = str(world.folder / "elsewhere" / "src" / "editable_one.py")

    class Editable:
        @staticmethod
        def find_spec(name: str, _path: object = None, _target: object = None) -> object:
            return spec_from_file_location(name, path) if name == "editable_one" else None

    sys.meta_path.insert(1, Editable)  # type: ignore[arg-type]
    try:
        assert importlib.import_module("editable_one").VALUE == 4
    finally:
        sys.meta_path.remove(Editable)  # type: ignore[arg-type]
        del sys.modules["editable_one"]
    assert path in loader.loaded


def test_finder_leaves_no_trace() -> None:
    """As a context it stands first, and is gone afterwards."""
    with loader.UserCode() as finder:
        assert sys.meta_path[0] is finder
    assert finder not in sys.meta_path


# ---------------------------------------------------------------------- script


def test_script_is_not_registered(world: World) -> None:
    """As in Azure ML: nothing finds the script's module by its name, neither while it runs nor later."""
    script = world.write({"score.py": "import sys\n\nfound = 'entry_module' in sys.modules\n"})
    module = loader.load_script(script)
    assert module.found is False and module.__name__ == "entry_module" and loader.entry is module
    assert "entry_module" not in sys.modules


def test_modules_that_only_the_scripts_folder_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told are those that no other folder of sys.path holds, by the names with which they are imported."""
    files = {"src/beside.py": "", "src/pack/__init__.py": "", "src/pack/inner.py": "", "first.py": ""}
    world.write({**files, "src/score.py": "import beside, first\nfrom pack import inner\n"})
    folder = str(world.folder / "src")
    monkeypatch.setattr(sys, "path", [*sys.path, folder])
    loader.load_script(os.path.join(folder, "score.py"))
    assert sorted(loader.found_beside_script([str(world.folder)])) == ["beside", "pack"]
    assert loader.found_beside_script([str(world.folder), folder]) == []
    monkeypatch.setattr(sys, "path", [folder, *sys.path])
    assert loader.found_beside_script([str(world.folder)]) == []


def test_name_is_free_again_when_the_script_raises(world: World) -> None:
    """A script that fails leaves no half-made module behind."""
    with pytest.raises(ZeroDivisionError):
        loader.load_script(world.write({"score.py": "1 / 0\n"}))
    assert "entry_module" not in sys.modules


def test_script_needs_no_suffix(world: World) -> None:
    """A file is loaded whatever it is called."""
    world.write({"scoring script": "VALUE = 5\n"})
    assert loader.load_script(str(world.folder / "scoring script"), "other_name").VALUE == 5


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"import json\n\nNAME = 'Ren\xe9'\n", 3, 12),
        (b"import json\nVALUE = 1\0\n", 2, 10),
        ("import json\n".encode("utf-16"), 1, 1),
        (b"# -*- coding: nothing-known -*-\nx = 1\n", 1, 1),
        (b"# -*- coding: ascii -*-\n\nname = 'r\xc3\xa9'\n", 3, 10),
        (b"x = 1\nif x = 2:\n    pass\n", 2, 4),
    ],
)
def test_syntax_errors_have_their_place(world: World, content: bytes, line: int, column: int) -> None:
    """Bad bytes, zero bytes and bad encodings too, which Python reports without a place or with another."""
    script = world.write({"score.py": content})
    with pytest.raises(SyntaxError) as caught:
        loader.load_script(script)
    assert (caught.value.filename, caught.value.lineno, caught.value.offset) == (script, line, column)
    assert script in loader.loaded


# --------------------------------------------------------------------- missing


def test_missing_module_is_remembered_where_it_was_wanted(world: World) -> None:
    """The project folder is among the places where the module may appear; library folders are not."""
    with pytest.raises(ModuleNotFoundError):
        loader.load_script(world.write({"score.py": "import never_written\n"}))
    assert str(world.folder) in loader.wanted_folders("never_written")
    assert not any("site-packages" in folder for folder in loader.wanted_folders("never_written"))


def test_missing_part_of_a_package_is_wanted_in_the_package(world: World) -> None:
    """For `pack.part` the package's own folder is the place."""
    files_ = {"score.py": "import pack_two.part\n", "pack_two/__init__.py": ""}
    with pytest.raises(ModuleNotFoundError):
        loader.load_script(world.write(files_))
    assert loader.wanted_folders("pack_two.part") == (str(world.folder / "pack_two"),)


def test_what_libraries_look_for_in_vain_is_not_wanted(world: World) -> None:
    """Optional imports inside an installed package are no business of the user's folders."""
    world.write({"score.py": "import helper_four\n", "site-packages/helper_four.py": OPTIONAL})
    sys.path.insert(0, str(world.folder / "site-packages"))
    try:
        loader.load_script(str(world.folder / "score.py"))
    finally:
        sys.path.pop(0)
    assert loader.missing == {}
    assert loader.modules == {"helper_four": None}


OPTIONAL = "try:\n    import never_installed\nexcept ImportError:\n    never_installed = None\n"


def test_standard_library_and_own_modules_are_not_third_party(world: World) -> None:
    """Only installed packages are told as such."""
    script = world.write({"score.py": "import colorsys\nimport helper_five\n", "helper_five.py": ""})
    sys.modules.pop("colorsys", None)
    loader.load_script(script)
    assert loader.modules == {}
