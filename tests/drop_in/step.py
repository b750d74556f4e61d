"""One training step of a host's model with our backbone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from torch import Tensor

from .tasks import Batch


def build(host: str, cfg: Config) -> BaseModel:
    """Build a config's model by the host's registry, weights initialized."""
    model = revert_sync_batchnorm(import_module(f'{host}.registry').MODELS.build(cfg.model))
    model.init_weights()
    return model


def take_step(model: BaseModel, optim_wrapper: dict[str, Any], batch: Batch) -> dict[str, Tensor]:
    """Train one step; return the backbone's weights as they were.

    Every weight of the backbone that is not frozen must have got a gradient, and the loss must be
    finite.
    """
    optim_wrapper = build_optim_wrapper(model, optim_wrapper)
    weights = dict(model.backbone.named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    trained = {name: weight for name, weight in weights.items() if weight.requires_grad}
    # the step clears the gradients, so they are looked at when they come
    grad_norms = {}
    for name, weight in trained.items():
        weight.register_post_accumulate_grad_hook(
            lambda w, name=name: grad_norms.update({name: w.grad.norm()})
        )
    for counter in ('iter', 'epoch'):  # as a Runner does; some losses warm up by them
        MessageHub.get_current_instance().update_info(counter, 0)

    model.train()
    losses = model.train_step(batch, optim_wrapper)

    assert losses['loss'].isfinite(), 'the loss is not finite'
    assert grad_norms.keys() == trained.keys()
    assert all(norm.isfinite() and norm > 0 for norm in grad_norms.values()), grad_norms
    return before
