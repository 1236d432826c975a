import { createHash, randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { nativeChecksums } from '../../../agent/aws/native-checksums.ts'
import { beginChecksum, checksumAlgorithms, type ChecksumAlgorithm } from '../../../agent/aws/running-checksums.ts'
import { tempFolder } from '../../support/temp-folder.ts'

/** Of the digits 1 to 9: the CRC catalogue's check values, and FIPS 180. */
const checkValues: readonly { readonly algorithm: ChecksumAlgorithm; readonly hex: string }[] = [
  { algorithm: 'CRC32', hex: 'cbf43926' },
  { algorithm: 'CRC32C', hex: 'e3069283' },
  { algorithm: 'CRC64NVME', hex: 'ae8b14860a799888' },
  { algorithm: 'SHA1', hex: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441' },
  { algorithm: 'SHA256', hex: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225' },
]
const withoutNative = (): undefined => undefined

describe.each([
  { how: 'with the native binary', load: nativeChecksums },
  { how: 'without it', load: withoutNative },
])('checksums $how', ({ load }) => {
  it.each(checkValues)('have the known value: $algorithm', async ({ algorithm, hex }) => {
    const running = beginChecksum(algorithm, load)
    for (const chunk of ['1', '', '2345678', '9']) running.update(Buffer.from(chunk))
    expect(await running.digest()).toBe(Buffer.from(hex, 'hex').toString('base64'))
  })

  it.each(checkValues)('of nothing are that of an empty object: $algorithm', async ({ algorithm }) => {
    const sha = algorithm.startsWith('SHA')
    const bytes = { CRC64NVME: 8 }[algorithm as string] ?? 4
    const expected = sha ? createHash(algorithm).digest('base64') : Buffer.alloc(bytes).toString('base64')
    expect(await beginChecksum(algorithm, load).digest()).toBe(expected)
  })
})

it.each(checksumAlgorithms)('the same comes out of the native binary and of JavaScript: %s', async (algorithm) => {
  const content = randomBytes(100_003)
  const [native, script] = [beginChecksum(algorithm), beginChecksum(algorithm, withoutNative)]
  for (let start = 0; start < content.byteLength; start += 9_999) native.update(content.subarray(start, start + 9_999))
  script.update(content)
  expect(await native.digest()).toBe(await script.digest())
})

it('the native binary is found beside the locked runtime', () => {
  expect(nativeChecksums()).toBeDefined()
})

it('does without a native binary where there is none, or something else in its place', async () => {
  await using folder = await tempFolder()
  const runtime = join(folder.path, 'node')
  expect(nativeChecksums(runtime)).toBeUndefined()
  const binaries = join(folder.path, 'bin', `linux-${process.arch}-glibc`)
  await mkdir(binaries, { recursive: true })
  await writeFile(join(binaries, 'aws-crt-nodejs.node'), 'no binary')
  expect(nativeChecksums(runtime)).toBeUndefined()
})
