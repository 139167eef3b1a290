"""Import TensorFlow and Keras without the packages that Keras uses only for plots, data frames and scikit-learn.

Keras imports these if they are installed, which takes about a third of the time that its own import takes; no step of
an export uses them through Keras. They can be imported afterwards.

Garbage is not collected meanwhile, nor looked for in these modules afterwards: they stay, and looking through them
again and again takes a quarter of the time of the import.

Keras has its standard settings, not those of the user's keras.json: a layout of channels first or numbers of 16 bits
would change the network and its reference features.
"""

import gc
import sys

_HIDDEN = [name for name in ("cv2", "matplotlib", "pandas", "sklearn") if name not in sys.modules]

for _name in _HIDDEN:
    sys.modules[_name] = None  # type: ignore[assignment]  # an import of it raises ImportError
_collects = gc.isenabled()
gc.disable()
try:
    import keras
    import tensorflow  # noqa: F401
finally:
    for _name in _HIDDEN:
        del sys.modules[_name]
    gc.freeze()
    if _collects:
        gc.enable()

keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
