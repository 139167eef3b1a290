"""Commands for chips without floats: `edgefeat npu` and `edgefeat micro`."""
