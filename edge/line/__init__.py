"""Ways out to the line, imported only when a configuration names them."""
