"""Convert the network's SavedModel to TFLite in every precision, and read and write TFLite files."""
