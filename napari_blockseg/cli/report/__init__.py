"""Reports that one can send to somebody: one HTML page that works offline, pictures, the numbers.

The curves are plotly's; decision 011 says why, and what it costs.
"""

from napari_blockseg.cli.report.write import write_analysis_report, write_spectrum_report

__all__ = ["write_analysis_report", "write_spectrum_report"]
