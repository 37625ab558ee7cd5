"""Comparing methods at equal style: pictures x prompts x seeds x weights, metrics, curves and a report."""

from .runs import Judge, Method, Plan, run

__all__ = ["Judge", "Method", "Plan", "run"]
