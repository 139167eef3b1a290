"""Small networks of every kind of KerasHub that takes an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["NETWORKS", "SIDE"]

#: The side of the images; DINOv2 has patches of 14 pixels, and images of 56.
SIDE = 64

_SHAPE = (SIDE, SIDE, 3)
_VIT = {"image_shape": _SHAPE, "patch_size": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 48}
_DINO = {"num_layers": 2, "hidden_dim": 48, "num_heads": 2, "intermediate_dim": 96}
_DINO_V2 = {**_DINO, "patch_size": 14, "image_shape": (56, 56, 3), "position_embedding_shape": (56, 56)}
_TOWER = {"patch_size": 16, "hidden_dim": 48, "num_layers": 2, "num_heads": 2, "intermediate_dim": 96}
_TEXT = {"vocabulary_size": 64, "embedding_dim": 48, "hidden_dim": 48, "num_layers": 1, "num_heads": 2}
_RESNET = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 128],
    "stackwise_num_blocks": [1, 1],
    "stackwise_num_strides": [1, 2],
    "block_type": "basic_block",
}
_EFFICIENTNET = {
    "stackwise_kernel_sizes": [3, 5],
    "stackwise_num_repeats": [1, 2],
    "stackwise_input_filters": [16, 16],
    "stackwise_output_filters": [16, 24],
    "stackwise_strides": [1, 2],
    "stackwise_expansion_ratios": [1, 6],
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "input_shape": _SHAPE,
}


def _siglip(models: Any) -> Any:
    vision = models.SigLIPVisionEncoder(**_TOWER, image_shape=_SHAPE, name="vision_encoder")
    text = models.SigLIPTextEncoder(**_TEXT, intermediate_dim=96, max_sequence_length=8, name="text_encoder")
    return models.SigLIPBackbone(vision, text)


def _clip(models: Any, kind: str = "CLIP") -> Any:
    vision = getattr(models, f"{kind}VisionEncoder")(**_TOWER, image_shape=_SHAPE, name="vision_encoder")
    text = getattr(models, f"{kind}TextEncoder")(
        **_TEXT, intermediate_dim=96, max_sequence_length=8, name="text_encoder"
    )
    return getattr(models, f"{kind}Backbone")(vision, text, projection_dim=32)


def _mobilenet_v3(models: Any) -> Any:
    return models.MobileNetBackbone(
        stackwise_expansion=[[40], [64, 144]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[16], [24, 24]],
        stackwise_kernel_size=[[3], [5, 5]],
        stackwise_num_strides=[[2], [2, 1]],
        stackwise_se_ratio=[[None], [0.25, 0.25]],
        stackwise_activation=[["relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1], [2, 2]],
        output_num_filters=96,
        depthwise_filters=16,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=96,
        squeeze_and_excite=0.5,
        image_shape=_SHAPE,
    )


def _mobilenet_v5(models: Any) -> Any:
    """A stem, an edge residual, an inverted bottleneck and attention with one key for all heads."""
    per_block = {
        "block_types": [["er"], ["uir", "mqa"]],
        "num_filters": [[24], [48, 48]],
        "strides": [[2], [2, 1]],
        "act_layers": [["gelu"], ["gelu", "gelu"]],
        "exp_ratios": [[4.0], [4.0, 1.0]],
        "se_ratios": [[0.0], [0.0, 0.0]],
        "dw_kernel_sizes": [[0], [5, 0]],
        "dw_start_kernel_sizes": [[0], [3, 0]],
        "dw_end_kernel_sizes": [[0], [0, 0]],
        "exp_kernel_sizes": [[3], [0, 0]],
        "pw_kernel_sizes": [[1], [0, 0]],
        "num_heads": [[0], [0, 2]],
        "key_dims": [[0], [0, 16]],
        "value_dims": [[0], [0, 16]],
        "kv_strides": [[0], [0, 1]],
        "use_cpe": [[False], [False, False]],
    }
    named = {f"stackwise_{name}": value for name, value in per_block.items()}
    return models.MobileNetV5Backbone(stackwise_num_blocks=[1, 2], use_msfa=False, image_shape=_SHAPE, **named)


def _hgnet(models: Any, **options: Any) -> Any:
    return models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=16,
        hidden_sizes=[16, 32],
        stem_channels=[3, 8, 16],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[[16, 8, 16, 1, 2, 3], [16, 16, 32, 1, 2, 3]],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        image_shape=_SHAPE,
        **options,
    )


def _efficientnet(models: Any, block: str, ratio: float, **options: Any) -> Any:
    ratios = {"stackwise_squeeze_and_excite_ratios": [ratio] * 2, "stackwise_block_types": [block] * 2}
    unforced = {"stackwise_force_input_filters": [0] * 2, "stackwise_nores_option": [False] * 2}
    return models.EfficientNetBackbone(**_EFFICIENTNET, **ratios, **unforced, **options)


def _csp(models: Any, block: str, **options: Any) -> Any:
    return models.CSPNetBackbone(
        stem_filters=16,
        stem_kernel_size=3,
        stem_strides=2,
        stackwise_depth=[1, 2],
        stackwise_strides=[2, 2],
        stackwise_num_filters=[16, 32],
        block_type=block,
        image_shape=_SHAPE,
        **options,
    )


def _mit(models: Any) -> Any:
    return models.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.0,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        hidden_dims=[16, 32],
        image_shape=_SHAPE,
    )


def _vit_det(models: Any) -> Any:
    return models.ViTDetBackbone(
        image_shape=_SHAPE,
        patch_size=8,
        hidden_size=32,
        num_layers=2,
        global_attention_layer_indices=[1],
        intermediate_dim=64,
        num_heads=2,
        num_output_channels=16,
        window_size=4,
    )


def _sam(models: Any) -> Any:
    import keras_hub

    prompts = keras_hub.layers.SAMPromptEncoder(
        hidden_size=16, image_embedding_size=(8, 8), input_image_size=(SIDE, SIDE), mask_in_channels=16
    )
    masks = keras_hub.layers.SAMMaskDecoder(
        num_layers=1,
        hidden_size=16,
        intermediate_dim=32,
        num_heads=2,
        embedding_dim=16,
        num_multimask_outputs=3,
        iou_head_depth=2,
        iou_head_hidden_dim=8,
    )
    return models.SAMBackbone(image_encoder=_vit_det(models), prompt_encoder=prompts, mask_decoder=masks)


def _depth_anything(models: Any) -> Any:
    return models.DepthAnythingBackbone(
        image_encoder=models.DINOV2Backbone(**_DINO_V2),
        reassemble_factors=[2, 1],
        neck_hidden_dims=[16, 32],
        fusion_hidden_dim=16,
        head_hidden_dim=8,
        head_in_index=-1,
        feature_keys=["stage1", "stage2"],
    )


#: How to make each network, by name.
NETWORKS: dict[str, Callable[[Any], Any]] = {
    "vit": lambda models: models.ViTBackbone(**_VIT, mlp_dim=96),
    "vit_without_class": lambda models: models.ViTBackbone(**_VIT, mlp_dim=96, use_class_token=False),
    "deit": lambda models: models.DeiTBackbone(**_VIT, intermediate_dim=96),
    "dinov2": lambda models: models.DINOV2Backbone(**_DINO_V2),
    "dinov2_registers": lambda models: models.DINOV2Backbone(**_DINO_V2, num_register_tokens=4),
    "dinov2_swiglu": lambda models: models.DINOV2Backbone(**_DINO_V2, use_swiglu_ffn=True),
    "dinov3": lambda models: models.DINOV3Backbone(**_DINO, patch_size=16, image_shape=_SHAPE),
    "dinov3_gated": lambda models: models.DINOV3Backbone(
        **_DINO, patch_size=16, image_shape=_SHAPE, use_gated_mlp=True, hidden_activation="silu"
    ),
    "siglip": _siglip,
    "clip": _clip,
    "metaclip_2": lambda models: _clip(models, "MetaCLIP2"),
    "swin": lambda models: models.SwinTransformerBackbone(
        image_shape=_SHAPE, embed_dim=16, depths=(2, 2), num_heads=(2, 4), window_size=4, patch_size=4
    ),
    "mit": _mit,
    "vit_det": _vit_det,
    "mobilenet_v3": _mobilenet_v3,
    "mobilenet_v5": _mobilenet_v5,
    "efficientnet": lambda models: _efficientnet(models, "v1", 0.25),
    "efficientnet_v2": lambda models: _efficientnet(models, "fused", 0.0),
    "efficientnet_lite": lambda models: _efficientnet(models, "v1", 0.0, activation="relu6"),
    "hgnet_v2": _hgnet,
    "csp_darknet": lambda models: _csp(models, "dark_block", stage_type="dark"),
    "csp_resnet": lambda models: _csp(
        models, "bottleneck_block", stage_type="csp", bottle_ratio=[0.5], block_ratio=[1.0], expand_ratio=[2.0]
    ),
    "resnet": lambda models: models.ResNetBackbone(**_RESNET),  # of any size: its image converter decides
    "resnet_v2": lambda models: models.ResNetBackbone(**_RESNET, use_pre_activation=True, image_shape=_SHAPE),
    "resnet_vd": lambda models: models.ResNetBackbone(
        **{**_RESNET, "block_type": "bottleneck_block_vd", "input_conv_filters": [32, 32, 64]}
        | {"input_conv_kernel_sizes": [3, 3, 3]},
        image_shape=_SHAPE,
    ),
    "densenet": lambda models: models.DenseNetBackbone(stackwise_num_repeats=[2, 2], growth_rate=8, image_shape=_SHAPE),
    "xception": lambda models: models.XceptionBackbone(
        stackwise_conv_filters=[[16, 24], [24, 32]], stackwise_pooling=[True, False], image_shape=_SHAPE
    ),
    "vgg": lambda models: models.VGGBackbone(
        stackwise_num_repeats=[1, 1], stackwise_num_filters=[16, 32], image_shape=_SHAPE
    ),
    "segformer": lambda models: models.SegFormerBackbone(image_encoder=_mit(models), projection_filters=16),
    "deeplab_v3": lambda models: models.DeepLabV3Backbone(
        image_encoder=models.ResNetBackbone(**_RESNET, image_shape=_SHAPE),
        projection_filters=8,
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P3",
        upsampling_size=2,
        dilation_rates=[2, 4],
        image_shape=_SHAPE,
    ),
    "depth_anything": _depth_anything,
    "retinanet": lambda models: models.RetinaNetBackbone(
        image_encoder=models.ResNetBackbone(**_RESNET, image_shape=_SHAPE),
        min_level=2,
        max_level=4,
        use_p5=False,
        image_shape=_SHAPE,
    ),
    "parseq": lambda models: models.PARSeqBackbone(
        image_encoder=models.ViTBackbone(**_VIT, mlp_dim=96, use_class_token=False),
        vocabulary_size=32,
        max_label_length=8,
        decoder_hidden_dim=48,
        num_decoder_layers=1,
        num_decoder_heads=2,
        decoder_mlp_dim=96,
    ),
    "pali_gemma": lambda models: models.PaliGemmaBackbone(
        vocabulary_size=32,
        image_size=SIDE,
        num_layers=1,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=32,
        intermediate_dim=64,
        head_dim=16,
        vit_patch_size=16,
        vit_num_heads=2,
        vit_hidden_dim=48,
        vit_intermediate_dim=96,
        vit_num_layers=2,
    ),
    "sam": _sam,
}
