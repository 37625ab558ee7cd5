"""Comparing methods at equal style: pictures x prompts x seeds x weights, metrics, curves and a report.

It stands beside the library, which needs none of it, and stays out of the registry's archive.
"""

from .report import require_matplotlib
from .report import write as write_report
from .runs import SWEEPS, Judge, Method, Plan, method_named, run

__all__ = ["SWEEPS", "Judge", "Method", "Plan", "method_named", "require_matplotlib", "run", "write_report"]
