"""The layers, functions and operations allowed in a saved model: those that only compute.

A Keras 2 file can name any function of TensorFlow, and a SavedModel any operation. Those that read or write files, run
Python or contain text are not listed, and so are refused.
"""

from __future__ import annotations

__all__ = ["FORBIDDEN_LAYERS", "FUNCTIONS", "OPERATIONS", "PARTS"]

#: Layers of Keras that run code from the file, call another saved model, or read a vocabulary from a file.
FORBIDDEN_LAYERS = frozenset(
    {
        "CategoryEncoding",
        "ClassMethod",
        "DenseFeatures",
        "Discretization",
        "FeatureSpace",
        "FlaxLayer",
        "Hashing",
        "HashedCrossing",
        "InstanceMethod",
        "InstanceProperty",
        "IntegerLookup",
        "JaxLayer",
        "Lambda",
        "StringLookup",
        "TFSMLayer",
        "TextVectorization",
        "TorchModuleWrapper",
    }
)

#: Modules with the classes that a layer's config may name, as attributes of `tf_keras`.
PARTS = ("layers", "initializers", "regularizers", "constraints", "activations", "mixed_precision")

#: Functions that a TFOpLambda layer may call: arithmetic and changes of shape.
FUNCTIONS = frozenset(
    """
    __operators__.add __operators__.eq __operators__.getitem __operators__.ne abs add cast ceil clip_by_value concat
    convert_to_tensor divide einsum exp expand_dims floor gather identity image.adjust_brightness
    image.adjust_contrast image.central_crop image.crop_to_bounding_box image.flip_left_right image.flip_up_down
    image.grayscale_to_rgb image.per_image_standardization image.resize image.resize_with_crop_or_pad
    image.resize_with_pad image.rgb_to_grayscale linalg.l2_normalize linalg.matmul math.abs math.add math.add_n
    math.ceil math.divide math.divide_no_nan math.exp math.floor math.l2_normalize math.log math.log1p math.maximum
    math.minimum math.multiply math.multiply_no_nan math.negative math.pow math.reciprocal math.reduce_max
    math.reduce_mean math.reduce_min math.reduce_sum math.reduce_variance math.rsqrt math.scalar_mul math.sigmoid
    math.sign math.softplus math.sqrt math.square math.squared_difference math.subtract math.tanh math.truediv maximum
    minimum multiply negative nn.avg_pool nn.avg_pool2d nn.batch_normalization nn.bias_add nn.conv2d nn.convolution
    nn.depth_to_space nn.depthwise_conv2d nn.elu nn.gelu nn.l2_normalize nn.leaky_relu nn.local_response_normalization
    nn.log_softmax nn.lrn nn.max_pool nn.max_pool2d nn.moments nn.relu nn.relu6 nn.selu nn.sigmoid nn.silu nn.softmax
    nn.softplus nn.softsign nn.space_to_depth nn.swish nn.tanh ones_like pad pow realdiv reduce_max reduce_mean
    reduce_min reduce_sum repeat reshape reverse round scalar_mul shape sigmoid sign slice split sqrt square squeeze
    stack stop_gradient strided_slice subtract sum tanh tile transpose truediv unstack where zeros_like
    compat.v1.concat compat.v1.expand_dims compat.v1.gather compat.v1.image.resize_bilinear
    compat.v1.image.resize_nearest_neighbor compat.v1.nn.avg_pool compat.v1.nn.conv2d compat.v1.nn.depthwise_conv2d
    compat.v1.nn.max_pool compat.v1.nn.softmax compat.v1.ones_like compat.v1.pad compat.v1.reduce_max
    compat.v1.reduce_mean compat.v1.reduce_sum compat.v1.shape compat.v1.squeeze compat.v1.transpose
    compat.v1.zeros_like
    """.split()
)

#: TensorFlow operations that a SavedModel may use to compute its features.
OPERATIONS = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AvgPool BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd
    BroadcastArgs BroadcastTo Cast Ceil ClipByValue Concat ConcatV2 Const Conv2D Conv2DBackpropInput CropAndResize
    Cumsum DepthToSpace DepthwiseConv2dNative Div DivNoNan Einsum Elu Equal Erf Erfc Exp ExpandDims Fill Floor FloorDiv
    FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GatherV2 Greater GreaterEqual Identity IdentityN Inv
    L2Loss LRN LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool
    MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mul MulNoNan Neg NoOp NotEqual OnesLike Pack Pad PadV2 PartitionedCall
    Placeholder PlaceholderWithDefault Pow PreventGradient Prod Range Rank ReadVariableOp RealDiv Reciprocal Relu Relu6
    Reshape ResizeBicubic ResizeBilinear ResizeNearestNeighbor ResourceGather ReverseV2 Round Rsqrt Select SelectV2 Selu
    Shape Sigmoid Sign Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square
    SquaredDifference Squeeze StatefulPartitionedCall StatelessIf StopGradient StridedSlice Sub Sum Tanh Tile TopKV2
    Transpose Unpack VarHandleOp Where ZerosLike
    """.split()
)
