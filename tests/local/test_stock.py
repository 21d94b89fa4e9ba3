"""A stock image does what cloud-init does with user data, on a disk of its instance's own, and can become an image."""

import base64
import getpass
import json
import tempfile
import textwrap
from pathlib import Path

import pytest

from awsac_async.local.settings import Isolation, Settings
from tests.conftest import embedded_cloud

from .account import BOOT, STOCK, Account, error_code, eventually

UNIT = "[Service]\nExecStart=/opt/tool/run\nEnvironment=WORD=seen\n[Install]\nWantedBy=multi-user.target\n"


def config(text: str) -> str:
    return "#cloud-config\n" + textwrap.dedent(text)


def test_a_cloud_config_is_followed_in_the_order_of_cloud_init_and_the_machine_keeps_its_files(
    account: Account,
) -> None:
    content = base64.b64encode(b"#!/bin/sh\necho encoded ran as $(id -un)\n").decode()
    user_data = config(f"""
        runcmd:
          - [sh, -c, 'echo words: "$1"', sh, "a  b"]
          - cat "$AWSAC_ROOT/opt/tool/text"; "$AWSAC_ROOT/opt/tool/encoded"
          - echo last
        packages: [python3-venv, jq]
        write_files:
          - {{path: /opt/tool/text, content: "written\\n"}}
          - {{path: /opt/tool/encoded, encoding: b64, permissions: "0755", content: {content}}}
        bootcmd: [echo first]
        ssh_import_id: [somebody]
    """)
    instance_id = account.launch(user_data, ImageId=STOCK)
    lines = account.printed(instance_id, "cloud-init ended with status 0").splitlines()

    user = "root" if account.isolation is not Isolation.PLAIN else getpass.getuser()
    expected = [
        "[cloud-init] passed over: ssh_import_id",
        "first",
        "[cloud-init] packages are not installed on an instance of the embedded cloud: python3-venv, jq",
        "words: a  b",
        "written",
        f"encoded ran as {user}",
        "last",
    ]
    assert [line for line in lines if line in expected] == expected
    assert not Path("/opt/tool").exists()
    account.terminate(instance_id)


def test_a_script_runs_once_and_the_disk_outlives_a_stop(account: Account) -> None:
    script = (
        '#!/bin/sh\necho once; mkdir -p "$AWSAC_ROOT/opt/tool"; echo kept > "$AWSAC_ROOT/opt/tool/text"; poweroff\n'
    )
    instance_id = account.launch(script, ImageId=STOCK, InstanceInitiatedShutdownBehavior="stop")
    account.reached(instance_id, "stopped")
    account.ec2.start_instances(InstanceIds=[instance_id])
    console = eventually(
        lambda: account.console(instance_id), lambda text: text.count("cloud-init ended with status 0") >= 1
    )
    folder = account.cloud.directory / "instances" / instance_id / "disk"
    assert (folder / "files" / "opt" / "tool" / "text").read_text() == "kept\n"
    assert console.count("once\n") == 1
    account.terminate(instance_id)
    assert not folder.exists()


def test_what_was_enabled_on_an_instance_runs_on_those_of_an_image_made_of_it(account: Account) -> None:
    user_data = config(f"""
        write_files:
          - {{path: /opt/tool/run, permissions: "0755", content: "#!/bin/sh\\necho the tool has $WORD it\\n"}}
          - {{path: /etc/systemd/system/tool.service, content: {json.dumps(UNIT)}}}
          - {{path: /usr/local/bin/tool, permissions: "0755", content: "#!/bin/sh\\necho in PATH\\n"}}
        runcmd: [systemctl enable --now tool.service, tool]
    """)
    builder = account.launch(user_data, ImageId=STOCK)
    account.printed(builder, "in PATH\n")
    account.printed(builder, "the tool has seen it\n")
    tags = [{"ResourceType": kind, "Tags": [{"Key": "of", "Value": "test"}]} for kind in ("image", "snapshot")]
    name = f"tool-{account.isolation}"
    image_id = account.ec2.create_image(InstanceId=builder, Name=name, TagSpecifications=tags)["ImageId"]
    (image,) = eventually(
        lambda: account.ec2.describe_images(ImageIds=[image_id])["Images"], lambda found: found[0]["State"] != "pending"
    )
    assert (image["State"], image["Tags"]) == ("available", [{"Key": "of", "Value": "test"}])
    assert error_code(account.ec2.create_image, InstanceId=builder, Name=name) == "InvalidAMIName.Duplicate"
    account.terminate(builder)

    instance_id = account.launch("a;b;c;2", ImageId=image_id)
    console = account.printed(instance_id, "the tool has seen it\n")
    assert "in PATH" not in console
    assert not Path("/usr/local/bin/tool").exists()
    account.terminate(instance_id)
    snapshot_id = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    account.ec2.deregister_image(ImageId=image_id)
    account.ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert not list((account.cloud.directory / "images").glob(f"{image_id}*"))


def test_nothing_of_the_machine_can_be_written_from_a_disk_of_ones_own(account: Account) -> None:
    if account.isolation == Isolation.PLAIN:
        pytest.skip("plain instances share the machine's file system")
    places = [path for path in ("/etc", "/usr", "/var/lib", "/opt") if Path(path).is_dir()]
    tries = "; ".join(f"touch {place}/awsac-was-here && echo wrote {place}" for place in places)
    own = "ls -A /root /var/log /etc/systemd/system; touch /tmp/awsac-$$ && rm /tmp/awsac-$$"
    script = f"#!/bin/sh\n{tries}; {own}; echo done\n"
    instance_id = account.launch(script, ImageId=STOCK)
    console = account.printed(instance_id, "done\n")
    assert [line for line in console.splitlines() if line.startswith("wrote")] == ["wrote /opt"]
    assert not any(Path(place, "awsac-was-here").exists() for place in places)
    assert ".service" not in console
    account.terminate(instance_id)


def test_a_disk_that_is_kept_in_a_users_folder_is_seen_where_that_folder_is_hidden() -> None:
    if not any(Path.home().is_relative_to(place) for place in ("/root", "/home")):
        pytest.skip("the folder of this user is not hidden from instances")
    with (
        tempfile.TemporaryDirectory(prefix=".awsac-test-", dir=Path.home()) as parent,
        embedded_cloud(Path(parent) / "cloud", Settings(boot=BOOT)) as running,
    ):
        account = Account(cloud=running, isolation="")
        instance_id = account.launch("#!/bin/sh\necho found > ~/word; cat ~/word; ls -A ~\n", ImageId=STOCK)
        console = account.printed(instance_id, "cloud-init ended with status 0")
        assert console.splitlines()[:2] == ["found", "word"]
        account.terminate(instance_id)


def test_a_timer_set_at_boot_ends_an_instance(account: Account) -> None:
    command = "systemd-run --quiet --unit=end --on-boot=1s /bin/sh -c 'systemctl poweroff'"
    instance_id = account.launch(f"#!/bin/sh\n{command}\n", ImageId=STOCK)
    account.reached(instance_id, "stopped")
    account.terminate(instance_id)


@pytest.mark.parametrize(
    ("user_data", "said"),
    [
        ("#cloud-config\n[1", "is no YAML"),
        ("#cloud-config\n- a", "is no mapping"),
        ("a;b;c;2", "neither a script nor a cloud-config"),
        ("#cloud-config\nruncmd: [exit 3, echo next]", "FAILED: /bin/sh ended with status 3\nnext\n"),
        (
            "#cloud-config\nwrite_files: [{content: x}]\nruncmd: [echo next]",
            "FAILED: write_files: KeyError: 'path'\nnext",
        ),
    ],
)
def test_what_cloud_init_cannot_follow_is_said_on_the_console(any_account: Account, user_data: str, said: str) -> None:
    instance_id = any_account.launch(user_data, ImageId=STOCK)
    assert said in any_account.printed(instance_id, "cloud-init ended with status 0")
    any_account.terminate(instance_id)
