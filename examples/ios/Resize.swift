// Resizes a photo to the input size of a bundle, as edgefeat does. Copy this file into your project.
//
// MediaPipe's own resize skips pixels of a large photo (no antialiasing), so the features differ. This is Pillow's
// bilinear resize, in the same integer arithmetic.

import UIKit

private let precision = 22  // fraction bits of a weight

private struct Weights {
    let start: Int
    let values: [Int]
}

/// RGBA bytes, row by row. Results have alpha 255.
public struct Pixels {
    public let width: Int
    public let height: Int
    public let bytes: [UInt8]

    public init(width: Int, height: Int, bytes: [UInt8]) {
        precondition(bytes.count == width * height * 4, "four bytes a pixel")
        self.width = width
        self.height = height
        self.bytes = bytes
    }

    /// Returns the image at another size: resized horizontally, then vertically, each time rounded to bytes.
    public func resized(width newWidth: Int, height newHeight: Int) -> Pixels {
        let narrow = newWidth == width ? self : across(newWidth)
        return newHeight == height ? narrow : narrow.down(newHeight)
    }

    private func across(_ newWidth: Int) -> Pixels {
        let weights = weightsOf(size: width, newSize: newWidth)
        var result = [UInt8](repeating: 255, count: newWidth * height * 4)
        for y in 0..<height {
            for x in 0..<newWidth {
                let first = (y * width + weights[x].start) * 4
                write(into: &result, at: (y * newWidth + x) * 4, from: first, step: 4, weights: weights[x].values)
            }
        }
        return Pixels(width: newWidth, height: height, bytes: result)
    }

    private func down(_ newHeight: Int) -> Pixels {
        let weights = weightsOf(size: height, newSize: newHeight)
        var result = [UInt8](repeating: 255, count: width * newHeight * 4)
        for y in 0..<newHeight {
            for x in 0..<width {
                let first = (weights[y].start * width + x) * 4
                write(into: &result, at: (y * width + x) * 4, from: first, step: width * 4, weights: weights[y].values)
            }
        }
        return Pixels(width: width, height: newHeight, bytes: result)
    }

    private func write(into result: inout [UInt8], at place: Int, from first: Int, step: Int, weights: [Int]) {
        for channel in 0..<3 {
            var sum = 1 << (precision - 1)
            var position = first + channel
            for weight in weights {
                sum += Int(bytes[position]) * weight
                position += step
            }
            result[place + channel] = UInt8(min(255, max(0, sum >> precision)))
        }
    }
}

/// Returns, for each new pixel, the old pixels it covers and their weights: a triangle as wide as two new pixels.
private func weightsOf(size: Int, newSize: Int) -> [Weights] {
    let scale = Double(size) / Double(newSize)
    let reach = max(scale, 1)
    return (0..<newSize).map { index in
        let centre = (Double(index) + 0.5) * scale
        let start = max(0, Int(centre - reach + 0.5))
        let end = min(size, Int(centre + reach + 0.5))
        let raw = (start..<end).map { max(0, 1 - abs((Double($0) - centre + 0.5) / reach)) }
        let sum = raw.reduce(0, +)
        return Weights(start: start, values: raw.map { Int(0.5 + $0 / sum * Double(1 << precision)) })
    }
}

/// Returns the photo upright, laid over white, at the bundle's input size; nil if it has no pixels.
public func resized(_ photo: UIImage, width: Int, height: Int) -> UIImage? {
    let format = UIGraphicsImageRendererFormat()
    format.scale = 1
    format.opaque = true
    let size = CGSize(width: photo.size.width * photo.scale, height: photo.size.height * photo.scale)
    let upright = UIGraphicsImageRenderer(size: size, format: format).image { context in
        UIColor.white.setFill()
        context.fill(CGRect(origin: .zero, size: size))
        photo.draw(in: CGRect(origin: .zero, size: size))
    }
    guard let image = upright.cgImage else { return nil }
    let small = pixels(of: image).resized(width: width, height: height)
    return picture(of: small).map { UIImage(cgImage: $0) }
}

private let colours = CGColorSpaceCreateDeviceRGB()

private func pixels(of image: CGImage) -> Pixels {
    var bytes = [UInt8](repeating: 255, count: image.width * image.height * 4)
    bytes.withUnsafeMutableBytes { buffer in
        let context = CGContext(
            data: buffer.baseAddress, width: image.width, height: image.height, bitsPerComponent: 8,
            bytesPerRow: image.width * 4, space: colours, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
        context?.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
    }
    return Pixels(width: image.width, height: image.height, bytes: bytes)
}

private func picture(of pixels: Pixels) -> CGImage? {
    // MediaPipe accepts only images with an alpha channel.
    guard let provider = CGDataProvider(data: Data(pixels.bytes) as CFData) else { return nil }
    return CGImage(
        width: pixels.width, height: pixels.height, bitsPerComponent: 8, bitsPerPixel: 32,
        bytesPerRow: pixels.width * 4, space: colours,
        bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.premultipliedLast.rawValue), provider: provider, decode: nil,
        shouldInterpolate: false, intent: .defaultIntent)
}
