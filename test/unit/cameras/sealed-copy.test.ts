import { randomBytes } from 'node:crypto'

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { openCopy, sealCopy } from '../../../agent/cameras/sealed-copy.ts'
import { parseSealingKey, type SealingKey } from '../../../agent/cameras/sealing-key.ts'
import { cameraFile } from '../../support/camera-file.ts'

const owner = { thingName: 'dock-1_Thing', camera: 'dock-3' }
const key = newKey()
const file = cameraFile({ username: 'marked-user', password: 'marked-password', versionId: 'marked-version' })

function newKey(): SealingKey {
  const made = parseSealingKey(randomBytes(32))
  if (made === undefined) throw new Error('32 bytes are no key')
  return made
}

function withFields(change: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...(JSON.parse(sealCopy(file, owner, key)) as object), ...change })
}

describe('a sealed copy', () => {
  test('opens with the same key, for the same thing and camera, among other keys', () => {
    const text = sealCopy(file, owner, key)
    expect(openCopy(text, owner, [newKey(), key])).toEqual({ file, keyId: key.id })
  })

  test('shows nothing of what is in it, and not how long a password is', () => {
    const text = sealCopy(file, owner, key)
    for (const value of Object.values(file)) expect(text).not.toContain(value)
    const longer = sealCopy({ ...file, password: 'a-password-of-another-length' }, owner, key)
    expect(longer).toHaveLength(text.length)
  })

  test('has another nonce each time', () => {
    const nonces = Array.from({ length: 1_000 }, () => {
      const { nonce } = JSON.parse(sealCopy(file, owner, key)) as { nonce: string }
      return nonce
    })
    expect(new Set(nonces).size).toBe(1_000)
    expect(Buffer.from(nonces[0] ?? '', 'base64')).toHaveLength(12)
  })

  test.each([
    [
      'of another thing',
      sealCopy(file, { ...owner, thingName: 'dock-2_Thing' }, key),
      /another thing, "dock-2_Thing"$/,
    ],
    ['of another camera', sealCopy(file, { ...owner, camera: 'dock-4' }, key), /another camera, "dock-4"$/],
    ['under another key', sealCopy(file, owner, newKey()), /another key, "[0-9a-f]{16}"$/],
    ['of a newer version', withFields({ version: 2, somethingElse: true }), /newer version of the agent$/],
    ['of another version', withFields({ version: 0 }), /damaged$/],
    ['of another thing that was renamed', renamed({ thingName: 'dock-2_Thing' }), /damaged$/],
    ['of another camera that was renamed', renamed({ camera: 'dock-4' }), /damaged$/],
    ['with a shorter tag', withFields({ tag: 'AAAAAAA=' }), /damaged$/],
    ['without a nonce', withFields({ nonce: '' }), /damaged$/],
    ['that is empty', '', /damaged$/],
    ['that is no JSON', '{"version":1,', /damaged$/],
    ['that is other JSON', '[1]', /damaged$/],
  ])('%s does not open, and says why', (_, text, fault) => {
    expect(openCopy(text, owner, [key])).toEqual({ fault: expect.stringMatching(fault) as string })
  })

  /** Made for another owner, with the owner's names written over. */
  function renamed(other: Partial<typeof owner>): string {
    return JSON.stringify({ ...(JSON.parse(sealCopy(file, { ...owner, ...other }, key)) as object), ...owner })
  }

  test('with any bit flipped is what it was, or at fault, and never anything else', () => {
    const bytes = Buffer.from(sealCopy(file, owner, key))
    let faults = 0
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const opened = openCopy(flipped.toString('utf8'), owner, [key])
      if ('fault' in opened) faults += 1
      else expect(opened).toEqual({ file, keyId: key.id })
    }
    expect(faults).toBeGreaterThan(bytes.length * 8 - 32) // but for the last newline
  })

  test('cut off anywhere is at fault', () => {
    const text = sealCopy(file, owner, key).trimEnd()
    for (let length = 0; length < text.length; length += 1) {
      expect(openCopy(text.slice(0, length), owner, [key])).toHaveProperty('fault')
    }
  })

  test('gives back whatever was sealed, and any other text is a fault', () => {
    const names = fc.string({ minLength: 1, maxLength: 12, unit: 'binary' })
    const record = fc.record({ username: names, password: names, streamUrl: names, versionId: names })
    fc.assert(
      fc.property(record, names, names, (change, thingName, camera) => {
        const sealed = sealCopy(cameraFile(change), { thingName, camera }, key)
        expect(openCopy(sealed, { thingName, camera }, [key])).toEqual({ file: cameraFile(change), keyId: key.id })
      }),
    )
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(openCopy(text, owner, [key])).toHaveProperty('fault')
      }),
    )
  })
})
