"""What works on this machine and what to do about the rest: `python -m sar_reg doctor`."""

from sar_reg.doctor.command import examine, main
from sar_reg.doctor.finding import Finding, Verdict, show

__all__ = ["Finding", "Verdict", "examine", "main", "show"]
