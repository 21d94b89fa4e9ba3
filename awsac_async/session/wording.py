"""Words that depend on a number, for sentences that a person reads."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, and what agrees with it: "1 instance runs", "2 files"."""
    return f"{number} {one if number == 1 else many or one + 's'}"
