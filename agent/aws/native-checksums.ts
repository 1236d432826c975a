import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** Checksums as aws-crt's binary computes them, several times as fast as JavaScript does. */
export interface NativeChecksums {
  readonly crc32c: (bytes: Uint8Array, before: number) => number
  /** The value is eight bytes in big-endian order. */
  readonly crc64nvme: (bytes: Uint8Array, before: DataView | undefined) => DataView
}

/**
 * Loads the binary at the first call, as it takes 6 MB of memory; undefined where it is not there or cannot be loaded. Only
 * the binary: aws-crt's own modules start a child process, and wait for it, to find the C library.
 */
export function nativeChecksums(runtime: string = process.execPath): NativeChecksums | undefined {
  for (const path of placesFor(runtime)) {
    const binding = load(path)
    if (binding !== undefined) return { crc32c: binding.checksums_crc32c, crc64nvme: binding.checksums_crc64nvme }
  }
  return undefined
}

/** The locked runtime says where the rest is: beside it in the package, in the next module in a checkout. */
function placesFor(runtime: string): readonly string[] {
  const folder = dirname(runtime)
  const binary = join('bin', `linux-${process.arch}-glibc`, 'aws-crt-nodejs.node')
  return [join(folder, binary), join(folder, '..', '..', 'aws-crt', 'dist', binary)]
}

/** aws-crt's `dist/native/binding.d.ts` */
interface Binding {
  readonly checksums_crc32c: NativeChecksums['crc32c']
  readonly checksums_crc64nvme: NativeChecksums['crc64nvme']
}

/** Node loads a binary once, whoever asks for it. */
function load(path: string): Binding | undefined {
  try {
    const binding: unknown = createRequire(path)(path)
    return isBinding(binding) ? binding : undefined
  } catch {
    return undefined
  }
}

function isBinding(binding: unknown): binding is Binding {
  const { checksums_crc32c, checksums_crc64nvme } = Object(binding) as Partial<Record<string, unknown>> // looked at next
  return typeof checksums_crc32c === 'function' && typeof checksums_crc64nvme === 'function'
}
