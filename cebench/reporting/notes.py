"""What stands beneath a table: how far its numbers can be believed, and what they were made of."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from cebench.config import RecipeTier
from cebench.metrics.image_intervals import outside_word
from cebench.progress import counted
from cebench.reporting.cells import Number, grouped
from cebench.reporting.comparison import PublishedVerdict
from cebench.reporting.published import Column, Layout
from cebench.reporting.records import Record
from cebench.reporting.tables import Table

NO_RECORD = "—"
TIERS: dict[RecipeTier, str] = {
    "smoke": "This is a smoke run: it shows that every part works. It is no reproduction of the "
    "paper, and its numbers say nothing about the methods.",
    "custom": "At least one recipe behind these numbers is none of the shipped ones, so they are "
    "of no tier: compare them with numbers of the same recipes only.",
    "short": "This is a short run, far below the paper's data and training length. It is no "
    "reproduction of the paper.",
    "small": "These runs took a few hours of one processor core each, or minutes of a GPU, a small "
    "part of the published schedule: they rank rows where intervals separate them, and are no "
    "reproduction.",
    "paper": "These runs follow the published recipe. Whether they learned from the published data "
    "is not checked: the data are named below.",
}
"""What a reader must know first, by the lowest tier of pretraining and transfer."""

VERDICTS: dict[PublishedVerdict, str] = {
    "inside": "it lies in the measured cell's 95 % interval over images",
    "outside": "it lies outside the measured cell's 95 % interval over images",
    "other tier": "the measured cell is of another tier than the paper's",
    "other images": "the measured cell is of more or fewer images than the paper's",
    "no interval": "the measured cell has no interval",
}
"""What a verdict beside a measured cell says."""


def table_notes(table: Table) -> list[str]:
    """What stands beneath a table, in plain words."""
    columns = [(c, _of_column(table, c)) for c in table.layout.columns_in_print]
    return [
        *_tier_notes(table.numbers),
        _cells_note(table.layout),
        *_column_notes(columns),
        *(note for column, numbers in columns for note in _option_notes(column, numbers)),
        *(note for column, _ in columns for note in _interval_notes(table, column)),
        *_no_interval_notes(columns),
        *_letter_notes(table),
        *_verdict_notes(table),
        *_import_notes(table.numbers),
        *_file_notes(table.numbers),
        *_class_notes(table),
        f"Hardware: {_hardware([number.record for number in table.numbers])}.",
    ]


def _tier_notes(numbers: Sequence[Number]) -> list[str]:
    """The tier of the numbers, and which rows have it where they differ; of times only if alone."""
    numbers = [number for number in numbers if not number.scored_files]
    scored = [number for number in numbers if number.measurement.unit != "s"] or list(numbers)
    by_tier = grouped(scored, lambda number: number.tier)
    notes = []
    for tier in (tier for tier in TIERS if tier in by_tier):
        whose = f"Tier {tier} ({_places(tier, scored)}): " if len(by_tier) > 1 else ""
        notes.append(whose + TIERS[tier] + _changed_recipes(by_tier[tier]) * (tier == "custom"))
    return notes


def _places(tier: RecipeTier, numbers: Sequence[Number]) -> str:
    """The rows of a tier, with their columns where other columns have another."""
    texts = []
    for row, of_row in grouped(numbers, lambda number: number.row).items():
        inside = [number for number in of_row if number.tier == tier]
        columns = _listed(number.measurement.column for number in inside)
        texts += [row if len(inside) == len(of_row) else f"{row}: {columns}"] if inside else []
    return _listed(texts)


def _changed_recipes(numbers: Sequence[Number]) -> str:
    records = [number.record for number in numbers]
    names = [record.recipe.name for record in records if record.tier == "custom"]
    names += [
        number.record.weights.recipe.name
        for number in numbers
        if number.measurement.of_weights and number.record.weights.tier == "custom"
    ]
    return f" These are: {_listed(sorted(names))}."


def _import_notes(numbers: Sequence[Number]) -> list[str]:
    """Whose pretraining nothing is known of."""
    rows = _listed(
        number.row
        for number in numbers
        if number.measurement.of_weights
        and number.record.weights.tier == "imported"
        and not number.scored_files
    )
    return [f"Imported weights, whose pretraining is unknown here: {rows}."] if rows else []


def _file_notes(numbers: Sequence[Number]) -> list[str]:
    """Rows of which nothing but the predictions is known."""
    rows = _listed(number.row for number in numbers if number.scored_files)
    return [f"Scored from files that another program wrote: {rows}."] if rows else []


def _class_notes(table: Table) -> list[str]:
    """Whose labels the row of labels learned, where they are known: rarely ImageNet's 1000."""
    data = _listed(
        number.record.weights.data.name
        for number in table.numbers
        if number.measurement.of_weights
        and number.record.weights.method == "imagenet"
        and number.record.weights.tier != "imported"
    )
    if not data:
        return []
    column = "Supervision: the paper's. " if table.layout.supervised else ""
    return [f"{column}Here imagenet learned the classes of {data}."]


def _option_notes(column: Column, numbers: Sequence[Number]) -> list[str]:
    """Options that rows of a column have different values of, as far as they may."""
    notes = []
    for option in column.may_differ_per_row:
        values: dict[str, list[Number]] = {}
        for number in numbers:
            value = (number.record.recipe.values or {}).get(option, "unknown")
            values.setdefault(str(value), []).append(number)
        if len(values) > 1:
            texts = (f"{v} ({_listed(n.row for n in rows)})" for v, rows in values.items())
            notes.append(f"{column.label}: rows differ in {option}: {'; '.join(texts)}.")
    return notes


def _cells_note(layout: Layout) -> str:
    note = (
        "mean ± standard deviation of one run, then pretrainings x transfers of each (of a single "
        "pretraining ± is that of its transfers alone), or n runs where no weights are transferred"
    )
    if layout.source:
        note = (
            f"First measured: {note}; then published: {layout.source}; then the difference, "
            "measured minus published"
        )
    return f"{note[0].upper()}{note[1:]}. {NO_RECORD}: no record."


def _interval_notes(table: Table, column: Column) -> list[str]:
    """The headline's interval of each row that has one, a note for each kind of interval."""
    cells = table.cells[(table.cells["column"] == column.id) & table.cells["headline"]]
    with_interval = cells[cells["interval_low"].notna()].to_dict("records")
    kinds = grouped(with_interval, lambda c: (c["interval_level"], c["interval_method"]))

    def text(cell: dict[Any, Any]) -> str:
        low, high = (column.text(cell[f"interval_{end}"]) for end in ("low", "high"))
        word = outside_word(cell["mean"], cell["interval_low"], cell["interval_high"])
        return f"{cell['row']} {low} to {high}{word}"

    return [
        f"{column.label}, {100 * level:g} % interval ({method}, mean over runs): "
        f"{'; '.join(map(text, of_kind))}."
        for (level, method), of_kind in kinds.items()
    ]


def _no_interval_notes(columns: Sequence[tuple[Column, Sequence[Number]]]) -> list[str]:
    """Why headlines have no interval: for each reason the rows, columns alike together."""
    without = [
        (column, number)
        for column, numbers in columns
        for number in numbers
        if number.measurement.metric == column.metric and number.measurement.no_interval
    ]
    notes = []
    for of_reason in grouped(without, lambda c: _wording(c[1].measurement.no_interval)).values():
        reason = _with_ranges([number.measurement.no_interval for _, number in of_reason])
        by_column = grouped(of_reason, lambda c: c[0].label)
        rows = {label: _listed(n.row for _, n in cells) for label, cells in by_column.items()}
        alike = grouped(rows, rows.__getitem__)
        notes += [
            f"{', '.join(labels)}: no interval ({reason}): {names}."
            for names, labels in alike.items()
        ]
    return notes


_QUANTITY = re.compile(r"\d+\.\d+")
"""What was measured: counts are rules, of which "100 to 700" would say another one."""


def _wording(reason: str) -> str:
    """A reason but for its quantities."""
    return _QUANTITY.sub("#", reason)


def _with_ranges(reasons: Sequence[str]) -> str:
    """Reasons of one wording as one, with the range of each quantity."""
    quantities = [_QUANTITY.findall(reason) for reason in reasons]
    ranges = (
        min(values, key=float) + (f" to {max(values, key=float)}" if len(set(values)) > 1 else "")
        for values in zip(*quantities, strict=True)
    )
    return _QUANTITY.sub(lambda _: next(ranges), reasons[0])


def _letter_notes(table: Table) -> list[str]:
    """What the letters were made from."""
    if not table.comparisons:
        return []
    labels = {column.id: column.label for column in table.layout.columns}
    shown = []
    for column, found in table.comparisons.items():
        pairs = list(found.pairs.values())
        varied = _listed(pair.varied for pair in pairs)
        shown.append(f"{labels[column]} by {pairs[0].metric} over {varied}")
    return [
        "Letters: rows of a column that share one cannot be told apart at 5 % (paired over the "
        f"test images, Holm's adjustment; a: the best). {'; '.join(shown)}."
    ]


def _verdict_notes(table: Table) -> list[str]:
    """What stands in brackets behind a published number."""
    measured = table.cells[(table.cells["n"] > 0) & table.cells["headline"]]
    found = [verdict for verdict in VERDICTS if verdict in set(measured["verdict"].dropna())]
    shown = "; ".join(f"{verdict}: {VERDICTS[verdict]}" for verdict in found)
    return [f"Behind a published number: {shown}."] if found else []


def _of_column(table: Table, column: Column) -> list[Number]:
    return [number for number in table.numbers if number.measurement.column == column.id]


def _column_notes(columns: Sequence[tuple[Column, Sequence[Number]]]) -> list[str]:
    """What each column was measured by; columns alike stand together."""
    origins = {column.label: _origin(column, numbers) for column, numbers in columns if numbers}
    alike = grouped(origins, origins.__getitem__)
    return [f"{', '.join(labels)}: {origin}." for origin, labels in alike.items()]


def _origin(column: Column, numbers: Sequence[Number]) -> str:
    """What a column was measured by: protocol, recipe, data, images, seeds, of times machines."""
    records = [number.record for number in numbers]
    protocol = f"protocol {records[0].protocol} version {records[0].protocol_version}"
    recipes = _listed(record.recipe.name for record in records)
    headlines = [number for number in numbers if number.measurement.metric == column.metric]
    counts = _listed(f"{number.measurement.count:,}" for number in headlines or numbers)
    parts = [column.metric, protocol, f"recipe {recipes}", f"data {_data(records)}"]
    parts += [f"{counts} images", _seeds(numbers)]
    chosen = "of a row the machine with most of its pretrainings, or the faster"
    parts += [f"on {_machines(records)} ({chosen})"] if column.unit == "s" else []
    return ", ".join(parts)


def _data(records: Sequence[Record]) -> str:
    data = dict.fromkeys((r.data.name, r.data.fingerprint or "unknown") for r in records)
    shown = "; ".join(f"{name} (fingerprint {fingerprint[:12]})" for name, fingerprint in data)
    proposals = dict.fromkeys(r.proposals for r in records if r.proposals != "none")
    return shown + "".join(f", proposals {name}" for name in proposals)


def _seeds(numbers: Sequence[Number]) -> str:
    known = {n.record.weights.seed for n in numbers if n.measurement.of_weights} - {None}
    pretraining = ", ".join(str(seed) for seed in sorted(s for s in known if s is not None))
    transfers = [n.record for n in numbers if n.record.task != "pretraining"]
    transfer = ", ".join(str(seed) for seed in sorted({record.seed for record in transfers}))
    parts = [f"pretraining seeds {pretraining}"] if pretraining else []
    parts += [f"transfer seeds {transfer}"] if transfer else []
    return ", ".join(parts)


def _hardware(records: Sequence[Record]) -> str:
    versions = _listed(
        f"cebench {record.cebench_version}, torch {record.torch_version}" for record in records
    )
    return f"{_machines(records)}; {versions}"


def _machines(records: Sequence[Record]) -> str:
    return _listed(f"{record.device}, {counted(record.threads, 'thread')}" for record in records)


def _listed(texts: Iterable[str]) -> str:
    """Each text once, in the order of appearance."""
    return "; ".join(dict.fromkeys(texts))
