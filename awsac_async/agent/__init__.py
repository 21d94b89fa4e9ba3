"""What runs on an instance: it boots, provides releases, runs jobs, reports, saves, and goes away.

``main`` is its entry, ``lifecycle`` its order. It speaks to AWS through ``cloud`` only, and never meets the client.
"""
