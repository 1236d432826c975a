import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { describe, expect, test } from 'vitest'

import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { FleetAgent } from '../support/fleet-agent.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { spreadOf } from '../support/request-peaks.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitUntil } from '../support/wait-until.ts'

const asked = process.env['PANORAMA_TEST_FLEET']
/** A few agents and an outage of seconds, or as many as are asked for and one that brings every back-off to its longest. */
const { agents, outageMs, pollSeconds, backWithinMs } =
  asked === undefined
    ? { agents: 12, outageMs: 4_000, pollSeconds: 10, backWithinMs: 60_000 }
    : { agents: Number(asked), outageMs: 150_000, pollSeconds: 60, backWithinMs: 240_000 }
const startedAtATime = 10
/** Of a role alias by default; renewed after 65 % of it on average. */
const credentialSeconds = 3_600

const kinds = {
  credentials: { filter: { service: 'credentials' }, steady: agents / (0.65 * credentialSeconds) },
  'MQTT connects': { filter: { service: 'iot', action: 'Connect' }, steady: 0 },
  S3: { filter: { service: 's3' }, steady: agents / pollSeconds },
} as const
type Kind = keyof typeof kinds

describe.skipIf(await lacksMosquitto('a fleet through an outage'))('a fleet', () => {
  test(`of ${agents} is back after an outage, without asking twice`, { timeout: 900_000 }, async () => {
    await using folder = await tempFolder()
    await using cloud = await startIotCloud()
    await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'model/weights.bin', body: 'content' })
    await using fleet = await startFleet(cloud, folder.path)
    const { members } = fleet

    await cloud.unreachable()
    for (const { thingName } of members) {
      const document = { version: '1.0', operation: 'refresh-cameras' }
      cloud.iot.jobs.createJob({ jobId: `job-${thingName}`, targets: [thingName], document })
    }
    for (const member of members) {
      member.loseCredentials()
      await delay(outageMs / 2 / agents)
    }
    await delay(outageMs / 2)
    expect(members.filter((member) => member.isConnected || member.hasCredentials)).toEqual([])

    const end = { cloudMs: cloud.now(), ownMs: FleetAgent.nowMs() }
    await cloud.reachable()
    const isBack: Record<Kind, (member: FleetAgent) => boolean> = {
      credentials: (member) => member.hasCredentials,
      'MQTT connects': (member) => member.isConnected,
      S3: (member) => member.hasSynced(end.ownMs),
    }
    const backMs = await Promise.all(
      (['credentials', 'MQTT connects', 'S3'] as const).map(async (kind) => {
        await waitUntil(`${kind}: all are back`, () => members.every(isBack[kind]), backWithinMs)
        return { kind, afterMs: cloud.now() - end.cloudMs }
      }),
    )
    for (const { kind, afterMs } of backMs) report(cloud, kind, { sinceMs: end.cloudMs, afterMs })
    const statuses = (): readonly string[] =>
      members.map(({ thingName }) => cloud.iot.jobs.describeExecution(thingName, `job-${thingName}`).status)
    await waitUntil('all jobs are done', () => statuses().every((status) => status === 'SUCCEEDED'), backWithinMs)
    expect(members.map(({ actions }) => actions.calls)).toEqual(members.map(() => ['refresh all']))
    const since = { sinceMs: end.cloudMs }
    expect(cloud.requests.count({ ...since, service: 'credentials' })).toBe(agents)
    expect(cloud.requests.count({ ...since, service: 'iot', action: 'Connect' })).toBe(agents)
  })
})

interface Fleet extends AsyncDisposable {
  readonly members: readonly FleetAgent[]
}

/** Starts the agents a few at a time, and waits until all have what they want. */
async function startFleet(cloud: IotCloud, folder: string): Promise<Fleet> {
  await using resources = new AsyncDisposableStack()
  const members: FleetAgent[] = []
  const isWell = (member: FleetAgent): boolean => member.hasCredentials && member.isConnected && member.hasSynced()
  while (members.length < agents) {
    const names = Array.from(
      { length: Math.min(startedAtATime, agents - members.length) },
      (_, index) => `panorama_dock-${members.length + index}`,
    )
    const started = await Promise.all(
      names.map((thingName) => FleetAgent.start({ cloud, folder: join(folder, thingName), thingName, pollSeconds })),
    )
    for (const member of started) members.push(resources.use(member))
    await waitUntil('the agents are well', () => started.every(isWell), 60_000)
  }
  const owned = resources.move()
  return { members, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function report(cloud: IotCloud, kind: Kind, { sinceMs, afterMs }: { sinceMs: number; afterMs: number }): void {
  const { filter, steady } = kinds[kind]
  const times = cloud.requests.list({ ...filter, sinceMs }).map(({ atMs }) => atMs - sinceMs)
  console.log(
    `${agents} agents, ${outageMs / 1_000} s without the cloud: ${kind}: ${spreadOf(times, afterMs)}; ` +
      `at rest ${steady.toFixed(2)}/s`,
  )
}
