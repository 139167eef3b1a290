"""The shortest programs that do what `edgefeat extract` does, each as its project's guides have it.

They are run as files, in processes of their own, and import nothing of edgefeat: their start and memory are their own.
Each is given one JSON object: `model`, `pictures` (a photo or a folder), `output` (.npy), `height`, `width`, `scale`,
`shift`, `reversed` (preprocessing is `pixels * scale + shift`, RGB reversed before) and `preprocess` (Keras's function
for it, or "").
"""
