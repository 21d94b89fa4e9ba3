"""Batch jobs on EC2, for a short time, by a deadline, without an administrator.

The rooms: ``session`` (what a session is), ``cloud`` (the AWS services), ``agent`` (on the instance), ``client``
(on the workstation), ``cli`` (the command line), ``local`` (the embedded one-machine cloud).
"""

import sys

__version__ = "0.1.0"

if sys.version_info < (3, 11, 3):
    from awsac_async.timeouts import mend

    mend()
