// Makes the graph model in this folder, and what TensorFlow.js computes with it:
//   npm install --no-save @tensorflow/tfjs && node tests/data/tensorflowjs_graph/make.mjs
// Its nodes are as tensorflowjs_converter writes them: operations are fused, bytes are in base64, and constants are
// without values. An axis of 64 bits is listed with 32, because TensorFlow.js has no such numbers.
import * as tf from '@tensorflow/tfjs';
import fs from 'fs';

const folder = new URL('.', import.meta.url).pathname;
const SIDE = 16;
const random = (() => { let state = 1; return () => (state = (state * 16807) % 2147483647) / 2147483647; })();

const nodes = [], weights = [], files = [];
const float = { type: 'DT_FLOAT' };
const bytes = text => ({ s: Buffer.from(text).toString('base64') });
const list = values => ({ list: { i: values.map(String) } });
const shaped = shape => ({ dim: shape.map(side => ({ size: String(side) })) });

function constant(name, shape, values, dtype = 'float32', type = 'DT_FLOAT') {
  nodes.push({ name, op: 'Const', attr: { dtype: { type }, value: { tensor: { dtype: type, tensorShape: shaped(shape) } } } });
  weights.push({ name, shape, dtype });
  files.push(Buffer.from((dtype === 'int32' ? Int32Array : Float32Array).from(values).buffer));
  return name;
}
const drawn = (name, shape, least = -0.5) =>
  constant(name, shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => least + random()));
function node(op, name, input, attr = { T: float }) { nodes.push({ name, op, input, attr }); return name; }
const fusing = (kinds, args, more = {}) =>
  ({ T: float, num_args: { i: String(args) }, epsilon: { f: 0 }, fused_ops: { list: { s: kinds.map(kind => bytes(kind).s) } }, ...more });
const convolving = stride => ({ strides: list([1, stride, stride, 1]), dilations: list([1, 1, 1, 1]), padding: bytes('SAME'),
  data_format: bytes('NHWC'), explicit_paddings: { list: {} } });

node('Placeholder', 'photo', undefined, { dtype: float, shape: { shape: shaped([-1, SIDE, SIDE, 3]) } });
let x = node('Mul', 'net/scale/mul', ['photo', constant('net/scale/mul/y', [], [1 / 127.5])]);
x = node('Sub', 'net/scale/sub', [x, constant('net/scale/sub/y', [], [1])]);
x = node('_FusedConv2D', 'net/first/Relu6', [x, drawn('net/first/kernel', [3, 3, 3, 6]), drawn('net/first/bias', [6])],
  { ...fusing(['BiasAdd', 'Relu6'], 1), ...convolving(2), use_cudnn_on_gpu: { b: true }, _output_shapes: { list: { shape: [{ unknownRank: true }] } } });
const first = x;
x = node('FusedDepthwiseConv2dNative', 'net/depthwise/depthwise',
  [x, drawn('net/depthwise/kernel', [3, 3, 6, 1]), drawn('net/depthwise/bias', [6])], { ...fusing(['BiasAdd', 'Elu'], 1), ...convolving(1) });
x = node('_FusedConv2D', 'net/slope/mul_1',
  [x, drawn('net/slope/kernel', [1, 1, 6, 6]), drawn('net/slope/bias', [6]), drawn('net/slope/alpha', [1, 1, 6], 0)],
  { ...fusing(['BiasAdd', 'Prelu'], 2), ...convolving(1) });
x = node('_FusedConv2D', 'net/leaky/LeakyRelu', [x, drawn('net/leaky/kernel', [3, 3, 6, 6]), drawn('net/leaky/bias', [6])],
  { ...fusing(['BiasAdd', 'LeakyRelu'], 1), ...convolving(1), leakyrelu_alpha: { f: 0.125 } });
x = node('Prelu', 'net/bent/add', [x, drawn('net/bent/alpha', [1, 1, 6], 0)], {});
x = node('AddV2', 'net/sum/add', [x, first]);
x = node('Mean', 'net/pooled/Mean', [x, constant('net/pooled/axes', [2], [1, 2], 'int32', 'DT_INT64')],
  { T: float, Tidx: { type: 'DT_INT64' }, keep_dims: { b: false } });
const pooled = x;
const at = index => constant(`net/flatten/strided_slice/stack_${index}`, [1], [index === 0 ? 0 : 1], 'int32', 'DT_INT32');
const integer = { type: 'DT_INT32' };
const rows = node('StridedSlice', 'net/flatten/strided_slice',
  [node('Shape', 'net/flatten/Shape', [x], { T: float, out_type: integer }), at(0), at(1), at(2)],
  { T: integer, Index: integer, begin_mask: { i: '0' }, end_mask: { i: '0' }, ellipsis_mask: { i: '0' }, new_axis_mask: { i: '0' }, shrink_axis_mask: { i: '1' } });
const shape = node('Pack', 'net/flatten/Reshape/shape', [rows, constant('net/flatten/Reshape/shape/1', [], [6], 'int32', 'DT_INT32')],
  { N: { i: '2' }, T: integer, axis: { i: '0' } });
x = node('Reshape', 'net/flatten/Reshape', [x, shape], { T: float, Tshape: integer });
const product = { transpose_a: { b: false }, transpose_b: { b: false } };
x = node('_FusedMatMul', 'net/hidden/Relu', [x, drawn('net/hidden/kernel', [6, 7]), drawn('net/hidden/bias', [7])], { ...fusing(['BiasAdd', 'Relu'], 1), ...product });
x = node('_FusedMatMul', 'net/classes/BiasAdd', [x, drawn('net/classes/kernel', [7, 3]), drawn('net/classes/bias', [3])],
  { ...fusing(['BiasAdd'], 1), ...product });
node('Identity', 'Identity', [node('Softmax', 'net/classes/Softmax', [x])]);

const tensor = (name, sides) => ({ name: `${name}:0`, dtype: 'DT_FLOAT', tensorShape: shaped(sides) });
const made = {
  format: 'graph-model', generatedBy: '2.18.0', convertedBy: 'TensorFlow.js Converter v4.22.0',
  signature: { inputs: { photo: tensor('photo', [-1, SIDE, SIDE, 3]) }, outputs: { classes: tensor('Identity', [-1, 3]) } },
  modelTopology: { node: nodes, library: {}, versions: { producer: 1994 } },
  weightsManifest: [{ paths: ['group1-shard1of1.bin'], weights }],
};
const data = Buffer.concat(files);
fs.writeFileSync(`${folder}model.json`, JSON.stringify(made));
fs.writeFileSync(`${folder}group1-shard1of1.bin`, data);

const model = await tf.loadGraphModel({ load: async () => ({ modelTopology: made.modelTopology, signature: made.signature,
  weightSpecs: weights, weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.length) }) });
const pixels = Float32Array.from({ length: 2 * SIDE * SIDE * 3 }, (_, i) => (i * 37) % 251);
const given = tf.tensor(pixels, [2, SIDE, SIDE, 3]);
const outputs = {};
for (const [key, name] of [['first', first], ['depthwise', 'net/depthwise/depthwise'], ['slope', 'net/slope/mul_1'], ['leaky', 'net/leaky/LeakyRelu'],
  ['bent', 'net/bent/add'], ['sum', 'net/sum/add'], ['pooled', pooled], ['hidden', 'net/hidden/Relu'], ['classes', 'Identity']]) {
  const value = tf.tidy(() => { const found = model.execute(given, name); return found.rank === 4 ? found.mean([1, 2]) : found; });
  outputs[key] = value.arraySync();
}
fs.writeFileSync(`${folder}outputs.json`, JSON.stringify(outputs));
