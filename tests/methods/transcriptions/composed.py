"""A plan under another correction: Re-ttention or DiTFastAttn's residual, where it is asked at refreshes and held until the next
one, or the pooled rectification of Rectified SpaAttn, which follows it."""

import importlib

import numpy as np

from . import adaspa, ditscope_auto, re_ttention
from .common import Result
from .rectified_spaattn import Pooled


def rectified(call, module, parameters, warmup_steps, gain="fold"):
    result, blocks = Result(call), module.blocks(call, **parameters)
    result.rho = np.ones(result.lse.shape)
    for s, t in call.steps():
        for b, h in call.heads():
            q, k, v = call.q[s, b, h], call.k[s, b, h], call.v[s, b, h]
            if t < warmup_steps:
                result.put(s, b, h)
                continue
            mask = module.chosen(call, q, k, **parameters)
            o, _ = result.put(s, b, h, mask)
            visual = call.visual
            first = np.unique(blocks, return_index=True)[1]  # a token of each block stands for it: blocks are kept whole
            selected = mask[np.ix_(visual[first], visual[first])]
            scale, c = Pooled(call, q[visual], k[visual], v[visual], k[call.text_tokens], blocks).rectification(selected, gain)
            result.out[s, b, h, visual] = scale[blocks][:, None] * o[visual] + c[blocks]
            result.rho[s, b, h, visual] = scale[blocks]
        result.count(s)
    return result


def run(call, plan, parameters, use_rho=True, rectify=False, **schedule):
    if rectify:
        return rectified(call, importlib.import_module("transcriptions." + plan), parameters, **schedule)
    if plan == "adaspa":
        state = adaspa.Blocks(call, **parameters)
        schedule = {"warmup_steps": state.search_steps[0], "searches": state.search_steps, **schedule}

        def chosen(s, t, b, h):
            if h == 0 and t in state.search_steps:
                state.search(s, t, b)
            return state.masks[b, h]
    elif plan == "ditscope-auto":
        chosen = ditscope_auto.Chosen(call, schedule["warmup_steps"], **parameters)
    else:
        module = importlib.import_module("transcriptions." + plan)

        def chosen(s, t, b, h):
            return module.chosen(call, call.q[s, b, h], call.k[s, b, h], **parameters)
    result = re_ttention.run(call, use_rho=use_rho, plan=chosen, **schedule)
    if not use_rho:
        result.rho = result.mass = None
    return result
