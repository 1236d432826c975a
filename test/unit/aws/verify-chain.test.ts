import 'reflect-metadata'

import { X509Certificate } from 'node:crypto'

import * as x509 from '@peculiar/x509'
import { beforeAll, describe, expect, test } from 'vitest'

import { verifyChainIgnoringDates } from '../../../agent/aws/verify-chain.ts'
import type { Validity } from '../../../agent/credentials/server-clock.ts'
import {
  authorityExtensions,
  hostNames,
  makeCertificate,
  serverExtensions,
  type CertificateOptions,
  type TestCertificate,
} from '../../support/certificates.ts'

const host = 'c1.credentials.iot.us-west-2.amazonaws.com'
const made: TestCertificate[] = []

beforeAll(async () => {
  made.push(await authority('root'))
})

function trustedRoot(): TestCertificate {
  const [root] = made
  if (root === undefined) throw new Error('no root was made')
  return root
}

async function authority(commonName: string, issuer?: TestCertificate, pathLength?: number): Promise<TestCertificate> {
  const extensions = authorityExtensions(pathLength)
  return await makeCertificate({ commonName, extensions, ...(issuer === undefined ? {} : { issuer }) })
}

async function server(issuer: TestCertificate, change: Partial<CertificateOptions> = {}): Promise<TestCertificate> {
  return await makeCertificate({ commonName: 'server', issuer, extensions: serverExtensions(host), ...change })
}

async function verify(sent: readonly TestCertificate[], askedFor = host): Promise<Validity> {
  const roots = [new X509Certificate(trustedRoot().pem)]
  return await verifyChainIgnoringDates({ host: askedFor, certificates: sent.map(({ der }) => der), roots })
}

async function expectAccepted(sent: readonly TestCertificate[], askedFor = host): Promise<void> {
  await expect(verify(sent, askedFor)).resolves.toHaveProperty('notAfterMs')
}

async function expectRefused(sent: readonly TestCertificate[], reason: string, askedFor = host): Promise<void> {
  await expect(verify(sent, askedFor)).rejects.toMatchObject({
    name: 'UntrustedServerError',
    message: expect.stringContaining(reason) as string,
    hint: expect.stringContaining('somebody may be in the middle') as string,
  })
}

describe('accepts', () => {
  test('a server whose certificate a root has issued', async () => {
    await expectAccepted([await server(trustedRoot())])
  })

  test('a chain with dates that are long over or far ahead, and tells when all of it is valid', async () => {
    const dates = { notBefore: new Date('2031-01-01'), notAfter: new Date('2033-01-01') }
    const intermediate = await makeCertificate({
      commonName: 'intermediate',
      issuer: trustedRoot(),
      extensions: authorityExtensions(),
      ...dates,
    })
    const leaf = await server(intermediate, { notBefore: new Date('2030-01-01'), notAfter: new Date('2032-01-01') })
    const { notAfter } = trustedRoot().parsed
    expect(await verify([leaf, intermediate])).toEqual({
      notBeforeMs: Date.UTC(2031, 0, 1),
      notAfterMs: Math.min(Date.UTC(2032, 0, 1), notAfter.getTime()),
    })
  })

  test('a chain that was sent out of order, with the root and a stranger in it', async () => {
    const first = await authority('first', trustedRoot())
    const second = await authority('second', first)
    const leaf = await server(second)
    await expectAccepted([leaf, trustedRoot(), await authority('stranger'), first, second])
  })

  test('a chain as long as its issuers allow', async () => {
    const first = await authority('first', trustedRoot(), 1)
    const second = await authority('second', first, 0)
    await expectAccepted([await server(second), first, second])
  })

  test('a wildcard name for one label', async () => {
    const leaf = await server(trustedRoot(), { extensions: serverExtensions('*.s3.us-west-2.amazonaws.com') })
    await expectAccepted([leaf], 'bucket.s3.us-west-2.amazonaws.com')
    await expectRefused([leaf], 'for another name', 'a.b.s3.us-west-2.amazonaws.com')
  })

  test('a server whose certificate is not limited to any purpose', async () => {
    const extensions = [new x509.BasicConstraintsExtension(false), hostNames(host)]
    await expectAccepted([await server(trustedRoot(), { extensions })])
  })
})

describe('refuses', () => {
  test('a server that sent nothing', async () => {
    await expectRefused([], 'it sent no certificate')
  })

  test('a chain to another root, also one of the same name', async () => {
    for (const name of ['other', 'root']) {
      const other = await authority(name)
      await expectRefused([await server(other), other], 'no trusted root')
    }
  })

  test('a certificate that signed itself', async () => {
    const leaf = await makeCertificate({ commonName: 'server', extensions: serverExtensions(host) })
    await expectRefused([leaf], 'no trusted root')
  })

  test('a chain without its intermediate', async () => {
    const intermediate = await authority('intermediate', trustedRoot())
    await expectRefused([await server(intermediate)], 'no trusted root')
  })

  test('a certificate that another server has issued with its own, which is no authority', async () => {
    for (const extensions of [serverExtensions(host), [hostNames(host)]]) {
      const forger = await server(trustedRoot(), { commonName: 'forger', extensions })
      await expectRefused([await server(forger), forger], 'no trusted root')
    }
  })

  test('an authority that may not sign certificates', async () => {
    const extensions = [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ]
    const weak = await makeCertificate({ commonName: 'weak', issuer: trustedRoot(), extensions })
    await expectRefused([await server(weak), weak], 'no trusted root')
  })

  test('an intermediate that names its issuer rightly but was signed by another', async () => {
    const twin = await authority('root')
    const forged = await authority('intermediate', twin)
    await expectRefused([await server(forged), forged], 'no trusted root')
  })

  test('a certificate that names another issuer than the one that signed it', async () => {
    const named = await authority('named', trustedRoot())
    const signer = await authority('signer', trustedRoot())
    await expectRefused([await server({ ...named, keys: signer.keys }), signer], 'no trusted root')
  })

  test('a chain that is longer than an issuer allows', async () => {
    const first = await authority('first', trustedRoot(), 0)
    const second = await authority('second', first)
    await expectRefused([await server(second), first, second], 'longer than an issuer allows')
  })

  test('a chain without end', async () => {
    const sent = [await authority('0', trustedRoot())]
    for (let depth = 1; depth < 8; depth += 1) sent.push(await authority(`${depth}`, sent.at(-1)))
    const leaf = await server(sent.at(-1) ?? trustedRoot())
    await expectRefused([leaf, ...sent], 'too long')
  })

  test('another host, also when the common name is right', async () => {
    const extensions = serverExtensions('other.example.com')
    const leaf = await server(trustedRoot(), { commonName: host, extensions })
    await expectRefused([leaf], 'for another name')
  })

  test('an address that the certificate does not name', async () => {
    await expectRefused([await server(trustedRoot())], 'for another name', '192.0.2.7')
  })

  test('a certificate for clients only', async () => {
    const extensions = [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]), hostNames(host)]
    await expectRefused([await server(trustedRoot(), { extensions })], 'not meant for servers')
  })

  test.each(['the server', 'the intermediate'])('a critical extension that it does not know, of %s', async (whose) => {
    const unknown = new x509.Extension('1.2.3.4.5', true, new Uint8Array([5, 0]))
    const ofIntermediate = whose === 'the intermediate' ? [unknown] : []
    const ofServer = whose === 'the server' ? [unknown] : []
    const intermediate = await makeCertificate({
      commonName: 'intermediate',
      issuer: trustedRoot(),
      extensions: [...authorityExtensions(), ...ofIntermediate],
    })
    const leaf = await server(intermediate, { extensions: [...serverExtensions(host), ...ofServer] })
    await expectRefused([leaf, intermediate], 'critical extension 1.2.3.4.5')
  })

  test('bytes that are no certificate', async () => {
    const roots = [new X509Certificate(trustedRoot().pem)]
    await expect(verifyChainIgnoringDates({ host, certificates: [new Uint8Array(64)], roots })).rejects.toThrow()
  })
})

test('does not mind an extension that it does not know as long as it is not critical', async () => {
  const unknown = new x509.Extension('1.2.3.4.5', false, new Uint8Array([5, 0]))
  await expectAccepted([await server(trustedRoot(), { extensions: [...serverExtensions(host), unknown] })])
})
