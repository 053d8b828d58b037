"""What pages are made of: charts as SVG, HTML and one theme. Knows no metric."""
