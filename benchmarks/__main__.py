"""``make bench``: run all benchmarks, or those that are named, and print their tables in Markdown."""

import asyncio
import sys

from benchmarks import finished, output, startup

ALL = {"startup": startup, "output": output, "finished": finished}


def main() -> None:
    for name in sys.argv[1:] or ALL:
        print(f"\n### {(ALL[name].__doc__ or '').splitlines()[0]}\n")
        head, *rows = asyncio.run(ALL[name].run())
        for row in (head, ("---",) * len(head), *rows):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
