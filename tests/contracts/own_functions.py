"""Functions as users write them, for the contracts."""

import math

import torch


def heavy_ball(gradient, state, step, momentum=0.9):
    """The optimizer sgd."""
    velocity = gradient + momentum * state[0] if state else gradient
    return velocity, (velocity,)


def adam(gradient, state, step, beta1=0.9, beta2=0.999, eps=1e-8):
    """As a tutorial has it: it changes its state in place."""
    mean, square = state or (torch.zeros_like(gradient), torch.zeros_like(gradient))
    mean.mul_(beta1).add_((1 - beta1) * gradient)
    square.mul_(beta2).add_((1 - beta2) * gradient * gradient)
    corrected = mean / (1 - beta1**step)
    return corrected / ((square / (1 - beta2**step)).sqrt() + eps), (mean, square)


def patient(gradient, state, step, wait=3):
    """Its state is the gradient itself, a count, one tensor twice, and grows once."""
    if not state:
        return gradient.mul_(0.5), (gradient, torch.zeros((), dtype=torch.int64))
    before, count, *old = state
    direction = torch.where(count < wait, gradient, (gradient + before) / 2)
    return direction, (gradient, count + 1, *(old or [before, before]))


def waves(progress, count=2, low=0.0):
    return low + (1 - low) * abs(math.cos(math.pi * count * progress))


def triangle(progress):
    """A number as torch has it, and above 1."""
    return torch.tensor(1.5 - abs(progress - 0.5))


def focal(outputs, targets, gamma=2.0):
    logarithms = outputs.log_softmax(1)
    return -(targets * (1 - logarithms.exp()) ** gamma * logarithms).sum(1)


def half(targets, generator):
    return torch.randperm(len(targets), generator=generator)[: len(targets) // 2]


def uneven(targets, generator, power=1.0):
    """Twice as many rows as there are; large targets, or late classes, more often."""
    shares = (targets.double() - targets.min() + 0.1) ** power
    return torch.multinomial(shares, 2 * len(targets), replacement=True, generator=generator)
