"""Images with an agent: made of stock images, listed, deleted.

    stock image -> builder: installs, cleans, powers itself off -> image -> available; the builder is terminated

Owns the order of the steps. Whatever happens, no builder stays, and unless the image is there, nothing of it. The
builder has no credentials; what it has to say it says by stopping, and on its console.
"""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from awsac_async.client.bootfiles import cloud_config
from awsac_async.client.scratch import temporary_folder
from awsac_async.client.wheel import AgentPackage, agent_package
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.builders import Build, BuilderInfo, Builders
from awsac_async.cloud.console import console_output
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.objects import Upload, address
from awsac_async.cloud.ownimages import NAME_TAKEN, OwnImage, OwnImages
from awsac_async.cloud.waiting import attempts, retried
from awsac_async.session.errors import AwsacError, CloudError, InputError, NotFoundError
from awsac_async.session.names import BUILDER_FAILED, BUILDER_READY, image_wheel_key

DEFAULT_HOURS = 0.5  # until a builder powers itself off, whatever happens; it needs some minutes
_AFTER_DEADLINE = 300.0  # seconds that a builder may take to stop
_CONSOLE_WITHIN = 300.0  # seconds after which EC2 shows what an instance had printed before it stopped
_IMAGE_WITHIN = 3600.0  # seconds; an image of some GiB takes minutes
_SHOWN_WITHIN = 20.0  # seconds after which EC2 shows an instance that was launched
_PASSES_WITHIN = 120.0  # seconds: throttling, or a network that is away, must not cost a build
_LONGEST_PAUSE = 5.0  # seconds between two looks
_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}", re.ASCII)  # what EC2 takes
_BASE = re.compile(r"ami-[0-9a-f]{8,17}|/[A-Za-z0-9_./-]+", re.ASCII)
_BAD_NAMES = ("InvalidAMIID", "InvalidParameterValue", "InvalidGroup", "InvalidSubnetID")  # how EC2 says so
_GOING_UP = ("pending", "running", "stopping")


@dataclass(frozen=True, kw_only=True)
class BuildOrder:
    """What is to be built. ``base``: a stock image, or the parameter of Systems Manager that names one (``/aws/…``).

    ``hours`` after its boot the builder powers itself off. ``bucket`` and ``instance_profile`` are needed for a wheel
    alone, which the builder fetches from there with the rights of that profile.
    """

    base: str
    name: str
    instance_type: str = "t3.small"
    hours: float = DEFAULT_HOURS
    agent_wheel: Path | None = None
    bucket: str = ""
    instance_profile: str = ""
    security_group_ids: tuple[str, ...] = ()
    subnet_id: str = ""


@dataclass(frozen=True, kw_only=True)
class BuilderStarted:
    """The builder is launched, to install ``agent``, in words."""

    instance_id: str
    agent: str


@dataclass(frozen=True, kw_only=True)
class BuilderState:
    """The builder has a new state."""

    state: str


@dataclass(frozen=True, kw_only=True)
class BuilderPrinted:
    """The builder has printed this, after what was told before."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ImageState:
    """The image is being made, or is there."""

    image_id: str
    state: str


@dataclass(frozen=True, kw_only=True)
class NotCleared:
    """Something of a build could not be removed: ``awsac gc`` finds it."""

    reason: str


BuildEvent = BuilderStarted | BuilderState | BuilderPrinted | ImageState | NotCleared
OnEvent = Callable[[BuildEvent], None]


async def build_image(order: BuildOrder, *, region: str | None = None, on_event: OnEvent = lambda _: None) -> OwnImage:
    """Build an image that boots into the agent, and return it when it is available.

    Raises:
        InputError: the order is not right; nothing was started.
        CloudError: the builder failed, or the cloud refused; nothing is left, unless a NotCleared told of it.
    """
    _check(order)
    with temporary_folder() as place:
        agent = await asyncio.to_thread(agent_package, order.agent_wheel, lambda: place)
        if agent.wheel and not (order.bucket and order.instance_profile):
            raise InputError(
                f"the image gets {agent.wheel.name}, which PyPI does not have: name a bucket to bring it there "
                "(--bucket), and the instance profile by which the builder may read it (--instance-profile)"
            )
        async with connect(region=region) as aws:
            if await OwnImages(aws).named(order.name):
                raise InputError(f"--name: an image named {order.name!r} is there already, in {aws.region}")
            return await _Build(aws, order, agent, on_event).run()


async def list_images(*, region: str | None = None) -> list[OwnImage]:
    """Return the images that awsac has made in a region, by name. Raises CloudError."""
    async with connect(region=region) as aws:
        return await OwnImages(aws).all()


async def find_image(image_id: str, *, region: str | None = None) -> OwnImage:
    """Return one of these images. Raises InputError if it is none, CloudError."""
    async with connect(region=region) as aws:
        try:
            return await OwnImages(aws).find(image_id)
        except NotFoundError as error:
            raise InputError(f"{image_id}: {error.cause} (awsac image list shows them)") from error


async def delete_image(image: OwnImage, *, region: str | None = None) -> None:
    """Delete an image with its snapshots; instances of it go on. Raises CloudError."""
    async with connect(region=region) as aws:
        await OwnImages(aws).delete(image)


def _check(order: BuildOrder) -> None:
    if not _NAME.fullmatch(order.name):
        raise InputError(f"--name: found {order.name!r}, expected 3 to 128 letters, digits, spaces and ()[]./-'@_")
    if not _BASE.fullmatch(order.base):
        expected = "an image ID like ami-0123abcd, or a parameter of Systems Manager like /aws/service/…"
        raise InputError(f"--base: found {order.base!r}, expected {expected}")


class _Build:
    """One build: what it has started it ends."""

    def __init__(self, aws: Aws, order: BuildOrder, agent: AgentPackage, tell: OnEvent) -> None:
        self._aws, self._order, self._agent, self._tell = aws, order, agent, tell
        self._id = uuid.uuid4().hex
        self._builders, self._images = Builders(aws), OwnImages(aws)
        self._instance_id = ""
        self._launching = False
        self._imaging = False
        self._printed = ""

    async def run(self) -> OwnImage:
        image = None
        try:
            await self._upload()
            await self._launch()
            await self._follow()
            image = await self._make()
        finally:
            # In a task of its own: Ctrl-C ends the build, and not what clears it up.
            await asyncio.shield(asyncio.create_task(self._clear_up(keep=image is not None), name="clear up"))
        return image

    async def _upload(self) -> None:
        if (wheel := self._agent.wheel) is not None:
            upload = Upload(source=wheel, key=image_wheel_key(self._id, wheel.name))
            await Bucket(self._aws, self._order.bucket).upload([upload])

    def _package(self) -> str:
        if self._agent.wheel is None:
            return self._agent.requirement
        return address(self._order.bucket, image_wheel_key(self._id, self._agent.wheel.name))

    async def _launch(self) -> None:
        order = self._order
        build = Build(
            build_id=self._id,
            base=order.base,
            instance_type=order.instance_type,
            user_data=cloud_config(mode="image", package=self._package(), hours=order.hours),
            max_hours=order.hours,
            instance_profile=order.instance_profile if self._agent.wheel else "",
            security_group_ids=order.security_group_ids,
            subnet_id=order.subnet_id,
        )
        self._launching = True
        try:
            self._instance_id = await self._builders.run(build)
        except CloudError as error:
            self._launching = error.temporary  # else it was refused
            if isinstance(error, NotFoundError) or error.code.startswith(_BAD_NAMES):
                raise InputError(f"a builder of {order.base} cannot be started: {error.cause}") from error
            raise
        self._tell(BuilderStarted(instance_id=self._instance_id, agent=str(self._agent)))

    async def _follow(self) -> None:
        """Return when the builder has stopped, and has said that it is done."""
        state = ""
        async for last in attempts(within=self._order.hours * 3600 + _AFTER_DEADLINE, longest=_LONGEST_PAUSE):
            builder = await self._builder()
            if builder and builder.state != state:
                state = builder.state
                self._tell(BuilderState(state=state))
            await self._read_console()
            if any(mark in self._printed for mark in BUILDER_FAILED):
                raise self._failed("it could not be set up, as its console says")
            if state == "stopped":
                break
            if state and state not in _GOING_UP:
                raise self._failed(f"it is {state}: {builder.reason if builder else ''}")
            if last:
                raise self._failed(f"it has not come to its end within {self._order.hours:g} hours")
        await self._see_it_is_ready()

    async def _see_it_is_ready(self) -> None:
        """EC2 may show the last that an instance has printed some time after it has stopped."""
        async for _ in attempts(within=_CONSOLE_WITHIN, longest=_LONGEST_PAUSE):
            await self._read_console()
            if BUILDER_READY in self._printed:
                return
            if any(mark in self._printed for mark in BUILDER_FAILED):
                break
        raise self._failed("it has stopped, and its console does not say that all was done")

    async def _builder(self) -> BuilderInfo | None:
        found = await retried(lambda: self._builders.of_build(self._id), again=_may_pass, within=_PASSES_WITHIN)
        return found[0] if found else None

    async def _read_console(self) -> None:
        try:
            text = (await console_output(self._aws, self._instance_id)).text
        except CloudError as error:
            if isinstance(error, NotFoundError) or error.temporary:  # not to be seen yet, or not now
                return
            raise
        more = _after(self._printed, text)
        if more:
            self._printed = text
            self._tell(BuilderPrinted(text=more))

    def _failed(self, why: str) -> CloudError:
        return CloudError("image build", self._order.name, f"the builder {self._instance_id} failed: {why}")

    async def _make(self) -> OwnImage:
        image_id, state = await self._begin_image(), ""
        async for _ in attempts(within=_IMAGE_WITHIN, longest=_LONGEST_PAUSE):
            made = await retried(lambda: self._images.of_build(self._id), again=_may_pass, within=_PASSES_WITHIN)
            found = [each for each in made if each.image_id == image_id]
            if found and found[0].state != state:
                state = found[0].state
                self._tell(ImageState(image_id=image_id, state=state))
            if state == "available":
                return found[0]
            if state and state != "pending":
                raise CloudError("CreateImage", image_id, found[0].reason or f"it is {state}")
        raise CloudError(
            "CreateImage", image_id, f"it is still {state or 'unknown'} after {_IMAGE_WITHIN / 60:g} minutes"
        )

    async def _begin_image(self) -> str:
        self._imaging = True
        try:
            return await self._images.make(
                self._instance_id, name=self._order.name, version=self._agent.version, build_id=self._id
            )
        except CloudError as error:
            if error.code != NAME_TAKEN:
                self._imaging = error.temporary  # else it was refused
                raise
            if own := await self._images.of_build(self._id):  # an answer was lost, and the SDK has asked again
                return own[0].image_id
            raise InputError(f"--name: an image named {self._order.name!r} is there by now: {error.cause}") from error

    async def _clear_up(self, *, keep: bool) -> None:
        """Terminate the builder, and remove what it has fetched, and of an image that failed what there is."""
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [("the builder", self._terminate)]
        if not keep and self._instance_id:
            steps.append(("the image", self._delete_image))
        if self._agent.wheel:
            steps.append(("the wheel", self._delete_wheel))
        for what, step in steps:
            try:
                await step()
            except AwsacError as error:
                self._tell(NotCleared(reason=f"{what} of build {self._id} may be left: {error}"))

    async def _terminate(self) -> None:
        if self._instance_id:
            await Instances(self._aws).terminate([self._instance_id])
            return
        if not self._launching:
            return
        async for _ in attempts(within=_SHOWN_WITHIN):  # Interrupted, or an answer was lost: there may be one.
            if found := await self._builder():
                await Instances(self._aws).terminate([found.instance_id])
                return

    async def _delete_image(self) -> None:
        if self._imaging:
            async for _ in attempts(within=_SHOWN_WITHIN):
                if await self._images.of_build(self._id):
                    break
        await self._images.delete_build(self._id)

    async def _delete_wheel(self) -> None:
        if self._agent.wheel:
            await Bucket(self._aws, self._order.bucket).delete([image_wheel_key(self._id, self._agent.wheel.name)])


def _may_pass(error: Exception) -> bool:
    return isinstance(error, CloudError) and error.temporary


def _after(before: str, text: str) -> str:
    """Return what a console, of which EC2 keeps the end, has more than before."""
    if text.startswith(before):
        return text[len(before) :]
    end = before[-200:]
    return text.rpartition(end)[2] if end in text else text
