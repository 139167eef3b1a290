"""Contact sheets: photos in rows, as one HTML page or one PNG image."""
