"""From the network's SavedModel to TFLite in every precision, and the files themselves."""
