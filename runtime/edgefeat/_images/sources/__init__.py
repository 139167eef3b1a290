"""Where images come from: paths, folders, archives and open files."""
