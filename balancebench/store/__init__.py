"""The store: one folder a step, with its record and its files, whatever is in them."""

from balancebench.store.record import Failure, FileEntry, Record, Status, failure_record
from balancebench.store.step_files import StepFiles
from balancebench.store.step_folders import Store, commit_failure

__all__ = ["Failure", "FileEntry", "Record", "Status", "StepFiles", "Store", "commit_failure", "failure_record"]
