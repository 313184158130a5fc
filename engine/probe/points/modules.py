"""Which modules of a model are layers of its own, and by what names.

Wrappers (torch.compile, FSDP, checkpointing, averaging, adapters' models) are left out of the names, and what
computes a layer's weights or watches them (parametrizations, adapters, quantisation observers) is no layer. So a
layer has one name and one place, however its weights are made, and a model can be compared with its fine-tune.
"""

from __future__ import annotations

import re

from torch import nn
from torch.nn.utils import parametrize

_WRAPPED = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Names under which wrappers of any class keep the wrapped module."""
_WRAPPED_BY = {
    "PeftModel": "base_model",
    "BaseTuner": "model",
    "AveragedModel": "module",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "QuantWrapper": "module",
    "GradSampleModule": "_module",
}
"""By class of a wrapper, also an inherited one: the name of the wrapped module."""
_REPLACED_BY = "AuxiliaryTrainingWrapper"
"""Base class of PEFT's wrappers of a module that is trained whole: ``original_module`` and ``modules_to_save``."""
_OBSERVERS = {"FakeQuantizeBase", "ObserverBase", "QuantStub", "DeQuantStub"}
"""Classes of quantisation that compute nothing of the model's own, or only round."""
_ADAPTER_LAYER = "BaseTunerLayer"
_ADAPTER_CLASS = re.compile(
    r"^(lora|dora|ia3)_?(linear|conv\w*|embedding)$|^(linear|conv\w*|embedding)_?(with)?_?(lora|dora|ia3)$", re.I
)
_PASSING = re.compile(r"^(Identity|\w*Dropout\w*|DropPath|DropConnect|StochasticDepth)$")
_BASES = (nn.Linear, nn.Bilinear, nn.Embedding, nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention)


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """The model's inner modules by name, outer ones first: the layers of its own.

    A wrapped module goes by its wrapper's name; the wrapper is left out. Modules inside a layer with an adapter
    or a parametrization are left out too. A module with several names goes by the first.
    """
    return {name: module for name, module in _modules(model) if name}


def owners(model: nn.Module) -> list[tuple[str, str]]:
    """The owner's name and the own name of each parameter, "" for the model's own."""
    modules = _modules(model)
    return [(owner, name) for owner, module in modules for name, _ in module.named_parameters(recurse=False)]


def _modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """As ``modules_by_name``, also those whose name is empty: the model, and what its wrappers wrap."""
    roots: list[tuple[str, nn.Module]] = [("", model)]
    modules: dict[str, nn.Module] = {}
    seen = {model}

    def collect(owner: nn.Module, name: str, full: str) -> None:
        for part, child in _parts(owner):
            if child in seen:
                continue
            seen.add(child)
            path = f"{full}.{part}".lstrip(".")
            own = name if _is_wrapped(owner, part) else f"{name}.{part}".lstrip(".")
            if own != name and own in modules:
                own = path  # a wrapper's other child has the same name as one inside the wrapped module
            if own:
                modules[own] = child
            else:
                roots.append(("", child))
            collect(child, own, path)

    collect(model, "", "")
    return [*roots, *modules.items()]


def every_module_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """As ``modules_by_name``, also those inside adapted and parametrised layers, which own parameters."""
    found = modules_by_name(model)
    for name, module in list(found.items()):
        for inner, part in module.named_modules(prefix=name):
            found.setdefault(inner, part)
    return found


def layer_of(module: nn.Module) -> nn.Module:
    """The layer that an adapter adapts, as the ``nn.Linear`` inside a LoRA layer; else the module itself."""
    while is_adapted(module):
        inner = getattr(module, "base_layer", None) or getattr(module, "original_module", None)
        if not isinstance(inner, nn.Module):
            inner = next((m for n, m in module.named_children() if isinstance(m, _BASES) and _is_base(n)), None)
        if inner is None:
            return module
        module = inner
    return module


def class_name(module: nn.Module) -> str:
    """Name of a layer's class, without its parametrizations and its adapter."""
    kind = parametrize.type_before_parametrizations(layer_of(module))
    return str(kind.__name__)


def is_adapted(module: nn.Module) -> bool:
    """Whether a module is one layer with an adapter, as LoRA or IA3, of PEFT or of a user's own."""
    classes = _classes(module)
    if _ADAPTER_LAYER in classes or (_REPLACED_BY in classes and not hasattr(module, "modules_to_save")):
        return True
    children = dict(module.named_children())
    names = [*children, *(name for name, _ in module.named_parameters(recurse=False))]
    if not _ADAPTER_CLASS.search(type(module).__name__) and not any(map(_is_adapter_part, names)):
        return False
    others = [child for name, child in children.items() if _is_base(name) and not passes_on(child)]
    return len(others) < 2 and all(isinstance(child, _BASES) for child in others)


def passes_on(module: nn.Module) -> bool:
    """Whether a module hands on in eval mode what it is given, as ``nn.Identity`` and dropout of every kind."""
    return bool(_PASSING.search(type(module).__name__))


def _parts(owner: nn.Module) -> list[tuple[str, nn.Module]]:
    """The children of a module that are layers, or contain layers, with their names."""
    if is_adapted(owner):
        return []
    if _REPLACED_BY in _classes(owner):
        return [("", _trained_whole(owner))]
    hidden = {"parametrizations"} if parametrize.is_parametrized(owner) else set()
    return [
        (name, child)
        for name, child in owner.named_children()
        if name not in hidden and not _is_adapter_part(name) and not _OBSERVERS & _classes(child)
    ]


def _trained_whole(wrapper: nn.Module) -> nn.Module:
    """The one in use of two modules that PEFT keeps: the trained copy, or the original while adapters are off."""
    active = getattr(wrapper, "active_adapters", ())
    copies = wrapper.modules_to_save
    assert isinstance(copies, nn.ModuleDict)
    name = next((name for name in active if name in copies), None)
    original = wrapper.original_module
    assert isinstance(original, nn.Module)
    return original if name is None or getattr(wrapper, "disable_adapters", False) else copies[name]


def _is_wrapped(owner: nn.Module, part: str) -> bool:
    """Whether a child is the module that its owner wraps."""
    return part in _WRAPPED or not part or any(_WRAPPED_BY.get(name) == part for name in _classes(owner))


def _is_adapter_part(name: str) -> bool:
    """Whether a child or a parameter is an adapter's own map or factor, by its name."""
    return bool(re.search(r"^(lora|dora|ia3)(_|[A-Z]|$)", name))


def _is_base(name: str) -> bool:
    """Whether a child of an adapter's layer is the adapted layer rather than the adapter, by its name."""
    return not re.search(r"lora|dora|ia3|(^|_)(a|b|down|up)$", name, re.I)


def _classes(module: nn.Module) -> set[str]:
    """Names of a module's class and of all that it inherits."""
    return {cls.__name__ for cls in type(module).__mro__}
