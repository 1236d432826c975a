import { createSecureContext } from 'node:tls'

import { expect, it } from 'vitest'

import { Dialer } from '../../agent/aws/dialer.ts'
import { createTrust } from '../../agent/aws/trust.ts'
import { ByteCounter } from '../../agent/lib/byte-counter.ts'
import { reportError } from '../../agent/lib/errors.ts'
import { authorityExtensions, makeCertificate, serverExtensions } from '../support/certificates.ts'
import { rejectionOf } from '../support/cloud-session.ts'
import { freePort } from '../support/free-port.ts'
import { startScriptedProxy, type ScriptedProxyOptions } from '../support/scripted-proxy.ts'
import { httpAnswer, startScriptedServer } from '../support/scripted-server.ts'

const dayMs = 86_400_000
const password = 'pw-Tunnel_8Kd2'
const noTrust = { roots: [], secureContext: createSecureContext() }

const refusals = [
  { answer: httpAnswer('407 Proxy Authentication Required', ''), failure: 'credentials', text: 'does not take the' },
  { answer: httpAnswer('403 Forbidden', '<html>no</html>'), failure: 'refused', text: 'does not allow connections to' },
  { answer: httpAnswer('502 Bad Gateway', ''), failure: 'cannot-reach', text: 'cannot reach target.test:443' },
  { answer: httpAnswer('503 \u0007<b>evil</b>', ''), failure: 'cannot-reach', text: '(HTTP 503 b evil b)' },
  { answer: httpAnswer('302 Found', '', { location: 'http://login' }), failure: 'refused', text: 'makes no tunnel' },
  { answer: 'SSH-2.0-OpenSSH_9.2\r\n', failure: 'no-proxy', text: 'is no such proxy' },
  { answer: `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`, failure: 'no-proxy', text: 'is no such proxy' },
] as const

it.each(refusals)('names what the proxy means by $text', async ({ answer, failure, text }) => {
  await using proxy = await startScriptedProxy({ answer })
  const error = await rejectionOf(dialBy(proxy))
  expect(error).toMatchObject({ name: 'ProxyError', failure, retryable: true })
  const { message, hint } = reportError(error)
  expect(message).toContain(text)
  expect(message).toContain(`127.0.0.1:${proxy.server.port}`)
  expect(hint).toBeTypeOf('string')
  expect(message + (hint ?? '')).not.toContain(password)
})

it('names a proxy that cannot be reached', async () => {
  const port = await freePort()
  await using proxy = await startScriptedProxy()
  const error = await rejectionOf(dialBy({ server: { ...proxy.server, port } }))
  expect(error).toMatchObject({ name: 'ProxyError', failure: 'unreachable' })
  expect(reportError(error).message).toContain(`the proxy 127.0.0.1:${port} cannot be reached: ECONNREFUSED`)
})

it('gives up on a proxy that does not answer when its time is up', async () => {
  await using proxy = await startScriptedProxy({ answer: '' })
  const dialer = new Dialer({ proxyFor: () => proxy.server })
  const target = { host: 'target.test', port: 443, trust: noTrust, withinMs: 200 }
  expect(await rejectionOf(dialer.secure(target))).toMatchObject({ code: 'ETIMEDOUT' })
})

it('asks for a tunnel with the credentials in UTF-8', async () => {
  await using proxy = await startScriptedProxy({ answer: httpAnswer('502 Bad Gateway', '') })
  await rejectionOf(dialBy(proxy))
  const basic = Buffer.from(`üser:${password}`, 'utf8').toString('base64')
  expect(proxy.requests[0]).toContain('CONNECT target.test:443 HTTP/1.1\r\n')
  expect(proxy.requests[0]).toContain(`proxy-authorization: Basic ${basic}\r\n`)
})

it.each([
  { what: 'a proxy', tls: false, aheadDays: 0 },
  { what: 'a proxy while the clock is a year slow', tls: false, aheadDays: 365 },
  { what: 'a proxy that speaks TLS', tls: true, aheadDays: 0 },
  { what: 'a proxy that speaks TLS while the clock is a year slow', tls: true, aheadDays: 365 },
])('speaks TLS with the server through $what, and counts every byte', async ({ tls, aheadDays }) => {
  const site = await certificates(aheadDays)
  await using server = await startScriptedServer({ certificate: site.server, onRequest: () => undefined })
  const options: ScriptedProxyOptions = tls ? { certificate: site.proxy } : {}
  await using proxy = await startScriptedProxy(options)
  const counter = new ByteCounter()
  const trust = createTrust({ roots: [site.root.pem] })
  const dialer = new Dialer({ proxyFor: () => proxy.server, proxyTrust: () => Promise.resolve(trust), counter })
  const { socket, dates } = await dialer.secure({ host: 'target.test', port: server.port, trust })
  const before = counter.bytes
  expect(before).toBeGreaterThan(500)
  socket.write('x'.repeat(10_000))
  await expect.poll(() => server.receivedBytes()).toBe(10_000)
  expect(counter.bytes - before).toBeGreaterThan(10_000)
  expect(dates).toMatchObject({ datesUnchecked: aheadDays > 0 })
  const last = counter.bytes
  socket.destroy()
  await expect.poll(() => counter.bytes).toBeGreaterThanOrEqual(last)
})

async function dialBy({ server }: Pick<Awaited<ReturnType<typeof startScriptedProxy>>, 'server'>): Promise<void> {
  const dialer = new Dialer({ proxyFor: () => server })
  await dialer.dial({ host: 'target.test', port: 443 }, AbortSignal.timeout(10_000))
}

async function certificates(aheadDays: number) {
  const nowMs = Date.now() + aheadDays * dayMs
  const dates = { notBefore: new Date(nowMs - 5 * dayMs), notAfter: new Date(nowMs + 190 * dayMs) }
  const long = { notBefore: new Date(nowMs - 4_000 * dayMs), notAfter: new Date(nowMs + 4_000 * dayMs) }
  const root = await makeCertificate({ commonName: 'Root', ...long, extensions: authorityExtensions() })
  const issue = async (name: string) =>
    await makeCertificate({ commonName: name, issuer: root, ...dates, extensions: serverExtensions(name) })
  return { root, server: await issue('target.test'), proxy: await issue('localhost') }
}
