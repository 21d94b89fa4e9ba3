"""Generate hard QCD events of the LHC with Pythia 8 and write how many charged particles each of them has.

Writes events.csv (one line an event), and events.root with the same numbers where uproot is installed.
"""

import argparse
import csv
import statistics
import sys
from pathlib import Path

import pythia8mc


def generator(seed: int) -> pythia8mc.Pythia:
    """Return Pythia set up for proton-proton collisions at 14 TeV, hard QCD above 20 GeV."""
    pythia = pythia8mc.Pythia("", False)
    for setting in (
        "Beams:eCM = 14000.",
        "HardQCD:all = on",
        "PhaseSpace:pTHatMin = 20.",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        "Print:quiet = on",
    ):
        pythia.readString(setting)
    if not pythia.init():
        sys.exit("Pythia could not be initialised")
    return pythia


def charged_multiplicities(pythia: pythia8mc.Pythia, events: int) -> list[int]:
    """Return the number of charged final particles of each event; an event that Pythia gives up on is drawn again."""
    counts: list[int] = []
    while len(counts) < events:
        if pythia.next():
            counts.append(sum(1 for particle in pythia.event if particle.isFinal() and particle.isCharged()))
    return counts


def write(counts: list[int]) -> None:
    """Write the multiplicities as CSV, and as a ROOT tree if uproot is there."""
    with Path("events.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("event", "n_charged"), *enumerate(counts)])
    try:
        import uproot
    except ImportError:
        return
    with uproot.recreate("events.root") as root:
        root["events"] = {"n_charged": counts}


def main() -> None:
    """Read the arguments, generate, write, and print the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    counts = charged_multiplicities(generator(arguments.seed), arguments.events)
    write(counts)
    mean, error = statistics.mean(counts), statistics.stdev(counts) / len(counts) ** 0.5
    print(f"{len(counts)} events with seed {arguments.seed}: mean charged multiplicity {mean:.1f} +- {error:.1f}")


main()
