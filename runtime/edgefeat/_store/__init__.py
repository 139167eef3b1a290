"""The feature database: one SQLite file that `edgefeat extract --into` fills, and features as other files."""
