#!/usr/bin/env python3
"""Writes the goldens of core/text beside this script: text_* folders and files.

Needs torch, transformers, tokenizers, sentencepiece and safetensors. Everything is seeded: a second run writes the same files.

    python3 tests/golden/make_text_goldens.py
"""

import json
import os
import random
import shutil

import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel, T5Tokenizer, UMT5Config, UMT5EncoderModel

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = (
    "a an the red green blue yellow big small ball cube cone torus moves left right up down spins bounces orbits grows slowly "
    "quickly on floor camera pans zooms shiny matte two one and with café naïve straße"
).split()

PROMPTS = [
    "",
    " ",
    "a red ball moves left",
    "A Red Ball",
    "a  red   ball  ",
    "\ta red\nball\r\nmoves\x0bup\x0cdown",
    "two shiny cubes, and a matte cone; the camera pans right!",
    "</s>",
    "<pad>",
    "<unk>",
    "a red</s>ball",
    " </s> a </s></s> ball ",
    "<pad>a ball<pad>",
    "a <unk> ball",
    "a <extra_id_0> ball <extra_id_99>",
    "<extra_id_5>ball",
    "  <extra_id_7>   ball",
    "<extra_id_100>",
    "<extra_id_1",
    "< /s> <s>",
    "＜/s＞ ＜unk＞＜extra_id_3＞",
    "ｆｕｌｌ　ｗｉｄｔｈ　ｂａｌｌ",
    "ﬁne ﬂoor ①②③ ㍿ ™ ½",
    "cafe\u0301 and café nai\u0308ve",
    "e\u0302\u0301 a\u0300\u0301\u0302 o\u0328\u0304",
    "™\ufe0f ﬁ\u0301 ball\u200d",
    "日本語の赤いボール",
    "красный шар движется влево",
    "كرة حمراء",
    "\u0600a \u06dd1",
    "नमस्ते लाल गेंद",
    "한국어 각 \u1100\u1161\u11a8 \u1112\u1161\u11ab",
    "ｶﾞｷﾞ ﾊﾟ",
    "😀 a red ball 😀😀 👩‍👩‍👧‍👦 ❤️ 🏳️‍🌈 🇩🇪🇫🇷 👍🏽",
    "\u0000a\u0001b\u0007c\u007fd\u0085e",
    "a\u00a0red\u2003ball\u3000moves\u2028up\u2029down\u1680left",
    "zero\u200bwidth\u200c\u200d\ufeffball\u00ad",
    "\u202eleft\u202c \u2066right\u2069",
    "▁red▁ball",
    "▁",
    "▁▁▁a ▁ ball▁",
    "a_red-ball.moves/left",
    "'quoted' \"ball\" `code` \\n \\t",
    "ball" * 60,
    "a red ball moves left " * 12,
    "\U0001d400\U0001d41a\U0001d7ce \U0001f100",
    "x\U0001f3fd y\u0308 A\U000e0041",
    "ǅ ŀ ŉ ſ ẛ\u0323",
    "＃＠％＆ （ball）",
    "..... --- ___ ;;;",
    "1234567890 3.14159",
    "ÀÉÎÕÜ ß ẞ İı",
]


def write(path, value):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=True, indent=1, sort_keys=True)
        out.write("\n")


def fresh(name):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def make_tokenizers():
    generator = random.Random(7)
    sentences = [" ".join(generator.choice(WORDS) for _ in range(generator.randint(3, 12))) for _ in range(600)]
    spiece = fresh("text_tokenizer_spiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=os.path.join(spiece, "spiece"), vocab_size=200, hard_vocab_limit=False,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", num_threads=1, minloglevel=2)
    os.remove(os.path.join(spiece, "spiece.vocab"))
    config = {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "extra_ids": 100}
    write(os.path.join(spiece, "tokenizer_config.json"), config)
    tokenizer = T5Tokenizer.from_pretrained(spiece)

    # The same as tokenizer.json; sentinels with the flags that older transformers wrote into real checkpoints.
    folder = fresh("text_tokenizer_json")
    tokenizer.save_pretrained(folder)
    ids = {f"<extra_id_{i}>": tokenizer.convert_tokens_to_ids(f"<extra_id_{i}>") for i in range(100)}
    decoder = {str(id): {"content": text, "lstrip": True, "normalized": False, "rstrip": True, "single_word": False, "special": True}
               for text, id in ids.items()}
    write(os.path.join(folder, "tokenizer_config.json"), {**config, "added_tokens_decoder": decoder})

    # Without a normaliser, with tokens beyond the vocabulary.
    plain = fresh("text_tokenizer_plain")
    backend = json.loads(tokenizer._tokenizer.to_str())
    backend["normalizer"] = None
    backend["added_tokens"] = [token for token in backend["added_tokens"] if token["id"] < 3]
    backend["model"]["vocab"] = backend["model"]["vocab"][:-100]
    write(os.path.join(plain, "tokenizer.json"), backend)
    size = len(backend["model"]["vocab"])
    extra = {str(size): {"content": "[shot]", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": False},
             str(size + 1): {"content": "[cut]", "lstrip": False, "normalized": False, "rstrip": False, "single_word": True, "special": False}}
    write(os.path.join(plain, "tokenizer_config.json"), {**config, "extra_ids": 0, "added_tokens_decoder": extra})
    return ["text_tokenizer_spiece", "text_tokenizer_json", "text_tokenizer_plain"]


def make_token_goldens(folders):
    prompts = PROMPTS + ["a[shot]red [shot] ball", "a[cut]b [cut] c[cut]", "[cut]", "(‑[cut]‑)"]
    goldens = {"prompts": prompts, "max_length": 24, "tokenizers": {}}
    for name in folders:
        tokenizer = T5Tokenizer.from_pretrained(os.path.join(HERE, name))
        padded = tokenizer(prompts, padding="max_length", max_length=24, truncation=True)
        goldens["tokenizers"][name] = {"ids": tokenizer(prompts).input_ids, "padded": padded.input_ids, "mask": padded.attention_mask}
    with open(os.path.join(HERE, "text_token_goldens.json"), "w", encoding="utf-8") as out:
        json.dump(goldens, out, separators=(",", ":"))
        out.write("\n")


def randomize(model, seed):
    """Every weight random: constructed norms of 1 and equal tables would hide swaps."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 1.0 if "shared" in name or "relative" in name else parameter.shape[-1] ** -0.5
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "norm" in name else spread * noise)


def make_encoders():
    shape = dict(vocab_size=96, d_model=24, d_kv=8, d_ff=40, num_layers=3, num_heads=4, dropout_rate=0.1)
    cases = {
        "text_t5_gated": (T5EncoderModel, T5Config(**shape, feed_forward_proj="gated-gelu")),
        "text_t5_relu": (T5EncoderModel, T5Config(**{**shape, "d_kv": 5}, feed_forward_proj="relu", relative_attention_num_buckets=16,
                                                  relative_attention_max_distance=20)),
        "text_umt5": (UMT5EncoderModel, UMT5Config(**shape, feed_forward_proj="gated-gelu")),
    }
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 96, (2, 150), generator=generator)  # longer than the largest distance of the buckets
    mask = torch.ones_like(ids)
    mask[0, 40:] = 0
    mask[1, 149:] = 0
    for seed, (name, (model_class, config)) in enumerate(cases.items()):
        folder = fresh(name)
        model = model_class(config).eval()
        randomize(model, seed)
        model.save_pretrained(folder)
        goldens = {"ids": ids, "mask": mask}
        with torch.inference_mode():
            # The reloaded folder is what counts; eager attention has one rounding per operation.
            for kind, dtype in {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}.items():
                loaded = model_class.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
                goldens[f"{kind}.unmasked"] = loaded(ids).last_hidden_state[:, ::10].clone()
                goldens[f"{kind}.masked"] = loaded(ids, attention_mask=mask).last_hidden_state[:, ::10].clone()
        save_file(goldens, os.path.join(folder, "goldens.safetensors"))


if __name__ == "__main__":
    make_token_goldens(make_tokenizers())
    make_encoders()
    total = sum(os.path.getsize(os.path.join(root, file)) for name in os.listdir(HERE) if name.startswith("text_")
                for root, _, files in (os.walk(os.path.join(HERE, name)) if os.path.isdir(os.path.join(HERE, name))
                                       else [(HERE, [], [name])]) for file in files)
    print(f"{total / 1e6:.2f} MB")
