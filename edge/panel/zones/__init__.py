"""What the page about zones needs: what a line inspects, versions of layouts, their trials."""
