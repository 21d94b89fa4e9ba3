"""The report: one page that says what is known of a session, whatever is in it, and needs nothing else."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from awsac_async.client import format_report, make_report
from awsac_async.client.report.geometry import MOST_CORES, nice_step
from awsac_async.session.model import JobState, StartReservation
from tests.client.written import at, instance, job, status

PARTS = {"boot": 20.0, "fetch": 3.0, "provide": 6.0, "queue": 1.0, "run": 100.0, "save": 5.0}
RAN = {"seconds": PARTS, "run_start": 40, "run_end": 140, "save_start": 140, "save_end": 145}


class Page(HTMLParser):
    """What a reader finds on a page: the text, the rows of all tables, tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.text, self._in_row = "", False
        self.html = html
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
            self._in_row = True
        if tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self._in_row and self.rows[-1]:
            self.rows[-1][-1] += data.strip()

    def handle_endtag(self, tag):
        self._in_row = self._in_row and tag != "tr"

    def row(self, first: str) -> list[str]:
        """Return the last row whose first cell is this: that of the job, where an instance has the same number."""
        return [row for row in self.rows if row and row[0] == first][-1]


def page_of(*jobs, now=1000, results=None, files=frozenset(), **values) -> Page:
    known = status(*jobs, **values)
    return Page(format_report(make_report(known, at=at(now), results=results, files=files), folder=Path("/home/me")))


SHUTDOWN = "Client.UserInitiatedShutdown: User initiated shutdown"
ENDED = (instance(0, end=150, reason=SHUTDOWN),)


def test_each_job_and_each_instance_has_a_row():
    page = page_of(job(1, **RAN), job(2, attempt=2, **RAN | {"return_code": 3}), instances=ENDED)
    assert page.row("1") == ["1", "job.sh", "finished", "0", "1", "0", "i-0", "12:00:40", "12:02:20", "100 s", ""]
    assert page.row("2")[2:5] == ["exited non-zero", "3", "2"]
    times = ["12:00:00", "12:02:30", "2 min 30 s"]
    assert page.row("0") == ["0", "i-0", "c1.medium", "us-east-1a", "terminated", *times, "1-2", SHUTDOWN]
    assert "1 of 2" in page.text
    assert "0.15 USD" in page.text
    assert "The session is\nover" in page.text


def test_a_page_refers_to_nothing_that_it_needs():
    page = page_of(job(1, **RAN), instances=ENDED)
    assert not {"link", "img", "iframe", "object", "use", "image"} & set(page.tags)
    assert not {"src", "href", "xlink:href", "srcset", "action"} & {name for name, _ in page.attributes}
    assert not re.search(r"https?:|url\(|@import", page.html)


def test_whatever_a_session_holds_stays_text():
    evil = '<script>alert("1")</script>'
    held = job(
        1, **RAN | {"script": f"/mnt/awsac/{evil}", "reason": evil, "state": JobState.FAILED, "instance_id": evil}
    )
    page = page_of(held, instances=(replace(ENDED[0], reason=evil, zone=evil, instance_id=evil),), bucket=f"b{evil}")
    assert page.tags.count("script") == 1  # the one that sorts
    assert evil in page.text


def test_a_session_under_way_says_so_and_its_bars_are_open():
    held = job(1, state=JobState.RUNNING, return_code=None, run_start=40, seconds=PARTS)
    page = page_of(held, now=100, instances=(instance(0),), over=False)
    assert "under way" in page.text
    assert "running, 60 s so far" in page.text
    assert "A bar with an arrow goes on." in page.text


def test_a_lost_job_and_a_cost_without_a_price_are_called_so():
    lost = job(1, state=JobState.RUNNING, return_code=None, run_start=40, seconds=PARTS)
    page = page_of(lost, instances=ENDED, price_per_hour=None)
    assert page.row("1")[2] == "lost"
    assert "✕ lost" in page.text
    assert "unknown" in page.text
    assert "USD" not in page.text


def test_a_session_that_was_spread_over_types_names_them_with_their_prices():
    had = tuple(
        StartReservation(instance_type=name, n_instances=1, cores_per_instance=1, price_per_hour=price)
        for name, price in (("c1.medium", 3.6), ("m1.small", 1.8))
    )
    jobs = (job(1, **RAN), job(2, launch_index=1, **RAN))
    page = page_of(*jobs, instances=ENDED, n_instances=2, reservations=had)
    assert "2 jobs on 2 instances of type c1.medium and m1.small" in page.text
    assert "3.6 USD or 1.8 USD" in page.text
    (second,) = [row for row in page.rows if row[:2] == ["1", "i-1"]]
    assert second[2] == "m1.small"


def test_what_nothing_is_known_of_is_said_to_be_missing_in_the_cost():
    page = page_of(job(1, **RAN), instances=ENDED, n_instances=3)
    assert "2 instances of which neither EC2 nor a job's record tells any more" in page.text


def test_a_session_that_nobody_has_seen_yet_has_a_page():
    page = page_of(job(1, state=JobState.PENDING, launch_index=None, return_code=None), over=False)
    assert "No instance has been seen yet." in page.text


def test_links_lead_from_the_page_to_the_files_of_the_results_that_are_there():
    files = frozenset({"stdouterr_job_1.tar.bz2", "job_2/stdouterr_job_2.log", "results_job_2.tar.bz2"})
    jobs = job(1, **RAN), job(2, **RAN)
    page = page_of(*jobs, instances=ENDED, results=Path("/home/my results/session-s"), files=files)
    base = "../my%20results/session-s/"
    links = re.findall(r'<a href="([^"]*)">(\w+)</a>', page.html)
    assert links == [
        (f"{base}stdouterr_job_1.tar.bz2", "log"),
        (f"{base}job_2/stdouterr_job_2.log", "log"),
        (f"{base}results_job_2.tar.bz2", "results"),
    ]


def test_launches_that_are_far_apart_have_a_figure_each():
    later = RAN | {"run_start": 90_040, "run_end": 90_140, "launch_index": 1}
    jobs = job(1, **RAN), job(2, **later)
    page = page_of(*jobs, now=99_999, instances=(*ENDED, instance(1, begin=90_000, end=90_150)))
    assert page.text.count("when the first instance was launched") == 2
    assert "2026-11-23 13:00:40" in page.text  # with its date


def test_the_timeline_of_a_large_session_stays_readable():
    cores = MOST_CORES // 2
    jobs = [job(number, **RAN | {"launch_index": (number - 1) // cores}) for number in range(1, 4 * cores + 1)]
    page = page_of(*jobs, instances=tuple(instance(index, end=150) for index in range(4)), cores_per_instance=cores)
    assert f"A line stands for up to {cores} cores" in page.text
    assert page.html.count('<rect class="running"') < 100
    assert len(page.rows) > 4 * cores


@pytest.mark.parametrize(("seconds", "step"), [(1, 1), (8, 1), (9, 2), (142, 30), (5400, 900), (86400 * 30, 86400 * 4)])
def test_an_axis_has_round_steps(seconds, step):
    assert nice_step(seconds) == step
