"""The workstation commands of `edgefeat`: export, layers and ablation."""
