"""The ways that peers.py times: from JPEGs to features, and from features to a fitted head.

Each takes a folder and calls `ready` when its clock is to start. Weights of the peers' networks are
random, which cost the same; ours are real. Networks of stage two make EPOCHS passes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from stage_one import CORES, extract_to, obvious_features

BATCH, EPOCHS, STEP_ROWS = 20, 3, 1024
FEATURES = "features"  # where ours writes, in the working folder
Ready = Callable[[], object]


# --- stage one: features of the JPEGs of a folder, in the order of their names --------------------


def jpegs(folder: Path) -> list[str]:
    return sorted(str(path) for path in (folder / "images").iterdir())


def batches(folder: Path) -> Iterator[list[str]]:
    paths = jpegs(folder)
    return (paths[start : start + BATCH] for start in range(0, len(paths), BATCH))


@cache
def torch_network(*, compiled: bool = False) -> Any:
    """Return torchvision's MobileNetV2 down to the pooled features, in the layout of its best."""
    import torch
    from torchvision.models import mobilenet_v2

    network = mobilenet_v2().eval().to(memory_format=torch.channels_last)
    network.classifier = torch.nn.Identity()
    return torch.compile(network) if compiled else network


def torchvision(
    folder: Path, ready: Ready, *, compiled: bool = False, bfloat16: bool = False
) -> Any:
    """The network's own transforms in a DataLoader with a worker a core."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets.folder import default_loader
    from torchvision.models import MobileNet_V2_Weights

    prepare = MobileNet_V2_Weights.IMAGENET1K_V1.transforms()

    class Photographs(list[str]):
        def __getitem__(self, i: Any) -> Any:
            return prepare(default_loader(super().__getitem__(i)))

    network = torch_network(compiled=compiled)

    def features(pixels: torch.Tensor) -> torch.Tensor:
        return network(pixels.to(memory_format=torch.channels_last)).float()

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        features(torch.zeros(BATCH, 3, 224, 224))
        ready()
        loader = DataLoader(Photographs(jpegs(folder)), BATCH, num_workers=CORES)
        return torch.cat([features(pixels) for pixels in loader]).numpy()


def export(path: str) -> None:
    """Write torchvision's network as ONNX."""
    import torch

    pixels, batch = torch.zeros(2, 3, 224, 224), torch.export.Dim("batch")
    torch.onnx.export(torch_network(), (pixels,), path, dynamic_shapes=({0: batch},))


@cache
def onnx_session() -> Any:
    """Open the same network in ONNX Runtime; torch is loaded in another process alone."""
    from onnxruntime import InferenceSession

    code = "from peer_ways import export; export('network.onnx')"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return InferenceSession("network.onnx", providers=["CPUExecutionProvider"])


def onnxruntime(folder: Path, ready: Ready) -> Any:
    """A loop over batches: Pillow decodes one in threads, then ONNX Runtime takes all cores."""
    from concurrent.futures import ThreadPoolExecutor

    from PIL import Image

    def load(path: str) -> Any:
        image = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
        pixels = np.asarray(image.crop((16, 16, 240, 240)), np.float32)
        return pixels.transpose(2, 0, 1) / 127.5 - 1

    session = onnx_session()
    name = session.get_inputs()[0].name
    ready()
    with ThreadPoolExecutor(CORES) as pool:
        loaded = (np.stack(list(pool.map(load, batch))) for batch in batches(folder))
        return np.concatenate([session.run(None, {name: pixels})[0] for pixels in loaded])


def img2vec(folder: Path, ready: Ready) -> Any:
    """Lists of photographs to EfficientNet-B0, the nearest to MobileNetV2 that it offers."""
    from img2vec_pytorch import Img2Vec, img_to_vec
    from PIL import Image
    from torchvision.models import efficientnet_b0

    img_to_vec.efficientnet_b0 = lambda weights: efficientnet_b0()
    encoder = Img2Vec(model="efficientnet_b0", layer_output_size=1280)
    ready()
    opened = ([Image.open(path).convert("RGB") for path in batch] for batch in batches(folder))
    return np.concatenate([encoder.get_vec(images) for images in opened])


def embetter(folder: Path, ready: Ready) -> Any:
    """Its pipeline as its documentation has it, with timm's MobileNetV2."""
    import timm
    from sklearn.pipeline import make_pipeline

    create = timm.create_model
    timm.create_model = lambda name, **options: create(name, **{**options, "pretrained": False})
    from embetter.vision import ImageLoader, TimmEncoder

    pipeline = make_pipeline(ImageLoader(), TimmEncoder("mobilenetv2_100"))
    ready()
    return pipeline.fit_transform(jpegs(folder))


def ours(folder: Path, ready: Ready, *, engine: str, precision: str) -> Any:
    """`extract`, at its defaults but for the engine."""
    from cache.store import open_cache

    extract_to(Path(FEATURES), folder, engine, precision, ready)
    made = open_cache(Path(FEATURES) / "train.h5")
    return made.features[:, 0][made.ok_rows]


# --- stage two: scores of the photographs of test by a head fitted to those of train --------------


def read(folder: Path, split: str) -> tuple[Any, Any, Any]:
    """Return features (n, D) float32, shares of the ratings (n, K) and their means."""
    import h5py

    with h5py.File(folder / f"{split}.h5") as file:
        features, votes = file["features"][:][:, 0].astype(np.float32), file["votes"][:]
    shares = (votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)
    return features, shares, shares @ np.arange(1, votes.shape[1] + 1)


def scikit_learn(folder: Path, ready: Ready, *, model: str, **options: Any) -> Any:
    """A linear model of standardised features; a classifier learns above 5 or not."""
    from sklearn import linear_model
    from sklearn.base import is_classifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = getattr(linear_model, model)(**options)
    ready()
    features, _, mean = read(folder, "train")
    fitted = make_pipeline(StandardScaler(copy=False), made)
    fitted.fit(features, mean > 5 if is_classifier(made) else mean)
    scores = fitted.decision_function if is_classifier(made) else fitted.predict
    return scores(read(folder, "test")[0])


def torch_loop(folder: Path, ready: Ready, *, hidden: int) -> Any:
    """AdamW on the squared EMD, batches drawn from standardised float32 features in memory."""
    import torch
    from torch import nn

    ready()
    features, shares, _ = read(folder, "train")
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    X, cdf = torch.from_numpy((features - mean) / deviation), torch.from_numpy(shares).cumsum(1)
    width, levels = X.shape[1], cdf.shape[1]
    inner = (nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.5)) if hidden else ()
    network = nn.Sequential(nn.Dropout(0.5), *inner, nn.Linear(hidden or width, levels))
    optimizer = torch.optim.AdamW(network.parameters(), 4e-4)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(X)).split(STEP_ROWS):
            optimizer.zero_grad()
            away = network(X[rows]).softmax(1).cumsum(1) - cdf[rows]
            away.square().mean().backward()
            optimizer.step()
    network.eval()
    with torch.inference_mode():
        X = torch.from_numpy((read(folder, "test")[0] - mean) / deviation)
        return (network(X).softmax(1) @ torch.arange(1.0, levels + 1)).numpy()


def model_fit(folder: Path, ready: Ready, *, hidden: tuple[int, ...]) -> Any:
    """The recipe of our `emd` in Keras' own layers, as stage_two.py times it."""
    from stage_two import build_network, plain_model, training_data

    from heads.data.splits import load_splits
    from heads.models.neural.settings import NetworkSettings
    from heads.models.registry import load_keras

    load_keras()
    ready()
    data = load_splits(folder, splits=("train", "test"))
    task, train = training_data(data["train"], NetworkSettings(hidden=hidden, epochs=EPOCHS))
    model = plain_model(build_network(task, train), train)
    rows = train.settings.batch_size
    model.fit(train.photographs.whole(), train.targets, rows, epochs=EPOCHS, verbose=0)
    outputs = model.predict(np.asarray(data["test"].X[:])[:, 0], rows, verbose=0)
    return task.decode(outputs, np)["score"]


def our_head(folder: Path, ready: Ready, *, head: str, hidden: tuple[int, ...] = ()) -> Any:
    """Our head, with its choice of a penalty and its calibration on val."""
    from heads.data.splits import load_splits
    from heads.models.neural.settings import NetworkSettings
    from heads.models.registry import make_head

    settings = NetworkSettings(hidden=hidden, epochs=EPOCHS) if head == "emd" else None
    made = make_head(head, settings)
    ready()
    data = load_splits(folder)
    train, val = data["train"], data["val"]
    made.fit(train.X, train.labels, val.X, val.labels, seed=0)
    return made.predict(data["test"].X).score


@dataclass(frozen=True)
class Way:
    """What is timed, and whether it needs the environment of the peers."""

    call: Callable[[Path, Ready], Any]
    theirs: bool = False


STAGE_ONE = {
    "tf.data": Way(obvious_features),
    "torch": Way(torchvision, theirs=True),
    "torch-compiled": Way(partial(torchvision, compiled=True), theirs=True),
    "torch-bfloat16": Way(partial(torchvision, compiled=True, bfloat16=True), theirs=True),
    "onnxruntime": Way(onnxruntime, theirs=True),
    "img2vec": Way(img2vec, theirs=True),
    "embetter": Way(embetter, theirs=True),
    "ours-keras": Way(partial(ours, engine="keras", precision="float32")),
    "ours-openvino": Way(partial(ours, engine="openvino", precision="float32")),
    "ours-bfloat16": Way(partial(ours, engine="openvino", precision="bfloat16")),
}
LOGISTIC = {"model": "LogisticRegression", "C": 1e-3, "max_iter": 300}
RIDGE = {"model": "RidgeCV", "alphas": 10.0 ** np.arange(1, 7)}
SGD = {"model": "SGDClassifier", "loss": "log_loss", "average": True}
STAGE_TWO = {
    "LogisticRegression": Way(partial(scikit_learn, **LOGISTIC)),
    "SGDClassifier": Way(partial(scikit_learn, **SGD)),
    "ours-logistic": Way(partial(our_head, head="logistic")),
    "RidgeCV": Way(partial(scikit_learn, **RIDGE)),
    "ours-ridge": Way(partial(our_head, head="ridge")),
    "model.fit-linear": Way(partial(model_fit, hidden=())),
    "torch-linear": Way(partial(torch_loop, hidden=0), theirs=True),
    "ours-emd-linear": Way(partial(our_head, head="emd")),
    "model.fit-hidden": Way(partial(model_fit, hidden=(256,))),
    "torch-hidden": Way(partial(torch_loop, hidden=256), theirs=True),
    "ours-emd-hidden": Way(partial(our_head, head="emd", hidden=(256,))),
}
WAYS = STAGE_ONE | STAGE_TWO
