import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parseManifest, RefusedManifestError } from '../../../../agent/artifacts/release/release-manifest.ts'
import { manifestFile, manifestPayload } from '../../../support/signed-manifest.ts'

const parse = (payload: string): unknown => parseManifest(Buffer.from(payload))
const file = manifestFile('a', 'content')

describe('parseManifest', () => {
  it('throws nothing but a RefusedManifestError, whatever it is given', () => {
    const fields = fc.record(
      {
        schema: fc.constantFrom(1, 2, '1', null),
        sequence: fc.oneof(fc.integer(), fc.double()),
        files: fc.oneof(fc.jsonValue(), fc.array(fc.oneof(fc.constant(file), fc.jsonValue()))),
      },
      { requiredKeys: [] },
    )
    const input = fc.oneof(fc.uint8Array(), fc.json(), fields.map(manifestPayload))
    fc.assert(
      fc.property(input, (bytes) => {
        try {
          parseManifest(Buffer.from(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(RefusedManifestError)
        }
      }),
    )
  })

  it.each([
    ['no JSON', 'x', 'no JSON that is read'],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'no JSON that is read'],
    ['a list', '[]', 'the payload'],
    ['no files', manifestPayload({ files: [] }), 'files: must name a file'],
    ['a sequence of 0', manifestPayload({ sequence: 0 }), 'sequence:'],
    ['a sequence that no number holds', manifestPayload().replace('"sequence":1', '"sequence":1e300'), 'sequence:'],
    ['a negative size', manifestPayload({ files: [{ ...file, size: -1 }] }), 'files[0].size:'],
    [
      'a sha256 in capitals',
      manifestPayload({ files: [file, { ...file, sha256: 'A'.repeat(64) }] }),
      'files[1].sha256',
    ],
    ['a key over 1024 bytes', manifestPayload({ files: [{ ...file, key: 'é'.repeat(513) }] }), '1024 bytes'],
    [
      'a path that leaves the release',
      manifestPayload({ files: [{ ...file, path: '../x' }] }),
      '"../x" cannot be a file',
    ],
    ['a path twice', manifestPayload({ files: [file, file] }), '"a" has the same path'],
    ['a path that is a list', manifestPayload({ files: [{ ...file, path: ['a'] }] }), 'files[0].path:'],
    ['a key twice', manifestPayload().replace('{', '{"name":"other",'), 'key "name" twice'],
    ['__proto__', manifestPayload().replace('{', '{"__proto__":{"executable":true},'), '__proto__'],
    ['brackets too deep', manifestPayload().replace('{', `{"x":${'['.repeat(100_000)}`), '16 deep'],
    ['too many files', manifestPayload({ files: Array.from({ length: 250_001 }, () => 0) }), 'files:'],
    ['too many objects', `{"x":[${'{},'.repeat(1_000_001)}{}]}`, '1000000 arrays and objects'],
  ])('refuses %s, and says where', (_, payload, why) => {
    expect(() => parseManifest(Buffer.from(payload))).toThrow(why)
    expect(() => parseManifest(Buffer.from(payload))).toThrow(/the manifest release\.jws is refused/)
  })

  it('lets unknown fields pass, at every level', () => {
    const fields = { files: [{ ...file, chunks: [{ size: 1 }] }], note: 'x' }
    expect(parse(manifestPayload(fields))).toEqual(parse(manifestPayload({ files: [file] })))
  })
})
