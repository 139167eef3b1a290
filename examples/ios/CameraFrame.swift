// Packs a camera's CVPixelBuffer as the bytes that a model file such as tflite-int8@nv12-640x480.tflite takes. Copy this
// file into your project.
//
// The camera's kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange ("420v") is NV12 with limited range, ...FullRange ("420f")
// has full range: export with --frame nv12-640x480, for "420f" with --frame-color bt601-full. The matrix is in the
// attachment kCVImageBufferYCbCrMatrixKey: for 709 use bt709. Rows may be padded, so both planes are copied row by row.
// Colours, rotation and resize are in the model.

import CoreVideo
import Foundation

enum FrameError: Error {
    case format(OSType)
    case size(width: Int, height: Int)
    case memory
}

/// Returns the frame as NV12 without padding: `width * height * 3 / 2` bytes.
func nv12(_ buffer: CVPixelBuffer, width: Int, height: Int) throws -> Data {
    let format = CVPixelBufferGetPixelFormatType(buffer)
    guard
        format == kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange
            || format == kCVPixelFormatType_420YpCbCr8BiPlanarFullRange
    else { throw FrameError.format(format) }
    let found = (width: CVPixelBufferGetWidth(buffer), height: CVPixelBufferGetHeight(buffer))
    guard found.width == width, found.height == height, width % 2 == 0, height % 2 == 0 else {
        throw FrameError.size(width: found.width, height: found.height)
    }
    guard CVPixelBufferLockBaseAddress(buffer, .readOnly) == kCVReturnSuccess else { throw FrameError.memory }
    defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
    var bytes = Data(capacity: width * height * 3 / 2)
    for (plane, rows) in [(0, height), (1, height / 2)] {
        guard let base = CVPixelBufferGetBaseAddressOfPlane(buffer, plane) else { throw FrameError.memory }
        let stride = CVPixelBufferGetBytesPerRowOfPlane(buffer, plane)
        for row in 0..<rows {
            bytes.append(base.advanced(by: row * stride).assumingMemoryBound(to: UInt8.self), count: width)
        }
    }
    return bytes
}

// With the pod TensorFlowLiteSwift:
//
//     let interpreter = try Interpreter(modelPath: path)
//     try interpreter.allocateTensors()
//     try interpreter.copy(try nv12(pixelBuffer, width: 640, height: 480), toInputAt: 0)
//     try interpreter.invoke()
//     let feature = try interpreter.output(at: 0).data.withUnsafeBytes { Array($0.bindMemory(to: Float32.self)) }
