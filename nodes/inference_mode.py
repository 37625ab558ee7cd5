"""ComfyUI runs every node inside `torch.inference_mode()`, where autograd cannot work.

`enable_grad` does nothing there, and tensors made or weights moved there are unusable for a gradient ever after. So
node bodies leave that mode, images are cloned on entry, and weights are put right before each use.
"""

import torch

leaves_inference_mode = torch.inference_mode(False)  # decorates a node's method


def make_usable(network: torch.nn.Module, device: torch.device) -> None:
    """Replace weights that were moved in inference mode, or left elsewhere, by clean copies on the device."""
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and _unfit(parameter, device):
                module._parameters[name] = torch.nn.Parameter(parameter.to(device).clone(), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None and _unfit(buffer, device):
                module._buffers[name] = buffer.to(device).clone()


def _unfit(tensor: torch.Tensor, device: torch.device) -> bool:
    other_index = device.index is not None and tensor.device.index != device.index
    return tensor.is_inference() or tensor.device.type != device.type or other_index
