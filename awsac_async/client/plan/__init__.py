"""The verb ``plan``: what a session would be and cost, and all that is wrong with it, before anything is started.

``inputs`` and ``scripts`` read and check the user's files, ``checks`` asks the cloud by calls that change nothing,
``prices`` what it takes, and ``plan`` puts all of it together. ``start`` begins with it.
"""

from awsac_async.client.plan.plan import Plan, connected, make_plan, plan
from awsac_async.client.plan.prices import PriceSource

__all__ = ["Plan", "PriceSource", "connected", "make_plan", "plan"]
