import { execFileSync } from 'node:child_process'

import { expect, test } from 'vitest'

import type { Cloud } from '../cloud/cloud.ts'
import { freePort } from '../support/free-port.ts'
import { LocalAppliance, localGroup, type LocalAgent } from '../support/local-agent.ts'
import { passTime, passTimeUntil, simulateTime } from '../support/simulated-time.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const secretIds = ['panorama/shared/dock-1', 'panorama/shared/dock-2']

test('asks once per poll, once per refresh for all secrets, and sends a metrics record a minute and no log when there is none', async () => {
  using _time = simulateTime()
  await using appliance = await open()
  await using agent = await rested(appliance)
  const { requests } = appliance.cloud
  const linesBefore = agent.lines.length
  const sinceMs = appliance.cloud.now()

  await passTime({ forMs: hourMs, stepMs: 1_500 })

  // a poll or refresh every 300 s, spread by a tenth
  const polls = requests.count({ action: 'ListObjectsV2' })
  expect(polls).toBeGreaterThanOrEqual(10)
  expect(polls).toBeLessThanOrEqual(14)
  expect(requests.count({ action: 'GetObject' })).toBe(0)
  const refreshes = requests.count({ action: 'BatchGetSecretValue' })
  expect(refreshes).toBeGreaterThanOrEqual(10)
  expect(refreshes).toBeLessThanOrEqual(14)
  expect(requests.count({ service: 'secretsmanager' })).toBe(refreshes)
  // credentials of an hour are renewed between 50 % and 80 % of it
  expect(requests.count({ service: 'credentials' })).toBeLessThanOrEqual(2)
  expect(agent.lines.slice(linesBefore)).toEqual([])
  const perHour = 60
  expect(puts(appliance.cloud)).toBeGreaterThanOrEqual(perHour - 1)
  expect(puts(appliance.cloud)).toBeLessThanOrEqual(perHour + 1)
  expect(arrivedSince(appliance.cloud, 'metrics', sinceMs)).toBe(puts(appliance.cloud))
})

test('asks for the credentials of an application once or twice an hour, and STS as often whose they are', async () => {
  using _time = simulateTime()
  const port = await freePort()
  const group = execFileSync('id', ['-gn']).toString().trim()
  const applications = [{ name: 'people-counter', roleAlias: 'people-counter', group }]
  await using appliance = await open({}, { applications, applicationCredentials: { port } })
  const { cloud, files } = appliance
  await cloud.createApplication({ name: 'people-counter', certificateId: files.certificateId })
  await using agent = await rested(appliance)
  const linesBefore = agent.lines.length
  const hours = 3

  await passTime({ forMs: hours * hourMs, stepMs: 1_500 })

  // each renewed between 50 % and 80 % of an hour: the appliance's and the application's
  const fetches = cloud.requests.count({ service: 'credentials' })
  expect(fetches).toBeGreaterThanOrEqual(2 * 3)
  expect(fetches).toBeLessThanOrEqual(2 * 6)
  const lookUps = cloud.requests.count({ service: 'sts', action: 'GetCallerIdentity' })
  expect(lookUps).toBeGreaterThanOrEqual(3)
  expect(lookUps).toBeLessThanOrEqual(fetches)
  expect(agent.lines.slice(linesBefore)).toEqual([])
})

test.each([
  { what: 'no batch where metrics are off', metrics: { enabled: false }, least: 0, most: 0 },
  { what: 'a batch an hour where a record is made each hour', metrics: { intervalSeconds: 3_600 }, least: 1, most: 1 },
])('sends $what', async ({ metrics, least, most }) => {
  using _time = simulateTime()
  await using appliance = await open(metrics)
  await using _agent = await rested(appliance)

  await passTime({ forMs: hourMs, stepMs: 1_500 })

  expect(puts(appliance.cloud)).toBeGreaterThanOrEqual(least)
  expect(puts(appliance.cloud)).toBeLessThanOrEqual(most)
})

test('sends its own debug lines once a minute, however many there are, and sending makes no lines', async () => {
  using _time = simulateTime()
  await using appliance = await open({ enabled: false })
  await using agent = await rested(appliance, 'debug')
  const linesBefore = agent.lines.length
  let noise = 0

  await passTime({
    forMs: hourMs,
    stepMs: 1_500,
    onStep: () => {
      noise += 1
      agent.log.debug('noise')
    },
  })

  const made = puts(appliance.cloud)
  expect(made).toBeGreaterThan(50)
  expect(made).toBeLessThanOrEqual(61)
  expect(agent.lines.length - linesBefore).toBe(noise)
})

test.each([
  { what: 'a secret is missing', service: 'secretsmanager', code: 'ResourceNotFoundException' },
  { what: 'a secret cannot be read for a while', service: 'secretsmanager', code: 'InternalServiceError' },
  { what: 'the access point refuses', service: 's3', code: 'AccessDenied' },
])('sends at most one batch a minute while $what', async ({ service, code }) => {
  using _time = simulateTime()
  await using appliance = await open({ enabled: false })
  const status = code === 'InternalServiceError' ? 500 : 400
  await using agent = await rested(appliance)
  using _fault = appliance.cloud.faults.inject({ kind: 'error', status, code }, { service })

  await passTime({ forMs: hourMs, stepMs: 1_500 })

  expect(agent.lines.some((line) => line.includes(code))).toBe(true)
  expect(puts(appliance.cloud)).toBeGreaterThan(0)
  expect(puts(appliance.cloud)).toBeLessThanOrEqual(60)
})

test('tries a log upload that is refused at most twice a minute and stream, however much it has to say', async () => {
  using _time = simulateTime()
  await using appliance = await open()
  await using agent = await rested(appliance, 'debug')
  using _fault = appliance.cloud.faults.inject(
    { kind: 'error', status: 400, code: 'AccessDeniedException' },
    { service: 'logs' },
  )

  await passTime({
    forMs: hourMs,
    stepMs: 1_500,
    onStep: () => {
      agent.log.debug('noise')
    },
  })

  const refused = appliance.cloud.requests.count({ action: 'PutLogEvents' })
  expect(refused).toBeGreaterThan(0)
  expect(refused).toBeLessThanOrEqual(120)
  const said = agent.lines.filter((line) => line.includes('AccessDeniedException'))
  expect(said.length).toBeLessThanOrEqual(14)
})

async function open(
  metrics: Readonly<Record<string, unknown>> = {},
  more: Readonly<Record<string, unknown>> = {},
): Promise<LocalAppliance> {
  const appliance = await LocalAppliance.open({
    config: ({ names }) => ({
      metrics,
      ...more,
      artifacts: [{ name: 'app', accessPoint: names.accessPointArn, prefix: 'app/' }],
      cameras: { streams: secretIds.map((secretId, index) => ({ name: `dock-${index}`, secretId })) },
    }),
  })
  const { logs } = appliance.files.config as { logs: object } // as createApplianceFiles made it
  await appliance.configure({ logs: { ...logs, flushSeconds: 15 } })
  await appliance.put('app/model', 'one')
  const secret = JSON.stringify({ username: 'viewer', password: 'p', streamUrl: '' })
  for (const secretId of secretIds) appliance.cloud.secrets.createSecret(secretId, secret)
  return appliance
}

/** An agent that has done its first passes and sent what it had to say about them; nothing is on record before. */
async function rested(appliance: LocalAppliance, level?: 'debug'): Promise<LocalAgent> {
  const agent = await appliance.start(level === undefined ? {} : { level })
  const isDone = async (): Promise<boolean> => {
    const { artifacts, cameras, applications } = await agent.status()
    return [...artifacts, ...cameras, ...applications].every(({ state }) => state === 'ok')
  }
  await passTimeUntil(isDone, { withinMs: 120_000, stepMs: 200 })
  await passTime({ forMs: 3 * minuteMs, stepMs: 200 })
  appliance.cloud.requests.clear()
  return agent
}

/** How often PutLogEvents was called. */
function puts({ requests }: Cloud): number {
  return requests.count({ action: 'PutLogEvents' })
}

function arrivedSince({ logs }: Cloud, stream: string, sinceMs: number): number {
  return logs.events(localGroup, stream).filter(({ ingestedAtMs }) => ingestedAtMs >= sinceMs).length
}
