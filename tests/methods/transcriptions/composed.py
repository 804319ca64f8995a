"""A plan in place of the window under Re-ttention or DiTFastAttn's residual: asked at refreshes, held until the next one."""

import importlib

from . import re_ttention


def run(call, plan, parameters, use_rho=True, **schedule):
    chooses = importlib.import_module("transcriptions." + plan).chosen
    result = re_ttention.run(call, use_rho=use_rho, plan=lambda call, q, k: chooses(call, q, k, **parameters), **schedule)
    if not use_rho:
        result.rho = result.mass = None
    return result
