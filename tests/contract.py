"""Names of 2008 that old programs look for, spelled apart from the code under test: a slip there must not hide here."""

ITEM_ATTRIBUTES = (
    "jobnr",
    "status",
    "instance_id",
    "launchindex",
    "shellscript",
    "runstarttime",
    "runendtime",
    "returncode",
    "savestarttime",
    "saveendtime",
)
