"""The states of a job, and what may follow each."""

import pytest

from awsac_async.session.model import TRANSITIONS, JobState


def test_every_state_says_what_may_follow_it():
    assert set(TRANSITIONS) == set(JobState)


@pytest.mark.parametrize("state", ["finished", "failed", "killed", "timedout", "interrupted", "savefailed"])
def test_nothing_follows_a_final_state(state):
    assert JobState(state).final


@pytest.mark.parametrize("state", ["pending", "running", "waitforsave", "saving"])
def test_a_job_under_way_can_always_fail_be_killed_time_out_or_be_interrupted(state):
    assert {"failed", "killed", "timedout", "interrupted"} <= set(TRANSITIONS[JobState(state)])
