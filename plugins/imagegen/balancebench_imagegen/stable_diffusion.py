"""Images of a pretrained diffusion pipeline as a balancer (Asthana, Wagle and Singh, "Stable Diffusion").

For each class there is an endless row of candidates: the prompt and the noise of candidate i depend on the seed, the
class and i alone. The first of them that the safety checker lets pass, as many as the class is short of, are its
images: what is flagged is dropped, and the next candidate, with a new prompt, takes its place. So neither the batch
size nor an interruption decides which images come out.

Each candidate is written to the step's checkpoints; an attempt that follows a failed or interrupted one makes only what
is missing. Axis suffixes: B images of a batch, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from balancebench import JSON, Balancer, BalancerError, LabelledImages, Parents, SynthesisContext
from balancebench.synthesis.fill import fill_classes
from balancebench.synthesis.image_fit import fit_image, fit_made_image, pixels_CHW
from balancebench.synthesis.target import missing_counts
from balancebench.training.reproducibility import seeded_globals
from balancebench_imagegen.clip_similarity import ClassSimilarity, vague_classes
from balancebench_imagegen.finished_candidates import Candidate, FinishedCandidates
from balancebench_imagegen.generated_pool import GeneratedImage, GeneratedPool
from balancebench_imagegen.pipeline import Pipeline, as_pictures, repeatable
from balancebench_imagegen.prompts import candidate_seed
from balancebench_imagegen.stable_diffusion_options import StableDiffusionOptions, model_folder
from balancebench_imagegen.tiny_pipeline import save_tiny_pipeline

__all__ = ["StableDiffusion"]

FIRST_BATCH_SIZE = {"cuda": 128}  # halved until memory holds it
FIRST_BATCH_SIZE_ELSEWHERE = 4
FLAGGED_AT_LEAST = 100  # a class is given up when so many, and ten times as many as were let pass, are flagged
FLAGGED_TO_PASSED = 10


@dataclass(slots=True)
class _Class:
    """How far a class is: its accepted images, their prompts and numbers, and how many candidates were tried."""

    name: str
    missing: int
    images: list[NDArray[np.uint8]] = field(default_factory=list[NDArray[np.uint8]])
    prompts: list[str] = field(default_factory=list[str])
    numbers: list[int] = field(default_factory=list[int])
    tried: int = 0

    @property
    def flagged(self) -> int:
        return self.tried - len(self.images)


class StableDiffusion(Balancer[StableDiffusionOptions]):
    """Fills classes with images of a pretrained pipeline."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the images, or None where no class is short of any.

        Raises BalancerError where the model is not on this machine or cannot be loaded, where nearly all images of a
        class are flagged, and, starting from real images, where a class has none.
        """
        missing_K = missing_counts(self.options.target, train, from_elsewhere=self.options.source != "kept")
        if not missing_K.any():
            return None
        device = torch.device(context.device)
        with seeded_globals(context.seed, device), repeatable(context.deterministic):
            generation = _Generation(self.options, train, missing_K, context, device)
            generation.run()
        generation.describe(context.artefacts / "generation.json")
        generated_MCHW = np.stack([image for image_class in generation.classes for image in image_class.images])
        taken = 0

        def make(labels_B: NDArray[np.int64]) -> NDArray[np.uint8]:
            nonlocal taken
            taken += len(labels_B)
            return generated_MCHW[taken - len(labels_B) : taken]

        filled = fill_classes(train, missing_K, make, batch_size=len(generated_MCHW), progress=context.progress)
        return filled and replace(filled, parents=generation.parents())


class _Generation:
    """Makes candidates until every class has what it misses."""

    def __init__(
        self,
        options: StableDiffusionOptions,
        train: LabelledImages,
        missing_K: NDArray[np.int64],
        context: SynthesisContext,
        device: torch.device,
    ) -> None:
        self._options = options
        self._train = train
        self._context = context
        self._device = device
        self._prompts = options.prompts()
        self.classes = [_Class(name, int(missing)) for name, missing in zip(train.class_names, missing_K, strict=True)]
        missing = [name for name, count in zip(train.class_names, missing_K, strict=True) if count]
        if options.prompts_file is not None:
            self._prompts.refuse_missing(missing, options.prompts_file)
        self._pool = None if options.pool is None else GeneratedPool(options.pool)
        self._from_pool = 0
        self._pipeline: Pipeline | None = None
        self._judge = (
            None if options.clip_folder is None else ClassSimilarity(options.clip_folder, train.class_names, device)
        )
        self._similarities: dict[int, list[tuple[float, ...]]] = {}
        self._finished = FinishedCandidates(context.checkpoints.folder, train.images_NCHW.shape[1:])
        self._batches = 0
        self._of_earlier_attempts = 0
        first = FIRST_BATCH_SIZE.get(device.type, FIRST_BATCH_SIZE_ELSEWHERE)
        self._batch_size = first if options.batch_size == "auto" else options.batch_size

    def run(self) -> None:
        """Take what earlier attempts left, then make the rest."""
        for candidate, image_CHW in self._finished.read():
            self._take(candidate, image_CHW)
            self._of_earlier_attempts += 1
        while candidates := self._next_candidates():
            if self._make(candidates):
                self._batches += 1
                self._report()

    def describe(self, path: Path) -> None:
        """Write what was made."""
        requested = [image_class for image_class in self.classes if image_class.missing]
        description = {
            "model": self._options.hub_model or (self._options.folder or Path(self._options.preset)).name,
            "requested": sum(image_class.missing for image_class in requested),
            "flagged": sum(image_class.flagged for image_class in requested),
            "flagged_by_class": {image_class.name: image_class.flagged for image_class in requested},
            "batches": self._batches,
            "candidates_of_earlier_attempts": self._of_earlier_attempts,
            "batch_size": self._batch_size,
            "from_pool": self._from_pool,
            "clip_similarity": None if self._judge is None else self._similarity_report(),
            "prompts": {image_class.name: image_class.prompts for image_class in requested},
        }
        path.write_text(json.dumps(description, indent=1), encoding="utf-8")

    def parents(self) -> Parents | None:
        """Return the real images that the accepted ones, class by class, began with; None where that was noise."""
        if self._options.source == "text":
            return None
        rows = [
            self._source_row(label, number)
            for label, image_class in enumerate(self.classes)
            for number in image_class.numbers
        ]
        return Parents.single(np.array(rows, dtype=np.int64))

    def _next_candidates(self) -> list[tuple[int, int]]:
        """Return (label, number) of the candidates of the next batch, at most as many as are still missing."""
        candidates: list[tuple[int, int]] = []
        for label, image_class in enumerate(self.classes):
            room = min(image_class.missing - len(image_class.images), self._batch_size - len(candidates))
            candidates += [(label, image_class.tried + ahead) for ahead in range(room)]
        return candidates

    def _make(self, candidates: list[tuple[int, int]]) -> bool:
        """Make a batch and take it; False where memory did not hold it, and the next one is to be half as large."""
        images = [self._image(label, number) for label, number in candidates]
        there = [None if self._pool is None else self._pool.find(image) for image in images]
        lacking = [index for index, one in enumerate(there) if one is None]
        pictures: list[Image.Image | None] = [None if one is None else one[1] for one in there]
        flagged = [one is not None and one[0].flagged for one in there]
        self._from_pool += len(candidates) - len(lacking)
        if lacking:
            generated = self._generated([candidates[index] for index in lacking], [images[index] for index in lacking])
            if generated is None:
                self._from_pool -= len(candidates) - len(lacking)
                return False
            for index, picture, flag in zip(lacking, *generated, strict=True):
                pictures[index], flagged[index] = picture, flag
                if self._pool is not None:
                    self._pool.add(images[index], picture, flagged=flag)
        rows, columns = self._options.pipeline_size
        whole = [picture or Image.new("RGB", (columns, rows)) for picture in pictures]
        labels = [label for label, _ in candidates]
        channels, rows, columns = self._train.images_NCHW.shape[1:]
        for picture, image, label, flag, similarities in zip(
            whole, images, labels, flagged, self._similarities_of(whole, flagged), strict=True
        ):
            candidate = Candidate(
                label=label,
                prompt=image.prompt,
                flagged=flag or self._is_unlike(label, similarities),
                similarities=similarities,
            )
            fitted = fit_made_image(picture, (rows, columns), self._options, self._context.seed)
            image_CHW = pixels_CHW(fitted, channels)
            self._finished.add(candidate, image_CHW)
            self._take(candidate, image_CHW)
        return True

    def _image(self, label: int, number: int) -> GeneratedImage:
        """Return what a candidate is made from."""
        name, seed, options = self.classes[label].name, self._context.seed, self._options
        model, revision = options.model_names
        rows, columns = options.pipeline_size
        return GeneratedImage(
            class_name=name,
            prompt=self._prompts.prompt(name, np.random.default_rng(candidate_seed(seed, "prompt", name, number))),
            seed=candidate_seed(seed, "noise", name, number),
            model=model,
            revision=revision,
            guidance=options.pipeline_guidance,
            steps=options.pipeline_steps,
            scheduler=options.pipeline_scheduler,
            height=rows,
            width=columns,
        )

    def _generated(
        self, candidates: list[tuple[int, int]], images: list[GeneratedImage]
    ) -> tuple[list[Image.Image], list[bool]] | None:
        """Run the pipeline; None where memory did not hold the batch."""
        self._pipeline = self._pipeline or self._load()
        try:
            generated_BCHW, flagged = self._pipeline(
                [image.prompt for image in images], [image.seed for image in images], self._sources(candidates)
            )
        except torch.OutOfMemoryError:
            if self._options.batch_size != "auto" or len(candidates) == 1:
                raise
            self._batch_size = len(candidates) // 2
            self._context.logger.info("out of memory: going on with %d images at once", self._batch_size)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            return None
        return as_pictures(generated_BCHW), flagged

    def _similarities_of(self, pictures: list[Image.Image], flagged: list[bool]) -> list[tuple[float, ...] | None]:
        """Return CLIP's similarities of each picture to the names of all classes; None of flagged ones."""
        if self._judge is None:
            return [None] * len(pictures)
        similarities_BK = self._judge(pictures)
        return [
            None if flag else tuple(of_one_K.tolist()) for of_one_K, flag in zip(similarities_BK, flagged, strict=True)
        ]

    def _is_unlike(self, label: int, similarities: tuple[float, ...] | None) -> bool:
        """Say whether CLIP finds an image too unlike the name of its class."""
        least = self._options.least_similarity
        return least is not None and similarities is not None and similarities[label] < least

    def _similarity_report(self) -> JSON:
        """Return the mean similarity of each class's images to its own name, and the classes of vague names."""
        names = self._train.class_names
        mean_KK = np.full((len(names), len(names)), np.nan)
        for label, of_class in self._similarities.items():
            mean_KK[label] = np.mean(of_class, axis=0)
        vague = vague_classes(mean_KK, names)
        for name, other in vague.items():
            self._context.logger.warning(
                "images of class %r fit the name %r as well as their own: a prompt of its own may help", name, other
            )
        own = {names[label]: float(mean_KK[label, label]) for label in sorted(self._similarities)}
        return {"to_own_name": own, "fits_another_name": vague}

    def _sources(self, candidates: list[tuple[int, int]]) -> torch.Tensor | None:
        """Return a real image of its class for each candidate, RGB in 0..1 at the pipeline's size."""
        if self._options.source == "text":
            return None
        chosen = [self._source_row(label, number) for label, number in candidates]
        real_BHWC = np.asarray(self._train.images_NCHW[chosen]).transpose(0, 2, 3, 1)
        pictures = [
            Image.fromarray(real_HWC if real_HWC.shape[2] == 3 else real_HWC.repeat(3, axis=2))
            for real_HWC in real_BHWC
        ]
        fitted = [fit_image(picture, self._options.pipeline_size, self._options) for picture in pictures]
        fitted_BCHW = np.stack([pixels_CHW(picture, 3) for picture in fitted])
        return torch.from_numpy(fitted_BCHW).to(self._device).float() / 255

    def _source_row(self, label: int, number: int) -> int:
        """Return the training image that a candidate starts from."""
        members_N = np.flatnonzero(self._train.labels_N == label)
        rng = np.random.default_rng(candidate_seed(self._context.seed, "source", self.classes[label].name, number))
        return int(members_N[rng.integers(len(members_N))])

    def _take(self, candidate: Candidate, image_CHW: NDArray[np.uint8]) -> None:
        image_class = self.classes[candidate.label]
        image_class.tried += 1
        if candidate.similarities is not None:
            self._similarities.setdefault(candidate.label, []).append(candidate.similarities)
        if not candidate.flagged:
            image_class.images.append(image_CHW)
            image_class.prompts.append(candidate.prompt)
            image_class.numbers.append(image_class.tried - 1)
            return
        passed = len(image_class.images)
        if image_class.flagged >= FLAGGED_AT_LEAST and image_class.flagged >= FLAGGED_TO_PASSED * passed:
            by = "the safety checker" if self._options.least_similarity is None else "safety checker and CLIP"
            raise BalancerError(
                f"{by} flagged {image_class.flagged} of {image_class.tried} images of class "
                f"{image_class.name!r}: other `templates` or `words`, or another model, may help"
            )

    def _report(self) -> None:
        done, total = (sum(counts) for counts in zip(*((len(c.images), c.missing) for c in self.classes), strict=True))
        flagged = sum(image_class.flagged for image_class in self.classes)
        self._context.progress(done, total, f"image {done}/{total}, {flagged} flagged")

    def _load(self) -> Pipeline:
        self._context.progress(0, 1, "loading the pipeline")
        folder = model_folder(self._options)
        if folder is None:
            folder = self._context.scratch / "tiny_pipeline"
            save_tiny_pipeline(folder)
        return Pipeline(folder, self._options, self._device)
