"""Input for the rows, made of the photos in samples/photos."""

from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = Path(__file__).resolve().parents[2] / "samples" / "photos"


def load_photos() -> list[Image.Image]:
    paths = sorted(PHOTOS.glob("*.jpg"))
    if not paths:
        raise FileNotFoundError(f"{PHOTOS}: no photos")
    return [Image.open(path).convert("RGB") for path in paths]


def views(count: int) -> list[Image.Image]:
    """The whole photos first, then crops of them, all different."""
    photos, rng, result = load_photos(), np.random.default_rng(7), []
    while len(result) < count:
        photo = photos[len(result) % len(photos)]
        if len(result) >= len(photos):
            photo = random_crop(photo, rng, 0.4)
        result.append(photo)
    return result


def random_crop(photo: Image.Image, rng: np.random.Generator, least: float) -> Image.Image:
    width, height = (round(side * rng.uniform(least, 1)) for side in photo.size)
    left, top = (int(rng.integers(0, side - part + 1)) for side, part in zip(photo.size, (width, height)))
    return photo.crop((left, top, left + width, top + height))


def batch(images: list[Image.Image], geometry: dict) -> np.ndarray:
    """Normalised [n, 3, S, S], the whole image resized as `ltrp rank` does."""
    size = geometry["image_size"]
    mean, std = (np.array(geometry[key], np.float32) for key in ("mean", "std"))
    small = [np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), np.float32) for image in images]
    values = (np.stack(small) / 255 - mean) / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


def masks(images: int, patches: int, ratio: float) -> list[list[int]]:
    """Visible patches of every image, ascending; their number counted in double arithmetic as the method does."""
    rng, visible = np.random.default_rng(11), int(patches * (1 - ratio))
    return [sorted(rng.permutation(patches)[:visible].tolist()) for _ in range(images)]


def write_folder(folder: Path, count: int) -> None:
    """JPEGs of mixed sizes: crops of the photos, 320 to 1600 pixels along the longer side."""
    photos, rng = load_photos(), np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        photo = random_crop(photos[i % len(photos)], rng, 0.5)
        scale = rng.choice([320, 500, 640, 1024, 1600]) / max(photo.size)
        size = tuple(max(64, round(side * scale)) for side in photo.size)
        photo.resize(size, Image.Resampling.BICUBIC).save(folder / f"{i:04d}.jpg", quality=90)
