import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import type { Fault } from '../cloud/faults.ts'
import { LocalAppliance, type LocalAgent } from '../support/local-agent.ts'

type Service = 's3' | 'secretsmanager' | 'logs'

const services: readonly Service[] = ['s3', 'secretsmanager', 'logs']
const secretId = 'panorama/shared/dock-1'
const soon = { timeout: 12_000, interval: 25 }

const trouble: readonly { readonly what: string; readonly fault: Fault }[] = [
  { what: 'fail', fault: { kind: 'error', status: 500, code: 'InternalError' } },
  { what: 'throttle', fault: { kind: 'error', status: 503, code: 'SlowDown' } },
  { what: 'refuse', fault: { kind: 'error', status: 400, code: 'AccessDeniedException' } },
  { what: 'reset connections', fault: { kind: 'reset' } },
  { what: 'never begin to answer', fault: { kind: 'latency', delayMs: 600_000 } },
  { what: 'fall silent in mid-answer', fault: { kind: 'stall', afterBytes: 10 } },
]
const cases = services.flatMap((service) => trouble.map(({ what, fault }) => ({ service, what, fault })))

describe.concurrent('a worker', () => {
  test.for(cases)('goes on with $service while the other two services $what', async (one, { expect }) => {
    const { service, fault } = one
    await using appliance = await open()
    await change(appliance, 1)
    for (const other of services) if (other !== service) appliance.cloud.faults.inject(fault, { service: other })
    await using agent = await appliance.start()
    // so that a worker that waits at its stop for a service that hangs does not hold up the test
    using _end = endFaults(appliance)

    await expect.poll(() => seen(appliance, service), soon).toBe(1)
    for (const version of [2, 3]) {
      await change(appliance, version)
      await ask(agent, service)
      await expect.poll(() => seen(appliance, service), soon).toBe(version)
    }
    expect((await agent.status()).overdue).toEqual([])
  })

  test.for(services)('catches up with %s once its trouble is over', async (service, { expect }) => {
    await using appliance = await open()
    await change(appliance, 1)
    await using agent = await appliance.start()
    await expect.poll(() => seen(appliance, service), soon).toBe(1)
    const error = { kind: 'error', status: 500, code: 'InternalError' } as const
    {
      using _fault = appliance.cloud.faults.inject(error, { service })
      await change(appliance, 2)
      await ask(agent, service).catch(() => undefined)
      await expect.poll(() => stateOf(agent, service), soon).toBe('failing')
    }
    await ask(agent, service)
    await expect.poll(() => seen(appliance, service), soon).toBe(2)
    await expect.poll(() => stateOf(agent, service), soon).toBe('ok')
  })
})

test('an artifact goes on while the bodies of nine others on its access point have fallen silent', async () => {
  const stalledNames = Array.from({ length: 9 }, (_, index) => `stalled-${index}`)
  await using appliance = await LocalAppliance.open({
    config: ({ names }) => ({
      artifacts: [...stalledNames, 'app'].map((name) => ({
        name,
        accessPoint: names.accessPointArn,
        prefix: `${name}/`,
        pollSeconds: 86_400,
      })),
    }),
  })
  for (const name of stalledNames) {
    for (let file = 0; file < 8; file += 1) await appliance.put(`${name}/${file}`, `${name} ${file}`.repeat(100))
  }
  const stalled = appliance.cloud.faults.inject(
    { kind: 'stall', afterBytes: 10 },
    { service: 's3', action: 'GetObject' },
  )
  await using agent = await appliance.start()
  // all connections but the three that are the tenth artifact's own
  const stalledRequests = 61
  await expect.poll(() => stalled.hits, soon).toBeGreaterThanOrEqual(stalledRequests)

  await agent.sync('app')
  expect(await appliance.installed('app')).toEqual({})
  expect(stalled.hits).toBe(stalledRequests)

  stalled[Symbol.dispose]()
  await appliance.put('app/version', '1')
  await agent.sync('app')
  expect(await seen(appliance, 's3')).toBe(1)
})

async function open(): Promise<LocalAppliance> {
  const appliance = await LocalAppliance.open({
    config: ({ names }) => ({
      artifacts: [{ name: 'app', accessPoint: names.accessPointArn, prefix: 'app/', pollSeconds: 86_400 }],
      cameras: { refreshSeconds: 86_400, streams: [{ name: 'dock-1', secretId }] },
    }),
  })
  appliance.cloud.secrets.createSecret(secretId, secretText(0))
  return appliance
}

/** Publishes a version everywhere. */
async function change(appliance: LocalAppliance, version: number): Promise<void> {
  await appliance.put('app/version', String(version))
  appliance.cloud.secrets.rotateSecret(secretId, secretText(version))
  await appendFile(join(appliance.files.logsFolder, 'app.log'), `version ${version}\n`)
}

/** The version that arrived on the other side of a service; undefined when none did. */
async function seen(appliance: LocalAppliance, service: Service): Promise<number | undefined> {
  switch (service) {
    case 's3':
      return numberIn((await appliance.installed('app'))?.['version'])
    case 'secretsmanager':
      return numberIn((await appliance.cameraFile('dock-1'))?.['password'])
    case 'logs':
      return numberIn(appliance.arrived('app').at(-1))
  }
}

/** The log worker looks at its files every second by itself. */
async function ask(agent: LocalAgent, service: Service): Promise<void> {
  if (service === 's3') await agent.sync()
  if (service === 'secretsmanager') await agent.refresh()
}

async function stateOf(agent: LocalAgent, service: Service): Promise<string | undefined> {
  const { artifacts, cameras, logs } = await agent.status()
  switch (service) {
    case 's3':
      return artifacts[0]?.state
    case 'secretsmanager':
      return cameras[0]?.state
    case 'logs':
      return logs.state
  }
}

function endFaults({ cloud }: LocalAppliance): Disposable {
  return {
    [Symbol.dispose]() {
      cloud.faults.clear()
    },
  }
}

function numberIn(text: string | undefined): number | undefined {
  const digits = /\d+/.exec(text ?? '')?.[0]
  return digits === undefined ? undefined : Number(digits)
}

function secretText(version: number): string {
  return JSON.stringify({ username: 'viewer', password: `version ${version}`, streamUrl: '' })
}
