"""A run's figures as plots: Matplotlib's SVG, whose colours the page's style sheet sets for light and dark."""
