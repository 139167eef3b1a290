"""One adapter for each engine, imported only when that engine is used."""
