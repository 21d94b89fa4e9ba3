"""The verb ``getresults``: everything a session saved, in one folder, verified.

``results`` has the order of the steps, ``files`` which object becomes which file, ``manifests`` what was saved,
``comparison`` what of it is there already, by ``record``, ``missing`` what is not and why, ``unpacking`` the archives.
"""

from awsac_async.client.results.files import Only
from awsac_async.client.results.missing import Missing
from awsac_async.client.results.results import FileState, Overwrite, ResultFile, Results, get_results

__all__ = ["FileState", "Missing", "Only", "Overwrite", "ResultFile", "Results", "get_results"]
