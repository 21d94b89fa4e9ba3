"""The scripts of jobs that do something on a bad day, beside the work of a good one."""

from tests.faults.rows import WORK

ONCE = f"""\
echo ran >> "$ATLASworkingDir/ran.$AWSAC_JOB"
sleep 4
cat "$ATLASworkingDir/ran.$AWSAC_JOB"
{WORK}"""
DAEMONS = f"""\
setsid sh -c 'trap "" TERM HUP INT; echo $$ > ../daemon.1; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &
(env -i setsid sh -c 'echo $$ > ../daemon.2; exec sleep 600' &)
until [ -s ../daemon.1 ] && [ -s ../daemon.2 ]; do sleep 0.1; done
{WORK}"""
WATCH = f"""\
until [ -s ../daemon.1 ] && [ -s ../daemon.2 ]; do sleep 0.1; done
for file in ../daemon.1 ../daemon.2; do
    while kill -0 "$(cat $file)" 2>/dev/null; do sleep 0.2; done
done
echo gone
{WORK}"""

FIRST_ENDLESS = f"""\
[ "$AWSAC_ATTEMPT" != 1 ] || sleep 600
echo "attempt $AWSAC_ATTEMPT"
{WORK}"""
STUBBORN = f"""\
trap '' TERM
{WORK}
sh -c 'trap "" TERM; setsid sleep 600' &
while :; do sleep 1; done
"""
NOTICED = f"""\
trap 'cat "$AWSAC_INTERRUPT_AT" > results.tar.bz2; echo interrupted; exit 7' TERM
{WORK}
sleep 600 &
wait
"""
DELETED = f"""\
echo before
rm stdouterr_job_1.log
{WORK}
echo mine > stdouterr_job_1.log
"""
FILLING = f"""\
{WORK}
sleep 4
head -c 1G /dev/zero > filler 2>/dev/null
exit 1
"""
JUMP = f"""\
echo 840 > "$AWSACworkingDir/clock-offset"
sleep 2
{WORK}"""
