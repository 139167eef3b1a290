// Makes the model in this folder with TensorFlow.js itself, and what TensorFlow.js computes with it:
//   npm install --no-save @tensorflow/tfjs && node tests/data/tensorflowjs/make.mjs
// Like a model of Teachable Machine, it is a Sequential of Sequentials, one of which contains a functional model.
import * as tf from '@tensorflow/tfjs';
import fs from 'fs';

const folder = new URL('.', import.meta.url).pathname;
const SIDE = 16;
const random = (() => { let state = 1; return () => (state = (state * 16807) % 2147483647) / 2147483647; })();

const picture = tf.input({ shape: [SIDE, SIDE, 3], name: 'photo' });
let x = tf.layers.conv2d({ filters: 6, kernelSize: 3, strides: 2, useBias: false, name: 'first' }).apply(picture);
x = tf.layers.batchNormalization({ name: 'norm' }).apply(x);
x = tf.layers.reLU({ maxValue: 6, name: 'relu' }).apply(x);
x = tf.layers.depthwiseConv2d({ kernelSize: 3, padding: 'same', name: 'depthwise' }).apply(x);
x = tf.layers.separableConv2d({ filters: 5, kernelSize: 3, activation: 'tanh', name: 'separable' }).apply(x);
const trunk = tf.model({ inputs: picture, outputs: x, name: 'trunk' });
const pooled = tf.sequential({ name: 'pooled', layers: [trunk, tf.layers.globalAveragePooling2d({ name: 'mean' })] });
const head = tf.sequential({ name: 'head' });
head.add(tf.layers.dense({ units: 7, activation: 'relu', inputShape: [5], name: 'hidden' }));
head.add(tf.layers.dense({ units: 3, activation: 'softmax', useBias: false, name: 'classes' }));
const model = tf.sequential({ layers: [pooled, head] });
model.setWeights(model.getWeights().map(w => tf.tensor(Float32Array.from({ length: w.size }, () => random() - 0.25), w.shape)
  .mul(w.shape.length === 1 ? 2 : 1).abs().add(w.shape.length === 1 ? 0.1 : -0.2)));

await model.save(tf.io.withSaveHandler(async made => {
  fs.writeFileSync(`${folder}weights.bin`, Buffer.from(made.weightData));
  const manifest = [{ paths: ['./weights.bin'], weights: made.weightSpecs }];
  const { modelTopology, format, generatedBy, convertedBy } = made;
  fs.writeFileSync(`${folder}model.json`, JSON.stringify({ modelTopology, format, generatedBy, convertedBy, weightsManifest: manifest }));
  return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
}));
const pixels = Float32Array.from({ length: 2 * SIDE * SIDE * 3 }, (_, i) => ((i * 37) % 251) / 127.5 - 1);
const given = tf.tensor(pixels, [2, SIDE, SIDE, 3]);
const of = output => Array.from(output.dataSync());
fs.writeFileSync(`${folder}outputs.json`, JSON.stringify({ pooled: of(pooled.predict(given)), classes: of(model.predict(given)) }));
