"""The report as a browser shows it: on a phone, on a screen, and what its script does."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from awsac_async.client import format_report, make_report
from tests.client.test_report import ENDED, RAN
from tests.client.written import at, instance, job, status

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=2000",  # what was posted has arrived
)
# A window is at least 500 wide, a frame is not.
FRAMES = """<!DOCTYPE html><html><body>
<iframe src="page.html" width="390" height="844"></iframe><iframe src="page.html" width="1200" height="844"></iframe>
<script>addEventListener("message", event => { document.body.append(event.data + ";") })</script></body></html>"""
ASKED = """<script>
const width = `${innerWidth}: ${document.documentElement.scrollWidth} wide`;
const numbers = () => [...document.querySelectorAll(".jobs tbody tr")].map(row => row.cells[0].textContent).join();
const button = [...document.querySelectorAll(".jobs th button")].find(each => each.textContent === "ran");
button.click(); const up = numbers(); button.click();
const bars = [...document.querySelectorAll("svg.figure rect")].filter(each => each.getBoundingClientRect().width >= 1);
parent.postMessage(`${width}, jobs ${up} and ${numbers()}, ${bars.length} bars`, "*");
</script></body>"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium"
)


def browse(page: Path, profile: Path) -> str:
    """Return the document as it is when the page has loaded; no process of the browser is left."""
    assert CHROMIUM
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    browser = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        return browser.communicate(timeout=90)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has left nothing
            os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def test_a_report_fits_a_phone_and_a_screen_and_its_tables_can_be_sorted(tmp_path):
    jobs = [
        job(number, **RAN | {"run_end": 140 - 5 * number, "launch_index": (number - 1) // 2, "reason": "why " * 40})
        for number in range(1, 17)
    ]
    known = status(*jobs, instances=(*ENDED, *(instance(index, end=150) for index in range(1, 8))))
    html = format_report(make_report(known, at=at(1000)))
    (tmp_path / "page.html").write_text(html.replace("</body>", ASKED))
    (tmp_path / "frames.html").write_text(FRAMES)
    shown = browse(tmp_path / "frames.html", tmp_path / "profile")
    up, down = ",".join(map(str, range(16, 0, -1))), ",".join(map(str, range(1, 17)))
    drawn = html.count("<rect") - html.count('class="key"')
    assert sorted(re.findall(r"(\d+: [^;<]*);", shown)) == [
        f"1200: 1200 wide, jobs {up} and {down}, {drawn} bars",
        f"390: 390 wide, jobs {up} and {down}, {drawn} bars",
    ]
