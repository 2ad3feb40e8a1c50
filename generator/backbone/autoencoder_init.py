"""Two head starts for small autoencoders.

As a resampler: at step 0 it shrinks and enlarges the picture. From random weights a small
autoencoder first learns brightness and takes thousands of steps to find colour (docs/log.md). Here
six channels of every layer, +-R, +-G, +-B, are passed through: averaged where the encoder halves
the picture, repeated where the decoder doubles it. Pairs of signs survive the activations, since
silu(x) - silu(-x) = x. All other channels keep their random weights.
Source: our choice; in the spirit of DC-AE's residual autoencoding (arXiv 2410.10733).

From pictures: a video autoencoder takes over the weights of an image autoencoder, which sees many
more pictures in the same time. A clip that stands still then comes back exactly as its picture
does; what is left to learn is motion. Source: inflation, as in I3D (arXiv 1705.07750), Sec. 2.2;
all weight goes to the tap of the present frame, since the convolutions are causal.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderKLCogVideoX
from torch import Tensor, nn

COLOURS = 3
PASSED = 2 * COLOURS
RESIDUAL_GAIN = 0.1  # residual branches start small, so that what is passed through stands out
LOG_VARIANCE = -6.0  # the posterior starts narrow: noise of the size of the mean hides it


@torch.no_grad()
def initialise_as_resampler(model: Any) -> None:
    """Set the weights of an AutoencoderKL or AutoencoderKLCogVideoX in place.

    Raises: ValueError: if a layer has fewer than the six channels, or the latent fewer than three.
    """
    encoder, decoder = model.encoder, model.decoder
    narrowest = min(model.config.block_out_channels)
    if narrowest < PASSED or model.config.latent_channels < COLOURS:
        raise ValueError(f"{narrowest} channels are too few to pass six through")
    for part in (encoder, decoder):
        _pass_through(part)
    _split(_conv(encoder.conv_in))
    _merge(_conv(encoder.conv_out))
    _split(_conv(decoder.conv_in))
    _merge(_conv(decoder.conv_out))
    latents = model.config.latent_channels
    moments = model.quant_conv if model.quant_conv is not None else _conv(encoder.conv_out)
    if model.quant_conv is not None:
        _identity(model.quant_conv, COLOURS)
        _identity(model.post_quant_conv, COLOURS)
    moments.weight[latents:] = 0
    moments.bias[latents:] = LOG_VARIANCE
    if isinstance(model, AutoencoderKLCogVideoX):
        _colour_of_latent(decoder.norm_out)


def _conv(layer: nn.Module) -> Any:
    """The convolution itself: CogVideoX wraps it to make it causal."""
    return getattr(layer, "conv", layer)


def _centre(conv: Any) -> tuple[int, ...]:
    """Index of the tap that sees the same place; causal kernels end at the present frame."""
    sizes = conv.kernel_size
    return (
        (sizes[0] - 1, *(size // 2 for size in sizes[1:]))
        if len(sizes) == 3
        else tuple(size // 2 for size in sizes)
    )


def _clear(conv: Any, rows: int) -> Tensor:
    conv.weight[:rows] = 0
    if conv.bias is not None:
        conv.bias[:rows] = 0
    weight: Tensor = conv.weight
    return weight


def _identity(conv: Any, channels: int) -> None:
    """Output channel k = input channel k, for the first `channels`."""
    weight = _clear(conv, channels)
    for channel in range(channels):
        weight[(channel, channel, *_centre(conv))] = 1.0


def _split(conv: Any) -> None:
    """Three colours -> their six signed channels."""
    weight = _clear(conv, PASSED)
    for channel in range(PASSED):
        weight[(channel, channel // 2, *_centre(conv))] = 1.0 if channel % 2 == 0 else -1.0


def _merge(conv: Any) -> None:
    """Six signed channels -> three colours."""
    weight = _clear(conv, COLOURS)
    for channel in range(PASSED):
        weight[(channel // 2, channel, *_centre(conv))] = 0.5 if channel % 2 == 0 else -0.5


def _pass_through(part: nn.Module) -> None:
    for name, module in part.named_modules():
        if name.endswith(("downsamplers.0", "downsamplers.0.conv")) and _is_conv(module):
            weight = _clear(module, PASSED)
            for channel in range(PASSED):
                weight[channel, channel, :2, :2] = 0.25
        elif name.endswith("upsamplers.0.conv") and _is_conv(module):
            _identity(module, PASSED)
        elif name.endswith("conv_shortcut"):
            _identity(_conv(module), PASSED)
        elif name.endswith(("conv2", "to_out.0")):
            layer: Any = _conv(module)
            layer.weight *= RESIDUAL_GAIN
            if layer.bias is not None:
                layer.bias *= RESIDUAL_GAIN


def _is_conv(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Conv3d)


def _colour_of_latent(norm: Any) -> None:
    """The video decoder's last norm sees the latent: take the colours from there."""
    scale, shift = _conv(norm.conv_y), _conv(norm.conv_b)
    _clear(scale, PASSED)
    _split(shift)


@torch.no_grad()
def inflate(image: AutoencoderKL, video: AutoencoderKLCogVideoX) -> None:
    """Set the weights of `video` from an `image` autoencoder of the same widths, in place.

    Raises: ValueError: if a layer of one has no counterpart of the same size in the other.
    """
    source = image.state_dict()
    for name, value in video.state_dict().items():
        if re.search(r"\.conv_[yb]\.", name):
            # The decoder's norms, norm(x) * y(latent) + b(latent), begin as plain ones.
            value.fill_(1.0 if name.endswith("conv_y.conv.bias") else 0.0)
            continue
        kernel = source.pop(_image_name(name), None)
        if kernel is not None and kernel.dim() == 4 and value.dim() == 5:
            causal = torch.zeros(*kernel.shape[:2], value.shape[2], *kernel.shape[2:])
            causal[:, :, -1] = kernel
            kernel = causal
        if kernel is None or kernel.shape != value.shape:
            raise ValueError(f"{name}: the image autoencoder has no such layer of this size")
        value.copy_(kernel)
    if source:
        raise ValueError(f"{min(source)}: the video autoencoder has no such layer")


def _image_name(name: str) -> str:
    """What a video autoencoder's parameter is called in an image autoencoder."""
    name = re.sub(r"\.(conv_in|conv_out|conv1|conv2)\.conv\.", r".\1.", name)
    return name.replace(".norm_layer.", ".").replace(".norm_out.", ".conv_norm_out.")
