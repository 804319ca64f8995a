"""The cases: a method as `attend` takes it, the same parameters for its transcription, and tensors to run it on."""

SMALL, TILED, WIDE, LARGE = (3, 6, 8), (5, 8, 8), (4, 12, 12), (4, 16, 16)


def case(method, parameters=None, grid=SMALL, text=7, text_first=True, branches=1, first_step=0, total_steps=10, tolerance=0,
         tables=None, **data):
    data = {"batch": branches, **data}
    side = "" if text == 0 else (" first" if text_first else " last")
    label = f"{grid[0]}x{grid[1]}x{grid[2]} text {text}{side}" + (" 2 branches" if branches == 2 else "")
    return {"method": method, "parameters": parameters or {}, "grid": grid, "text": text, "text_first": text_first,
            "branches": branches, "first_step": first_step, "total_steps": total_steps, "label": label, "tolerance": tolerance,
            "tables": tables or {}, "data": data}


CASES = []


def add(method, parameters=None, **where):
    CASES.append(case(method, parameters, **where))


# Re-ttention, DiTFastAttn's baseline and the bare window: warm-up 2, refreshes at 2 and 6 where the period is 4.
SCHEDULE = "warmup_steps=2,refresh_period=4"
P = {"warmup_steps": 2, "refresh_period": 4}
for text, first in ((0, True), (7, True), (32, False)):
    for grid in (SMALL, TILED):
        add(f"window:kept_ratio=0.125,{SCHEDULE}", {"kept_ratio": 0.125, **P}, grid=grid, text=text, text_first=first, steps=7)
        add(f"re-ttention:kept_ratio=0.125,{SCHEDULE}", {"kept_ratio": 0.125, **P}, grid=grid, text=text, text_first=first,
            steps=8)

for qk in ("int8", "int8-token", "int8-unsmoothed"):  # as with a residual in fewer bits below: a value may round the other way
    for text, first in ((0, True), (30, False)):
        add(f"window:kept_ratio=0.25,warmup_steps=0,refresh_period=0,qk={qk}",
            {"kept_ratio": 0.25, "warmup_steps": 0, "refresh_period": 0, "qk": qk}, grid=TILED, text=text, text_first=first,
            steps=2,
            tolerance=2e-3)

# Re-ttention's switches.
for switch, parameters in (("clamp=true,lambda=0.2", {"clamp": True, "ramp": 0.2}), ("use_rho=false", {"use_rho": False}),
                           ("use_residual=false", {"use_residual": False}), ("ramp_at_once=true", {"ramp_at_once": True}),
                           ("lambda=0", {"ramp": 0.0}),
                           ("clamp=true,ramp_at_once=true,lambda=0.15", {"clamp": True, "ramp_at_once": True, "ramp": 0.15})):
    add(f"re-ttention:kept_ratio=0.25,{SCHEDULE},{switch}", {"kept_ratio": 0.25, **P, **parameters}, text=5, text_first=False,
        branches=2, steps=8)
add("re-ttention:kept_ratio=0.125,warmup_steps=4,refresh_period=3", {"kept_ratio": 0.125, "warmup_steps": 4, "refresh_period": 3},
    grid=(1, 12, 16), text=0, first_step=3, steps=6)
add("re-ttention:kept_ratio=1.0,warmup_steps=0,refresh_period=2",
    {"kept_ratio": 1.0, "warmup_steps": 0, "refresh_period": 2}, steps=3)

# What rounds a residual may round it to the other neighbour where float32 and float64 differ in the last bit.
for kept, parameters, unit in (("bf16", {}, 1e-3), ("fp8", {}, 2e-2), ("low_rank,residual_rank=6", {"residual_rank": 6}, 0)):
    add(f"re-ttention:kept_ratio=0.25,{SCHEDULE},residual={kept}",
        {"kept_ratio": 0.25, **P, "residual_kept": kept.split(",")[0], **parameters}, text=5, branches=2, steps=4,
        tolerance=unit)

# DiTFastAttn and the second level of its residual.
for switch, parameters in (("reuse_period=1", {}), ("reuse_period=2", {"reuse_period": 2}), ("window=band", {"window": "band"}),
                           ("share_branches=true", {"share_branches": True}),
                           ("share_branches=true,asc_residual=first-half", {"share_branches": True,
                               "asc_residual": "first-half"})):
    add(f"ditfastattn:kept_ratio=0.25,{SCHEDULE},{switch}", {"kept_ratio": 0.25, **P, **parameters}, text=7, branches=2, steps=8)

for switch, parameters in (("change_rank=5", {"change_rank": 5}), ("second_level=false", {"second_level": False})):
    add(f"window+two-level-residual:kept_ratio=0.25,warmup_steps=1,refresh_period=3,{switch}",
        {"kept_ratio": 0.25, "warmup_steps": 1, "refresh_period": 3, **parameters}, text=7, branches=2, steps=7)

# AdaSpa.
for text, first in ((0, True), (7, True), (40, False), (70, True)):
    add("adaspa:kept_ratio=0.3,search_steps=1/3", {"kept_ratio": 0.3, "search_steps": (1, 3)}, grid=WIDE, text=text,
        text_first=first, steps=5, heads=4)
for switch, parameters in (("head_adaptive=false", {"head_adaptive": False}),
                           ("text_in_budget=false", {"text_in_budget": False}), ("cached_lse=false", {"cached_lse": False}),
                           ("block_tokens=128,recall_threshold=0.5", {"block_tokens": 128, "recall_threshold": 0.5})):
    add(f"adaspa:kept_ratio=0.3,search_steps=0/2,{switch}", {"kept_ratio": 0.3, "search_steps": (0, 2), **parameters}, grid=WIDE,
        text=70, text_first=True, branches=2, steps=4, heads=3)
for text in (0, 40):
    add("adaspa:kept_ratio=0.5,search_steps=0/2,selection=head", {"kept_ratio": 0.5, "search_steps": (0, 2), "selection": "head"},
        grid=WIDE, text=text, text_first=False, steps=4, heads=3)

# Rectified SpaAttn.
for text, first in ((0, True), (7, True), (40, False)):
    for gain in ("fold", "drop", "off"):
        add(f"rectified-spaattn:kept_ratio=0.2,warmup_steps=1,block_tokens=64,gain={gain}",
            {"kept_ratio": 0.2, "warmup_steps": 1, "block_tokens": 64, "gain": gain}, grid=(2, 8, 48), text=text,
            text_first=first,
            steps=2)
add("rectified-spaattn:kept_ratio=0.2,warmup_steps=0,top_p=0.7", {"kept_ratio": 0.2, "warmup_steps": 0, "top_p": 0.7},
    grid=(3, 7, 50), text=20, text_first=False, steps=1)
add("rectified-spaattn:kept_ratio=0.1,warmup_steps=0,block_tokens=64,isolated_pooling=false,first_blocks=5",
    {"kept_ratio": 0.1, "warmup_steps": 0, "block_tokens": 64, "isolated_pooling": False, "first_blocks": 5}, grid=(2, 8,
    48), text=150,
    text_first=False, steps=1)

# Plans that are made anew at every call.
for text, first in ((0, True), (30, False), (40, True)):
    here = {"text": text, "text_first": first, "steps": 2, "first_step": 1}
    add("svg:kept_ratio=0.5,warmup_steps=2,sampled_rows=1024",
        {"kept_ratio": 0.5, "warmup_steps": 2}, grid=LARGE, heads=3, **here)
    add("spargeattn:kept_ratio=0.4,warmup_steps=2", {"kept_ratio": 0.4, "warmup_steps": 2}, grid=WIDE, **here)
    add("spargeattn:rule=cdf,cdf=0.8,similarity=0.3,sink=true,warmup_steps=2",
        {"rule": "cdf", "cdf": 0.8, "threshold": 0.3, "sink": True, "warmup_steps": 2}, grid=WIDE, **here)
    add("draftattention:kept_ratio=0.25,warmup_steps=2", {"kept_ratio": 0.25, "warmup_steps": 2}, grid=(4, 16, 16), **here)
    add("draftattention:kept_ratio=0.1,warmup_steps=2", {"kept_ratio": 0.1, "warmup_steps": 2}, grid=(4, 12, 20), heads=1, **here)
    add("radial:decay=0.5,warmup_steps=2,block_tokens=64",
        {"decay": 0.5, "warmup_steps": 2, "block_tokens": 64}, grid=(12, 8, 8), **here)
    add("radial:decay=0.95,warmup_steps=2,block_tokens=128", {"decay": 0.95, "warmup_steps": 2}, grid=(6, 8, 16), **here)
    add("radial:decay=0.5,warmup_steps=2,block_tokens=64",
        {"decay": 0.5, "warmup_steps": 2, "block_tokens": 64}, grid=(6, 9, 11), **here)
    add("radial:decay=0.2,warmup_steps=2", {"decay": 0.2, "warmup_steps": 2}, grid=(9, 5, 6), **here)
    add("sta:warmup_steps=2,tile=4x4x4,window_frames=1,window_rows=3,window_columns=2",
        {"warmup_steps": 2, "window_frames": 1, "window_rows": 3, "window_columns": 2}, grid=(5, 16, 10), **here)
    add("rainfusion:kept_ratio=0.3,warmup_steps=2", {"kept_ratio": 0.3, "warmup_steps": 2}, grid=(6, 12, 17), **here)
    add("xattention:threshold=0.7,warmup_steps=2", {"threshold": 0.7, "warmup_steps": 2}, grid=WIDE, **here)
    add("window+delta:kept_ratio=0.1,warmup_steps=2,refresh_period=0,delta_stride=16",
        {"kept_ratio": 0.1, "warmup_steps": 2, "refresh_period": 0, "delta_stride": 16}, grid=TILED, **here)
    add("svg:kept_ratio=0.5,warmup_steps=2,sampled_rows=1024,profiling=code",
        {"kept_ratio": 0.5, "warmup_steps": 2, "profiling_blocks": "code"}, grid=LARGE, heads=3, **here)
    add("window+delta:kept_ratio=0.1,warmup_steps=2,refresh_period=0,delta_stride=32,delta_rows_only=true",
        {"kept_ratio": 0.1, "warmup_steps": 2, "refresh_period": 0, "delta_stride": 32, "delta_rows_only": True}, grid=SMALL,
        **here)
    for pattern in ("block-sparse", "a-shape", "vertical-slash", "auto"):
        add(f"minference:kept_ratio=0.4,warmup_steps=2,pattern={pattern}",
            {"kept_ratio": 0.4, "warmup_steps": 2, "pattern": pattern}, grid=(4, 14, 16), heads=4, **here)
    add("minference:kept_ratio=0.5,warmup_steps=2,pattern=vertical-slash,columns_share=0.14",
        {"kept_ratio": 0.5, "warmup_steps": 2, "pattern": "vertical-slash", "columns_share": 0.14}, grid=(4, 14, 16), **here)
    add("svg:kept_ratio=0.5,warmup_steps=2,sampled_rows=1024,first_frame_sink=" + ("on" if text else "off"),
        {"kept_ratio": 0.5, "warmup_steps": 2, "first_frame_sink": "on" if text else "off"}, grid=LARGE, heads=3, **here)
    for only in ("false", "true"):
        add(f"window+delta:kept_ratio=0.1,warmup_steps=2,refresh_period=0,delta_stride=32,delta_tail=true,delta_rows_only={only}",
            {"kept_ratio": 0.1, "warmup_steps": 2, "refresh_period": 0, "delta_stride": 32, "delta_tail": True, "delta_rows_only": only == "true"},
            grid=TILED, **here)
    add("rainfusion1:recall_threshold=0.6,warmup_steps=2,sample_stride=4,texture_period=3",
        {"recall_threshold": 0.6, "warmup_steps": 2, "sample_stride": 4, "texture_period": 3}, grid=(6, 8, 8), heads=4, **here)

# Plans read from files: what to do at each step, a window and thresholds of each head.
for plan in ([0, 0, 3, 3, 1, 0, 3, 1, 3], [0, 2, 1, 2, 4, 2, 3, 1, 0], [4, 3, 1, 1, 2, 0, 0, 4, 2]):
    for text, first in ((0, True), (30, False)):
        add("ditfastattn:kept_ratio=0.25,plan=FILE", {"kept_ratio": 0.25}, text=text, text_first=first, branches=2, steps=9, total_steps=9,
            tables={"plan": [[code] for code in plan]})
for text, first in ((0, True), (30, False), (40, True)):
    add("sta:warmup_steps=1,tile=4x4x4,windows=FILE", {"warmup_steps": 1}, grid=(5, 16, 10), text=text, text_first=first, steps=3, heads=3,
        total_steps=3, tables={"candidates": [[1, 3, 1], [2, 1, 3], [1, 4, 2], [9, 9, 9]], "window": [[[0, 0, 0]], [[2, 0, 3]], [[1, 1, 2]]]})
    add("spargeattn:warmup_steps=0,tuning=FILE", {"warmup_steps": 0}, grid=WIDE, text=text, text_first=first, steps=2, heads=3,
        tables={"similarity": [[-0.2, 0.3, 2.0]], "cdf": [[0.5, 0.9, 1.0]], "pv_skip": [[0, 0, 0]]})

# A plan with another correction.
for text, first in ((0, True), (30, False), (40, True)):
    here = {"text": text, "text_first": first, "steps": 6, "branches": 2, "heads": 1}
    add("draftattention+re-ttention:kept_ratio=0.3,warmup_steps=1,refresh_period=3",
        {"plan": "draftattention", "parameters": {"kept_ratio": 0.3}, "warmup_steps": 1, "refresh_period": 3}, grid=(4, 16,
        16), **here)
    add("spargeattn+window-residual:kept_ratio=0.3,warmup_steps=1,refresh_period=3",
        {"plan": "spargeattn", "parameters": {"kept_ratio": 0.3}, "warmup_steps": 1, "refresh_period": 3, "use_rho": False},
        grid=WIDE,
        **here)
    add("sta+re-ttention:tile=4x4x4,window_frames=1,warmup_steps=1,refresh_period=3,lambda=0.1",
        {"plan": "sta", "parameters": {"window_frames": 1}, "warmup_steps": 1, "refresh_period": 3, "ramp": 0.1}, grid=(4,
        12, 20), **here)

add("adaspa+re-ttention:kept_ratio=0.4,search_steps=1/5,refresh_period=3",
    {"plan": "adaspa", "parameters": {"kept_ratio": 0.4, "search_steps": (1, 5)}, "refresh_period": 3}, grid=WIDE, text=20,
    text_first=False, steps=8, heads=3)
for text, first in ((0, True), (30, False), (40, True)):
    here = {"text": text, "text_first": first, "steps": 2, "first_step": 1}
    add("sta+rectified:tile=4x4x4,window_frames=1,window_columns=1,warmup_steps=2",
        {"plan": "sta", "parameters": {"window_frames": 1, "window_columns": 1}, "rectify": True, "warmup_steps": 2},
        grid=(8, 11, 13), **here)
    add("draftattention+rectified:kept_ratio=0.3,warmup_steps=2,gain=drop",
        {"plan": "draftattention", "parameters": {"kept_ratio": 0.3}, "rectify": True, "warmup_steps": 2, "gain": "drop"},
        grid=(4, 12, 20), **here)

# Clusters, orders of axes, and DiTScope's own. Of a row that skipped 1e-4 of its attention at a refresh, 1 - rho is a difference of
# float32 log-sum-exps, known to 1e-2, and may be 8 times as much a few steps later.
CANCELLED = 5e-4
for text, first in ((0, True), (30, False), (40, True)):
    here = {"text": text, "text_first": first}
    add("svg2:warmup_steps=1,top_p=0.5,least_ratio=0.1,query_clusters=12,key_clusters=20",
        {"warmup_steps": 1, "top_p": 0.5, "query_clusters": 12, "key_clusters": 20}, grid=WIDE, steps=4, heads=2, **here)
    add("svg2:warmup_steps=0,top_p=0.2,least_ratio=0.3", {"warmup_steps": 0, "top_p": 0.2, "least_ratio": 0.3}, grid=SMALL, branches=2,
        steps=3, heads=1, **here)
    add("paroattention:kept_ratio=0.3,search_steps=0/2", {"search_steps": (0, 2)}, grid=(4, 8, 12), steps=4, heads=4, **here)
    add("paroattention:kept_ratio=0.5,search_steps=1", {"kept_ratio": 0.5, "search_steps": (1,)}, grid=TILED, steps=3, branches=2,
        **here)
    add("paroattention:kept_ratio=0.3,search_steps=0,alpha=0.8,sparse_term=s", {"search_steps": (0,), "alpha": 0.8, "sparse_term": "s"},
        grid=(4, 8, 12), steps=2, heads=4, **here)
    add("ditscope-auto:kept_ratio=0.2,warmup_steps=2,refresh_period=4", {"kept_ratio": 0.2, "warmup_steps": 2, "refresh_period": 4},
        grid=WIDE, steps=8, tolerance=CANCELLED, **here)
    add("ditscope-auto:kept_ratio=0.1,warmup_steps=1,refresh_period=3,group_tokens=8,blocks_by=mass,share_heads=off,share_layers=off",
        {"kept_ratio": 0.1, "warmup_steps": 1, "refresh_period": 3, "group_tokens": 8, "blocks_by": "mass", "share_heads": False, "share_layers": False},
        grid=WIDE, steps=5, branches=2, heads=3, tolerance=CANCELLED, **here)
    add("window+anchored:kept_ratio=0.125,warmup_steps=1,refresh_period=3",
        {"kept_ratio": 0.125, "warmup_steps": 1, "refresh_period": 3}, grid=SMALL, steps=6, **here)
    add("ditscope-auto+re-ttention:kept_ratio=0.2,warmup_steps=1,refresh_period=3",
        {"plan": "ditscope-auto", "parameters": {"kept_ratio": 0.2}, "warmup_steps": 1, "refresh_period": 3}, grid=WIDE, steps=5, **here)
for switch in ("measured_mass", "pooled_change"):
    add(f"ditscope-auto:kept_ratio=0.2,warmup_steps=1,refresh_period=4,{switch}=off",
        {"kept_ratio": 0.2, "warmup_steps": 1, "refresh_period": 4, switch: False}, grid=WIDE, text=20, steps=5, tolerance=CANCELLED)
