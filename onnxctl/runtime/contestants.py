"""What is known of the variants of a contest, what their report says, and what to doubt about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from onnxctl.errors import OnnxctlError
from onnxctl.reports import ErrorReport, Finding, Ratio, RunConfig, VariantReport
from onnxctl.runtime.environment import usable_cpu_count
from onnxctl.runtime.judging import ratio_of
from onnxctl.runtime.measure import left_to_the_cpu
from onnxctl.runtime.statistics import compare_pairs, summarize_latency
from onnxctl.runtime.timing import FEW_SAMPLES, doubts_of_load
from onnxctl.runtime.turns import Participant
from onnxctl.runtime.variants import Variant


@dataclass(slots=True)
class Contestant:
    """What is known of one variant so far. turns are the medians of its turns, by round."""

    variant: Variant
    estimated_bytes: int
    error: OnnxctlError | None = None
    participant: Participant | None = None
    turns: list[list[float]] = field(default_factory=list)
    samples_ns: list[int] = field(default_factory=list)
    elapsed_ns: int = 0

    @property
    def config(self) -> RunConfig:
        """What it runs, and how."""
        return self.variant.config

    @property
    def opened(self) -> Participant:
        """What its process told of it; only once it did."""
        assert self.participant is not None
        return self.participant

    @property
    def time_is_up(self) -> bool:
        """Whether its runs have taken as long as all were to take."""
        return self.elapsed_ns >= self.config.duration_s * 1e9


def ratio_to(contestant: Contestant, first: Contestant) -> Ratio:
    """How long it takes against the first, its turns paired with those of the same number."""
    rounds = [
        list(zip(theirs, mine, strict=False)) for theirs, mine in zip(first.turns, contestant.turns, strict=False)
    ]
    return ratio_of(compare_pairs(rounds))


def reach(ratio: Ratio) -> float:
    """Half the width of the interval, as a share of the ratio."""
    return (ratio.high - ratio.low) / 2 / ratio.ratio


def report_of(contestant: Contestant, first: Contestant) -> VariantReport:
    """What was measured of it, and how it compares with the first; or why it did not run."""
    config, error, opened = contestant.config, contestant.error, contestant.participant
    report = VariantReport(
        label=contestant.variant.label,
        path=config.path,
        provider=",".join(config.providers),
        dims=config.dims,
        intra_op_threads=config.intra_op_threads,
        graph_optimization=config.graph_optimization,
        exit_code=0 if error is None else error.exit_code,
    )
    if error is not None or opened is None:
        assert error is not None
        told = ErrorReport(
            error=type(error).__name__, message=error.message, hint=error.hint, exit_code=error.exit_code
        )
        return replace(report, error=told)
    latency = summarize_latency(contestant.samples_ns)
    return replace(
        report,
        load_ns=opened.load_ns,
        first_run_ns=opened.first_run_ns,
        latency=latency,
        throughput_per_second=len(contestant.samples_ns) * 1e9 / contestant.elapsed_ns,
        peak_memory_bytes=opened.peak_memory_bytes,
        placement=opened.placement,
        nodes_on_cpu=opened.nodes_on_cpu,
        ratio=None if contestant is first else ratio_to(contestant, first),
        outputs=opened.outputs,
        verification=opened.verification,
        samples_ns=tuple(contestant.samples_ns),
    )


def doubts_of(contestants: Sequence[Contestant], load: float) -> Iterator[Finding]:
    """What failed, ran elsewhere or gave something else; load is the machine's before the first run."""
    of_sizes = " of these sizes" if len({each.config.dims for each in contestants}) > 1 else ""
    for each in contestants:
        if each.error is not None:
            yield Finding(
                code="variant-failed",
                severity="error",
                message=each.error.message.removeprefix(f"{each.variant.label}: "),
                hint=each.error.hint,
                where=each.variant.label,
            )
            continue
        opened = each.opened
        for found in left_to_the_cpu(each.config.providers[0], opened.placement, opened.nodes_on_cpu):
            yield replace(found, where=each.variant.label)
        if opened.outputs is not None and opened.outputs.status == "different":
            yield Finding(
                code="outputs-differ",
                severity="warning",
                message=f"it gives other outputs than the first variant{of_sizes}: {opened.outputs.reason}",
                where=each.variant.label,
            )
    yield from doubts_of_load(load, usable_cpu_count())


def doubts_of_ratios(contestants: Sequence[Contestant], first: Contestant) -> Iterator[Finding]:
    """Where the figures are fewer, or the intervals wider, than what was asked for; the worst stands for all."""
    ran = [each for each in contestants if each.error is None]
    fewest = min(ran, key=lambda each: len(each.samples_ns))
    if len(fewest.samples_ns) < FEW_SAMPLES:
        yield Finding(
            code="too-few-samples",
            severity="warning",
            message=f"{len(fewest.samples_ns)} runs of a variant say little about it",
            hint=f"time at least {FEW_SAMPLES} runs: --runs or --duration",
            where=fewest.variant.label,
        )
    precision = first.config.precision
    reaches = {each.variant.label: reach(ratio_to(each, first)) for each in ran if each is not first}
    wide = {label: width for label, width in reaches.items() if precision and width > precision}
    if wide:
        worst = max(wide, key=lambda label: wide[label])
        others = f"; {len(wide)} of {len(reaches)} are wider than that" if len(wide) > 1 else ""
        yield Finding(
            code="imprecise",
            severity="warning",
            message=f"its ratio is known to {wide[worst] * 100:.2g} % only, not to {precision * 100:g} %{others}",
            hint="raise --duration, or quieten the machine",
            where=worst,
        )


def doubts_of_groups(group_count: int) -> Iterator[Finding]:
    """That not all variants took turns with each other."""
    if group_count > 1:
        yield Finding(
            code="variants-apart",
            severity="info",
            message=f"the variants don't fit into memory together: {group_count} groups took turns, each round in "
            "random order, and a slow change of the machine between them counts as a difference",
            hint="compare fewer at once, or close what else uses memory",
        )
