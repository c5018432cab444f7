"""Numbers of the TensorFlow Lite schema (version 3) that our model files use: public facts of its schema."""

from __future__ import annotations

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
FORMAT = "sottovoce-model/1"
METADATA_NAME = "sottovoce"

# TensorType
FLOAT32, FLOAT16, INT8 = 0, 1, 9

# BuiltinOperator
DEQUANTIZE, FULLY_CONNECTED, LOGISTIC, MUL, SOFTMAX, SUB = 6, 9, 14, 18, 25, 41

# BuiltinOptions (the type of a union), ActivationFunctionType
FULLY_CONNECTED_OPTIONS, SOFTMAX_OPTIONS = 8, 9
NO_ACTIVATION, RELU = 0, 1
