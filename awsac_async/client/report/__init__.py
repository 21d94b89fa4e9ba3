"""The verb ``report``: a session on one page, from what is known of it to where each mark of its figures stands.

``contents`` reads what is known, ``timeline`` makes spans of time of it, ``words`` and ``figures`` say what is shown,
``geometry`` where, and ``page`` puts all of it into ``template/``. Changes nothing in the cloud.
"""

from awsac_async.client.report.contents import Report, make_report, report
from awsac_async.client.report.page import format_report
from awsac_async.client.report.timeline import Phase, timeline

__all__ = ["Phase", "Report", "format_report", "make_report", "report", "timeline"]
