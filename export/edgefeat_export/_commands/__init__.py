"""The workstation's commands of `edgefeat`: export, layers and ablation."""
