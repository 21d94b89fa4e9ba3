"""How a plan looks: its lines, and its document of ``--json``, from the same values. Asks nobody, decides nothing."""

from typing import TYPE_CHECKING, Any

from awsac_async.session.costs import shown_usd
from awsac_async.session.durations import shown_duration, warning_seconds
from awsac_async.session.model import Schedule, StatusKind
from awsac_async.session.wording import counted, shown_size

if TYPE_CHECKING:
    from awsac_async.client import Plan


_STORES = {StatusKind.SIMPLEDB: "SimpleDB", StatusKind.S3: "S3"}


def plan_values(plan: "Plan") -> dict[str, Any]:
    """Return a plan as values of JSON; amounts are in USD, null if they are not known."""
    return {
        "n_jobs": plan.n_jobs,
        "n_instances": plan.n_instances,
        "instance_type": plan.instance_type,
        "cores_per_instance": plan.cores_per_instance,
        "unused_cores": plan.unused_cores,
        "schedule": plan.schedule,
        "lease": plan.lease if plan.schedule is Schedule.SHARED else None,
        "n_volumes": plan.n_volumes,
        "volumes_gib": plan.volumes_gib,
        "places": [
            {
                "instance_type": each.instance_type,
                "subnet_id": each.subnet_id or None,
                "n_instances": each.n_instances,
                "cores_per_instance": each.cores_per_instance,
                "price_per_hour": each.price_per_hour,
            }
            for each in plan.places
        ],
        "archives": [{"address": address, "bytes": size} for address, size in plan.archives],
        "market": plan.market,
        "region": plan.region,
        "max_hours": plan.max_hours,
        "shortened_from": plan.shortened_from,
        "job_timeout": plan.job_timeout,
        "retries": plan.retries,
        "job_user": plan.job_user,
        "release_mount": plan.release_mount,
        "encrypted": plan.encrypted,
        "status_store": plan.status_store,
        "status_reason": plan.status_reason,
        "agent": plan.agent or None,
        "price_per_hour": plan.price_per_hour,
        "price_source": plan.price_source,
        "volumes_per_hour": plan.volumes_per_hour,
        "cost_per_hour": plan.cost_per_hour,
        "worst_case": plan.worst_case,
        "remarks": list(plan.remarks),
    }


def plan_text(plan: "Plan") -> str:
    """Return a plan as the lines that stand before the question."""
    lines = [
        f"jobs:         {plan.n_jobs}",
        f"instances:    {plan.n_instances} of type {plan.instance_type}, {plan.market}, in {plan.region}",
        f"cores:        {plan.cores_per_instance} per instance, {plan.unused_cores} unused",
        *_schedule(plan),
        *_places(plan),
        f"volumes:      {_volumes(plan)}",
        *(f"from S3:      {address}, {shown_size(size)}" for address, size in plan.archives),
        *_deadline(plan),
        *_settings(plan),
        f"status in:    {_STORES[plan.status_store]}, {plan.status_reason}",
        f"price:        {_price(plan)}",
        f"worst case:   {_worst_case(plan)}",
        *(f"note:         {remark}" for remark in plan.remarks),
    ]
    return "\n".join(lines)


def _schedule(plan: "Plan") -> list[str]:
    """Say who runs what, where that is not as in 2008."""
    if plan.schedule is Schedule.FIXED:
        return []
    return [
        f"schedule:     shared: {counted(plan.n_jobs, 'job')} on {counted(plan.n_cores, 'core')}, each on whichever is "
        f"free; those of an instance that is silent for {shown_duration(plan.lease)} run on others"
    ]


def _volumes(plan: "Plan") -> str:
    numbers = f"{plan.n_volumes} with {plan.volumes_gib} GiB in all"
    return f"up to {numbers} at a time" if plan.schedule is Schedule.SHARED and plan.n_volumes else numbers


def _places(plan: "Plan") -> list[str]:
    """Say where else the instances may be, each type once with what it costs."""
    lines, subnets = [], list(dict.fromkeys(each.subnet_id for each in plan.places if each.subnet_id))
    if len(subnets) > 1:
        lines.append(f"subnets:      {', '.join(subnets)}, the next where one has no room")
    for each in list({each.instance_type: each for each in plan.places}.values())[1:]:
        price = "price unknown" if each.price_per_hour is None else f"{shown_usd(each.price_per_hour)} an hour for one"
        lines.append(
            f"or else:      {each.n_instances} of type {each.instance_type}, "
            f"{counted(each.cores_per_instance, 'core')} per instance, {price}"
        )
    return lines


def _hours(hours: float) -> str:
    """Write a deadline: "48 hours", "30 minutes"; what is not whole minutes as "19.07 hours"."""
    return f"{hours:g} hours" if hours * 60 % 1 else shown_duration(hours * 3600)


def _deadline(plan: "Plan") -> list[str]:
    lines = [
        f"deadline:     each instance powers itself off {_hours(plan.max_hours)} after boot; "
        f"its jobs are stopped {shown_duration(warning_seconds(plan.max_hours))} before"
    ]
    if plan.shortened_from is not None:
        lines.append(f"              (shortened from {_hours(plan.shortened_from)} to keep to --max-cost)")
    if plan.job_timeout is not None:
        never = "; the deadline comes first" if plan.deadline_first else ""
        lines.append(f"job timeout:  {shown_duration(plan.job_timeout)}{never}")
    return lines


def _settings(plan: "Plan") -> list[str]:
    lines = [f"bootstrap:    cloud-init installs {plan.agent}"] if plan.agent else []
    if plan.retries:
        lines.append(f"retries:      {plan.retries} of a job that exits non-zero")
    if plan.job_user != "root":
        lines.append(f"job user:     {plan.job_user}")
    if plan.release_mount == "ro":
        lines.append("releases:     read-only")
    if not plan.encrypted:
        lines.append("encryption:   only of volumes whose image or snapshot is encrypted")
    return lines


def _price(plan: "Plan") -> str:
    """Say what an hour costs, and who says so."""
    if plan.price_per_hour is None or plan.price_source is None:
        return "unknown; price_per_hour in session.ini can tell it"
    changes = " of now, which may change" if plan.price_source.name == "SPOT" else ""
    instance = f"{shown_usd(plan.price_per_hour)} an hour for an instance ({plan.price_source}{changes})"
    if not plan.n_volumes:
        return instance
    volumes = f"{shown_usd(plan.volumes_per_hour)} an hour" if plan.volumes_per_hour is not None else "not known"
    return f"{instance}, {volumes} for all volumes"


def _worst_case(plan: "Plan") -> str:
    if plan.worst_case is None:
        return "unknown"
    at_most = f"{shown_usd(plan.worst_case)} if "
    if plan.n_types > 1:
        return f"{at_most}the dearest of these types runs until the deadline, and one instance more"
    without = ", volumes not counted" if plan.n_volumes and plan.volumes_per_hour is None else ""
    return f"{at_most}{counted(plan.n_instances, 'instance runs', 'instances run')} until the deadline{without}"
