"""``awsac release``: from a script to a snapshot, to an archive in S3, and what there is of them.

What is printed on standard output is the result, the ID of a snapshot for one: a script can take it. Plan, question and
what the user's own script says go to stderr.
"""

import contextlib
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import Json, Yes, ask, print_json, run, say_trying_again, use_local
from awsac_async.cli.options import Verbs, given_region
from awsac_async.cli.plan import Ini, Local, MaxCost
from awsac_async.cli.releasetext import made_values, release_values, releases_text
from awsac_async.cli.remarks import say, warn
from awsac_async.cli.render import ProgressBar
from awsac_async.cli.start import Shown
from awsac_async.cli.statustext import plain
from awsac_async.session.errors import EXIT_CLOUD
from awsac_async.session.model import JobState
from awsac_async.session.times import now

if TYPE_CHECKING:
    from awsac_async.client import Made, MakingEvent, Plan, ReleaseSnapshot

release = typer.Typer(
    cls=Verbs,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Build releases, the software that jobs need. Example: awsac release list",
)

Snapshot = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="The ID of the snapshot, snap-….")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the session: its log, status and file.")]


def _file(*names: str, metavar: str = "FILE", text: str) -> Any:
    return typer.Option(*names, metavar=metavar, readable=False, help=text)


@release.command(short_help="Build a release by a script.")
def build(
    *,
    script: Annotated[Path, _file("--script", text="Fills $ATLASDir, as root.")],
    size: Annotated[int, typer.Option("--size", metavar="GIB", help="The size of the volume in GiB.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The name of the release.")],
    ini: Ini,
    fs: Annotated[str, typer.Option("--fs", metavar="FS", help="The file system: ext4 or xfs.")] = "ext4",
    validate: Annotated[
        Path | None, _file("--validate", text="Run after it; if it exits non-zero there is no release.")
    ] = None,
    files: Annotated[
        Path | None, _file("--files", metavar="DIR", text="More files; the scripts find them in $AWSACworkingDir.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until the snapshot is completed.")] = False,
    keep: Keep = False,
    max_cost: MaxCost = None,
    yes: Yes = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Build a release: an instance runs the script with an empty volume at $ATLASDir, and makes a snapshot of it.

    A session of one job does it, so the workstation may be switched off meanwhile: awsac release list then shows
    what came of it, and awsac cleanup removes the rest. What the script prints is shown as it comes, on stderr; the
    ID of the snapshot is all that is printed on standard output. If the script or the validation exits non-zero,
    nothing is left: no volume, no snapshot, no instance. n_jobs of the session.ini does not count.

    Exit codes: 0 the release is there, or the answer was no; 1 the script has failed; 2 something in the files is
    wrong; 3 the cloud refuses; 4 the infrastructure has failed; 5 and 6 as of awsac wait.

    Example: awsac release build --script install.sh --size 16 --name atlas-14.2.24 -i session.ini
    """
    from awsac_async.client import build_release

    _make(
        lambda **shared: build_release(
            script=script,
            gib=size,
            name=name,
            system=fs,
            validate=validate,
            files=files,
            completed=not no_wait,
            **shared,
        ),
        {"ini": ini, "keep": keep, "max_cost": max_cost},
        yes=yes,
        as_json=as_json,
        local=local,
    )


@release.command("to-s3", short_help="Pack a release into an archive in S3.")
def to_s3(
    *,
    snapshot: Snapshot,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where it goes: s3://bucket/key.tar.zst.")],
    ini: Ini,
    keep: Keep = False,
    max_cost: MaxCost = None,
    yes: Yes = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Pack a release into an archive in S3, which jobs.cfg can name in its place.

    A session of one job does it, whose agent packs the tree while it uploads it, by zstd. What is at the address is
    replaced, once all is packed. n_jobs of the session.ini does not count.

    Exit codes: as of awsac release build.

    Example: awsac release to-s3 snap-0123456789abcdef0 s3://atlas/14.2.24.tar.zst -i session.ini
    """
    from awsac_async.client import pack_release

    _make(
        lambda **shared: pack_release(snapshot_id=snapshot, address=address, **shared),
        {"ini": ini, "keep": keep, "max_cost": max_cost},
        yes=yes,
        as_json=as_json,
        local=local,
    )


def _make(
    verb: "Callable[..., Coroutine[Any, Any, Made | None]]",
    options: dict[str, Any],
    *,
    yes: bool,
    as_json: bool,
    local: bool,
) -> None:
    if local:
        use_local(bring_up=True)
    with contextlib.closing(ProgressBar("uploading")) as bar:
        shown = _MakingShown(Shown(bar, text=not as_json, beside=True))

        async def proceed(_: "Plan") -> bool:
            return yes or await ask("proceed?", "yn") == "y"

        making = verb(proceed=proceed, region=given_region(), on_event=shown.event, **options)
        made = run(making, interrupted=shown.interrupted)
    if as_json:
        print_json(made_values(made))
    if made is None:
        return
    if made.kept:
        say(f"the session is kept: {made.kept}")
    if not made.succeeded:
        _say_why(made)
        raise typer.Exit(made.ended.outcome.exit_code or EXIT_CLOUD)
    if not as_json:
        print(made.snapshot.snapshot_id if made.snapshot else made.archive)


def _say_why(made: "Made") -> None:
    for job in made.ended.status.jobs:
        if job.state is JobState.FINISHED:
            warn(f"there is no release: the script has ended with exit code {job.return_code}")
        else:
            reason = f": {job.reason}" if job.reason else ""
            warn(f"there is no release: the job has ended as {made.ended.status.shown_state(job)}{reason}")


class _MakingShown:
    """What the user is told meanwhile, and what Ctrl-C means at each moment."""

    def __init__(self, started: Shown) -> None:
        self._started, self._fate = started, ""

    def event(self, event: "MakingEvent") -> None:
        """Show one step."""
        from awsac_async.client import making

        match event:
            case making.Output():
                sys.stderr.buffer.write(event.data)
                sys.stderr.flush()
            case making.Begun():
                rest = f"what may be left of the session awsac cleanup -c {event.session_file} removes"
                self._fate = f"{event.snapshot_id} is completed by itself, awsac release list shows it; {rest}"
                say(f"the snapshot {event.snapshot_id} is begun")
            case making.Troubled():
                say_trying_again(event.failure)
            case making.Stopped():
                rest = f"when it is over, awsac cleanup -c {event.session_file} removes what is left"
                how = f"it could not be asked to stop ({event.trouble}), and goes on" if event.trouble else "it stops"
                self._fate = f"{how}; {rest}"
            case _:
                self._started.event(event)

    def interrupted(self) -> str:
        """Say what Ctrl-C means now."""
        return self._fate or self._started.interrupted()


@release.command("list", short_help="List the releases of the account.")
def list_(*, as_json: Json = False, local: Local = False) -> None:
    """List the releases that awsac release build has made, in the region, the oldest first.

    Example: awsac release list
    """
    from awsac_async.client import list_releases

    if local:
        use_local()
    found = run(list_releases(region=given_region()), interrupted=lambda: "nothing was changed")
    if as_json:
        print_json([release_values(each) for each in found])
    elif found:
        print(plain(releases_text(found, at=now())))
    else:
        say("there is no release; awsac release build makes one")


@release.command(short_help="Delete a release.")
def delete(*, snapshot: Snapshot, yes: Yes = False, as_json: Json = False, local: Local = False) -> None:
    """Delete a release that awsac release build has made. Sessions that run keep their volumes of it.

    Exit codes: 0, also if you answer no; 2 if it is no release of this account; 3 if the cloud refuses.

    Example: awsac release delete snap-0123456789abcdef0
    """
    from awsac_async.client import delete_release

    async def confirm(found: "ReleaseSnapshot") -> bool:
        return yes or await ask(f"delete {found.name}, {found.snapshot_id} of {found.gib} GiB?", "yn") == "y"

    if local:
        use_local()
    verb = delete_release(snapshot, confirm=confirm, region=given_region())
    deleted = run(verb, interrupted=lambda: "awsac release list shows whether it is still there")
    if as_json:
        print_json({"deleted": deleted is not None, "snapshot_id": snapshot})
    elif deleted:
        print(f"deleted {deleted.name}, {deleted.snapshot_id}")


@release.command(short_help="Let another account use a release.")
def share(
    *,
    snapshot: Snapshot,
    account: Annotated[str, typer.Option("--with", metavar="ACCOUNT", help="The 12 digits of the account.")],
    remove: Annotated[bool, typer.Option("--remove", help="Share it with this account no more.")] = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Let another account make volumes of a release, or no more.

    An encrypted release can be shared only if its key is not the default one of the account, and the other account
    may use the key; encrypted = no in the session.ini builds one that is not encrypted.

    Exit codes: 0; 2 if it is no release of this account; 3 if the cloud refuses.

    Example: awsac release share snap-0123456789abcdef0 --with 123456789012
    """
    from awsac_async.client import share_release

    if local:
        use_local()
    verb = share_release(snapshot, account, allowed=not remove, region=given_region())
    shared = run(verb, interrupted=lambda: "it may have been shared, or not")
    if as_json:
        print_json({"snapshot_id": snapshot, "account": shared.account, "shared": shared.allowed})
        return
    print(
        f"{shared.release.name}, {snapshot}: account {shared.account} {'may' if shared.allowed else 'may not'} use it"
    )
    if shared.allowed and shared.release.encrypted:
        say(f"it is encrypted: that account needs the right to use its key as well, {shared.release.key_id}")
