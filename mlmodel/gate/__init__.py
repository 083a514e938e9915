"""What must not be read: rules on pixels before the network, and a judgement on the network's own features after it.

`pixels` runs in the decoding children; `judge` in the worker; `fit`, `negatives` and `drawing` in training alone.
"""
