"""Networks beside those that the models were judged on: `FRESH` to judge with, `DEVELOPMENT` to learn from.

Whoever changes how annette predicts may look at the errors of ``DEVELOPMENT`` as often as is of use. Those of
``FRESH`` say how well that carries over only as long as nobody has chosen anything by them.
"""

from __future__ import annotations

from collections.abc import Mapping

from recipes import IDS, MASK, Export, hugging, noise, timm_image, tokens, vision

FRESH: Mapping[str, Export] = {
    "ghostnet_100": timm_image("ghostnet_100", dynamo=False, text="GhostNet 1.0"),
    "mobilenetv4_conv_small": timm_image(
        "mobilenetv4_conv_small", dynamo=True, text="MobileNet v4 small, convolutions alone"
    ),
    "repvgg_a0": timm_image("repvgg_a0", dynamo=False, text="RepVGG-A0, branches merged"),
    "dla34": timm_image("dla34", dynamo=True, text="DLA-34"),
    "hrnet_w18_small": timm_image("hrnet_w18_small", dynamo=False, text="HRNet-W18 small"),
    "seresnext26d_32x4d": timm_image("seresnext26d_32x4d", dynamo=True, text="SE-ResNeXt-26-D 32x4d"),
    "ese_vovnet19b_dw": timm_image("ese_vovnet19b_dw", dynamo=False, text="VoVNet-19 v2, depthwise"),
    "mobileone_s0": timm_image("mobileone_s0", dynamo=True, text="MobileOne-S0, branches merged"),
    "mixer_s16": timm_image("mixer_s16_224", dynamo=False, text="MLP-Mixer-S with patches of 16"),
    "pvt_v2_b0": timm_image("pvt_v2_b0", dynamo=True, text="PVT v2 B0"),
    "edgenext_xx_small": timm_image("edgenext_xx_small", 256, dynamo=False, text="EdgeNeXt-XX-Small"),
    "efficientformer_l1": timm_image("efficientformer_l1", dynamo=True, text="EfficientFormer-L1"),
    "fastvit_t8": timm_image("fastvit_t8", 256, dynamo=False, text="FastViT-T8, branches merged"),
    "mobilevitv2_050": timm_image("mobilevitv2_050", 256, dynamo=True, text="MobileViT v2 0.5"),
    "cspresnet50": timm_image("cspresnet50", 256, dynamo=False, text="CSPResNet-50"),
    "efficientnet_v2_s": vision("efficientnet_v2_s", dynamo=True, text="EfficientNet v2 S"),
    "electra_small": hugging(
        "Electra", tokens(128, IDS, MASK), dynamo=False, text="ELECTRA-Small, 12 layers of 256, 128 tokens",
        config={"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
    ),
    "squeezebert": hugging(
        "SqueezeBert", tokens(64, IDS, MASK), dynamo=False, text="SqueezeBERT, 12 layers of 768, 64 tokens"
    ),
    "minilm_roberta": hugging(
        "Roberta", tokens(96, IDS, MASK), dynamo=True,
        text="RoBERTa of MiniLM's size, 6 layers of 384, 96 tokens",
        config={"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
                "intermediate_size": 1536, "vocab_size": 50265, "max_position_embeddings": 514},
        attention="sdpa",
    ),
    "opt_small": hugging(
        "OPT", tokens(64, IDS), dynamo=True, text="decoder like OPT, 6 layers of 512, 64 tokens",
        config={"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "ffn_dim": 2048,
                "word_embed_proj_dim": 512},
    ),
}  # fmt: skip

DEVELOPMENT: Mapping[str, Export] = {
    "tinynet_a": timm_image("tinynet_a", 192, dynamo=False, text="TinyNet-A", is_quantised=True),
    "rexnet_100": timm_image("rexnet_100", dynamo=True, text="ReXNet 1.0"),
    "lcnet_100": timm_image("lcnet_100", dynamo=False, text="LCNet 1.0"),
    "dpn68": timm_image("dpn68", dynamo=True, text="DPN-68"),
    "selecsls42b": timm_image("selecsls42b", dynamo=False, text="SelecSLS-42-B"),
    "res2net50": timm_image("res2net50_26w_4s", dynamo=True, text="Res2Net-50 26w 4s"),
    "resmlp_12": timm_image("resmlp_12_224", dynamo=False, text="ResMLP-12", is_quantised=True),
    "coat_lite_mini": timm_image("coat_lite_mini", dynamo=True, text="CoaT-Lite Mini"),
    "cait_xxs24": timm_image("cait_xxs24_224", dynamo=False, text="CaiT-XXS-24"),
    "xcit_nano_12": timm_image("xcit_nano_12_p16_224", dynamo=True, text="XCiT-Nano-12 with patches of 16"),
    "twins_pcpvt_small": timm_image("twins_pcpvt_small", dynamo=False, text="Twins-PCPVT-Small"),
    "hardcorenas_a": timm_image("hardcorenas_a", dynamo=True, text="HardCoRe-NAS-A"),
    "efficientnet_lite0": timm_image("efficientnet_lite0", dynamo=False, text="EfficientNet-Lite0"),
    "gpt_neo_33m": hugging(
        "GPTNeo", tokens(64, IDS), dynamo=True,
        text="GPT-Neo of TinyStories-33M, 4 layers of 768, 64 tokens",
        config={"hidden_size": 768, "num_layers": 4, "num_heads": 16,
                "attention_types": [[["global", "local"], 2]]},
    ),
    "xlm_roberta_minilm": hugging(
        "XLMRoberta", tokens(48, IDS, MASK), dynamo=False,
        text="XLM-RoBERTa of Multilingual-MiniLM, 12 layers of 384, 48 tokens",
        config={"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12,
                "intermediate_size": 1536, "vocab_size": 250002, "max_position_embeddings": 514},
    ),
    "sew_tiny": hugging(
        "SEW", {"samples": noise(1, 16000)}, dynamo=False, text="SEW-Tiny, one second of speech",
        call={"samples": "input_values"},
        config={"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048},
    ),
}  # fmt: skip
