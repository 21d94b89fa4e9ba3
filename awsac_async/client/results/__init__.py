"""The verb ``getresults``: everything a session saved, in one folder, verified.

``results`` has the order of the steps, ``files`` which object becomes which file, ``spelling`` its name,
``manifests`` what was saved, ``comparison`` what of it is there already, by ``record``, ``missing`` what is not and
why, ``unpacking`` the archives, whose members ``tree`` writes.
"""

from awsac_async.client.results.files import Only
from awsac_async.client.results.missing import Missing
from awsac_async.client.results.results import FileState, Overwrite, ResultFile, Results, get_results
from awsac_async.client.results.unpacking import MemberLeftOut

__all__ = ["FileState", "MemberLeftOut", "Missing", "Only", "Overwrite", "ResultFile", "Results", "get_results"]
