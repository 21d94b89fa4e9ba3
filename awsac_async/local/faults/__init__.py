"""How the embedded cloud misbehaves on demand: the file that says so, and the layer before the services that does it.

``file`` reads and checks, ``calls`` names what is asked, ``engine`` decides, ``layer`` does, ``events`` strikes
instances. Nothing here changes what an untroubled call is answered.
"""
