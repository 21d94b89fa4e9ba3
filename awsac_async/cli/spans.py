"""Spans of time as a person reads them at a glance: in a sentence, and in a column that ticks."""

from awsac_async.session.wording import counted


def rough_span(seconds: float) -> str:
    """Return a span in its largest unit, or two of them from an hour on: "12 seconds", "2 hours 5 minutes"."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours >= 48:
        return counted(hours // 24, "day")
    if hours:
        return counted(hours, "hour") + (f" {counted(minutes % 60, 'minute')}" if minutes % 60 else "")
    return counted(minutes, "minute") if minutes else counted(int(seconds), "second")


def clock_span(seconds: float) -> str:
    """Return a span as a clock shows it: "0:07", "12:34", "1:02:03"."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
