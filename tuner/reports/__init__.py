"""Reports on studies, and studies side by side."""

from tuner.reports.compare import Comparison
from tuner.reports.public import best, compare, report
from tuner.reports.report import Report

__all__ = ["Comparison", "Report", "best", "compare", "report"]
