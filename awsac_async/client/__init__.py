"""What runs on the workstation: the verbs of a session as a Python API that never prints."""
