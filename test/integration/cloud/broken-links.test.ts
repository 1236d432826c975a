import { once } from 'node:events'
import { connect, type ConnectionOptions } from 'node:tls'

import { CloudWatchLogsClient, DescribeLogGroupsCommand } from '@aws-sdk/client-cloudwatch-logs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { askCredentials, getCredentials, type DeviceCredentials } from './credentials-client.ts'
import type { Appliance } from '../../cloud/appliances.ts'
import { startDemoFrame, thingName, type DemoFrame } from './demo-frame.ts'
import { sdkOptions } from './sdk-options.ts'
import { textMatching } from './text-matching.ts'

const describeGroups = new DescribeLogGroupsCommand({})
const dayMs = 86_400_000

describe('a broken link to the cloud', () => {
  let cloud: DemoFrame
  let identity: Appliance
  let credentials: DeviceCredentials
  let logs: CloudWatchLogsClient

  beforeEach(async () => {
    cloud = await startDemoFrame()
    identity = await cloud.appliances.createAppliance({ thingName })
    credentials = await getCredentials(cloud, { identity, thingName })
    logs = new CloudWatchLogsClient(sdkOptions(cloud, credentials, cloud.endpoints.logs))
  })

  afterEach(async () => {
    logs.destroy()
    await cloud[Symbol.asyncDispose]()
  })

  it('refuses connections while unreachable, and is back on the same ports', async () => {
    await logs.send(describeGroups)
    await cloud.unreachable()

    await expect(logs.send(describeGroups)).rejects.toMatchObject({
      code: textMatching(/ECONNREFUSED|ECONNRESET/),
    })
    await expect(askCredentials(cloud, { identity })).rejects.toMatchObject({ code: 'ECONNREFUSED' })

    await cloud.reachable()
    await expect(logs.send(describeGroups)).resolves.toBeDefined()
    await expect(askCredentials(cloud, { identity })).resolves.toMatchObject({ status: 200 })
  })

  it('answers nothing while it is a black hole, on open connections and on new ones', async () => {
    await logs.send(describeGroups)
    await cloud.blackhole()
    const pending = [logs.send(describeGroups), askCredentials(cloud, { identity })].map((answer) =>
      answer.then(
        () => 'answered',
        () => 'failed',
      ),
    )

    await expect(Promise.race([...pending, nothingFor(300)])).resolves.toBe('nothing')
    expect(cloud.calls).toHaveLength(1)

    await cloud.reachable()
    expect(await Promise.all(pending)).toEqual(['failed', 'failed'])
    await expect(askCredentials(cloud, { identity })).resolves.toMatchObject({ status: 200 })
  })

  it('does not even shake hands while it is a black hole', async () => {
    await cloud.blackhole()
    const socket = connect(tlsOptions(cloud))
    const handshake = once(socket, 'secureConnect').then(
      () => 'shaken',
      () => 'failed',
    )

    await expect(Promise.race([handshake, nothingFor(300)])).resolves.toBe('nothing')
    await cloud.reachable()
    expect(await handshake).toBe('failed')
  })

  it('resets a connection on demand, as often as told', async () => {
    const fault = cloud.faults.inject({ kind: 'reset' }, { service: 'logs', action: 'DescribeLogGroups', count: 1 })

    await expect(logs.send(describeGroups)).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect(logs.send(describeGroups)).resolves.toBeDefined()
    expect(fault.hits).toBe(1)
    expect(cloud.requests.list({ service: 'logs' }).map(({ status }) => status)).toEqual([0, 200])
  })

  it('gives errors in the shape of the service until the fault is disposed of', async () => {
    {
      using fault = cloud.faults.inject(
        { kind: 'error', status: 503, code: 'ServiceUnavailableException' },
        { service: 'logs' },
      )
      await expect(logs.send(describeGroups)).rejects.toMatchObject({ name: 'ServiceUnavailableException' })
      expect(fault.hits).toBe(1)
    }
    await expect(logs.send(describeGroups)).resolves.toBeDefined()
  })

  it('gives errors in the shape of the credentials provider', async () => {
    cloud.faults.inject({ kind: 'error', status: 500, code: 'InternalFailureException', message: 'oops' })

    const { status, body, headers } = await askCredentials(cloud, { identity })

    expect([status, body, headers['x-amzn-errortype']]).toEqual([500, '{"message":"oops"}', 'InternalFailureException'])
  })

  it('cuts a body after so many bytes, and the connection with it', async () => {
    cloud.faults.inject({ kind: 'cut', afterBytes: 10 }, { service: 'logs', count: 1 })

    await expect(logs.send(describeGroups)).rejects.toThrow(/aborted/)
    expect(cloud.requests.list().at(-1)).toMatchObject({ status: 200, responseBytes: 10 })
    await expect(logs.send(describeGroups)).resolves.toBeDefined()
  })

  it('stalls a body after so many bytes', async () => {
    const fault = cloud.faults.inject({ kind: 'stall', afterBytes: 10 }, { service: 'logs' })
    const gone = new AbortController()
    const answer = logs.send(describeGroups, { abortSignal: gone.signal }).then(
      () => 'answered',
      () => 'failed',
    )

    await vi.waitUntil(() => fault.hits === 1)
    await expect(Promise.race([answer, nothingFor(300)])).resolves.toBe('nothing')
    gone.abort()
    logs.destroy()
  })

  it('delays an answer, and gives it up when the client does', async () => {
    const fault = cloud.faults.inject({ kind: 'latency', delayMs: 60_000 }, { service: 'logs', count: 1 })
    const gone = new AbortController()
    const answer = logs.send(describeGroups, { abortSignal: gone.signal })
    await vi.waitUntil(() => fault.hits === 1)
    gone.abort()

    await expect(answer).rejects.toThrow()
    await expect(logs.send(describeGroups)).resolves.toBeDefined()
    expect(cloud.calls).toHaveLength(1)
  })

  it('tells a wrong time on demand', async () => {
    cloud.faults.inject({ kind: 'clock', offsetMs: 10 * dayMs }, { service: 'credentials' })

    const { headers } = await askCredentials(cloud, { identity })

    expect(Math.abs(Date.parse(String(headers['date'])) - Date.now() - 10 * dayMs)).toBeLessThan(60_000)
  })

  it('fails to resolve names on demand', async () => {
    const fault = cloud.faults.inject({ kind: 'dns', code: 'EAI_AGAIN' })

    await expect(askCredentials(cloud, { identity })).rejects.toMatchObject({ code: 'EAI_AGAIN' })
    fault[Symbol.dispose]()
    await expect(askCredentials(cloud, { identity })).resolves.toMatchObject({ status: 200 })
  })

  it("shows certificates with the dates that Amazon's have, by its own time", async () => {
    for (const offsetMs of [0, -400 * dayMs, 400 * dayMs]) {
      await cloud.setTimeOffset(offsetMs)
      const { from, to, issuers } = await showCertificate(cloud)

      expect(Math.abs(from - (cloud.now() - 5 * dayMs))).toBeLessThan(60_000)
      expect(Math.abs(to - (cloud.now() + 190 * dayMs))).toBeLessThan(60_000)
      expect(issuers).toEqual(['Local Cloud Intermediate', 'Local Cloud Root CA 1'])
    }
  })

  it('is refused by a client whose clock is a year off', async () => {
    await cloud.setTimeOffset(365 * dayMs)

    await expect(askCredentials(cloud, { identity })).rejects.toMatchObject({ code: 'CERT_NOT_YET_VALID' })
  })
})

async function nothingFor(ms: number): Promise<string> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms, 'nothing')
  })
}

async function showCertificate(cloud: DemoFrame) {
  const socket = connect(tlsOptions(cloud))
  await once(socket, 'secureConnect')
  const leaf = socket.getPeerCertificate(true)
  socket.destroy()
  return {
    from: Date.parse(leaf.valid_from),
    to: Date.parse(leaf.valid_to),
    issuers: [leaf.issuer.CN, leaf.issuerCertificate.issuer.CN],
  }
}

function tlsOptions({ endpoints }: DemoFrame): ConnectionOptions {
  const port = Number(endpoints.credentials.split(':')[1])
  return { host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false }
}
