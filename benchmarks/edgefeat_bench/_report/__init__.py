"""What results say: statistics, tables, sentences, comparison and gate."""
