"""Other projects, each as its own guide says to use it."""
