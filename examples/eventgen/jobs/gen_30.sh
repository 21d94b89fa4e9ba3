# 30 proton-proton events at 14 TeV with Pythia 8. The release is mounted at ${ATLASDir}, as ATLAS releases were.
set -e
. "${ATLASDir}/pythia/setup.sh"
"${PYTHIA_PYTHON}" "${AWSACworkingDir}/generate.py" --events 30 --seed "$(( 1000 + AWSAC_JOB ))"
"${PYTHIA_PYTHON}" -m tarfile -c results.tar.bz2 events.*
