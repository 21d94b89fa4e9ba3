"""Where the marks of the report's figures stand: numbers, words and classes in, coordinates out.

Owns the geometry of the timeline and of the durations. Draws nothing itself: the template turns shapes into SVG, and
the style sheet classes into colours. Lengths are in units of a figure that is ``WIDTH`` wide.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, groupby, pairwise

WIDTH = 1000.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 96.0, 104.0, 24.0, 38.0
_ROW = 15.0
_GAP = 5.0  # between instances
MOST_CORES = 256  # that have a row each; of more, several instances share one
_MOST_ROWS = 400
_LEAST_ROW = 2.5
_BINS = 300  # of time, of a row that stands for many cores
_TICKS = 8
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A span to be drawn: its kind is a class of the style sheet; ``end`` is None if it is open."""

    kind: str
    begin: datetime
    end: datetime | None
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is drawn of one core. ``note`` stands behind it; ``begin`` and ``end`` are those of its instance."""

    launch_index: int
    label: str
    begin: datetime
    end: datetime | None
    spans: tuple[Drawn, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A bar; ``open`` if it goes on behind its end."""

    kind: str
    x: float
    width: float
    title: str = ""
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a timeline: one core or, of a large session, the cores of ``instances``."""

    y: float
    instances: str
    label: str
    shapes: tuple[Shape, ...]
    note: str
    note_x: float


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A timeline between two times in which instances were there all the time."""

    begin: datetime
    end: datetime
    height: float
    row_height: float
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    unit: str
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    cores_per_row: int = 1

    @property
    def bottom(self) -> float:
        """Where the axis is."""
        return self.height - _BOTTOM


def timeline_panels(lines: Sequence[Line], *, at: datetime) -> list[Panel]:
    """Return the timeline: one panel, or one each for launches between which there was no instance for long."""
    panels: list[list[Line]] = []
    begin = end = at
    for line in sorted(lines, key=lambda line: line.begin):
        # After a gap longer than all before it, one axis would leave no room for either.
        if not panels or line.begin - end > end - begin:
            panels.append([])
            begin = end = line.begin
        panels[-1].append(line)
        end = max(end, line.end or at)
    return [_panel(sorted(each, key=lambda line: line.launch_index), at) for each in panels]


def _panel(lines: Sequence[Line], at: datetime) -> Panel:
    scale = _Scale(min(line.begin for line in lines), max(line.end or at for line in lines))
    groups = _groups(lines)
    single = len(lines) <= MOST_CORES
    row_height = _ROW if single else max(_LEAST_ROW, min(_ROW, WIDTH / len(groups)))
    rows = tuple(_rows_of_cores(lines, scale) if single else _rows_of_groups(groups, scale, row_height))
    ticks, unit = scale.ticks()
    return Panel(
        begin=scale.begin,
        end=scale.end,
        height=rows[-1].y + row_height + 6 + _BOTTOM,
        row_height=row_height,
        rows=rows,
        ticks=ticks,
        unit=unit,
        cores_per_row=1 if single else max(map(len, groups)),
    )


class _Scale:
    """Turns times into places, and says where the ticks of its axis stand."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        self.begin, self.end = begin, max(end, begin + timedelta(seconds=1))
        self.seconds = (self.end - self.begin).total_seconds()

    def share(self, time: datetime) -> float:
        return min(1.0, max(0.0, (time - self.begin).total_seconds() / self.seconds))

    def __call__(self, time: datetime) -> float:
        return _place(self.share(time))

    def ticks(self) -> tuple[tuple[tuple[float, str], ...], str]:
        step = nice_step(self.seconds)
        places = [number * step for number in range(int(self.seconds // step) + 1)]
        size = 3600 if step >= 1800 else 60 if self.seconds >= 120 else 1
        unit = {3600: "hours:minutes", 60: "minutes:seconds", 1: "seconds"}[size]
        small = size // 60 or 1
        labels = (f"{second // size}:{second % size // small:02d}" if size > 1 else str(second) for second in places)
        return tuple(zip((_place(second / self.seconds) for second in places), labels, strict=True)), unit


def _place(share: float) -> float:
    return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def nice_step(length: float) -> int:
    """Return a round number of seconds of which a span of this length has at most eight, but for the first."""
    fits = (step for step in _STEPS if length / step <= _TICKS)
    return next(fits, math.ceil(length / _TICKS / _STEPS[-1]) * _STEPS[-1])


def _rows_of_cores(lines: Sequence[Line], scale: _Scale) -> Iterator[Row]:
    y, before = _TOP - _GAP, None
    for line in lines:
        first = line.launch_index != before
        y += _GAP if first else 0.0
        shapes = tuple(_shape(span, scale) for span in line.spans)
        last = max((shape.x + shape.width for shape in shapes), default=scale(line.begin))
        yield Row(
            y=y,
            instances=str(line.launch_index) if first else "",
            label=line.label,
            shapes=shapes,
            note=line.note,
            note_x=last + 7,
        )
        y, before = y + _ROW, line.launch_index


def _shape(span: Drawn, scale: _Scale) -> Shape:
    x, end = scale(span.begin), scale(span.end or scale.end)
    # A tenth of a unit cannot be seen; what happened is.
    width = max(1.0, round(end - x, 1))
    return Shape(kind=span.kind, x=x, width=width, title=span.title, open=span.end is None)


def _groups(lines: Sequence[Line]) -> list[list[Line]]:
    """Return the cores of as few whole instances together as make no more rows than can be seen."""
    instances = [list(cores) for _, cores in groupby(lines, key=lambda line: line.launch_index)]
    together = math.ceil(len(instances) / _MOST_ROWS)
    firsts = range(0, len(instances), together)
    return [list(chain.from_iterable(instances[first : first + together])) for first in firsts]


def _rows_of_groups(groups: Sequence[Sequence[Line]], scale: _Scale, height: float) -> Iterator[Row]:
    every = math.ceil(12 / height)  # a label for so many rows
    for number, lines in enumerate(groups):
        yield Row(
            y=_TOP + number * height,
            instances=str(lines[0].launch_index) if number % every == 0 else "",
            label="",
            shapes=tuple(_most(lines, scale)),
            note="",
            note_x=0.0,
        )


def _most(lines: Sequence[Line], scale: _Scale) -> Iterator[Shape]:
    """Yield what most of the cores did, by time."""
    begun: dict[str, list[int]] = {}
    for span in (span for line in lines for span in line.spans):
        changes = begun.setdefault(span.kind, [0] * (_BINS + 1))
        changes[_bin(span.begin, scale)] += 1
        changes[_bin(span.end, scale) if span.end else _BINS] -= 1
    counts = {kind: _running_sums(changes) for kind, changes in begun.items()}
    kinds = [max(counts, key=lambda kind: counts[kind][place]) if counts else "" for place in range(_BINS)]
    shown = [kind if kind and counts[kind][place] else "" for place, kind in enumerate(kinds)]
    starts = [place for place in range(_BINS) if not place or shown[place] != shown[place - 1]]
    for first, behind in pairwise([*starts, _BINS]):
        if shown[first]:
            x = _place(first / _BINS)
            yield Shape(kind=shown[first], x=x, width=round(_place(behind / _BINS) - x, 1))


def _bin(time: datetime, scale: _Scale) -> int:
    return round(scale.share(time) * _BINS)


def _running_sums(changes: Iterable[int]) -> list[int]:
    total, sums = 0, []
    for change in changes:
        total += change
        sums.append(total)
    return sums


# --- durations ---

_MOST_DOTS = 120
_DOT = 12.0
_BARS_HEIGHT = 150.0


@dataclass(frozen=True, kw_only=True)
class Duration:
    """How long a job ran, and whether that went wrong."""

    seconds: float
    wrong: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """Jobs that ran about as long: ``dots`` from the axis up or, of very many, the heights ``good`` and ``wrong``."""

    x: float
    width: float
    dots: tuple[Duration, ...]
    good: float
    wrong: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How many jobs ran how long. ``lines`` are marks at a time, with words."""

    height: float
    base: float
    columns: tuple[Column, ...]
    ticks: tuple[tuple[float, str], ...]
    unit: str
    lines: tuple[tuple[float, str, str], ...]
    dot: float = _DOT
    bars: bool = False


def durations_figure(durations: Sequence[Duration], *, marks: Sequence[tuple[float, str]]) -> Durations | None:
    """Return the distribution of durations, with a line and words at each of ``marks`` in seconds; None if none ran."""
    if not durations:
        return None
    longest = max(each.seconds for each in durations)
    start = datetime.min
    scale = _Scale(start, start + timedelta(seconds=max(1.0, longest * 1.04)))
    bars = len(durations) > _MOST_DOTS
    binned = _binned(durations, scale.seconds)
    most = max(map(len, binned))
    base = 40 + (_BARS_HEIGHT if bars else most * _DOT)
    unit_height = _BARS_HEIGHT / most
    width = (WIDTH - _LEFT - _RIGHT) / len(binned)
    ticks, unit = scale.ticks()
    columns = tuple(_column(place, jobs, width, unit_height) for place, jobs in enumerate(binned) if jobs)
    return Durations(
        height=base + _BOTTOM,
        base=base,
        columns=columns,
        ticks=ticks,
        unit=unit,
        lines=tuple(
            (_place(seconds / scale.seconds), text, _anchor(seconds / scale.seconds)) for seconds, text in marks
        ),
        bars=bars,
    )


def _anchor(share: float) -> str:
    return "end" if share > 0.5 else "start"


def _binned(durations: Iterable[Duration], length: float) -> list[list[Duration]]:
    number = round((WIDTH - _LEFT - _RIGHT) / (_DOT + 2))
    bins: list[list[Duration]] = [[] for _ in range(number)]
    for each in sorted(durations, key=lambda each: each.wrong):
        bins[min(number - 1, int(each.seconds / length * number))].append(each)
    return bins


def _column(place: int, jobs: Sequence[Duration], width: float, unit_height: float) -> Column:
    wrong = sum(each.wrong for each in jobs)
    return Column(
        x=round(_LEFT + place * width, 1),
        width=round(width, 1),
        dots=tuple(jobs),
        good=round((len(jobs) - wrong) * unit_height, 1),
        wrong=round(wrong * unit_height, 1),
        title=f"{len(jobs)} jobs, {wrong} of them went wrong",
    )
