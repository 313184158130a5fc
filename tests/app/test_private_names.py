"""Private names of other libraries: where they may stand, and that the libraries still have them."""

from __future__ import annotations

import ast
import inspect
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest
import torch
from numba.core.options import DefaultOptions
from rich.console import Console
from support.paths import ROOT
from textual import _compositor
from textual.app import App
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from torch.utils._python_dispatch import TorchDispatchMode

from engine.probe.points.flow import Recording
from engine.probe.state.operations import Operations
from springtui.terminal.textual_private import FooterKey, key_of_character, keymap_of

SOURCES = sorted(path for house in ("engine", "springtui") for path in (ROOT / house).rglob("*.py"))
PUBLIC = {"_replace", "_asdict", "_fields", "_exit", "_meta"}
"""Names that begin with a line and are documented: of named tuples, and ``os._exit``."""
ALLOWED = {
    "engine/networks/network.py": {"_conv_forward"},  # a convolution whose weights are scaled has no other way in
    # How often a tensor was changed in place, and what a module holds: both are compared and put back.
    "engine/probe/state/contents.py": {"_version"},
    "engine/probe/state/snapshot.py": {"_buffers", "_non_persistent_buffers_set", "_parameters", "_modules"},
    # Operations as they are dispatched, and which arguments each writes to.
    "engine/probe/state/dispatch.py": {"_python_dispatch", "_schema", "_should_skip_dynamo"},
    "engine/probe/points/wrappers.py": {"_orig_mod"},  # the module inside a compiled one
    # Wrappers' modules, by the names that PyTorch gives them in a model's tree.
    "engine/probe/points/modules.py": {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"},
    "springtui/runs/layer_match.py": {"_orig_mod"},
    "engine/sweep/backends.py": {"_max_workers"},  # how many slices a caller's executor takes at once
}


def private_names(path: Path) -> set[str]:
    """Private names that a file imports from another library, or uses of an object that is not its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            of_self = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if node.attr not in own and not (of_self and inherited(path, node.attr)):
                found.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "hasattr"}:
            names = [
                one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
            found |= {name for name in names if re.match(r"_[a-z]", name)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(r"_[a-z]+_(mod|wrapped_module|workers)", node.value):
                found.add(node.value)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            package, *modules = (node.module or "").split(".")
            names = [*modules, *(alias.name for alias in node.names)]
            if package not in {"engine", "springtui", "__future__"}:
                found |= {name for name in names if name.startswith("_")}
    return found - PUBLIC


def inherited(path: Path, name: str) -> bool:
    """Whether another file of the same folder defines the name, for a class of ours to inherit."""
    return any(
        re.search(
            rf"def {name}\b|self\.{name}\b.* = |^    {name}: ", other.read_text(encoding="utf-8"), re.MULTILINE
        )
        for other in path.parent.parent.rglob("*.py")
        if other != path
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_private_names_stand_where_they_may(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if not name.startswith("springtui/terminal/") and name != "engine/jit.py":
        assert private_names(path) <= ALLOWED.get(name, set())


def test_textuals_updates_have_the_parts_that_are_compared() -> None:
    chops = inspect.signature(_compositor.ChopsUpdate).parameters
    assert {"chops", "spans", "chop_ends"} <= chops.keys()
    assert {"strips", "region"} <= inspect.signature(_compositor.LayoutUpdate).parameters.keys()
    for update in (_compositor.ChopsUpdate, _compositor.LayoutUpdate):
        assert issubclass(update, _compositor.CompositorUpdate)
        assert callable(update.render_segments)


async def test_textuals_apps_and_screens_have_the_hooks_that_are_overridden() -> None:
    assert list(inspect.signature(App._display).parameters) == ["self", "screen", "renderable"]
    assert callable(App.post_display_hook)
    assert inspect.iscoroutinefunction(Screen._on_idle)
    assert list(inspect.signature(Screen._on_timer_update).parameters) == ["self"]
    app: App[None] = App()
    async with app.run_test():
        assert app._driver is not None
        assert keymap_of(app) == {}
        for name in ("_dirty_widgets", "_layout_required", "_repaint_required"):
            assert hasattr(app.screen, name)


def test_textuals_driver_writes_by_a_thread_with_a_queue() -> None:
    assert "_writer_thread" in inspect.getsource(LinuxDriver)
    assert "self._queue" in inspect.getsource(WriterThread)
    assert issubclass(WriterThread, __import__("threading").Thread)


def test_other_names_of_textual_and_rich() -> None:
    assert key_of_character("?") == "question_mark"
    assert {"key", "key_display", "description", "action"} <= inspect.signature(FooterKey).parameters.keys()
    assert hasattr(Console(), "_color_system")


def test_numbas_cache_has_a_stamp_and_an_index() -> None:
    def one() -> int:
        return 1

    dispatcher = numba.njit(cache=True)(one)
    file = dispatcher._cache._cache_file
    assert isinstance(file._load_index(), dict)
    assert file._source_stamp
    assert hasattr(DefaultOptions, "_nrt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
def test_torchs_modules_have_what_the_probe_puts_back() -> None:
    layer = torch.nn.Conv2d(1, 1, 1)
    assert list(inspect.signature(layer._conv_forward).parameters) == ["input", "weight", "bias"]
    assert torch.nn.BatchNorm1d(2)._buffers.keys() == {"running_mean", "running_var", "num_batches_tracked"}
    compiled = torch.compile(layer)
    assert compiled._orig_mod is layer
    assert type(compiled).__name__ == "OptimizedModule"
    assert dict(compiled.named_children()) == {"_orig_mod": layer}
    assert layer._parameters.keys() == {"weight", "bias"}
    assert torch.nn.Sequential(layer)._modules == {"0": layer}
    layer.register_buffer("lost", torch.zeros(1), persistent=False)
    assert layer._non_persistent_buffers_set == {"lost"}
    buffer = torch.zeros(1)
    assert buffer._version == 0
    assert buffer.add_(1)._version == 1


def test_torchs_dispatcher_shows_each_operation_and_what_it_writes_to() -> None:
    with Recording((torch.ones(2),)) as recording:
        assert isinstance(recording, TorchDispatchMode)
    written = [
        a.alias_info is not None and a.alias_info.is_write for a in torch.ops.aten.add_.Tensor._schema.arguments
    ]
    assert written == [True, False, False]
    # PyTorch wraps a mode's own function, and importing what it wraps it with takes seconds
    assert not hasattr(Recording.__torch_dispatch__, "__wrapped__")


def test_torchs_dispatcher_tells_what_an_operation_writes_to() -> None:
    """The probe's own class of the dispatcher's modes is used, so that a new way of calling it fails here."""
    buffer = torch.zeros(2)
    written: list[torch.Tensor] = []
    with Operations(written.append):
        buffer.data.mul_(2.0)
        torch.add(buffer, 1, out=torch.empty(2))
        buffer + 1
    assert not hasattr(Operations.__torch_dispatch__, "__wrapped__")  # not wrapped for the compiler
    assert callable(TorchDispatchMode._should_skip_dynamo)
    assert [tensor.data_ptr() == buffer.data_ptr() for tensor in written] == [True, False]


def test_an_executor_tells_how_many_workers_it_has() -> None:
    with ThreadPoolExecutor(3) as executor:
        assert executor._max_workers == 3
