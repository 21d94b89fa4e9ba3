# A job: /bin/sh runs this file in an empty folder, once for each job of its line in jobs.cfg.
# What it prints, awsac logs shows. Exit code 0 means that the job has succeeded.
set -eu
echo "session $AWSAC_SESSION_ID: job $AWSAC_JOB of $AWSAC_N_JOBS, attempt $AWSAC_ATTEMPT, on core $AWSAC_CORE"

# AWSAC_DATA is the folder of input data, if the session was started with awsac start -d FOLDER.
if [ -d "${AWSAC_DATA:-}" ]; then
  find "$AWSAC_DATA" -type f
fi

# ATLASDir is where the job's release is mounted, if its line in jobs.cfg names one.
# . "$ATLASDir/setup.sh"

# What stands in the folder "results" when the job ends is its result: awsac getresults downloads it.
mkdir results

# AWSAC_JOB tells the copies apart: each job estimates pi from a million random points of its own.
awk -v seed="$AWSAC_JOB" 'BEGIN {
  srand(seed)
  for (n = 1; n <= 1000000; n++) if (rand() ^ 2 + rand() ^ 2 < 1) inside++
  printf "%.5f\n", 4 * inside / 1000000
}' > results/pi.txt
echo "pi is about $(cat results/pi.txt)"
