# Installs Pythia 8 into an empty release: `awsac release build --script install.sh …` runs it as root, with the volume at
# ${ATLASDir}. The release is laid out for ${ATLASDir} too, where jobs see it, whatever instance they run on.
set -eu
version=8.317.2
target="${ATLASDir}/pythia/${version}"

# The wheel is compiled for one version of Python: the release names that interpreter, and setup.sh looks for it.
python=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
install() { python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --only-binary :all: --target "$target" "$1"; }
install "pythia8mc==${version}" || {
  echo "there is no wheel of pythia8mc ${version} for ${python} on this machine" >&2
  exit 1
}
install uproot || echo "no wheels of uproot here, so the jobs will write CSV only" >&2

cat > "${ATLASDir}/pythia/setup.sh" <<SETUP
# Sourced by a job: makes Pythia ${version} of this release usable.
PYTHIA_PYTHON=\$(command -v ${python}) || { echo "this release needs ${python}" >&2; exit 1; }
PYTHIA8DATA="\${ATLASDir}/pythia/${version}/share/Pythia8/xmldoc"
PYTHONPATH="\${ATLASDir}/pythia/${version}"
export PYTHIA_PYTHON PYTHIA8DATA PYTHONPATH
SETUP
du -sh "${ATLASDir}/pythia"
