"""The verb ``setup``: what an account needs before its first session, made where it is missing, and taken away again.

Owns what belongs to it and in which order it is made. What somebody else has made (it lacks our tag) is never changed:
it is used as it is, and what is not as it should be is said.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any

from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.buckets import holds_any
from awsac_async.cloud.bucketsettings import ABORT_DAYS, BucketFacts, BucketSettings
from awsac_async.cloud.groups import GroupFacts, SecurityGroup, default_vpc
from awsac_async.cloud.iam import AgentRole, ProfileFacts, RoleFacts, account_number
from awsac_async.cloud.instances import Instances
from awsac_async.session.errors import CloudError, ConflictError
from awsac_async.session.names import DEFAULT_INSTANCE_PROFILE, SETUP_GROUP, setup_policy
from awsac_async.session.policies import RELEASES, SNAPSHOTS, TRUST, Holder, Scope, compact, policy


class PartState(StrEnum):
    """How a part of the setup stands, or what has become of it."""

    THERE = "there"
    MISSING = "missing"
    DIFFERS = "differs"  # and is ours: it is put right
    FOREIGN = "foreign"  # it differs, and is not ours
    MADE = "made"
    MENDED = "mended"
    GONE = "gone"  # there is none, when all is to be removed
    LEAVING = "leaving"  # it is to be removed
    REMOVED = "removed"
    KEPT = "kept"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that setup looks after. ``detail`` says how it is, or is to be, or why it is kept."""

    kind: str
    name: str
    state: PartState
    detail: str = ""
    act: Callable[[], Awaitable[object]] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SetUp:
    """What there is after a setup; ``ini`` are the keys of a ``session.ini`` that uses it."""

    parts: tuple[Part, ...]
    ini: Mapping[str, str]


OnPart = Callable[[Part], None]
_NOTHING_NAMED = Scope()
_DONE = {
    PartState.MISSING: PartState.MADE,
    PartState.DIFFERS: PartState.MENDED,
    PartState.LEAVING: PartState.REMOVED,
}


async def setup(
    *,
    bucket: str,
    region: str | None = None,
    role: str = DEFAULT_INSTANCE_PROFILE,
    vpc: str | None = None,
    releases: tuple[str, ...] = (),
    snapshots: tuple[str, ...] = (),
    dry_run: bool = False,
    on_part: OnPart = lambda _: None,
) -> SetUp:
    """Make what is missing, put right what is ours and differs, and leave the rest as it is.

    Args:
        bucket: the bucket of the sessions.
        region: where; None: as the AWS tools are set.
        role: the name of the agents' role, and of its instance profile.
        vpc: that of the security group; None: the default VPC.
        releases: patterns of ``bucket/key``: the releases in S3 that the agents may read.
        snapshots: the IDs of snapshots without the tag of a release that they may use as well. Where neither is named,
            they may use those that they may now.
        dry_run: only look.
        on_part: told of each part, when it is done.

    Raises:
        InputError: the bucket is somebody else's or in another region, or there is no default VPC.
        CloudError: the cloud refused or failed; what was made until then stays, and is found by the next setup.
    """
    async with connect(region=region) as aws:
        named = Scope(releases=releases, snapshots=snapshots)
        account = await _Account.read(aws, bucket=bucket, role=role, vpc=vpc, named=named)
        parts = []
        for part in account.parts():
            parts.append(part if dry_run else await _done(part))
            on_part(parts[-1])
        group = account.group if dry_run else await account.security_group.read()
        return SetUp(parts=tuple(parts), ini=_ini(aws, bucket, role, group))


async def remove_setup(
    *,
    bucket: str,
    region: str | None = None,
    role: str = DEFAULT_INSTANCE_PROFILE,
    vpc: str | None = None,
    dry_run: bool = False,
    confirm: Callable[[Sequence[Part]], Awaitable[bool]],
    on_part: OnPart = lambda _: None,
) -> SetUp:
    """Remove what setup has made, never a bucket that holds something; the arguments are those of ``setup``.

    While instances have the profile or the group, all is kept: their agents could neither save results nor terminate
    them. ``confirm`` is asked once, with what is to go, if anything is.

    Raises:
        CloudError: instances use it, and nothing was removed; or the cloud says of a part that it is in use, and that
            part is kept with all that is removed after it. ``on_part`` was told of each.
        DeniedError: a right is missing. What was removed until then, of which ``on_part`` was told, is gone.
    """
    async with connect(region=region) as aws:
        account = await _Account.read(aws, bucket=bucket, role=role, vpc=vpc)
        parts = await account.leaving()
        leaving = [part for part in parts if part.state is PartState.LEAVING]
        users = await account.users() if leaving else []
        in_use = f"instances use it: {', '.join(users)}" if users else ""
        agreed = bool(leaving) and not in_use and not dry_run and await confirm(leaving)
        done: list[Part] = []
        for part in parts:
            if in_use and part in leaving:
                done.append(replace(part, state=PartState.KEPT, detail=in_use))
            else:
                done.append(await _removed(part, done) if agreed else part)
            on_part(done[-1])
        if (failed := _not_removed(done)) and not dry_run:
            raise CloudError("remove", failed[0].name, f"{failed[0].detail}; run awsac setup --remove again")
        return SetUp(parts=tuple(done), ini={})


async def _done(part: Part) -> Part:
    if part.act is None:
        return part
    await part.act()
    return replace(part, state=_DONE[part.state])


async def _removed(part: Part, before: Sequence[Part]) -> Part:
    """Remove a part, unless one before it could not be: whoever uses that may use this, too."""
    if part.act and (failed := _not_removed(before)):
        return replace(part, state=PartState.KEPT, detail=f"as is the {failed[0].kind} {failed[0].name}")
    try:
        return await _done(part)
    except ConflictError as error:
        return replace(part, state=PartState.KEPT, detail=str(error))


def _not_removed(parts: Sequence[Part]) -> list[Part]:
    """Return what was to go and is kept."""
    return [part for part in parts if part.act and part.state is PartState.KEPT]


def _ini(aws: Aws, bucket: str, role: str, group: GroupFacts | None) -> dict[str, str]:
    values = {"sessionsbucket": bucket, "region": aws.region, "instance_profile": role}
    return values | ({"security_group_ids": group.group_id} if group else {})


@dataclass(frozen=True, kw_only=True)
class _Account:
    """One look at what there is of a setup."""

    aws: Aws
    scope: Scope
    settings: BucketSettings
    agent_role: AgentRole
    security_group: SecurityGroup
    vpc: str
    bucket: BucketFacts | None
    role: RoleFacts | None
    profile: ProfileFacts | None
    policy: Mapping[str, object] | None
    group: GroupFacts | None

    @classmethod
    async def read(
        cls, aws: Aws, *, bucket: str, role: str, vpc: str | None, named: Scope = _NOTHING_NAMED
    ) -> "_Account":
        """Ask for all of it; ``named`` has the releases of the agents."""
        settings, agent_role = BucketSettings(aws, bucket), AgentRole(aws, role)
        facts = await settings.read()
        vpc = vpc or await default_vpc(aws)
        security_group = SecurityGroup(aws, vpc, SETUP_GROUP)
        found = await agent_role.read()
        return cls(
            aws=aws,
            scope=replace(named, bucket=bucket, role=role, region=aws.region, account=await account_number(aws)),
            settings=settings,
            agent_role=agent_role,
            security_group=security_group,
            vpc=vpc,
            bucket=facts,
            role=found,
            profile=await agent_role.read_profile(),
            policy=await agent_role.read_policy(setup_policy(bucket)) if found else None,
            group=await security_group.read(),
        )

    def parts(self) -> list[Part]:
        """Return what there is and what is to be done, in the order in which it is."""
        return [*self._bucket_parts(), *self._role_parts(), self._group_part()]

    def _bucket_parts(self) -> list[Part]:
        facts, settings, name = self.bucket, self.settings, self.scope.bucket
        ours = facts is None or facts.ours
        made = _part("bucket", name, facts is not None, detail=f"in {self.aws.region}", make=settings.create)
        kinds = [
            ("public access", facts and facts.private, "blocked", settings.make_private),
            ("encryption", facts and facts.encrypted, "SSE-S3", settings.encrypt),
            ("uploads", facts and facts.aborts_uploads, f"given up after {ABORT_DAYS} days", settings.abort_uploads),
        ]
        return [
            made,
            *(_setting(kind, name, right=bool(right), ours=ours, new=facts is None, detail=detail, act=act)
              for kind, right, detail, act in kinds),
        ]  # fmt: skip

    def _role_parts(self) -> list[Part]:
        role, profile, name = self.role, self.profile, self.scope.role
        named = bool(self.scope.releases or self.scope.snapshots)
        scope = self.scope if named else _with_those_of(self.policy or {}, self.scope)
        kept = () if named else (*(f"s3://{each}" for each in scope.releases), *scope.snapshots)
        document = policy(Holder.AGENT, scope)
        ours = role is None or role.ours
        made = _part("role", name, role is not None, detail="for EC2", make=partial(self.agent_role.create, TRUST))
        if role is not None and role.trust != TRUST:
            trust = partial(self.agent_role.put_trust, TRUST)
            made = _differing("role", name, ours=role.ours, detail="for EC2", act=trust)
        rights = _setting(
            "policy",
            setup_policy(self.scope.bucket),
            right=self.policy == document,
            ours=ours,
            new=self.policy is None,
            detail=f"as awsac policy agent prints it{_still(kept)}",
            act=lambda: self.agent_role.put_policy(setup_policy(self.scope.bucket), compact(document)),
        )
        detail = f"with the role {name}"
        in_it = _part("instance profile", name, profile is not None, detail=detail, make=self.agent_role.create_profile)
        if profile is not None and name not in profile.roles:
            empty = profile.ours and not profile.roles
            fill = self.agent_role.fill_profile
            in_it = _differing("instance profile", name, ours=empty, detail=detail, act=fill)
        return [made, rights, in_it]

    def _group_part(self) -> Part:
        group, name, detail = self.group, SETUP_GROUP, f"in {self.vpc}, nothing may come in"
        if group is None or not group.inbound:
            return _part("security group", name, group is not None, detail=detail, make=self.security_group.create)
        close = partial(self.security_group.close, group)
        return _differing("security group", name, ours=group.ours, detail=detail, act=close)

    async def leaving(self) -> list[Part]:
        """Return what is to be removed, in the order in which it can be, and what is kept."""
        group, profile, role, bucket = self.group, self.profile, self.role, self.bucket
        name = setup_policy(self.scope.bucket)
        others = [each for each in role.policies if each != name] if role else []
        shared = [each for each in others if each.startswith(setup_policy(""))]
        holds = bucket is not None and await holds_any(self.aws, self.scope.bucket, "")
        return [
            _leaving("security group", SETUP_GROUP, group, _used(shared), self.security_group.delete),
            _leaving("policy", name, role if self.policy else None, "", lambda: self.agent_role.delete_policy(name)),
            _leaving("instance profile", self.scope.role, profile, _used(others), self.agent_role.delete_profile),
            _leaving("role", self.scope.role, role, _used(others), self.agent_role.delete),
            _leaving("bucket", self.scope.bucket, bucket, "it holds objects" if holds else "", self.settings.delete),
        ]

    async def users(self) -> list[str]:
        """Return the IDs of the live instances that have something of what is ours."""
        ours = any(found and found.ours for found in (self.role, self.profile))
        group_id = self.group.group_id if self.group and self.group.ours else None
        return await Instances(self.aws).live_with(profile=self.scope.role if ours else None, group_id=group_id)


def _with_those_of(document: Mapping[str, Any], scope: Scope) -> Scope:
    """Return a scope with the releases that a policy names which ``policy`` has made."""
    found: dict[str, list[str]] = {RELEASES.sid: [], SNAPSHOTS.sid: []}
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        if statement.get("Sid") in found and statement.get("Effect") == "Allow":
            resources = statement.get("Resource", [])
            found[statement["Sid"]] += [resources] if isinstance(resources, str) else resources
    begin = scope.arn("s3", "", region="", account="")
    return replace(
        scope,
        releases=tuple(each.removeprefix(begin) for each in found[RELEASES.sid] if each.startswith(begin)),
        snapshots=tuple(each.rpartition("/")[2] for each in found[SNAPSHOTS.sid] if ":snapshot/snap-" in each),
    )


def _still(releases: Sequence[str]) -> str:
    return f", still with the releases {', '.join(releases)}" if releases else ""


def _used(others: Sequence[str]) -> str:
    return f"the role has other policies: {', '.join(others)}" if others else ""


def _part(kind: str, name: str, there: bool, *, detail: str, make: Callable[[], Awaitable[object]]) -> Part:
    """Return a part that is there or is to be made."""
    if there:
        return Part(kind=kind, name=name, state=PartState.THERE, detail=detail)
    return Part(kind=kind, name=name, state=PartState.MISSING, detail=detail, act=make)


def _setting(
    kind: str, name: str, *, right: bool, ours: bool, new: bool, detail: str, act: Callable[[], Awaitable[object]]
) -> Part:
    """Return a part that is as it should be, or is to be put right if it is ours; ``new``: there was none."""
    if right:
        return Part(kind=kind, name=name, state=PartState.THERE, detail=detail)
    if new and ours:
        return Part(kind=kind, name=name, state=PartState.MISSING, detail=detail, act=act)
    return _differing(kind, name, ours=ours, detail=detail, act=act)


def _differing(kind: str, name: str, *, ours: bool, detail: str, act: Callable[[], Awaitable[object]]) -> Part:
    if not ours:
        return Part(kind=kind, name=name, state=PartState.FOREIGN, detail=detail)
    return Part(kind=kind, name=name, state=PartState.DIFFERS, detail=detail, act=act)


def _leaving(
    kind: str,
    name: str,
    found: GroupFacts | ProfileFacts | RoleFacts | BucketFacts | None,
    reason: str,
    act: Callable[[], Awaitable[object]],
) -> Part:
    if found is None:
        return Part(kind=kind, name=name, state=PartState.GONE)
    if not found.ours or reason:
        reason = reason if found.ours else "awsac setup has not made it"
        return Part(kind=kind, name=name, state=PartState.KEPT, detail=reason)
    return Part(kind=kind, name=name, state=PartState.LEAVING, act=act)
