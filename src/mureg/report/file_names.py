"""Names of the report's files."""

HTML, PDF = "report.html", "report.pdf"
