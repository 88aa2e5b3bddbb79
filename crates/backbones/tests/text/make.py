"""Writes tiny text towers of Hugging Face's CLIP and of open_clip with all parameters drawn anew, a
tokenizer of CLIP's kind, and what the peers make of four texts, beside this file.

Needs: torch 2.11.0, transformers 5.24.0, open_clip_torch 3.3.0, safetensors.
Run: python crates/backbones/tests/text/make.py
"""
import json
import pathlib

import safetensors.torch
import torch
from open_clip.transformer import TextTransformer
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

HERE = pathlib.Path(__file__).parent
TEXTS = ["a red ball", "A   Red, red ball's lamp!", "", "ball ball ball ball ball ball ball 42"]
MERGES = [("r", "e"), ("re", "d</w>"), ("b", "a"), ("l", "l</w>"), ("ba", "ll</w>"), ("a", "m")]
SIZE = dict(width=16, layers=3, heads=2)
CONTEXT, OUT = 12, 6


def bytes_to_unicode():
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + place) for place in range(len(rest))]


def tokenizer():
    letters = bytes_to_unicode()
    entries = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in MERGES]
    vocab = {entry: place for place, entry in enumerate([*entries, "<|startoftext|>", "<|endoftext|>"])}
    return vocab, CLIPTokenizer(vocab=vocab, merges=MERGES)


def spread(model):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.2 + (parameter.dim() == 1 and name.endswith("weight")))
    return model.eval()


def main():
    vocab, words = tokenizer()
    clip = HERE / "huggingface"
    clip.mkdir(exist_ok=True)
    (clip / "vocab.json").write_text(json.dumps(vocab))
    (clip / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES))
    end = vocab["<|endoftext|>"]
    rows = [row[: CONTEXT - 1] + [end] if len(row) > CONTEXT else row for row in words(TEXTS)["input_ids"]]
    longest = max(map(len, rows))
    ends = torch.tensor([len(row) - 1 for row in rows])
    ids = torch.tensor([row + [end] * (longest - len(row)) for row in rows])
    config = CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=SIZE["width"], intermediate_size=2 * SIZE["width"],
        num_hidden_layers=SIZE["layers"], num_attention_heads=SIZE["heads"], projection_dim=OUT,
        max_position_embeddings=CONTEXT, bos_token_id=end - 1, eos_token_id=end, pad_token_id=end,
        hidden_act="quick_gelu")
    model = spread(CLIPTextModelWithProjection(config))
    model.save_pretrained(clip)
    with torch.no_grad():
        out = model(ids)
    seen = {"ids": ids, "ends": ends, "huggingface.hidden": out.last_hidden_state,
            "huggingface.pooled": out.text_embeds}
    other = spread(TextTransformer(context_length=CONTEXT, vocab_size=len(vocab), mlp_ratio=2.0,
                                   output_dim=OUT, output_tokens=True, **SIZE))
    safetensors.torch.save_file(other.state_dict(), HERE / "open_clip.safetensors")
    full = torch.cat([ids, torch.zeros(len(ids), CONTEXT - longest, dtype=ids.dtype)], 1)
    with torch.no_grad():
        pooled, hidden = other(full)
    seen |= {"open_clip.hidden": hidden[:, :longest].contiguous(), "open_clip.pooled": pooled}
    safetensors.torch.save_file({name: t.contiguous() for name, t in seen.items()}, HERE / "seen.safetensors")
    (HERE / "texts.json").write_text(json.dumps(TEXTS))


main()
