"""A user's file as a module, whose imports find the modules of its folder, whatever else has their names."""

import builtins
import contextlib
import hashlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

_FOLDER = "__itn_folder__"  # set in every neighbor: the folder of the user's file that it was imported for
_INSTALLED = {"site-packages", "dist-packages"}
_OURS = {"itn", "__main__"}


@contextlib.contextmanager
def user_module(path: Path) -> Iterator[ModuleType]:
    """Run a user's file like a script; inside the block, imports find the modules of its folder first.

    Import statements in the file and in these modules do so after the block, too, such as one in the forward
    of its network.

    Raises:
        Exception: Whatever the file raises.
    """
    neighbors = _Neighbors(str(path.parent.resolve()))
    # Two files may have one name: dataclasses and pickle look up the module of a class by it
    digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:8]
    name = f"itn_user_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path), neighbors))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with neighbors.first():
        sys.modules[name] = module
        spec.loader.exec_module(module)
        yield module


class _Neighbors(MetaPathFinder):
    """The modules of a folder that a user's file imports.

    Python has one module for each name, in ``sys.modules``. These take their places there while the user's
    code imports, and give them back afterwards, so that two files may each have a ``layers.py`` beside them.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        modules = {module.name for module in pkgutil.iter_modules([folder])}
        self.subfolders = {entry.name for entry in os.scandir(folder) if entry.is_dir()} - modules
        self.offered = (modules | self.subfolders) - _OURS - sys.stdlib_module_names
        self.names: set[str] = set()
        self.modules: dict[str, ModuleType] = {}
        # Import statements call the __import__ of their module's builtins, whenever they run
        self.builtins = vars(builtins) | {"__import__": self._import}
        self._active = False

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """Let imports inside the block find the modules of the folder first."""
        if self._active:
            yield
            return
        hidden = {name: module for name, module in list(sys.modules.items()) if self._hides(name, module)}
        for name in hidden:
            del sys.modules[name]
        sys.modules.update(self.modules)
        sys.meta_path.insert(0, self)
        sys.path.insert(0, self.folder)
        self._active = True
        try:
            yield
        finally:
            self._active = False
            with contextlib.suppress(ValueError):  # the user's code has removed it
                sys.path.remove(self.folder)
            sys.meta_path.remove(self)
            self._put_back(hidden)

    def _put_back(self, hidden: Mapping[str, ModuleType]) -> None:
        """Remember the modules of the folder, and give their places to those that had them before.

        Where nothing had them, they keep them: pickle needs that.
        """
        self.modules = {name: sys.modules[name] for name in self.names if name in sys.modules}
        taken = {_top(name) for name in hidden}
        for name, module in self.modules.items():
            vars(module)[_FOLDER] = self.folder
            if _top(name) in taken:
                del sys.modules[name]
        sys.modules.update(hidden)

    def _hides(self, name: str, module: object) -> bool:
        """Return whether a module has a name that means another one, or none, in the user's code."""
        folder = getattr(module, "__dict__", {}).get(_FOLDER)
        if folder is not None:
            return bool(folder != self.folder)
        top = _top(name)
        if top not in self.offered:
            return False
        package = sys.modules.get(top)
        if top in self.subfolders and getattr(package, "__file__", None) is not None:
            return False  # a package goes before a folder without __init__.py
        where = _where(package)
        own = os.path.join(self.folder, top)
        return where not in (None, own, f"{own}.py") and not _INSTALLED & set(Path(str(where)).parts)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module in the folder; Python calls this for every import inside ``first``."""
        parent = fullname.rpartition(".")[0]
        if parent and parent not in self.names:
            return None
        spec = PathFinder.find_spec(fullname, path if parent else [self.folder])
        if spec is None or (not parent and spec.origin is None and self._is_package_elsewhere(fullname)):
            return None
        self.names.add(fullname)
        if type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(fullname, spec.loader.path, self)
        return spec

    def _is_package_elsewhere(self, name: str) -> bool:
        specs = (finder.find_spec(name, None) for finder in sys.meta_path if finder is not self)
        return any(spec is not None and spec.origin is not None for spec in specs)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Do what ``__import__`` does, with the modules of the folder first."""
        module = None if level else sys.modules.get(name)
        foreign = module is not None and name not in self.names and not self._hides(name, module)
        with contextlib.nullcontext() if foreign else self.first():  # first takes milliseconds
            return builtins.__import__(name, globals, locals, fromlist, level)


class _Loader(SourceFileLoader):
    """Loads a module whose import statements find its neighbors first."""

    def __init__(self, name: str, path: str, neighbors: _Neighbors) -> None:
        super().__init__(name, path)
        self._neighbors = neighbors

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._neighbors.builtins
        super().exec_module(module)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _where(module: ModuleType | None) -> str | None:
    """Return the file of a module, or the folder of a package; None if it has neither."""
    file = getattr(module, "__file__", None)
    if file is None:
        return next((os.path.realpath(folder) for folder in getattr(module, "__path__", ())), None)
    folder, base = os.path.split(os.path.realpath(file))
    return folder if base == "__init__.py" else os.path.join(folder, base)
