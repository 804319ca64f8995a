"""A plan in place of the window under Re-ttention or DiTFastAttn's residual: asked at refreshes, held until the next one."""

import importlib

from . import adaspa, re_ttention


def run(call, plan, parameters, use_rho=True, **schedule):
    if plan == "adaspa":
        state = adaspa.Blocks(call, **parameters)
        schedule = {"warmup_steps": state.search_steps[0], "searches": state.search_steps, **schedule}

        def chosen(s, t, b, h):
            if h == 0 and t in state.search_steps:
                state.search(s, t, b)
            return state.masks[b, h]
    else:
        module = importlib.import_module("transcriptions." + plan)

        def chosen(s, t, b, h):
            return module.chosen(call, call.q[s, b, h], call.k[s, b, h], **parameters)
    result = re_ttention.run(call, use_rho=use_rho, plan=chosen, **schedule)
    if not use_rho:
        result.rho = result.mass = None
    return result
