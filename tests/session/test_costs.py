"""What a session may cost: plain sums, and amounts as people write them."""

import math

import pytest

from awsac_async.session.costs import hours_within, shown_usd, volume_per_hour


def test_a_volume_costs_its_monthly_price_over_thirty_days() -> None:
    assert volume_per_hour(720, 0.10) == pytest.approx(0.10)
    assert volume_per_hour(0, 0.10) == 0


@pytest.mark.parametrize(
    ("limit", "per_hour", "hours"),
    [(10, 0.26, 38.46), (0.29, 1, 0.29), (1, 3, 0.33), (0.001, 1, 0), (0, 1, 0), (5, 0, math.inf)],
)
def test_the_hours_that_an_amount_pays_for_are_rounded_down(limit: float, per_hour: float, hours: float) -> None:
    assert hours_within(limit, per_hour) == hours
    assert hours == math.inf or hours * per_hour <= limit


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (3.4, "3.40 USD"),
        (1234.567, "1234.57 USD"),
        (1, "1.00 USD"),
        (0.99999, "1.00 USD"),
        (0.13, "0.13 USD"),
        (0.5, "0.50 USD"),
        (0.044, "0.044 USD"),
        (0.0116, "0.0116 USD"),
        (0.00004, "less than 0.0001 USD"),
        (0, "0.00 USD"),
    ],
)
def test_an_amount_is_written_with_two_decimals_and_a_small_price_with_up_to_four(amount: float, written: str) -> None:
    assert shown_usd(amount) == written
