"""Words that depend on a number, for sentences that a person reads."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, and what agrees with it: "1 instance runs", "2 files"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def shown_size(size: int) -> str:
    """Return bytes in the unit in which they are read best: "812 bytes", "3.4 MB"."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return counted(size, "byte")
