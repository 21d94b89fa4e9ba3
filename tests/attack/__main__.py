"""The attack by hand: ``python -m tests.attack --minutes 60``. A run prints its seed, by which it can be had again."""

import argparse
import secrets
import subprocess
import sys
import time

import tests.conftest  # noqa: F401  dummy credentials, no metadata service, whatever this machine has
from tests.attack import chaos, fuzzing, surroundings

PARTS = ("parsers", "surroundings", "chaos")


def main() -> int:
    """Run what was asked for; 1 if it has found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("what", nargs="?", choices=["all", *PARTS], default="all")
    parser.add_argument("--minutes", type=float, default=10, help="how long, in all (10)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="one that was printed")
    parsers = parser.add_argument_group("parsers")
    parsers.add_argument("--rounds", type=int, default=8, help="inputs that each reader gets at least (8)")
    parsers.add_argument("--parser", default="", help="one reader alone, by the name that is printed")
    parsers.add_argument("--number", type=int, help="one of its inputs alone, to be shown")
    sessions = parser.add_argument_group("chaos")
    sessions.add_argument("--session", type=int, help="one session alone, by the number that is printed")
    sessions.add_argument("--sessions", type=int, help="how many, whatever time it takes")
    options = parser.parse_args()
    seconds = 60 * options.minutes
    match options.what:
        case "parsers":
            return fuzzing.main(
                seed=options.seed,
                seconds=seconds,
                rounds=options.rounds,
                parser=options.parser,
                number=options.number,
            )
        case "surroundings":
            return surroundings.main(seed=options.seed, seconds=seconds, rounds=options.rounds, number=options.number)
        case "chaos":
            return chaos.main(seed=options.seed, seconds=seconds, session=options.session, sessions=options.sessions)
    return _all(options.seed, options.minutes)


def _all(seed: int, minutes: float) -> int:
    """Run every part for its share of the time, each in a process of its own: one bounds its own memory."""
    command, eighth = [sys.executable, "-m"], minutes / 8
    own = [*command, "tests.attack", "--seed", str(seed), "--minutes"]
    found = [
        subprocess.run([*own, str(eighth), "parsers"], check=False).returncode,
        subprocess.run([*own, str(eighth), "surroundings"], check=False).returncode,
        subprocess.run(
            [*command, "tests.attack.httpface", "--seed", str(seed), "--minutes", str(eighth)], check=False
        ).returncode,
    ]
    until, simulated = time.monotonic() + 60 * eighth, 0
    while simulated == 0 or time.monotonic() < until:
        seeds = ["--seed", str(seed + simulated), "--seeds", "5"]
        found.append(subprocess.run([*command, "tests.attack.simulation", *seeds], check=False).returncode)
        simulated += 5
    found.append(subprocess.run([*own, str(4 * eighth), "chaos"], check=False).returncode)
    print(f"seed {seed}: {'something was found' if any(found) else 'nothing was found'}")
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
