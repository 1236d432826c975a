import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

import { beforeAll, expect, test } from 'vitest'

import type { ProbeOutcome } from '../../../../agent/cameras/camera-probe.ts'
import { rtspProbe } from '../../../../agent/cameras/rtsp/rtsp-probe.ts'
import {
  authorityExtensions,
  makeCertificate,
  serverExtensions,
  type TestCertificate,
} from '../../../support/certificates.ts'
import { startRtspCamera } from '../../../support/rtsp-camera.ts'
import { rtspAnswer, startScriptedCamera } from '../../../support/scripted-camera.ts'
import { tempFolder } from '../../../support/temp-folder.ts'

const dayMs = 86_400_000
const right = { username: 'admin', password: 'correct horse' }
const made: { authority?: TestCertificate } = {}

beforeAll(async () => {
  made.authority = await makeCertificate({ commonName: 'cameras', extensions: authorityExtensions() })
})

test("trusts a camera by the camera's own roots", async () => {
  await using folder = await tempFolder()
  await using camera = await startRtspCamera({ certificate: await cameraCertificate() })
  const ca = await rootsFile(folder.path)
  expect(await probe({ streamUrl: camera.streamUrl, ca })).toEqual({ kind: 'accepted' })
  expect(camera.attempts(right)).toEqual({ accepted: 1, refused: 0 })
})

test('refuses to follow a redirect from rtsps to rtsp', async () => {
  await using folder = await tempFolder()
  await using other = await startScriptedCamera(() => rtspAnswer(200))
  const location = `Location: rtsp://localhost:${other.port}/`
  await using camera = await startScriptedCamera(() => rtspAnswer(302, location), await cameraCertificate())
  const outcome = await probe({ streamUrl: camera.streamUrl, ca: await rootsFile(folder.path) })
  expect(outcome).toEqual({ kind: 'unclear', detail: 'it redirects from rtsps to rtsp' })
  expect(other.connections()).toBe(0)
})

test.for([
  [
    'has expired',
    { notBefore: new Date(Date.now() - 2 * dayMs), notAfter: new Date(Date.now() - dayMs) },
    /expired \(CERT_HAS_EXPIRED\), by the clock of this device, which says 20/,
  ],
  [
    'is not valid yet',
    { notBefore: new Date(Date.now() + dayMs), notAfter: new Date(Date.now() + 2 * dayMs) },
    /not valid yet \(CERT_NOT_YET_VALID\), by the clock of this device/,
  ],
  ['is for another host name', { host: 'other.example' }, /another host name \(ERR_TLS_CERT_ALTNAME_INVALID\)/],
] as const)('sends nothing to a camera whose certificate %s', async ([, options, detail]) => {
  await using folder = await tempFolder()
  await using camera = await startScriptedCamera(() => rtspAnswer(200), await cameraCertificate(options))
  const outcome = await probe({ streamUrl: camera.streamUrl, ca: await rootsFile(folder.path) })
  expect(outcome).toMatchObject({ kind: 'unreachable', detail: expect.stringMatching(detail) as string })
  expect(camera.received).toHaveLength(0)
})

test('sends nothing to a camera whose authority the system does not trust', async () => {
  await using camera = await startScriptedCamera(() => rtspAnswer(200), await cameraCertificate())
  const outcome = await probe({ streamUrl: camera.streamUrl })
  expect(outcome).toMatchObject({
    kind: 'unreachable',
    detail: expect.stringContaining('no authority that is trusted') as string,
  })
  expect(camera.received).toHaveLength(0)
})

test('says that a camera does not speak TLS', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end('RTSP/1.0 400 Bad Request\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // not a pipe
  const outcome = await probe({ streamUrl: `rtsps://127.0.0.1:${port}/` })
  server.close()
  const detail = expect.stringMatching(/^no connection can be made \(ERR_SSL_/) as string
  expect(outcome).toMatchObject({ kind: 'unreachable', detail })
})

test.for([
  ['is not there', undefined, 'the roots for the camera (ca) cannot be read (ENOENT)'],
  ['holds no certificate', 'no PEM', 'the file of roots for the camera (ca) holds no certificate in PEM'],
] as const)('says so when the file of roots %s', async ([, content, detail]) => {
  await using folder = await tempFolder()
  const ca = join(folder.path, 'roots.pem')
  if (content !== undefined) await writeFile(ca, content)
  expect(await probe({ streamUrl: 'rtsps://localhost:1/', ca })).toEqual({ kind: 'unreachable', detail })
})

test('survives a file of roots that is damaged', async () => {
  await using folder = await tempFolder()
  await using camera = await startScriptedCamera(() => rtspAnswer(200), await cameraCertificate())
  const ca = join(folder.path, 'roots.pem')
  await writeFile(ca, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  expect((await probe({ streamUrl: camera.streamUrl, ca })).kind).toBe('unreachable')
})

async function probe(target: { readonly streamUrl: string; readonly ca?: string }): Promise<ProbeOutcome> {
  const beforeAttempt = async (): Promise<boolean> => await Promise.resolve(true)
  return await rtspProbe()({ ...right, ...target }, { beforeAttempt }, new AbortController().signal)
}

async function cameraCertificate(
  options: { readonly host?: string; readonly notBefore?: Date; readonly notAfter?: Date } = {},
): Promise<TestCertificate> {
  const { host = 'localhost', ...dates } = options
  const issuer = made.authority
  if (issuer === undefined) throw new Error('there is no authority')
  return await makeCertificate({ commonName: host, issuer, extensions: serverExtensions(host), ...dates })
}

async function rootsFile(folder: string): Promise<string> {
  const path = join(folder, 'roots.pem')
  await writeFile(path, made.authority?.pem ?? '')
  return path
}
