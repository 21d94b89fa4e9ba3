"""What a session may cost: USD, GiB and hours in, USD out.

Owns the sums and how an amount is written. Knows no price itself and asks nobody: a price that is not known is None,
and so is whatever depends on it.
"""

import math

# EBS bills by the second, of a month of 30 days: https://aws.amazon.com/ebs/pricing/
HOURS_A_MONTH = 30 * 24
_HUNDREDTHS = 100


def volume_per_hour(gib: float, usd_per_gib_month: float) -> float:
    """Return what a volume of this size costs in USD an hour."""
    return gib * usd_per_gib_month / HOURS_A_MONTH


def hours_within(limit: float, per_hour: float) -> float:
    """Return for how many hours ``limit`` USD are enough, in hundredths, rounded down; infinite if it costs nothing."""
    if per_hour <= 0:
        return math.inf
    # A tiny share more, so that 0.29 / 1 is 29 hundredths and not, as floats divide, 28.
    return math.floor(limit / per_hour * _HUNDREDTHS * (1 + 1e-12)) / _HUNDREDTHS


def shown_usd(amount: float) -> str:
    """Write an amount: "3.40 USD", "0.044 USD"; below 1 USD with up to four decimals."""
    if 0 < amount < 0.00005:
        return "less than 0.0001 USD"
    if amount >= 0.99995:
        return f"{amount:.2f} USD"
    return f"{_cut(f'{amount:.4f}')} USD"


def _cut(digits: str) -> str:
    """Drop zeros at the end, but for two decimals."""
    return digits[:-2] + digits[-2:].rstrip("0")
