import { createPrivateKey } from 'node:crypto'

import { beforeAll, expect, test } from 'vitest'

import { pairFault } from '../../../agent/identity/pair-fault.ts'
import { authorityExtensions, makeCertificate, type TestCertificate } from '../../support/certificates.ts'

const made: TestCertificate[] = []

beforeAll(async () => {
  for (const commonName of ['own', 'other'])
    made.push(await makeCertificate({ commonName, extensions: authorityExtensions() }))
})

const names = { certificate: 'c.pem', privateKey: 'k.key' }
const utf16 = (text: string): string => Buffer.from(text, 'utf16le').toString('utf8')
const encrypted = (pem: string): string =>
  createPrivateKey(pem).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })

interface Pair {
  readonly certificate: string
  readonly privateKey: string
}

test.each<[string, (own: Pair, other: Pair) => Pair, string]>([
  [
    'swapped files',
    (own) => ({ certificate: own.privateKey, privateKey: own.certificate }),
    'c.pem holds a private key, and k.key a certificate',
  ],
  ['an empty certificate', (own) => ({ ...own, certificate: '\n' }), 'c.pem is empty'],
  ['an empty key', (own) => ({ ...own, privateKey: '' }), 'k.key is empty'],
  ['UTF-16', (own) => ({ ...own, certificate: utf16(own.certificate) }), 'c.pem is UTF-16, or no text'],
  [
    'a key with a passphrase',
    (own) => ({ ...own, privateKey: encrypted(own.privateKey) }),
    'the private key in k.key is encrypted',
  ],
  [
    'a chain that begins with another certificate',
    (own, other) => ({ ...own, certificate: `${other.certificate}\n${own.certificate}` }),
    'c.pem begins with another certificate than that of k.key',
  ],
  ['the key of another', (own, other) => ({ ...own, privateKey: other.privateKey }), 'k.key is not the key of c.pem'],
  ['a key twice', (own) => ({ ...own, certificate: own.privateKey }), 'c.pem holds a private key, and no certificate'],
  [
    'a certificate twice',
    (own) => ({ ...own, privateKey: own.certificate }),
    'k.key holds a certificate, and no private key',
  ],
])('tells %s from every other fault', (_, change, message) => {
  const [own, other] = made.map(({ pem: certificate, privateKey }) => ({ certificate, privateKey }))
  if (own === undefined || other === undefined) throw new Error('no certificates')
  expect(pairFault(own, names)).toBeUndefined()
  expect(pairFault({ ...own, certificate: `${own.certificate}\n${other.certificate}` }, names)).toBeUndefined()
  expect(pairFault(change(own, other), names)).toMatchObject({ message })
})
