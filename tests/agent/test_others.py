"""What follows from the leases of others: whose jobs may be taken over, and who may leave."""

from awsac_async.agent.shared.others import Others

SECONDS = 30.0


def seen(*looks: dict[str, str], pause: float = 10.0, holders: tuple[str, ...] = ()) -> Others:
    """Return what an instance knows after looks at the leases, one every ``pause`` seconds."""
    others = Others(seconds=SECONDS)
    for number, versions in enumerate(looks):
        others.look(versions, holders, began=1000.0 + number * pause, ended=1000.0 + number * pause)
    return others


def test_a_lease_is_lost_when_it_has_not_changed_for_its_time_by_ones_own_clock() -> None:
    assert not seen({"1-a": "x"}).lost("1-a")
    assert not seen({"1-a": "x"}, {"1-a": "x"}, {"1-a": "x"}).lost("1-a")
    assert seen({"1-a": "x"}, {"1-a": "x"}, {"1-a": "x"}, {"1-a": "x"}).lost("1-a")


def test_who_did_not_look_for_an_hour_still_knows_what_has_not_changed_since() -> None:
    assert seen({"1-a": "x"}, {"1-a": "x"}, pause=3600).lost("1-a")
    assert not seen({"1-a": "x"}, {"1-a": "y"}, pause=3600).lost("1-a")


def test_whose_lease_is_gone_has_given_its_jobs_up_before() -> None:
    assert seen({"1-a": "x"}, {}, holders=("1-a",)).lost("1-a")
    assert seen({}, holders=("1-a",)).lost("1-a")
    assert not seen({"1-a": "x"}, {}, {"1-a": "y"}).lost("1-a")


def test_a_look_that_took_long_counts_from_its_end_to_the_begin_of_the_next() -> None:
    others = Others(seconds=SECONDS)
    others.look({"1-a": "x"}, (), began=0.0, ended=20.0)
    others.look({"1-a": "x"}, (), began=49.0, ended=60.0)
    assert not others.lost("1-a")
    others.look({"1-a": "x"}, (), began=50.0, ended=61.0)
    assert others.lost("1-a")


def test_nobody_counts_as_alive_before_its_lease_was_seen_to_change() -> None:
    assert not seen({"1-a": "x"}, {"1-a": "x"}).alive("1-a")
    assert seen({"1-a": "x"}, {"1-a": "y"}).alive("1-a")
    assert not seen({"1-a": "x"}, {"1-a": "y"}, *[{"1-a": "y"}] * 3).alive("1-a")
    assert not seen({"1-a": "x"}, {}).alive("1-a")


def test_two_stay_until_all_is_done() -> None:
    before = {f"{index}-a": "x" for index in range(4)}
    after = dict.fromkeys(before, "y")
    holders = ("3-a",)
    others = seen(before, after, holders=holders)
    assert [own for own in range(3) if not others.enough(own, holders)] == [0]
    holders = ("2-a", "3-a")
    others = seen(before, after, holders=holders)
    assert [own for own in range(2) if not others.enough(own, holders)] == []


def test_who_may_be_dead_keeps_nobody_from_staying() -> None:
    before = {"0-a": "x", "1-a": "x", "2-a": "x"}
    others = seen(before, before | {"2-a": "y"}, holders=("2-a",))
    assert not others.enough(1, ("2-a",))


def test_a_lease_of_ones_own_that_ran_out_is_nobody_who_stays() -> None:
    """Its jobs were given up, and others have not seen yet that it is not renewed any more."""
    before = {"1-a": "x", "2-a": "x"}
    others = seen(before, dict.fromkeys(before, "y"), holders=("1-a", "2-a"))
    assert not others.enough(1, ("1-a", "2-a"))
    assert others.enough(3, ("1-a", "2-a"))


def test_who_left_without_a_job_is_nobody_who_stays() -> None:
    """Nobody holds a job on that lease, so nobody would see it end by its jobs."""
    before = {"0-a": "x", "1-a": "x"}
    others = seen(before, dict.fromkeys(before, "y"), {"0-a": "z"}, holders=("0-a",))
    assert not others.alive("1-a")
    assert not others.enough(2, ("0-a",))


def test_a_renewal_counts_from_the_look_before_it_was_seen() -> None:
    """An instance that had no time to look for long does not know when it was."""
    assert not seen({"1-a": "x"}, {"1-a": "y"}, pause=SECONDS).alive("1-a")
    assert seen({"1-a": "x"}, {"1-a": "y"}, {"1-a": "z"}).alive("1-a")
