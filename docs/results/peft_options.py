"""What PEFT and `polyptych` make of the same adapters: writes the page peft.md.

    python docs/results/peft_options.py target/release/polyptych > docs/results/peft.md

Needs torch, timm, transformers, peft and safetensors. Every adapter is trained by drawing its
parameters, saved by PEFT, loaded by PEFT onto the base again, and merged by PEFT and by
`polyptych convert --adapter`. The table has the largest difference of any weight.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import peft
import safetensors.torch
import timm
import torch
import transformers

warnings.filterwarnings("ignore")
PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
QKV = dict(r=4, lora_alpha=8, target_modules=["qkv"])
BLOCKS = dict(r=4, lora_alpha=8, target_modules=["qkv", "proj", "fc1", "fc2"])
LINEAR = {**BLOCKS, "target_modules": ["qkv", "attn.proj", "fc1", "fc2"]}
NAMES = dict(rank_pattern={r"blocks\.1\..*": 2, "qkv": 6}, alpha_pattern={"^blocks.0.attn.qkv": 3})

OPTIONS = {
    "r=4, lora_alpha=8": QKV,
    "lora_alpha=3": {**QKV, "lora_alpha": 3},
    "use_rslora": {**QKV, "use_rslora": True},
    "rank_pattern": {**QKV, "rank_pattern": {"blocks.1.attn.qkv": 2}},
    "alpha_pattern": {**QKV, "alpha_pattern": {"blocks.1.attn.qkv": 32}},
    "rank_pattern, alpha_pattern, several keys": {**BLOCKS, **NAMES},
    "rank_pattern, alpha_pattern, use_rslora": {**BLOCKS, **NAMES, "use_rslora": True},
    "alpha_pattern with look-around": {**BLOCKS, "alpha_pattern": {r"(?!attn\.).*fc\d": 5}},
    "layers_to_transform=[0, 2], layers_pattern": {
        **QKV, "layers_to_transform": [0, 2], "layers_pattern": "blocks"},
    "exclude_modules, names": {**QKV, "exclude_modules": ["blocks.0.attn.qkv"]},
    "exclude_modules, expression": {**BLOCKS, "exclude_modules": r"blocks\.\d+\.mlp\..*"},
    "target_modules, expression": {
        **QKV, "target_modules": r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])"},
    "target_modules=all-linear": {**QKV, "target_modules": "all-linear"},
    "target_modules, classifier": {**QKV, "target_modules": ["qkv", "head"]},
    "target_modules, convolution": {**QKV, "target_modules": ["patch_embed.proj"]},
    "convolution, use_rslora": {**QKV, "target_modules": ["patch_embed.proj"], "use_rslora": True},
    "convolution, lora_bias": {**QKV, "target_modules": ["patch_embed.proj"], "lora_bias": True},
    "lora_bias": {**QKV, "lora_bias": True},
    "bias=all": {**QKV, "bias": "all"},
    "bias=lora_only": {**QKV, "bias": "lora_only"},
    "bias=all, modules_to_save": {**QKV, "bias": "all", "modules_to_save": ["head"]},
    "bias=lora_only, modules_to_save": {**QKV, "bias": "lora_only", "modules_to_save": ["head", "norm"]},
    "modules_to_save": {**QKV, "modules_to_save": ["norm", "head"]},
    "fan_in_fan_out": {**QKV, "fan_in_fan_out": True},
    "use_dora": {**BLOCKS, "use_dora": True},
    "use_dora, use_rslora": {**QKV, "use_dora": True, "use_rslora": True},
    "use_dora, rank_pattern, alpha_pattern": {**BLOCKS, **NAMES, "use_dora": True},
    "use_dora, layers_to_transform": {
        **QKV, "use_dora": True, "layers_to_transform": 1, "layers_pattern": ["blocks"]},
    "use_dora, exclude_modules": {**BLOCKS, "use_dora": True, "exclude_modules": ["fc1"]},
    "use_dora, convolution": {**QKV, "use_dora": True, "target_modules": ["patch_embed.proj"]},
    "use_dora, all-linear": {**QKV, "use_dora": True, "target_modules": "all-linear"},
    "use_dora, bias=all": {**QKV, "use_dora": True, "bias": "all"},
    "use_dora, modules_to_save": {**QKV, "use_dora": True, "modules_to_save": ["head"]},
    "init_lora_weights=False": {**QKV, "init_lora_weights": False},
    "init_lora_weights=gaussian": {**QKV, "init_lora_weights": "gaussian"},
    "init_lora_weights=orthogonal": {**QKV, "init_lora_weights": "orthogonal"},
    "init_lora_weights=mica": {**QKV, "init_lora_weights": "mica"},
    "init_lora_weights=eva": {**QKV, "init_lora_weights": "eva", "eva_config": peft.EvaConfig()},
    "init_lora_weights=pissa": {**QKV, "init_lora_weights": "pissa"},
    "init_lora_weights=pissa, use_rslora": {**LINEAR, "init_lora_weights": "pissa", "use_rslora": True},
    "init_lora_weights=pissa, rank_pattern": {**LINEAR, **NAMES, "init_lora_weights": "pissa"},
    "init_lora_weights=pissa, use_dora": {**QKV, "init_lora_weights": "pissa", "use_dora": True},
    "init_lora_weights=olora": {**LINEAR, "init_lora_weights": "olora"},
    "init_lora_weights=olora, use_dora": {**QKV, "init_lora_weights": "olora", "use_dora": True},
    "init_lora_weights=pissa_niter_4": {**QKV, "init_lora_weights": "pissa_niter_4"},
    "target_parameters": {
        "r": 4, "target_modules": [], "target_parameters": ["blocks.0.attn.qkv.weight"]},
}
CHANGED = {
    "init_lora_weights=corda": {"init_lora_weights": "corda"},
    "init_lora_weights=loftq": {"init_lora_weights": "loftq"},
    "init_lora_weights=lora_ga": {"init_lora_weights": "lora_ga"},
    "use_qalora": {"use_qalora": True},
    "layer_replication": {"layer_replication": [[0, 2], [1, 3]]},
    "trainable_token_indices": {"trainable_token_indices": [1]},
    "alora_invocation_tokens": {"alora_invocation_tokens": [1]},
    "megatron_config": {"megatron_config": {"hidden_size": 8}},
    "arrow_config": {"arrow_config": {"top_k": 2}},
    "kasa_config": {"kasa_config": {"beta": 0.1}},
    "a key of no PEFT that is known": {"of_a_later_version": 2},
}


def base(dtype=torch.float32):
    torch.manual_seed(1)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=10, depth=3, img_size=64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval().to(dtype)


def huggingface():
    torch.manual_seed(1)
    config = transformers.ViTConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=3,
                                    intermediate_size=96, image_size=32, patch_size=8, num_labels=5)
    return transformers.ViTForImageClassification(config).eval()


def train(model, options, folder, **kwargs):
    adapted = peft.get_peft_model(model, peft.LoraConfig(**options))
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    adapted.save_pretrained(folder, **kwargs)


def merged_by_peft(model, folder):
    merged = peft.PeftModel.from_pretrained(model, folder).merge_and_unload()
    return {name: tensor.contiguous() for name, tensor in merged.state_dict().items()}


def merged_by_us(weights, folder):
    out = pathlib.Path(folder) / "merged.safetensors"
    out.unlink(missing_ok=True)
    done = subprocess.run([PROGRAM, "convert", str(weights), "--adapter", str(folder), "--out", str(out)],
                          capture_output=True, text=True)
    if done.returncode:
        assert not out.exists()
        return None, done.stderr.strip().rsplit(".json: ", 1)[-1].split(";")[0]
    return safetensors.torch.load_file(out), ""


def difference(ours, theirs):
    assert ours.keys() == theirs.keys(), set(ours) ^ set(theirs)
    assert all(ours[name].dtype == theirs[name].dtype for name in ours)
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours)


def row(what, found):
    print(f"| {what} | {found} |", flush=True)


def options(work):
    print("\n## Options\n\n| option | largest difference of a weight |\n|---|---|")
    safetensors.torch.save_file(base().state_dict(), work / "base.safetensors")
    plain = safetensors.torch.load_file(work / "base.safetensors")
    for index, (what, config) in enumerate(OPTIONS.items()):
        folder = work / f"option{index}"
        train(base(), config, folder)
        ours, refused = merged_by_us(work / "base.safetensors", folder)
        if ours is None:
            row(f"`{what}`", f"refused: {refused}")
            continue
        theirs = merged_by_peft(base(), folder)
        changed = max(float((theirs[name] - plain[name]).abs().max()) for name in plain)
        assert changed > 1e-3 or "mica" in what, f"{what} changes nothing"
        row(f"`{what}`", f"{difference(ours, theirs):.1e}")
    config = json.loads((work / "option0" / "adapter_config.json").read_text())
    for what, more in CHANGED.items():
        (work / "option0" / "adapter_config.json").write_text(json.dumps({**config, **more}))
        ours, refused = merged_by_us(work / "base.safetensors", work / "option0")
        assert ours is None, what
        row(f"`{what}`", f"refused: {refused}")


def files(work):
    print("\n## Files and names\n\n| folder | largest difference of a weight |\n|---|---|")
    folder = work / "bin"
    train(base(), QKV, folder)
    whole = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    theirs = merged_by_peft(base(), folder)

    def ours_of(what, save):
        (folder / "adapter_model.safetensors").unlink(missing_ok=True)
        (folder / "adapter_model.bin").unlink(missing_ok=True)
        save()
        ours, refused = merged_by_us(work / "base.safetensors", folder)
        row(what, f"{difference(ours, theirs):.1e}" if ours is not None else f"refused: {refused}")

    def named(change):
        renamed = {change(name): tensor for name, tensor in whole.items()}
        return lambda: safetensors.torch.save_file(renamed, folder / "adapter_model.safetensors")

    ours_of("`adapter_model.bin`", lambda: torch.save(whole, folder / "adapter_model.bin"))
    ours_of("names with the adapter's: `lora_A.mine.weight`",
            named(lambda name: name.replace(".weight", ".mine.weight")))
    ours_of("a wrapper in the names: `base_model.model.backbone.`",
            named(lambda name: name.replace("base_model.model.", "base_model.model.backbone.")))
    for targets in (["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]):
        for more in ({}, {"use_dora": True}, {"bias": "all", "modules_to_save": ["classifier"]}):
            options = dict(r=4, target_modules=targets, **more)
            folder, weights = work / f"hf{len(targets)}{len(more)}", work / "hf"
            huggingface().save_pretrained(weights)
            train(huggingface(), options, folder)
            merged = peft.PeftModel.from_pretrained(huggingface(), folder).merge_and_unload()
            merged.save_pretrained(work / "hf_merged")
            out = work / "hf.safetensors"
            out.unlink(missing_ok=True)
            subprocess.run([PROGRAM, "convert", str(work / "hf_merged"), "--out", str(out)],
                           check=True, capture_output=True)
            ours, refused = merged_by_us(weights, folder)
            found = f"refused: {refused}" if ours is None else \
                f"{difference(ours, safetensors.torch.load_file(out)):.1e}"
            row(f"Hugging Face's ViT, `{', '.join(f'{k}={v}' for k, v in options.items())}`", found)


def types(work):
    print("\n## Types\n\nThe largest difference of a weight to the exact sum, rounded once to the "
          "base's type.\n\n| base | factors | ours | PEFT's |\n|---|---|---|---|")
    folder = work / "types"
    train(base(), QKV, folder)
    factors = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    for base_type in (torch.float32, torch.bfloat16, torch.float16):
        weights = base(base_type).state_dict()
        safetensors.torch.save_file(weights, work / "typed.safetensors")
        for factor_type in (torch.float32, torch.bfloat16, torch.float16):
            typed = {name: tensor.to(factor_type) for name, tensor in factors.items()}
            safetensors.torch.save_file(typed, folder / "adapter_model.safetensors")
            model = peft.PeftModel.from_pretrained(base(base_type), folder, autocast_adapter_dtype=False)
            both = merged_by_us(work / "typed.safetensors", folder)[0], model.merge_and_unload().state_dict()
            found = [0.0, 0.0]
            for index in range(3):
                name = f"blocks.{index}.attn.qkv"
                a, b = (typed[f"base_model.model.{name}.lora_{k}.weight"].double() for k in "AB")
                exact = (weights[f"{name}.weight"].double() + 2 * b @ a).to(base_type).double()
                for side, merged in enumerate(both):
                    worst = float((merged[f"{name}.weight"].double() - exact).abs().max())
                    found[side] = max(found[side], worst)
            names = [str(t).removeprefix("torch.") for t in (base_type, factor_type)]
            print(f"| {names[0]} | {names[1]} | {found[0]:.1e} | {found[1]:.1e} |", flush=True)


def main():
    print("# Adapters of PEFT's, merged by PEFT and by us\n")
    print("`python docs/results/peft_options.py target/release/polyptych > docs/results/peft.md` made this page.")
    print(f"peft {peft.__version__}, torch {torch.__version__}, timm {timm.__version__}, "
          f"transformers {transformers.__version__}; CPU.\n")
    print("PEFT trains an adapter with each option, saves it and merges what it loads of it;")
    print("`polyptych convert BASE --adapter FOLDER` merges the same folder.")
    print("What is refused leaves no file, and the message begins with the option.")
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        options(work)
        files(work)
        types(work)


main()
