# %% [markdown]
# A session from a notebook: start it, wait for it, and plot what each core did when.
#
# Each `# %%` begins a cell, in Jupyter (with jupytext), VS Code, Spyder or PyCharm; as a script it is
# `python examples/notebook.py`. It uses the cloud of this machine, so it needs no AWS account and costs nothing:
# `pip install 'awsac_async[local,notebook]'`.

# %%
import asyncio
import os
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import matplotlib.pyplot as plt

from awsac_async import client
from awsac_async.client.costs import instance_times
from awsac_async.client.report import Phase, timeline
from awsac_async.local import cloud

T = TypeVar("T")


def run(verb: Coroutine[object, object, T]) -> T:
    """Run a verb of the client; in a thread of its own, since a notebook has an event loop already."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, verb).result()


# %% [markdown]
# The cloud of this machine. Without this cell it is AWS, with your credentials.

# %%
cloud_directory = cloud.default_directory()
was_up = cloud.status(cloud_directory).running
os.environ.update(cloud.up(cloud_directory))

# %% [markdown]
# The folder that `awsac init` makes, with four jobs that estimate pi, and the archive that the instances get.

# %%
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "notebook-session")
ini, jobs_cfg, _ = client.init(folder)
archive = folder / "jobs.tar.bz2"
client.pack(jobs_cfg.parent, archive)


# %% [markdown]
# Start. `proceed` is asked once, before anything costs money: here with a limit of its own.


# %%
async def proceed(plan: client.Plan) -> bool:
    print(f"{plan.n_jobs} jobs on {plan.n_instances} instances of type {plan.instance_type}")
    return plan.n_instances <= 4


record = run(client.start(ini=ini, archive=archive, proceed=proceed, directory=folder))
assert record is not None, "proceed said no"
(session,) = folder.glob("session-*.cfg")
print(f"started {record.session_id}")

# %% [markdown]
# Wait until it is over, and see what came of it.

# %%
ended = run(client.wait(session))
print(f"{ended.outcome.value}: {len(ended.status.jobs)} jobs, {len(ended.status.failed)} failed")


# %% [markdown]
# What the jobs have found.


# %%
async def overwrite(_: Path) -> client.Overwrite:
    return client.Overwrite.ALL


results = run(client.get_results(session, folder, on_existing=overwrite, extract=True))
found = [float(file.read_text()) for file in results.directory.rglob("pi.txt")]
print(f"{len(found)} jobs say that pi is about {fmean(found):.4f}")

# %% [markdown]
# One bar a core, from the moment its instance was asked for.

# %%
COLOURS = {
    Phase.BOOTING: "silver",
    Phase.FETCHING: "khaki",
    Phase.PROVIDING: "skyblue",
    Phase.QUEUEING: "orange",
    Phase.RUNNING: "seagreen",
    Phase.SAVING: "steelblue",
    Phase.IDLE: "whitesmoke",
}
cores = timeline(ended.status, instance_times(ended.status, at=datetime.now(UTC)))
began = min(span.begin for core in cores for span in core.spans)
figure, axes = plt.subplots(figsize=(9, 1 + 0.4 * len(cores)), layout="constrained")
for core in cores:
    numbers = ", ".join(str(job.number) for job in core.jobs)
    name = f"instance {core.launch_index}, core {core.core}" + (f": job {numbers}" if numbers else "")
    for span in core.spans:
        left = (span.begin - began).total_seconds()
        width = ((span.end or datetime.now(UTC)) - span.begin).total_seconds()
        axes.barh(name, width, left=left, color=COLOURS[span.phase], label=span.phase.value)
axes.invert_yaxis()
axes.set(xlabel="seconds", title=record.session_id)
shown = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
order = [phase.value for phase in Phase if phase.value in shown]
figure.legend([shown[name] for name in order], order, loc="outside lower center", ncols=len(order))
figure.savefig(folder / "timeline.png")
print(f"plotted {folder / 'timeline.png'}")

# %% [markdown]
# Leave nothing behind.


# %%
async def agree(_: client.DomainQuestion | client.ObjectsQuestion) -> bool:
    return True


run(client.cleanup(session, confirm=agree))
if not was_up:
    cloud.down(cloud_directory)
