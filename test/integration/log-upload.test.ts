import { appendFileSync, copyFileSync, renameSync, truncateSync } from 'node:fs'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { describe, expect, test } from 'vitest'

import { LocalAppliance, localGroup } from '../support/local-agent.ts'
import { passTime, passTimeUntil, simulateTime } from '../support/simulated-time.ts'
import { openSlowUplink } from '../support/slow-uplink.ts'

const batchBytes = 1_048_576
const overheadBytes = 26
const hourMs = 3_600_000
const soon = { timeout: 15_000, interval: 25 }

const rotations: readonly { readonly name: string; readonly rotate: (path: string, round: number) => void }[] = [
  {
    name: 'renaming',
    rotate: (path, round) => {
      if (round > 0) renameSync(`${path}.1`, `${path}.${round + 1}`)
      renameSync(path, `${path}.1`)
    },
  },
  {
    name: 'copying and truncating',
    rotate: (path, round) => {
      if (round > 0) renameSync(`${path}.1`, `${path}.${round + 1}`)
      copyFileSync(path, `${path}.1`)
      truncateSync(path)
    },
  },
]
/** Where every request or event is counted. */
const withoutMetrics = { config: () => ({ metrics: { enabled: false } }) }

// side by side, because most of the time goes into the agent's look at its files once a second
describe.concurrent('a log file', () => {
  test('makes group and stream only when a batch was refused for want of them', async ({ expect }) => {
    await using appliance = await LocalAppliance.open(withoutMetrics)
    await write(appliance, 'app.log', 'first\n')
    await using agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app'), soon).toEqual(['first'])
    await agent.stop()

    const actions = appliance.cloud.requests.list({ service: 'logs' }).map(({ action }) => action)
    expect(actions.slice(0, 5)).toEqual([
      'PutLogEvents',
      'CreateLogStream',
      'CreateLogGroup',
      'CreateLogStream',
      'PutLogEvents',
    ])
  })

  test('waits for a stream that readers do not see yet', async ({ expect }) => {
    await using appliance = await LocalAppliance.open()
    appliance.cloud.logs.setVisibleAfterMs(1_500)
    await write(appliance, 'app.log', 'one\ntwo\n')
    await using _agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app'), soon).toEqual(['one', 'two'])
  })

  test.for(rotations)(
    'sends every line once and in order through rotation by $name',
    async ({ rotate }, { expect }) => {
      await using appliance = await LocalAppliance.open()
      const path = join(appliance.files.logsFolder, 'app.log')
      await using agent = await appliance.start()
      const written: string[] = []
      for (let round = 0; round < 4; round += 1) {
        for (let burst = 0; burst < 60; burst += 1) {
          const line = `line ${written.length} of a program that goes on writing`
          appendFileSync(path, `${line}\n`)
          written.push(line)
          await delay(20)
        }
        rotate(path, round)
      }
      appendFileSync(path, 'the last line\n')
      written.push('the last line')

      await expect.poll(() => appliance.arrived('app').length, soon).toBeGreaterThanOrEqual(written.length)
      await agent.stop()
      expect(appliance.arrived('app')).toEqual(written)
    },
  )

  test('sends after a restart what it had no network for, and what was written meanwhile, once', async ({ expect }) => {
    await using appliance = await LocalAppliance.open()
    {
      await using _agent = await appliance.start()
      await write(appliance, 'app.log', 'before\n')
      await expect.poll(() => appliance.arrived('app'), soon).toEqual(['before'])
      await appliance.cloud.unreachable()
      await write(appliance, 'app.log', 'without network\n')
      await delay(1_500) // long enough to be read
    }
    await write(appliance, 'app.log', 'without agent\n')
    await appliance.cloud.reachable()
    await using agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app').length, soon).toBeGreaterThanOrEqual(3)
    await agent.stop()
    expect(appliance.arrived('app')).toEqual(['before', 'without network', 'without agent'])
  })

  test('makes the group again when it is deleted in the middle', async ({ expect }) => {
    await using appliance = await LocalAppliance.open()
    await using _agent = await appliance.start()
    await write(appliance, 'app.log', 'one\n')
    await expect.poll(() => appliance.arrived('app'), soon).toEqual(['one'])

    appliance.cloud.logs.deleteGroup(localGroup)
    await write(appliance, 'app.log', 'two\n')

    await expect.poll(() => appliance.arrived('app'), soon).toEqual(['two'])
  })

  test('fills a batch to the last byte that CloudWatch takes', async ({ expect }) => {
    await using appliance = await LocalAppliance.open(withoutMetrics)
    const line = 'x'.repeat(1_024 - overheadBytes)
    const count = (2 * batchBytes) / 1_024
    await write(appliance, 'app.log', `${line}\n`.repeat(count))
    await using agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app').length, soon).toBe(count)
    expect(appliance.cloud.logs.accepted()).toMatchObject({ batches: 2, bytes: 2 * batchBytes, rejectedEvents: 0 })
    expect((await agent.status()).logs).toMatchObject({ accepted: count, lost: 0 })
  })

  test('fills a batch to the last event that CloudWatch takes, in the order of the file', async ({ expect }) => {
    await using appliance = await LocalAppliance.open(withoutMetrics)
    const lines = Array.from({ length: 30_000 }, (_, index) => `${index}`)
    await write(appliance, 'app.log', `${lines.join('\n')}\n`)
    await using _agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app').length, soon).toBe(lines.length)
    expect(appliance.arrived('app')).toEqual(lines)
    expect(appliance.cloud.logs.accepted()).toMatchObject({ batches: 3, events: 30_000, rejectedEvents: 0 })
  })

  test('sends a line of the greatest size whole and splits longer ones between characters, with marks', async ({
    expect,
  }) => {
    await using appliance = await LocalAppliance.open()
    const greatest = 'g'.repeat(1_000_000)
    const longer = '\u{1F4F7}é'.repeat(400_000)
    await write(appliance, 'app.log', `${greatest}\n${longer}\nafter\n`)
    await using agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app').at(-1), soon).toBe('after')
    const arrived = appliance.arrived('app')
    expect(arrived[0] === greatest).toBe(true)
    const pieces = arrived.slice(1, -1)
    const restored = pieces.join('').replaceAll('\u2026[continues][continued]\u2026', '')
    expect(pieces).toHaveLength(3)
    expect(restored === longer).toBe(true)
    expect(arrived.every((message) => message.isWellFormed() && !message.includes('\uFFFD'))).toBe(true)
    expect(appliance.cloud.logs.accepted().rejectedEvents).toBe(0)
    expect((await agent.status()).logs).toMatchObject({ state: 'ok', lost: 0 })
  })

  test('leaves out empty lines, and sends lines that no JSON parser or terminal likes', async ({ expect }) => {
    await using appliance = await LocalAppliance.open()
    const odd = ['\u0007bell', '"quoted" \\ back', '\u2028separator', '日本語', ' spaces ']
    await write(appliance, 'app.log', `\n\n${odd.join('\n\n')}\r\n\r\nend\n`)
    await using _agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app').at(-1), soon).toBe('end')
    expect(appliance.arrived('app')).toEqual(['\u2407bell', ...odd.slice(1), 'end'])
  })

  test.for([
    { what: 'throttled', fault: { kind: 'error', status: 400, code: 'ThrottlingException' } },
    { what: 'told of an internal error', fault: { kind: 'error', status: 500, code: 'InternalFailure' } },
    { what: 'cut off before the request is done', fault: { kind: 'reset' } },
  ] as const)('sends everything once while it is $what', async ({ fault }, { expect }) => {
    await using appliance = await LocalAppliance.open()
    using active = appliance.cloud.faults.inject(fault, { service: 'logs', action: 'PutLogEvents', count: 5 })
    const lines = Array.from({ length: 500 }, (_, index) => `line ${index}`)
    await write(appliance, 'app.log', `${lines.join('\n')}\n`)
    await using agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app').length, soon).toBe(500)
    expect(active.hits).toBe(5)
    expect(appliance.arrived('app')).toEqual(lines)
    await expect.poll(async () => (await agent.status()).logs.state, soon).toBe('ok')
  })

  test('sends everything once and in order when a batch is refused, and gives nothing up that is taken alone', async ({
    expect,
  }) => {
    await using appliance = await LocalAppliance.open()
    await appliance.configure({ metrics: { enabled: false } })
    const fault = { kind: 'error', status: 400, code: 'InvalidParameterException' } as const
    using active = appliance.cloud.faults.inject(fault, { service: 'logs', action: 'PutLogEvents', count: 3 })
    const lines = Array.from({ length: 500 }, (_, index) => `line ${index}`)
    await write(appliance, 'app.log', `${lines.join('\n')}\n`)
    await using agent = await appliance.start()

    await expect.poll(() => appliance.arrived('app').length, soon).toBe(500)
    expect(active.hits).toBe(3)
    expect(appliance.arrived('app')).toEqual(lines)
    expect((await agent.status()).logs).toMatchObject({ lost: 0, gapsPending: 0 })
  })

  test('takes over a backlog in a fraction of its bound, and says in the stream what it jumped over', async ({
    expect,
  }) => {
    await using appliance = await LocalAppliance.open()
    const { logs } = appliance.files.config as { logs: object } // as createApplianceFiles made it
    await appliance.configure({ logs: { ...logs, maxBacklogBytes: 4_194_304 } })
    const lines = Array.from({ length: 8_192 }, (_, index) => `${index} `.padEnd(1_023, 'x'))
    await write(appliance, 'app.log', `${lines.join('\n')}\n`)
    await using agent = await appliance.start()

    const isRecord = (text: string): boolean => text.startsWith('{"panoramaAgent":"gap"')
    await expect.poll(() => appliance.arrived('app').find(isRecord), soon).toBeDefined()
    await expect.poll(() => appliance.arrived('app').includes(lines.at(-1) ?? ''), soon).toBe(true)
    const { bytes } = JSON.parse(appliance.arrived('app').find(isRecord) ?? '') as { bytes: number }
    const arrived = appliance.arrived('app').filter((text) => !isRecord(text))
    expect(arrived).toEqual(lines.slice(bytes / 1_024))
    expect((await agent.status()).logs).toMatchObject({ leftOutBytes: bytes, lost: 0, lostBytes: 0 })
  })

  test('sends its own log to the stream occ_log, at the latest when it stops', async ({ expect }) => {
    await using appliance = await LocalAppliance.open()
    const agent = await appliance.start()
    await agent.stop()

    const own = appliance.arrived('occ_log')
    expect(own.filter((line) => line.includes('agent is ready'))).toHaveLength(1)
    expect(own.every((line) => agent.lines.includes(line))).toBe(true)
  })

  test('sends at its stop what was read and is not due yet', async ({ expect }) => {
    await using appliance = await LocalAppliance.open()
    const { logs } = appliance.files.config as { logs: object } // as createApplianceFiles made it
    await appliance.configure({ logs: { ...logs, flushSeconds: 3_600 } })
    await write(appliance, 'app.log', 'one\ntwo\n')
    {
      await using agent = await appliance.start()
      await expect.poll(async () => (await agent.status()).logs.sources.length, soon).toBe(1)
      expect(appliance.arrived('app')).toEqual([])
    }
    expect(appliance.arrived('app')).toEqual(['one', 'two'])
  })
})

test('sends lines that waited for more than a day in batches of less than one', async () => {
  using _time = simulateTime()
  await using appliance = await LocalAppliance.open()
  await using agent = await appliance.start()
  await appliance.cloud.unreachable()
  for (let index = 0; index < 6; index += 1) {
    await write(appliance, 'app.log', `after ${index * 9} hours\n`)
    await passTime({ forMs: 9 * hourMs, stepMs: hourMs / 12 })
  }
  await appliance.cloud.reachable()

  const isThere = (): boolean => appliance.arrived('app').length >= 6
  await passTimeUntil(isThere, { withinMs: 300_000, stepMs: 500 })
  expect(appliance.arrived('app')).toEqual([0, 9, 18, 27, 36, 45].map((hours) => `after ${hours} hours`))
  const times = appliance.cloud.logs.events(localGroup, 'app').map(({ timestamp }) => timestamp)
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(44 * hourMs)
  expect((await agent.status()).logs).toMatchObject({ lost: 0 })
})

test('leaves out lines that waited for two weeks, which CloudWatch would refuse, and says so in the stream', async () => {
  using _time = simulateTime()
  await using appliance = await LocalAppliance.open()
  await using agent = await appliance.start()
  await appliance.cloud.unreachable()
  await write(appliance, 'app.log', 'too old\nalso too old\n')
  await passTime({ forMs: 15 * 24 * hourMs, stepMs: hourMs })
  await write(appliance, 'app.log', 'fresh\n')
  await appliance.cloud.reachable()

  const isThere = (): boolean => appliance.arrived('app').length > 1
  await passTimeUntil(isThere, { withinMs: 300_000, stepMs: 500 })
  const [lines, records] = [false, true].map((is) =>
    appliance.arrived('app').filter((text) => text.startsWith('{') === is),
  )
  expect(lines).toEqual(['fresh'])
  const source = join(appliance.files.logsFolder, 'app.log')
  expect(JSON.parse(records?.[0] ?? '')).toMatchObject({
    panoramaAgent: 'gap',
    reason: 'too far behind',
    source,
    lines: 2,
  })
  expect((await agent.status()).logs.leftOut).toBeGreaterThanOrEqual(2)
  expect(appliance.cloud.logs.accepted().rejectedEvents).toBe(0)
})

test('gets a backlog in order through an uplink that is too slow for a whole batch', async () => {
  using _time = simulateTime()
  await using appliance = await LocalAppliance.open()
  const { endpoints } = appliance.cloud
  const logs = new URL(endpoints.logs)
  await using uplink = await openSlowUplink({ toPort: Number(logs.port), bytesPerSecond: 20_000 })
  logs.port = String(uplink.port)
  await appliance.configure({ endpoints: { ...endpoints, logs: logs.href } })
  const numbers = Array.from({ length: 2_048 }, (_, index) => index)
  const lines = numbers.map((number) => `${number} `.padEnd(1_024 - overheadBytes, 'x'))
  await write(appliance, 'app.log', `${lines.join('\n')}\n`)
  await using agent = await appliance.start()

  const arrived = (): readonly number[] => appliance.arrived('app').map((line) => Number.parseInt(line, 10))
  await passTimeUntil(() => arrived().at(-1) === 2_047, { withinMs: 1_200_000, stepMs: 500 })
  // what the agent gave up can still have arrived whole, so some lines are there twice
  expect([...new Set(arrived())]).toEqual(numbers)
  expect((await agent.status()).logs).toMatchObject({ lost: 0 })
})

async function write({ files }: LocalAppliance, name: string, text: string): Promise<void> {
  await appendFile(join(files.logsFolder, name), text)
}
