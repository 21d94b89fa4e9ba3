"""Batch jobs on EC2, for a short time, by a deadline, without an administrator.

The rooms: ``session`` (what a session is), ``cloud`` (the AWS services), ``agent`` (on the instance), ``client``
(on the workstation), ``cli`` (the command line), ``local`` (the embedded one-machine cloud).
"""

__version__ = "0.1.0"
