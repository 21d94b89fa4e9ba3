"""The process behind an embedded cloud: ``python -m awsac_async.local.daemon DIRECTORY SETTINGS DESCRIPTOR``.

Detaches itself, puts the parts together, writes ``cloud.json``, says so on the descriptor, and serves until it is
killed. It cleans nothing up: ``cloud.down`` does, whatever way the daemon ended.
"""

import dataclasses
import functools
import json
import os
import resource
import sys
from pathlib import Path

from awsac_async.local import boundedlog, place, processes, surroundings
from awsac_async.local.outward import NETWORK_RECORD, choose
from awsac_async.local.settings import Settings

# Before moto is imported, which reads them then.
ENVIRONMENT = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_DISABLE_GLOBAL_CORS": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_ENABLE_AMI_VALIDATION": "true",
}


def main() -> None:
    """Run an embedded cloud."""
    if os.fork():
        os._exit(0)  # who started us waits for this process only
    directory, settings, ready = Path(sys.argv[1]), Settings.from_json(sys.argv[2]), int(sys.argv[3])
    boundedlog.install(directory / place.LOG_FILE)
    os.environ |= ENVIRONMENT
    surroundings.renew()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # S3 keeps a file open for each large object
    serve(directory, settings, ready)


def serve(directory: Path, settings: Settings, ready: int) -> None:
    """Put the parts together and serve."""
    from awsac_async.local import api, ebs, hypervisor, volumes  # after the environment is set
    from awsac_async.local.iam.enforcement import Enforcement
    from awsac_async.local.iam.principals import Principals

    api.install()
    faults = api.fault_layer(settings.faults)
    backend = api.ec2_backend()
    principals = Principals(backend.account_id)
    iam = Enforcement(backend, principals, on=settings.iam)
    control = api.Control(faults, iam)
    server = api.make_api_server(settings, control, faults, iam, principals)
    keys = api.provision(settings)
    isolation = settings.isolation or hypervisor.detect_isolation()
    cloud_id = place.identity(directory)
    try:
        choice = choose(settings.network, isolation, cloud_id=cloud_id, record=directory / NETWORK_RECORD)
    except place.LocalCloudError as error:
        sys.exit(str(error))
    storage = volumes.open_storage(directory, isolation)
    machines = hypervisor.Hypervisor(
        directory,
        settings,
        isolation,
        backend.machine_ended,
        cloud_id=cloud_id,
        choice=choice,
        api_port=server.server_port,
        storage=storage.kind,
    )
    backend.images = directory / "images"
    backend.serve_api = functools.partial(api.serve_instance, server)
    backend.endpoint = f"http://127.0.0.1:{server.server_port}"
    backend.run_on(ebs.Hardware(settings=settings, storage=storage, hypervisor=machines))
    state = {
        "pid": os.getpid(),
        "started": processes.start_time(os.getpid()),
        "endpoint": backend.endpoint,
        "secret": control.secret,
        "isolation": isolation,
        "storage": storage.kind,
        "network": choice.network,
        "network_note": choice.note,
        "keys": {name: dataclasses.asdict(key) for name, key in keys.items()},
    }
    _write(directory / place.STATE_FILE, json.dumps(state, indent=2))
    _tell(ready)
    server.serve_forever()


def _write(file: Path, text: str) -> None:
    unfinished = file.with_suffix(".part")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.rename(file)


def _tell(ready: int) -> None:
    """Say that requests are answered: the socket listens already."""
    os.write(ready, b"ready")
    os.close(ready)


if __name__ == "__main__":
    main()
