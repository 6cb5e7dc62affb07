"""Execution providers from libraries of their own, and the options that providers are given."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from onnxctl.errors import ProviderUnavailable, UsageError
from onnxctl.reports import ProviderOption
from onnxctl.runtime.failures import cleaned
from onnxctl.runtime.library import failure_types
from onnxctl.runtime.providers import CPU, ExecutionProvider, resolve


def plugins_of(onnxruntime: Any, libraries: Sequence[tuple[str, str]]) -> Mapping[str, ExecutionProvider]:
    """Load plugin libraries, (name, path) each; their providers by every name they go by, in lower case.

    The library's code runs in this process: only what the user named is loaded. Raises ProviderUnavailable where this
    onnxruntime loads no plugins, or the library is none or finds no device.
    """
    if not libraries:
        return {}
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        raise ProviderUnavailable(
            f"onnxruntime {onnxruntime.__version__} loads no plugin providers", hint="update onnxruntime"
        )
    found: dict[str, ExecutionProvider] = {}
    for name, path in libraries:
        before = {device.ep_name for device in onnxruntime.get_ep_devices()}
        try:
            onnxruntime.register_execution_provider_library(name, os.path.abspath(path))
        except failure_types(onnxruntime) as error:
            raise ProviderUnavailable(f"--provider-library {name}={path}: {cleaned(str(error))}") from error
        added = {device.ep_name for device in onnxruntime.get_ep_devices()} - before
        if not added:
            raise ProviderUnavailable(f"--provider-library {name}={path}: it finds no device here")
        for provider in sorted(added):
            plugin = ExecutionProvider(name=_short(provider), provider=provider, platforms=(), has_own_memory=True)
            names = (provider.lower(), plugin.name)
            found |= dict.fromkeys((*names, name.lower()) if len(added) == 1 else names, plugin)
        shortest = min(added, key=len)
        found.setdefault(name.lower(), found[shortest.lower()])
    return found


def _short(provider: str) -> str:
    for each in (provider, provider.removesuffix(".AUTO")):
        try:
            return resolve(each).name
        except UsageError:
            continue
    return provider.lower().removesuffix("executionprovider")


def check_options(chain: Sequence[ExecutionProvider], options: Sequence[ProviderOption]) -> None:
    """Raises UsageError for an option of a provider that is not in the chain, or of the CPU, which has none."""
    for each in options:
        owner = _owner(each, chain)
        if owner is None:
            asked = ",".join(provider.name for provider in chain)
            raise UsageError(f"--provider-option {each.provider}.{each.name}: the providers asked for are {asked}")
        if owner is CPU:
            raise UsageError(
                f"--provider-option {each.name}: the CPU provider has no options",
                hint="session settings go to --session-config KEY=VALUE",
            )


def options_of(
    provider: ExecutionProvider, chain: Sequence[ExecutionProvider], options: Sequence[ProviderOption]
) -> dict[str, str]:
    """The options that belong to this provider of the chain."""
    return {each.name: each.value for each in options if _owner(each, chain) is provider}


def _owner(option: ProviderOption, chain: Sequence[ExecutionProvider]) -> ExecutionProvider | None:
    wanted = option.provider.lower()
    if not wanted:
        return chain[0]
    return next((each for each in chain if wanted in (each.name, each.provider.lower())), None)
