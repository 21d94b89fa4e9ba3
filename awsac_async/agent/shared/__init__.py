"""Jobs that instances share: which this one takes, and how none runs twice at the same time (``docs/shared.md``).

``phases`` is what the agent's phases do then. ``sharing`` says when jobs are taken, ``pool`` which, and claims them;
``others`` whose may be taken over, and who is still needed. ``lease`` shows the others that this instance lives, and
has its jobs given up in time; ``fence`` is the program that ends them if the agent cannot.
"""
