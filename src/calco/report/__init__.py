"""The report: one self-contained page on what was trained, how well it does, and what it makes."""

from calco.report.page import write_report

__all__ = ["write_report"]
