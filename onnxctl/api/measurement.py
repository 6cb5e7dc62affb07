"""`run` and `providers`: how fast a model is here, and on what it could run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from onnxctl.reports import ProvidersReport, RunReport


def run(
    path: str,
    *,
    provider: str = "cpu",
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    warmup: int | None = None,
    runs: int | None = None,
    duration_s: float | None = None,
    intra_op_threads: int | None = None,
    inter_op_threads: int | None = None,
    timeout_s: float | None = None,
    progress: News | None = None,
) -> RunReport:
    """Run a model on exactly this execution provider with generated inputs, and time it.

    dims gives symbolic dimensions a size; the same seed gives the same inputs. runs, or else duration_s, says how much
    is timed after `warmup` untimed runs. Raises ProviderUnavailable where the provider can't be used here.
    """
    from onnxctl.analysis.structure import require_usable
    from onnxctl.model.loading import model_file, open_model
    from onnxctl.reports import RunConfig
    from onnxctl.runtime.measure import measure_in_child

    default = RunConfig(path=path)
    with model_file(path) as file:
        require_usable(open_model(file))
        config = RunConfig(
            path=file,
            provider=provider,
            dims=tuple((dims or {}).items()),
            seed=seed,
            warmup_count=default.warmup_count if warmup is None else warmup,
            run_count=runs,
            duration_s=default.duration_s if duration_s is None else duration_s,
            intra_op_threads=intra_op_threads,
            inter_op_threads=inter_op_threads,
            timeout_s=timeout_s,
        )
        return dataclasses.replace(measure_in_child(config, progress=progress or silent), path=path)


def providers() -> ProvidersReport:
    """The execution providers: which this onnxruntime has, which work here, and how to get the others."""
    from onnxctl.runtime.providers import describe

    return describe()
