"""Facts about this device: processor, cores, memory, temperature, and the cache of what was measured."""
