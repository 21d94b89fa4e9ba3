# Counts the primes among the quarter of a million numbers that belong to this job, by a sieve in awk.
# Job 1 takes 1 ... 250000, job 2 the next 250000, and so on: AWSAC_JOB tells the copies apart.
width=250000
first=$(( (AWSAC_JOB - 1) * width + 1 ))
last=$(( AWSAC_JOB * width ))
echo "job ${AWSAC_JOB} of ${AWSAC_N_JOBS} on core ${AWSAC_CORE}: primes from ${first} to ${last}"

awk -v first="$first" -v last="$last" 'BEGIN {
  for (p = 2; p * p <= last; p++) {          # the primes up to the root of the range
    if (small[p]) continue
    for (m = p * p; m * m <= last; m += p) small[m] = 1
    start = int((first + p - 1) / p) * p
    if (start < p * p) start = p * p
    for (m = start; m <= last; m += p) composite[m] = 1
  }
  for (n = (first > 1 ? first : 2); n <= last; n++) if (!(n in composite)) { count++; largest = n }
  print count, "primes, the largest is", largest
}' | tee primes.txt

python3 -m tarfile -c results.tar.bz2 primes.txt
