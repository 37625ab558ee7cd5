"""Out of memory: the same step again with less held, the same random draws, and a clear error at the end."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qs_core import unets
from qs_core.anchors import Anchors
from qs_core.crops import Crops
from qs_core.errors import MemoryShortage
from qs_core.features.clip import text_direction
from qs_core.guidance import Guidance, bind
from qs_core.host import LocalHost, out_of_memory
from qs_core.losses.base import Loss, Term
from qs_core.losses.clip import CLIPLoss
from qs_core.losses.contrastive import content_term
from qs_core.losses.pixel import MSE
from qs_core.memory import MemoryPolicy, in_portions
from qs_core.model import DiffusionModel
from qs_core.networks import load
from qs_core.pipeline import stylize
from qs_core.randomness import normal, seeded
from qs_core.samplers import ddim_step
from qs_core.settings import Settings
from qs_core.transfer import Inversion, restyle
from qs_core.unets.ddpm import DDPMConfig, DDPMUNet
from qs_core.unets.gradient_checkpointing import gradient_checkpointing, run

CROPS = 6
SAME = {"rtol": 1e-4, "atol": 1e-6}  # float32 sums in another order; gradients of about 1e-2
WALKED = {"rtol": 0, "atol": 1e-5}  # the same, carried through four guided steps of pictures in [-1, 1]


@pytest.fixture
def terms(learned, tiny_clip):
    text = text_direction(tiny_clip, ["gold"], "photo")
    return (
        Term({"clip_global": 5.0, "clip_directional": 3.0}, CLIPLoss(text, Crops(CROPS, (0.1, 0.5)))),
        content_term(learned, 1.0, Anchors("random", 16)),
        Term(10.0, MSE()),
    )


class Shortage:
    """Runs the device out of memory in the first `times` evaluations, at the given moment: "unet", "clip" or "both"."""

    def __init__(self, monkeypatch, model, clip, times, error=torch.OutOfMemoryError, spared=0):
        """`spared`: calls of CLIP in each of those evaluations that go well before the one that does not."""
        self.times, self.error, self.attempts, self.calls = times, error, 0, 0
        unet, encode = type(model.network).forward, type(clip).encode_image

        def forward(network, *arguments, **options):
            self.attempts, self.calls = self.attempts + 1, 0
            return unet(network, *arguments, **options)

        def encode_image(network, crops):
            self.calls += crops.requires_grad
            if crops.requires_grad and self.calls > spared and self.attempts <= self.times:
                raise self.error("CUDA out of memory. Tried to allocate 2 GiB.\nsecond line")
            return encode(network, crops)

        monkeypatch.setattr(type(model.network), "forward", forward)
        monkeypatch.setattr(type(clip), "encode_image", encode_image)


def gradient(model, terms, source, policy=None, seeds=(3, 4)):
    bound = bind(terms, source, seeds)
    return Guidance(model, model.schedule("50"), bound, policy)(source, 10)


@pytest.mark.parametrize(
    "policy",
    [
        MemoryPolicy(chunk=3),
        MemoryPolicy(chunk=1),
        MemoryPolicy(checkpointing=True),
        MemoryPolicy(chunk=4, checkpointing=True),
    ],
)
def test_sparing_changes_nothing_but_rounding(learned, terms, picture, policy):
    source = picture(1, 2)
    plain, spared = gradient(learned, terms, source), gradient(learned, terms, source, policy)
    torch.testing.assert_close(spared.gradient, plain.gradient, **SAME)
    assert plain.gradient.abs().max() > 1e-3
    for name, value in plain.losses.items():
        torch.testing.assert_close(spared.losses[name], value, **SAME)


def test_what_some_crops_gave_before_memory_ran_out_is_not_added_twice(learned, terms, picture, monkeypatch):
    source, policy = picture(1, 2), MemoryPolicy(chunk=3)
    plain = gradient(learned, terms, source)
    shortage = Shortage(monkeypatch, learned, terms[0].loss.text.clip, times=1, spared=2)
    spared = gradient(learned, terms, source, policy)
    assert (shortage.attempts, policy.chunk) == (2, 1)
    torch.testing.assert_close(spared.gradient, plain.gradient, **SAME)
    for name, value in plain.losses.items():
        torch.testing.assert_close(spared.losses[name], value, **SAME)


@pytest.mark.parametrize(
    "times, chunk, checkpointing, level",
    [(0, None, False, 0), (1, 3, False, 1), (2, 1, False, 1), (3, 1, True, 2)],
)
def test_levels_follow_each_other(monkeypatch, learned, tiny_clip, terms, picture, times, chunk, checkpointing, level):
    source, released = picture(1), []
    plain = gradient(learned, terms, source, seeds=(3,))

    class Host(LocalHost):
        def release(self):
            released.append((policy.chunk, policy.checkpointing))

    policy = MemoryPolicy(Host())
    shortage = Shortage(monkeypatch, learned, tiny_clip, times)
    spared = gradient(learned, terms, source, policy, seeds=(3,))
    assert (policy.chunk, policy.checkpointing, policy.level) == (chunk, checkpointing, level)
    assert released == [(3, False), (1, False), (1, True)][:times] and shortage.attempts == times + 1
    # The same crops and anchors: other ones differ by a hundred times the tolerance.
    torch.testing.assert_close(spared.gradient, plain.gradient, **SAME)
    assert not torch.allclose(gradient(learned, terms, source, seeds=(5,)).gradient, plain.gradient, rtol=1e-2)


def test_the_end_is_an_error_that_says_what_was_tried(monkeypatch, learned, tiny_clip, terms, picture):
    shortage = Shortage(monkeypatch, learned, tiny_clip, 99)
    message = (
        "Out of memory at 32x32, batch 2, though CLIP held 1 crop at a time and the U-Net's blocks were computed again "
        r"\(CUDA out of memory. Tried to allocate 2 GiB.\). Use a smaller size, .* fewer crops, dtype bfloat16"
    )
    with pytest.raises(MemoryShortage, match=message) as caught:
        gradient(learned, terms, picture(1, 2), MemoryPolicy())
    assert shortage.attempts == 4
    assert caught.value.__context__ is None  # nothing that holds the failed attempt's tensors


class Short(Loss):
    """A loss without crops, that runs out of memory the first time."""

    name, attempts = "short", 0

    def against(self, source, generators):
        def loss(view):
            self.attempts += 1
            if self.attempts == 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return {"mse": (view.estimate - source).square().mean((1, 2, 3))}

        return loss


def test_without_crops_the_unet_is_the_first_to_spare(learned, picture):
    policy = MemoryPolicy()

    gradient(learned, (Term(1.0, Short()),), picture(1), policy, seeds=(0,))
    assert policy.level == 2 and policy.chunk is None


def test_where_the_unet_itself_runs_short_its_blocks_are_the_first_to_spare(monkeypatch, learned, terms, picture):
    source, policy, unet, attempts = picture(1), MemoryPolicy(), type(learned.network).forward, []
    plain = gradient(learned, terms, source, seeds=(3,))

    def forward(*arguments, **options):
        attempts.append(1)
        if len(attempts) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return unet(*arguments, **options)

    monkeypatch.setattr(type(learned.network), "forward", forward)
    spared = gradient(learned, terms, source, policy, seeds=(3,))
    assert (policy.chunk, policy.checkpointing, len(attempts)) == (None, True, 2)
    torch.testing.assert_close(spared.gradient, plain.gradient, **SAME)


def test_a_loss_without_crops_spares_no_crops_of_another(learned, terms, picture):
    policy = MemoryPolicy()
    gradient(learned, (*terms, Term(1.0, Short())), picture(1), policy, seeds=(0,))
    assert (policy.chunk, policy.checkpointing) == (None, True)


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 18.03 GB, other allocations: 2.11 GB)."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:81] data. DefaultCPUAllocator: not enough memory: you …"), True),
        (RuntimeError("Sizes of tensors must match except in dimension 1."), False),
        (ValueError("DefaultCPUAllocator: not enough memory"), False),
        (MemoryShortage("Out of memory at 32x32 (MPS backend out of memory). Use a smaller size."), False),
    ],
)
def test_how_each_device_says_it(error, meant):
    assert out_of_memory(error) is meant


def test_the_cpu_s_own_error_is_taken_for_what_it_is():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert out_of_memory(caught.value)


def portioned(work, count):
    """in_portions of one item each: the rows, and what work() gives."""

    def walk(rows, policy):
        yield rows, work()

    return in_portions((count, 32, 32), lambda n: n, torch.device("cpu"), walk)


def test_what_no_policy_can_spare_ends_in_the_same_words(picture):
    def short():
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    message = r"Out of memory at 32x32, batch 1, though nothing was spared \(CUDA out of memory.\). Use a smaller size"
    with pytest.raises(MemoryShortage, match=message) as caught:
        list(portioned(short, 1))
    assert caught.value.__context__ is None
    with pytest.raises(ZeroDivisionError):
        list(portioned(lambda: 1 / 0, 1))
    assert list(portioned(lambda: 3, 5)) == [(slice(0, 4), 3), (slice(4, 5), 3)]  # nothing tells of free memory


def test_without_guidance_nothing_can_be_spared(monkeypatch, learned, picture):
    def forward(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(type(learned.network), "forward", forward)
    with pytest.raises(MemoryShortage, match="though nothing was spared"):
        gradient(learned, (), picture(1), MemoryPolicy())


def test_without_a_policy_the_error_passes(monkeypatch, learned, tiny_clip, terms, picture):
    Shortage(monkeypatch, learned, tiny_clip, 1)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        gradient(learned, terms, picture(1), seeds=(0,))


def test_other_errors_pass_and_a_host_may_name_its_own(monkeypatch, learned, tiny_clip, terms, picture):
    Shortage(monkeypatch, learned, tiny_clip, 1, RuntimeError)
    with pytest.raises(RuntimeError, match="Tried to allocate"):
        gradient(learned, terms, picture(1), MemoryPolicy(), seeds=(0,))
    Shortage(monkeypatch, learned, tiny_clip, 1, RuntimeError)

    class Host(LocalHost):
        def is_shortage(self, error):
            return "out of memory" in str(error)

    policy = MemoryPolicy(Host())
    gradient(learned, terms, picture(1), policy, seeds=(0,))
    assert policy.level == 1


def test_a_walk_keeps_the_level_and_ends_at_the_same_picture(monkeypatch, learned, tiny_clip, terms, picture):
    source, schedule = picture(1, 2), learned.schedule("50")
    x = schedule.diffuse(source, normal(source, seeded([1, 2])), 4)
    inversion = Inversion(learned, schedule, source, x, 4)

    def walk(policy=None):
        bound = bind(terms, inversion.source, [5, 6])
        guidance = Guidance(learned, schedule, bound, policy)
        return list(restyle(inversion, ddim_step(0.5), guidance, seeded([7, 8])))

    plain, policy = walk(), MemoryPolicy()
    shortage = Shortage(monkeypatch, learned, tiny_clip, 2)
    spared = walk(policy)
    assert shortage.attempts == 4 + 2  # two attempts failed at the first step, and none after it
    assert policy.chunk == 1 and not policy.checkpointing
    torch.testing.assert_close(spared[-1].x, plain[-1].x, **WALKED)
    assert [set(step.losses) for step in spared] == [set(step.losses) for step in plain]


def test_after_a_fallback_the_generators_stand_where_they_would_have_stood(
    monkeypatch, learned, tiny_clip, terms, picture
):
    source, schedule = picture(1), learned.schedule("50")
    plain = bind(terms, source, [3])
    Guidance(learned, schedule, plain)(source, 10)
    bound = bind(terms, source, [3])
    Shortage(monkeypatch, learned, tiny_clip, 3)
    Guidance(learned, schedule, bound, MemoryPolicy())(source, 10)
    for one, other in zip(bound, plain, strict=True):
        assert [g.get_state().tolist() for g in one.generators] == [g.get_state().tolist() for g in other.generators]


class Peak(TorchDispatchMode):
    """The most bytes of tensors made within it that were alive at once."""

    def __init__(self):
        super().__init__()
        self.now, self.most, self.seen = 0, 0, set()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        made = function(*arguments, **(options or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.most = max(self.most, self.now)
        return made

    def _count(self, storage):
        key = storage._cdata
        if key not in self.seen:
            self.seen.add(key)
            self.now += storage.nbytes()
            weakref.finalize(storage, self._gone, key, storage.nbytes())

    def _gone(self, key, size):
        self.seen.discard(key)
        self.now -= size


def peak(model, terms, source, policy):
    bound = bind(terms, source, [3])
    with Peak() as memory:
        Guidance(model, model.schedule("50"), bound, policy)(source, 10)
    return memory.most


def test_clips_memory_falls_with_the_crops_held_at_a_time(learned, tiny_clip, picture):
    text = text_direction(tiny_clip, ["gold"], "photo")
    source, terms = picture(1), (Term(1.0, CLIPLoss(text, Crops(32, (0.1, 0.5)))),)
    without = peak(learned, (Term(1.0, MSE()),), source, None)
    most = [peak(learned, terms, source, MemoryPolicy(chunk=number)) - without for number in (None, 16, 8, 4)]
    # Measured: 2.1, 1.0, 0.5 and 0.2 MB above the U-Net's 15.
    assert all(fewer < 0.6 * more for more, fewer in zip(most, most[1:], strict=False))


def deep(family):
    """A random network whose blocks outweigh the rest."""
    torch.manual_seed(0)
    if family == "adm":
        network = unets.adm.ADMUNet(unets.adm.ADMConfig(32, (1, 2), 3, (2,), 6, True, True, num_head_channels=32))
    else:
        network = DDPMUNet(DDPMConfig(32, (1, 2), 3, (2,)))
    return DiffusionModel(
        network.eval().requires_grad_(False), variance="learned" if family == "adm" else "fixed_small"
    )


@pytest.mark.parametrize("family", ["adm", "ddpm"])
def test_the_unets_memory_falls_where_its_blocks_are_computed_again(picture, family):
    model, source = deep(family), picture(1)
    terms = (content_term(model, 1.0, Anchors("random", 16)), Term(1.0, MSE()))
    plain, spared = (peak(model, terms, source, MemoryPolicy(checkpointing=wished)) for wished in (False, True))
    assert spared < 0.35 * plain  # measured: 0.21 and 0.23


@pytest.mark.parametrize("family", ["adm", "ddpm"])
def test_computed_again_it_is_the_same_to_the_bit(picture, family):
    model = deep(family)
    t, x = torch.tensor([400.0]), picture(1)

    def gradient():
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(model.unet(leaf, t).square().sum(), leaf)[0]

    expected = gradient()
    with gradient_checkpointing():
        torch.testing.assert_close(gradient(), expected, rtol=0, atol=0)


def test_computing_again_ends_with_its_block():
    with pytest.raises(ZeroDivisionError), gradient_checkpointing():
        raise ZeroDivisionError
    saved = []
    block, x = torch.nn.Linear(2, 2), torch.ones(1, 2, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        run(block, x)
    assert saved


def test_stylize_spares_by_itself_and_reports_it(monkeypatch, picture):
    options = {"steps": "6", "skip": 4, "size": 32, "crops": 4, "clip_dtype": "float32"}
    plain = stylize(picture(1)[0], "golden", **options)
    networks = load(Settings(("golden",), clip_dtype="float32"))
    Shortage(monkeypatch, networks.model, networks.text.clip, 2 + 1)  # two evaluations of the inversion come before
    spared = stylize(picture(1)[0], "golden", **options)
    assert spared.report["resolved"]["memory_policy"] == "CLIP held 2 crops at a time"
    torch.testing.assert_close(spared.picture, plain.picture, rtol=0, atol=1e-4)  # guided by weights of thousands
