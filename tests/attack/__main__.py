"""The attack by hand: ``python -m tests.attack --minutes 60``. A run prints its seed, by which it can be had again."""

import argparse
import secrets
import sys

import tests.conftest  # noqa: F401  dummy credentials, no metadata service, whatever this machine has
from tests.attack import fuzzing


def main() -> int:
    """Run what was asked for; 1 if it has found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("what", nargs="?", choices=["all", "parsers"], default="all")
    parser.add_argument("--minutes", type=float, default=10, help="how long (10)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="one that was printed")
    parser.add_argument("--rounds", type=int, default=8, help="inputs that each reader gets at least (8)")
    parser.add_argument("--parser", default="", help="one reader alone, by the name that is printed")
    parser.add_argument("--number", type=int, help="one of its inputs alone, to be shown")
    options = parser.parse_args()
    return fuzzing.main(
        seed=options.seed,
        seconds=60 * options.minutes,
        rounds=options.rounds,
        parser=options.parser,
        number=options.number,
    )


if __name__ == "__main__":
    sys.exit(main())
