"""The report of a run as one HTML file that needs no network."""

from sfm.report.page import write_report

__all__ = ["write_report"]
