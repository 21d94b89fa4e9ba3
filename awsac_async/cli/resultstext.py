"""How what ``getresults`` brought looks: totals as text, each file in ``--json``, from the same values.

A session may have thousands of jobs: the text has a line for each kind of outcome, and names only what needs somebody.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from awsac_async.client import FileState, Missing, ResultFile, Results
from awsac_async.session.jobs import named_jobs
from awsac_async.session.wording import counted, printable, shown_size

_MOST_LINES = 20  # of what is missing
_MOST_MEMBERS = 10  # of one archive that are named


def results_values(results: Results) -> dict[str, object]:
    """Return what came of the files as values of JSON; ``verified`` are those whose SHA-256 is that of a manifest."""
    return {
        "directory": str(results.directory),
        "downloaded": _names(results.of(FileState.DOWNLOADED)),
        "complete": _names(results.of(FileState.COMPLETE)),
        "kept": _names(results.of(FileState.KEPT)),
        "failed": [{"name": file.path.name, "reason": file.reason} for file in results.of(FileState.FAILED)],
        "verified": _names([file for file in results.files if file.verified]),
        "missing": [
            {"job": each.job, "what": list(each.what), "status": each.status, "reason": each.reason}
            for each in results.missing
        ],
        "refused": list(results.refused),
        "spelled": [{"key": file.key, "name": file.path.name} for file in results.files if file.spelled],
        "damaged_manifests": [{"key": key, "reason": reason} for key, reason in results.damaged.items()],
        "unpacked": [folder.name for folder in results.unpacked],
        "not_unpacked": [{"name": path.name, "reason": reason} for path, reason in results.not_unpacked.items()],
        "left_out": [
            {
                "name": path.name,
                "count": results.left_out_count[path],
                "members": [{"name": each.name, "reason": each.reason} for each in members],
            }
            for path, members in results.left_out.items()
        ],
        "bytes": sum(file.size for file in results.of(FileState.DOWNLOADED)),
    }


def results_text(results: Results) -> str:
    """Return the totals, what is missing, and where everything is."""
    lines = []
    for title, state in (("downloaded", FileState.DOWNLOADED), ("already there", FileState.COMPLETE)):
        if files := results.of(state):
            lines.append(f"{title:14}{_total(files)}, {_verified(files)}")
    if kept := results.of(FileState.KEPT):
        lines.append(f"{'kept':14}{counted(len(kept), 'file')} of yours: {', '.join(_names(kept))}")
    if failed := results.of(FileState.FAILED):
        lines.append(f"{'failed':14}{_total(failed)}")
    lines += [f"{'missing':14}{line}" for line in _shortened(list(_missing_lines(results.missing)))]
    lines = list(map(printable, lines))
    if results.unpacked:
        lines.append(f"{'unpacked':14}{counted(len(results.unpacked), 'folder')}")
    if not results.files and not results.missing:
        lines.append("The session has saved nothing of that.")
    return "\n".join([*lines, f"{'folder':14}{results.directory}"])


def results_remarks(results: Results) -> list[str]:
    """Return a sentence for each file that has another name than its object, of many for the first."""
    spelled = [f"{file.key} is written as {file.path.name}" for file in results.files if file.spelled]
    return _shortened(spelled, "more names")


def results_steps(results: Results) -> list[str]:
    """Return a line for each file, for who wants to see each."""
    return [
        f"{file.state.value} {file.path}{', verified' if file.verified else ''}"
        for file in results.files
        if file.state is not FileState.FAILED
    ]


def results_errors(results: Results) -> list[str]:
    """Return a sentence for each thing that could not be fetched or is damaged."""
    return [
        *(f"{file.path.name} was not downloaded: {file.reason}" for file in results.of(FileState.FAILED)),
        *(f"the manifest {key} is damaged: {reason}" for key, reason in results.damaged.items()),
        *(f"{path} was not unpacked wholly: {reason}" for path, reason in results.not_unpacked.items()),
        *(sentence for path in results.left_out for sentence in _left_out(results, path)),
        *(f"{key} was not downloaded: another object has the name of its file" for key in results.refused),
    ]


def _left_out(results: Results, path: Path) -> Iterator[str]:
    """Yield a sentence for each member of an archive that was left out, of many for the first."""
    members, count = results.left_out[path], results.left_out_count[path]
    for each in members[:_MOST_MEMBERS]:
        yield f"{path.name}: {each.name} was left out: {each.reason}"
    if count > _MOST_MEMBERS:
        yield f"{path.name}: and {count - _MOST_MEMBERS} more were left out (--json names them)"


def _names(files: Sequence[ResultFile]) -> list[str]:
    return [file.path.name for file in files]


def _total(files: Sequence[ResultFile]) -> str:
    return f"{counted(len(files), 'file')}, {shown_size(sum(file.size for file in files))}"


def _verified(files: Sequence[ResultFile]) -> str:
    verified = sum(file.verified for file in files)
    if verified == len(files):
        return "verified by SHA-256"
    if not verified:
        return "complete by size and ETag"
    return f"{verified} verified by SHA-256, {len(files) - verified} complete by size and ETag"


def _missing_lines(missing: Sequence[Missing]) -> Iterator[str]:
    """Yield a line for all jobs that lack the same for the same reason."""
    groups: dict[tuple[str, str], list[int]] = {}
    for each in missing:
        groups.setdefault((" and ".join(each.what), each.reason), []).append(each.job)
    for (what, reason), jobs in groups.items():
        yield f"{what} of {named_jobs(jobs)}: {reason}"


def _shortened(lines: list[str], what: str = "more reasons") -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[: _MOST_LINES - 1], f"and {len(lines) - _MOST_LINES + 1} {what} (--json has all)"]
