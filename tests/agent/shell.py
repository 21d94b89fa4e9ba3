"""Starts shells as an agent starts jobs, without an agent; and tells whether a process runs."""

import os
import uuid
from pathlib import Path

from awsac_async.agent import procfs
from awsac_async.agent.cgroup import Cgroup
from awsac_async.agent.process import Process, adopt, start
from awsac_async.agent.tree import ProcessTree


class Shell:
    """Starts shells in one folder, with their output in one file, each as the job that has its number."""

    def __init__(self, directory: Path, *, session_id: str = "", cgroups: Path | None = None) -> None:
        self.directory = directory
        self.session_id = session_id or uuid.uuid4().hex
        self._cgroups = cgroups
        self._started: list[Process] = []

    async def __call__(self, script: str, *, job: int = 1, core: int | None = None) -> Process:
        command = ["/bin/sh", "-c", script]
        environment = {"PATH": os.environ["PATH"], "AWSAC_SESSION_ID": self.session_id, "AWSAC_JOB": str(job)}
        process = await start(
            command,
            directory=self.directory,
            environment=environment,
            output=self.directory / "output",
            claim=self.claim(job),
            tree=self._tree(job),
            core=core,
        )
        self._started.append(process)
        return process

    async def adopt(self, job: int = 1) -> Process | None:
        """Do what an agent does that finds the job started."""
        return await adopt(self.claim(job), self._tree(job))

    def claim(self, job: int) -> Path:
        folder = self.directory / f"state-{job}"
        folder.mkdir(exist_ok=True)
        return folder / "pid"

    def said(self) -> str:
        """What they have printed."""
        return (self.directory / "output").read_text()

    async def end(self) -> None:
        for process in self._started:
            await process.clear()
            await process.wait()

    def _tree(self, job: int) -> ProcessTree:
        cgroup = Cgroup(self._cgroups / str(job)) if self._cgroups else None
        return ProcessTree(session_id=self.session_id, job=job, cgroup=cgroup)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended, but that nobody has collected yet, does not."""
    found = procfs.stat(pid)
    return found is not None and not found.ended
