"""What the page about zones needs: versions of layouts, their trials."""
