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
MANY_FILES = f"""\
{WORK}
sleep 4
mkdir files
n=0; while n=$((n + 1)) && true > "files/$n"; do :; done 2>/dev/null
exit 1
"""
# Of 640 MB in all, all jobs may have 384.
MEMORY_BOMB = """\
exec python3 -S -c 'taken = []
while True: taken.append(b"x" * 8000000)'
"""
FORK_BOMB = "while :; do (while :; do sleep 600 & done) & done\n"
KILLER = f"""\
{WORK}
until [ -e "$ATLASworkingDir/started" ]; do sleep 0.1; done
kill -KILL -1
sleep 600
"""
VICTIM = f"""\
{WORK}
: > "$ATLASworkingDir/started"
sleep 600
"""
TAMPERER = """\
(echo mine > ../2/results.tar.bz2; rm -rf ../2; mv ../2 ../3; chmod 777 ../2; : > ../2.attempt_1) 2>/dev/null
kill -KILL -1
"""
OPEN_FILES = """\
seq 5000 9000 > results.tar.bz2
for i in 1 2 3 4 5; do
    python3 -S -c 'import os
files = []
try:
    while True: files.append(os.open("/dev/null", 0))
except OSError as error: print(error.strerror)'
done
sh -c "sh -c 'kill -SEGV \\$\\$'; true" 2>/dev/null
ls core* 2>/dev/null || echo no core
exit 1
"""
FLOOD = """\
seq 5000 9000 > results.tar.bz2
while :; do head -c 1M /dev/zero; sleep 0.1; done
"""
SHARED_MEMORY = "exec head -c 2G /dev/zero > /dev/shm/full\n"
STOPPER = f"""\
for process in /proc/[0-9]*; do
    case $(tr '\\0' ' ' 2>/dev/null <"$process/cmdline") in
        *"awsac-agent boot "*) kill -STOP "${{process#/proc/}}" && echo stopped ;;
    esac
done
{WORK}"""
