"""``awsac pack``: a session archive from a folder."""

from pathlib import Path
from typing import Annotated

import typer

from awsac_async.cli.common import Json, interruptible, print_json
from awsac_async.session.names import archive_name


def pack(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with jobs.cfg and the job scripts.")],
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The archive; default: DIR.tar.bz2 here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Pack a folder into a session archive.

    The same files give the same bytes.

    Example: awsac pack examples/quickstart/jobs -o primes.tar.bz2
    """
    from awsac_async.client import pack as pack_archive

    archive = output or Path(archive_name(directory.resolve().name))
    with interruptible(lambda: "no archive was written"):
        pack_archive(directory, archive)
    size = archive.stat().st_size
    if as_json:
        print_json({"archive": str(archive), "bytes": size})
    else:
        print(f"packed {directory} into {archive}, {size} bytes")
