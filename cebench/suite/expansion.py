"""From a suite file to its cells: every row x pretraining x task x seed, with what each needs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cebench.config import Recipe, outcome_sha256
from cebench.data.motion_windows import MotionSearch
from cebench.errors import InputError, did_you_mean
from cebench.models.backbones import is_foreign
from cebench.pretrain.run import PROTOCOL_VERSION as PRETRAINING_VERSION
from cebench.suite.cells import Cell, check_names, content_key, in_order
from cebench.suite.fingerprints import DataFingerprints
from cebench.suite.rows import (
    check_rows,
    check_taken,
    checkpoints_folder,
    network_of,
    pretraining_recipe,
    with_checkpoints,
)
from cebench.suite.suite_file import Drawn, Row, Suite, Tracked, belongs, reference
from cebench.suite.weights_sources import WeightsSource, check_lines, line_of, stored_source
from cebench.suite.work import recipe_work
from cebench.toy.world import set_sizes, toy_manifest
from cebench.transfer.run import TASKS
from cebench.transfer.run import Request as Transfer
from cebench.weights.importing import GENERATOR, preset_of
from cebench.weights.method_names import RESCALED


@dataclass(frozen=True)
class Place:
    """A path of the suite file: where it lies, what determines its content, which cell makes it."""

    path: str
    """Absolute, or below `{out}`."""
    key: Any
    needs: tuple[str, ...] = ()

    @property
    def external(self) -> Path | None:
        """The path, of what no cell makes."""
        return None if self.needs else Path(self.path)


class Expansion:
    """The cells of one suite."""

    def __init__(
        self,
        suite: Suite,
        folder: Path,
        fingerprint: DataFingerprints,
        seed: int,
        more: Mapping[str, int],
    ) -> None:
        """The cells of `suite`, whose relative paths start from `folder`.

        seed: the first of pretrainings and tasks. more: row -> its pretrainings, if not fewer than
        the suite's own.
        """
        self.suite, self.folder, self.seed = with_checkpoints(suite, folder), folder, seed
        self._fingerprint = fingerprint
        self._more = more
        if suite.checkpoints:
            fingerprint.watch(checkpoints_folder(suite, folder))
        self._made: dict[str, Cell] = {}
        self._weights: dict[str, list[WeightsSource]] = {}
        self._found: dict[tuple[str, str, Path], int] = {}
        self._cells: list[Cell] = []

    def cells(self) -> list[Cell]:
        """All cells, each after those that it needs; InputError for a mistake in the suite."""
        check_rows(self.suite)
        for name in in_order(self._data_needs()):
            self._add_data(name)
        rows = self.suite.rows
        sources = {name: [row.rescale] if row.rescale else [] for name, row in rows.items()}
        for name in in_order(sources):
            self._weights[name] = list(self._add_weights(name, rows[name]))
        check_lines(self.suite, self._weights)
        for task in self.suite.tasks:
            for row in rows:
                if belongs(self.suite, row, task):
                    self._add_transfers(row, task)
        used = _needed(self._cells)
        check_names(used)
        return used

    def _data_needs(self) -> dict[str, list[str]]:
        """Name of data -> other data that it is made from."""
        needs: dict[str, list[str]] = {}
        for name, given in self.suite.data.items():
            texts = given.track if isinstance(given, Tracked) else [given]
            references = (reference(text)[0] for text in texts if isinstance(text, str))
            needs[name] = [other for other in references if other]
        return needs

    def _add_data(self, name: str) -> None:
        given = self.suite.data.get(name)
        if given is None:
            raise InputError(f"{{{name}}}: no such data; {did_you_mean(name, self.suite.data)}")
        if isinstance(given, Drawn):
            request = {"images": given.draw, "seed": self.seed}
            key = content_key("draw", toy_manifest(given.draw, self.seed))
            work = {"images": sum(sum(s.values()) for s in set_sizes(given.draw).values())}
            self._make(Cell(name=name, verb="draw", key=key, request=request, work=work))
        elif isinstance(given, Tracked):
            places = [self._place(source) for source in given.track]
            search = MotionSearch(
                given.window, given.least_moving, given.most_moving, given.tracker
            )
            options = {"frames": given.frames, "short_side": given.short_side, **asdict(search)}
            cell = Cell(
                name=name,
                verb="track",
                key=content_key("track", options, [place.key for place in places]),
                needs=_needs(places),
                request={**options, "sources": [place.path for place in places]},
            )
            self._make(cell)

    def _make(self, cell: Cell) -> None:
        self._made[cell.name] = cell
        self._cells.append(cell)

    def _place(self, text: str) -> Place:
        """`{name}/below`, a name of the data, or a path."""
        name, below = reference(text)
        if not name:
            path = self.folder / text
            return Place(str(path), self._fingerprint(path))
        if name in self._made:
            cell = self._made[name]
            below = f"/{below}" if below else ""
            return Place(f"{{out}}/{cell.folder}{below}", ["cell", cell.key, below], (name,))
        given = self.suite.data.get(name)
        if not isinstance(given, str):
            raise InputError(f"{{{name}}}: no such data; {did_you_mean(name, self.suite.data)}")
        if not reference(given)[0] and not (path := self.folder / given).exists():
            raise InputError(
                f"data {name}: {path} does not exist; give --data {name}=PATH or correct the suite "
                f"file, whose data are {', '.join(self.suite.data)}"
            )
        return self._place(f"{given}/{below}" if below else given)

    def _recipe(self, given: str) -> str:
        """A recipe's name, or the path of its file."""
        name = given or self.suite.recipe
        if not name.endswith(".toml"):
            return name
        self._fingerprint.watch(self.folder / name)
        return str(self.folder / name)

    def _add_weights(self, name: str, row: Row) -> Iterator[WeightsSource]:
        if row.weights:
            yield self._weights_file(name, row)
        elif row.checkpoint:
            yield self._imported(name, row)
        elif row.rescale:
            yield from (self._rescaled(name, row, source) for source in self._weights[row.rescale])
        else:
            yield from (self._pretrained(name, row, p) for p in range(self._pretrainings(name)))

    def _pretrainings(self, row: str) -> int:
        return max(self.suite.pretrainings, self._more.get(row, 0))

    def _weights_file(self, name: str, row: Row) -> WeightsSource:
        path = self.folder / row.weights
        for watched in (path, path.with_suffix(".json")):
            self._fingerprint.watch(watched)
        return stored_source(name, path)

    def _imported(self, name: str, row: Row) -> WeightsSource:
        path = self.folder / row.checkpoint
        if not path.is_file():
            raise InputError(f"rows.{name}: {path}: no such checkpoint")
        preset = preset_of(row.like, row.architecture, row.method or (None if row.like else name))
        request = {
            "file": str(path),
            "architecture": row.architecture,
            "method": preset.method,
            "like": row.like,
            "mapping": str(self.folder / row.mapping) if row.mapping else None,
            "inside": row.inside,
            "prefix": row.prefix,
            "seed": row.seed,
        }
        mapping = self._fingerprint(self.folder / row.mapping) if row.mapping else ""
        content = {**request, "file": self._fingerprint(path), "mapping": mapping}
        cell = Cell(
            name=name,
            verb="import",
            key=content_key("import", content),
            request=request,
            row=name,
            line=line_of(preset.method, preset.architecture),
            last_file="model.json" if preset.architecture == GENERATOR else "",
        )
        alike = content_key("import", {**content, "file": "", "seed": None})
        made = self._made_by(cell, preset.method, preset.architecture, row.seed)
        return made if row.seed is None else replace(made, replicates=alike)

    def _rescaled(self, name: str, row: Row, source: WeightsSource) -> WeightsSource:
        places = [self._place(image) for image in row.on]
        suffix = source.name.removeprefix(row.rescale)
        seed = self.seed  # The images of all pretrainings are the same: rescaling is no replicate.
        method = source.method + RESCALED
        cell = Cell(
            name=f"{name}{suffix}",
            verb="rescale",
            key=content_key("rescale", source.key, [place.key for place in places], seed),
            needs=(*source.needs, *_needs(places)),
            request={"file": source.path, "on": [place.path for place in places], "seed": seed},
            row=name,
            line=line_of(method, source.architecture),
        )
        made = self._made_by(cell, method, source.architecture, source.seed)
        return replace(made, replicates=source.replicates)

    def _pretrained(self, name: str, row: Row, number: int) -> WeightsSource:
        method, seed = row.method or name, self.seed + number
        data, exclude = ([self._place(p) for p in given] for given in (row.data, row.exclude))
        shapes = self._place(row.region_shapes) if row.region_shapes else None
        request = {
            "method": method,
            "data": [place.path for place in data],
            "exclude": [place.path for place in exclude],
            "region_shapes": shapes.path if shapes else None,
            "recipe": self._recipe(row.recipe),
            "changes": list(row.set),
            "seed": seed,
        }
        recipe = pretraining_recipe(request)
        network, made = network_of(recipe), self._fingerprint.of_recipe(recipe)
        places = [*data, *exclude, *([shapes] if shapes else [])]
        keys = [[p.key for p in data], [p.key for p in exclude], shapes.key if shapes else ""]
        cell = Cell(
            name=f"{name}-p{seed}",
            verb="pretrain",
            key=content_key("pretrain", PRETRAINING_VERSION, method, made, keys, seed),
            needs=_needs(places),
            request=request,
            row=name,
            line=line_of(method, network),
            gpus=row.gpus,
            work=recipe_work(recipe),
        )
        return self._made_by(cell, method, network if is_foreign(network) else "", seed)

    def _made_by(
        self, cell: Cell, method: str, architecture: str, seed: int | None
    ) -> WeightsSource:
        """The weights that `cell`, which is added to the others, will leave in its folder."""
        self._cells.append(cell)
        return WeightsSource(
            name=cell.name,
            path=f"{{out}}/{cell.folder}",
            key=cell.key,
            needs=(cell.name,),
            method=method,
            architecture=architecture,
            seed=seed,
        )

    def _add_transfers(self, row: str, task: str) -> None:
        entry, changes = self.suite.tasks[task], self.suite.rows[row].set_in.get(task, ())
        place, also = self._place(entry.data), [self._place(path) for path in entry.also]
        request = {
            "task": task,
            "data": place.path,
            "recipe": self._recipe(entry.recipe),
            "changes": [*entry.set, *changes],
            "engine": entry.engine,
        }
        recipe = _resolved_transfer(request)
        images = self._images(task, recipe, place)
        protocol = TASKS[task].protocol_name(recipe, entry.engine), TASKS[task].protocol_version
        data = [p.key for p in (place, *also)]
        measured = [*protocol, self._fingerprint.of_recipe(recipe), data]
        for source in self._weights[row]:
            check_taken(row, task, source.architecture)
            for seed in range(self.seed, self.seed + self.suite.seeds):
                cell = Cell(
                    name=f"{source.name}-{task}-s{seed}",
                    verb="transfer",
                    key=content_key("transfer", measured, source.key, seed),
                    needs=(*source.needs, *_needs([place, *also])),
                    request={**request, "weights": source.path, "seed": seed},
                    row=row,
                    column=task,
                    line=source.line,
                    measured_by=[*protocol, outcome_sha256(recipe)],
                    work={**recipe_work(recipe), "read": images},
                )
                self._cells.append(cell)

    def _images(self, task: str, recipe: Recipe, place: Place) -> int:
        """Images that a task reads; 0 of data that are yet to be made.

        InputError where data that should be there are not.
        """
        if place.external is None:
            return 0
        asked = task, outcome_sha256(recipe), place.external
        if asked not in self._found:
            found = TASKS[task].find_images(recipe, place.external)
            self._found[asked] = sum(map(len, found.values()))
        return self._found[asked]


def _needs(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(need for place in places for need in place.needs))


def _needed(cells: Sequence[Cell]) -> list[Cell]:
    """`cells` without data that nothing is computed from."""
    needed = {need for cell in cells for need in cell.needs}
    return [cell for cell in cells if cell.verb not in ("draw", "track") or cell.name in needed]


def _resolved_transfer(request: Mapping[str, Any]) -> Recipe:
    asked = Transfer(
        task=request["task"],
        weights="",
        data=Path(),
        out=Path(),
        recipe=request["recipe"],
        changes=tuple(request["changes"]),
        engine=request["engine"],
    )
    return asked.resolve()[0]
