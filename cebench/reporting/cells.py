"""Cells of the tables: which measured numbers are replications of one, and what they average to.

Numbers of a cell agree in all but the seeds of pretraining and fine-tuning, and the machine; times
in the machine too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar, get_args

from cebench.config import RecipeTier, Tier
from cebench.errors import InputError
from cebench.metrics.image_intervals import METHOD
from cebench.reporting.published import Column, Layout
from cebench.reporting.records import REGION_SHAPES, SCORED_FILES, Measurement, Record, RecordFile
from cebench.reporting.replication import nested_summary

Item = TypeVar("Item")
Key = TypeVar("Key")
Fact = tuple[str, str]
"""What is compared, and how a person knows it."""


@dataclass(frozen=True)
class Number:
    """One measurement, with the record it stands in and the file that this was read from."""

    path: Path
    record: Record
    measurement: Measurement
    row: str
    """Line of the table."""

    @property
    def replicate(self) -> tuple[str, int]:
        """Which of a cell's numbers it is: pretraining and seed of the fine-tuning."""
        if not self.measurement.of_weights:
            return "none", self.record.seed
        weights = self.record.weights
        known = weights.seed is not None
        return f"seed {weights.seed}" if known else weights.sha256, self.record.seed

    @property
    def scored_files(self) -> bool:
        """Whether another program's files were scored: no weights and no recipe of ours made it."""
        return self.record.weights.architecture == SCORED_FILES

    @property
    def tier(self) -> RecipeTier:
        """The lowest of its parts; of imported weights nothing is known."""
        parts: list[Tier] = [self.record.tier]
        parts += [self.record.weights.tier] if self.measurement.of_weights else []
        return next(tier for tier in get_args(RecipeTier) if tier in parts)

    def conditions(self, *options: str) -> dict[str, Fact]:
        """How the number was measured; `options` of the recipe are left out of account."""
        record, measured = self.record, self.measurement
        recipe = record.recipe.hash_without(*options)
        protocol = f"{record.protocol} version {record.protocol_version}"
        data = record.data.fingerprint or f"unknown {record.data.name}"
        return {
            "protocol": (protocol, protocol),
            "recipe": (recipe, f"{recipe[:12]} ({record.recipe.name})"),
            "data": (data, f"{data[:12]} ({record.data.name})"),
            "unit": (measured.unit, measured.unit),
            "higher_is_better": (str(measured.higher_is_better),) * 2,
        }

    def origin(self) -> dict[str, Fact]:
        """What was measured: how its weights were made."""
        if not self.measurement.of_weights:
            return {}
        weights = self.record.weights
        recipe = weights.recipe.hash_without()
        data = weights.data.fingerprint or f"unknown {weights.data.name}"
        shapes = str((weights.recipe.values or {}).get(REGION_SHAPES, "none"))
        return {
            "method": (weights.method, weights.method),
            "architecture": (weights.architecture, weights.architecture),
            "pretraining recipe": (recipe, f"{recipe[:12]} ({weights.recipe.name})"),
            "pretraining data": (data, f"{data[:12]} ({weights.data.name})"),
            "shapes of the holes": (shapes, shapes[:12]),
            "pretraining steps": (str(weights.steps),) * 2,
        }


def numbers_of(found: Sequence[RecordFile], layout: Layout) -> list[Number]:
    """Every measurement for `layout`'s table, a cell's numbers each once.

    Networks that the published rows are not about stand in lines of their own. InputError, naming
    files and fields, where numbers of a cell are no replications of one another.
    """
    numbers = [
        Number(path, record, measurement, line_of(record, measurement, layout))
        for path, record in found
        if record.table == layout.id
        for measurement in record.measurements
    ]
    cells = grouped(numbers, lambda n: (n.row, n.measurement.column, n.measurement.metric))
    return [number for key, cell in cells.items() for number in _replications(cell, layout, key)]


def line_of(record: Record, measurement: Measurement, layout: Layout) -> str:
    """The row, with the network where it is none of those that the published rows are about."""
    architecture = record.weights.architecture
    published = not measurement.of_weights or architecture in layout.architectures
    return measurement.row if published else f"{measurement.row} ({architecture})"


def _replications(
    cell: Sequence[Number], layout: Layout, key: tuple[str, str, str]
) -> list[Number]:
    """`cell` with each replicate once, whichever run directory or copy it was read from."""
    row, column, metric = key
    place = f"table {layout.id}, column {column}, row {row}, {metric}"
    check_agreement(cell, place, lambda n: n.conditions() | n.origin())
    for pretraining, group in grouped(cell, lambda n: n.replicate[0]).items():
        check_agreement(group, f"{place}, pretraining {pretraining}", _weights)
    of_weights = [number for number in cell if number.measurement.of_weights]
    for group in grouped(of_weights, lambda n: n.record.weights.sha256).values():
        name = group[0].record.weights.name
        check_agreement(group, f"{place}, weights {name} of one content", _seed)
    unique: dict[tuple[str, int], Number] = {}
    for number in cell:
        first = unique.setdefault(number.replicate, number)
        ours, theirs = _content(first), _content(number)
        differing = [name for name in ours if ours[name] != theirs[name]]
        if differing:
            raise InputError(
                f"{first.path} and {number.path}: {place}: two records of {_spoken(number)} differ "
                f"in {', '.join(differing)}; remove one or report its folder alone"
            )
    return _times_of_one_machine(list(unique.values()))


def _spoken(number: Number) -> str:
    """Which of a cell's numbers it is, in words."""
    weights, seed = number.record.weights, number.record.seed
    if not number.measurement.of_weights:
        return f"seed {seed}"
    known = weights.seed is not None
    origin = f"pretraining seed {weights.seed}" if known else f"weights {weights.sha256[:12]}"
    return f"{origin}, fine-tuning seed {seed}"


def _times_of_one_machine(cell: list[Number]) -> list[Number]:
    """`cell`, of times those of the machine with the most, of such machines the fastest."""
    if cell[0].measurement.unit != "s":
        return cell
    machines = grouped(cell, lambda n: (n.record.device, n.record.threads)).values()
    return max(machines, key=lambda times: (len(times), -fmean(n.measurement.value for n in times)))


def _weights(number: Number) -> dict[str, Fact]:
    """The bits of the weights: one seed of pretraining gives them once."""
    weights = number.record.weights
    known = number.measurement.of_weights
    return {"weights": (weights.sha256, f"{weights.sha256[:12]} ({weights.name})")} if known else {}


def _seed(number: Number) -> dict[str, Fact]:
    """The seed of pretraining: one set of bits is one pretraining, whatever it was imported as."""
    seed = str(number.record.weights.seed)
    return {"pretraining seed": (seed, "unknown" if seed == "None" else seed)}


def _content(number: Number) -> dict[str, Any]:
    """What two readings of one number must agree in."""
    measured = number.measurement
    return {
        "value": measured.value,
        "interval": measured.interval,
        "count": measured.count,
    }


def check_columns(numbers: Sequence[Number], layout: Layout) -> None:
    """InputError where rows of a column were not measured alike, or tiers mix in the table."""
    shipped = [n for n in numbers if n.record.tier != "custom" and n.measurement.unit != "s"]
    check_agreement(shipped, f"table {layout.id}", lambda n: {"tier": (n.record.tier,) * 2})
    for column in layout.columns:
        inside = [number for number in numbers if number.measurement.column == column.id]
        if column.rows_share_recipe:
            _check_conditions(inside, f"table {layout.id}, column {column.id}", column)
        for row, cell in grouped(inside, lambda n: n.row).items():
            _check_one_headline(cell, f"table {layout.id}, column {column.id}, row {row}", column)


def _check_conditions(numbers: Sequence[Number], place: str, column: Column) -> None:
    """All rows were measured alike, but for the options that may differ per row."""
    for metric, alike in grouped(numbers, lambda n: n.measurement.metric).items():
        check_agreement(
            alike, f"{place}, {metric}", lambda n: n.conditions(*column.may_differ_per_row)
        )


def check_agreement(
    numbers: Sequence[Number], place: str, facts: Callable[[Number], dict[str, Fact]]
) -> None:
    """InputError that names two files and every field in which their `facts` differ."""
    first, none = facts(numbers[0]) if numbers else {}, ("none", "none")
    for number in numbers[1:]:
        other = facts(number)
        pairs = {
            name: (first.get(name, none), other.get(name, none)) for name in {**first, **other}
        }
        shown = "; ".join(
            f"{name}: {ours[1]} and {theirs[1]}"
            for name, (ours, theirs) in pairs.items()
            if ours[0] != theirs[0]
        )
        if shown:
            raise InputError(
                f"{numbers[0].path} and {number.path}: {place} mixes two values of {shown}; "
                "report their folders one at a time"
            )


def _check_one_headline(cell: Sequence[Number], place: str, column: Column) -> None:
    """Each replicate of a cell has the headline, or none has: n counts the same everywhere."""
    headlines = {n.replicate: n for n in cell if n.measurement.metric == column.metric}
    for number in cell:
        if headlines and number.replicate not in headlines:
            first = next(iter(headlines.values()))
            raise InputError(
                f"{first.path} and {number.path}: {place} mixes two values of metric: "
                f"{column.metric!r} and, for {_spoken(number)}, only "
                f"{number.measurement.metric!r}; measure {column.metric} for each seed"
            )


def summary(cell: Sequence[Number]) -> dict[str, Any]:
    """One cell as a line of a table: what was replicated, mean, deviations and interval."""
    first = cell[0].measurement
    cell = without_copies(cell)
    pretrainings = grouped(cell, lambda n: n.replicate[0])
    of_weights = first.of_weights and not cell[0].scored_files
    if not of_weights:  # Nothing was pretrained: each number is a run of its own.
        pretrainings = {str(place): [number] for place, number in enumerate(cell)}
    nested = nested_summary([[n.measurement.value for n in g] for g in pretrainings.values()])
    fine_tuned = of_weights and first.unit != "s"
    return {
        "unit": first.unit,
        "higher_is_better": first.higher_is_better,
        "tier": lowest_tier(cell),
        "images": first.count,
        "n": len(cell),
        "pretrainings": nested.pretrainings if of_weights else 0,
        "fine_tunings": list(nested.fine_tunings) if fine_tuned else [],
        "draws": first.draws,
        "mean": nested.mean,
        "sd": nested.sd_run,
        "sd_between": nested.sd_between,
        "sd_within": nested.sd_within,
        **_interval(list(pretrainings.values())),
    }


def without_copies(cell: Sequence[Number]) -> Sequence[Number]:
    """`cell`, where it has no network one number of those that are equal to the last digit.

    A fill that draws nothing is computed again beside each network that is scored: no replication.
    """
    if cell[0].measurement.of_weights:
        return cell
    return [numbers[0] for numbers in grouped(cell, lambda n: n.measurement).values()]


def lowest_tier(numbers: Sequence[Number]) -> RecipeTier:
    """The tier that all of `numbers` have at least."""
    tiers = {number.tier for number in numbers}
    return next(tier for tier in get_args(RecipeTier) if tier in tiers)


def _interval(pretrainings: Sequence[Sequence[Number]]) -> dict[str, Any]:
    """The ends, averaged as the mean is, where all numbers have one whose coverage is known."""
    intervals = [[n.measurement.interval for n in tuned] for tuned in pretrainings]
    known = [[i for i in tuned if i and i.method == METHOD] for tuned in intervals]
    levels = {i.level for tuned in known for i in tuned}
    if list(map(len, known)) != list(map(len, intervals)) or len(levels) > 1:
        return dict.fromkeys(("interval_low", "interval_high", "interval_level", "interval_method"))
    return {
        "interval_low": nested_summary([[i.low for i in tuned] for tuned in known]).mean,
        "interval_high": nested_summary([[i.high for i in tuned] for tuned in known]).mean,
        "interval_level": levels.pop(),
        "interval_method": METHOD,
    }


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """`items` by key, both in the order of appearance."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
