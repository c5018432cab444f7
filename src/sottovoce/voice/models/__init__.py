"""One model file for everywhere: a small `.tflite` that server, browser and phones read alike.

Read `network` first (what a model is and how it is run), then `write_tflite` and `read_tflite`, both on `flatbuffer`;
`write_onnx` writes the twin, `card` says what is known of a model. docs/reference/model-file.md is the format.
"""
