"""The shortest programs that do what `edgefeat extract` does, each as in its project's guides.

They run as files, in processes of their own, and import nothing of edgefeat, which would add to their start and memory.
Each gets one JSON object: `model`, `pictures` (a photo or a folder), `output` (.npy), `height`, `width`, `scale`,
`shift`, `reversed` (preprocessing is `pixels * scale + shift`, RGB reversed before) and `preprocess` (Keras's function
for it, or "").
"""
