"""The training tools: the smaller tokenizer spells like CLIP's own, pools repeat, and the losses are the papers'."""

import numpy as np
import open_clip
import pytest
import torch

from qs_core.schedule import make_schedule
from tools.data import photos
from tools.data.styles import STYLES
from tools.train import clip, pool, unet


def test_the_small_tokenizer_splits_every_known_word_as_the_whole_one_does(tmp_path):
    size = clip.write_merges(tmp_path / "merges.txt.gz")
    small = open_clip.tokenizer.SimpleTokenizer(bpe_path=str(tmp_path / "merges.txt.gz"), context_length=32)
    whole = open_clip.tokenizer.SimpleTokenizer()
    assert small.vocab_size == size < 2000
    for word in clip.vocabulary():
        assert [small.decoder[t] for t in small.encode(word)] == [whole.decoder[t] for t in whole.encode(word)]


def test_captions_use_known_words_and_fit_the_context(tmp_path):
    clip.write_merges(tmp_path / "merges.txt.gz")
    tokenizer = open_clip.tokenizer.SimpleTokenizer(bpe_path=str(tmp_path / "merges.txt.gz"), context_length=32)
    rng, known = np.random.default_rng(0), set(clip.vocabulary())
    for style in STYLES:
        for _ in range(50):
            caption = clip.captions(style, rng)
            assert len(tokenizer.encode(caption)) <= 30
            assert set(clip.re.findall("[a-z]+", caption.lower())) <= known


@pytest.mark.skipif(
    not all(photos.source_path(photo).is_file() for photo in photos.split("train")),
    reason="Debian's lomiri-wallpapers-16.04 is needed, for training alone",
)
def test_a_pool_repeats_and_holds_no_photo_label():
    first, second = pool._chunk((0, 3, False)), pool._chunk((0, 3, False))
    assert np.array_equal(first[1], second[1]) and np.array_equal(first[2], second[2])
    assert first[1].shape == (pool.CHUNK, 2, 128, 128, 3)
    assert first[2].min() >= 1 and first[2].max() < len(STYLES)
    assert not np.array_equal(first[1], pool._chunk((1, 3, False))[1])
    assert not np.array_equal(first[1], pool._chunk((0, 3, True))[1])


@pytest.mark.parametrize("t", [1, 400])
def test_the_variational_loss_is_zero_for_the_true_posterior(t):
    """A network that predicts the noise and the posterior variance exactly has no divergence from it."""
    process, steps = unet.Process(torch.device("cpu")), torch.tensor([t])
    generator = torch.Generator().manual_seed(0)
    x0 = torch.rand(1, 3, 8, 8, generator=generator) * 1.8 - 0.9
    noise = torch.randn(1, 3, 8, 8, generator=generator)
    alpha_bar = make_schedule("1000").alpha_bar[t]
    x_t = alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * noise
    simple, vlb = unet.losses(process, torch.cat([noise, -torch.ones_like(noise)], 1), x0, x_t, noise, steps)
    assert simple == 0
    assert abs(float(vlb)) < 1e-4
    _, wrong = unet.losses(process, torch.cat([noise + 1, torch.ones_like(noise)], 1), x0, x_t, noise, steps)
    assert wrong > 10 * abs(vlb) + 1e-6
