import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { readUpdateKeys } from '../../../../agent/request-handler/update/signature.ts'
import { tempFolder } from '../../../support/temp-folder.ts'

const others: readonly (readonly [string, () => { readonly publicKey: KeyObject }])[] = [
  ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2_048 })],
  ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['secp256k1', () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' })],
  ['Ed448', () => generateKeyPairSync('ed448')],
  ['X25519', () => generateKeyPairSync('x25519')],
]

test.each(others)('an update key of %s counts as none, which is told', async (_kind, make) => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'update-keys'), { mode: 0o755 })
  const pem = make().publicKey.export({ type: 'spki', format: 'pem' })
  await writeFile(join(folder.path, 'update-keys/vendor.pem'), pem, { mode: 0o644 })
  const lines: string[] = []
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  expect(readUpdateKeys(folder.path, owner, (line) => lines.push(line))).toBe('no-update-key')
  expect(lines).toEqual(['update-keys/vendor.pem is no public key of Ed25519 or P-256 in PEM'])
})
