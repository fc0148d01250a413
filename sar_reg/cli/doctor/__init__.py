"""What works on this machine and what to do about the rest: `python -m sar_reg doctor`."""

from sar_reg.cli.doctor.doctor_command import add_to
from sar_reg.cli.doctor.finding import Finding, Verdict, show

__all__ = ["Finding", "Verdict", "add_to", "show"]
