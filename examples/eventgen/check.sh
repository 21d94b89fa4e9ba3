# Whether jobs can use the release: `awsac release build --validate check.sh …` makes no snapshot of one that they cannot.
set -eu
. "${ATLASDir}/pythia/setup.sh"
"${PYTHIA_PYTHON}" -c 'import pythia8mc; pythia8mc.Pythia("", False); print("Pythia can be used")'
