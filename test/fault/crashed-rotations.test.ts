import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { maxLeftOver } from '../../agent/identity/left-over-certificates.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { crash, spreadPlaces, Tally } from '../support/crash-points.ts'
import { createJobsSite, type JobsSite } from '../support/jobs-site.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'

const points = Number(process.env['PANORAMA_TEST_ROTATION_CRASHES'] ?? '10')
const lacksBroker = await lacksMosquitto('rotations of an agent that is killed')

/** Calls that make a step durable or visible, and about how many of them a rotation makes. */
const callKinds = [
  { calls: 'fsync,fdatasync', count: 40 },
  { calls: 'rename,renameat,renameat2', count: 18 },
]

describe.skipIf(lacksBroker)('an agent that is killed while it rotates its certificate by a job', () => {
  it(
    'ends with one new certificate in use, and leaves nothing of the old one',
    { timeout: 60_000 + points * 60_000 },
    async () => {
      const phases = new Tally()
      await using site = await createJobsSite({ config: () => ({ provisioning: {}, metrics: { enabled: false } }) })
      let agent = await started(site)
      const spanMs = 1.1 * (await undisturbed(site, agent)) // its end included
      for (const [point, place] of spreadPlaces(points, callKinds.length).entries()) {
        const jobId = `rotation-${point}`
        const before = ofThings(site)
        const killed = await crash(agent, {
          spanMs,
          callKinds,
          place,
          begin: async () => {
            site.createJob(jobId, { operation: 'rotate-certificate' })
            await Promise.resolve()
          },
          isOver: () => !['QUEUED', 'IN_PROGRESS'].includes(site.statusOf(jobId)),
        })
        const phase = await phaseOf(site)
        phases.count(phase)
        const where = `point ${point}: ${killed}, on the disk: ${phase}`

        agent = await started(site)
        const { status, statusDetails } = await site.ended(jobId, 60_000)
        expect(status, `${where}: ${JSON.stringify(statusDetails)}\n${agent.output}`).toBe('SUCCEEDED')
        const { identity } = await agent.until(
          (now) => now.jobs?.current === undefined && now.identity.rotation?.state === 'rotated',
        )
        expect(identity.leftOver?.at(-1), where).toMatchObject({ certificateId: before.at(-1), why: 'deactivate' })
        expect(identity.leftOver, where).toHaveLength(Math.min(before.length, maxLeftOver))
        const after = ofThings(site).filter((id) => !before.includes(id))
        expect(after, where).toEqual([statusDetails['certificateId']])
        expect(await currentId(site), where).toBe(after[0])
        expect(await left(site), where).toEqual([after[0]])
        for (const old of before) site.cloud.appliances.setCertificateStatus(old, 'INACTIVE')
        expect(await agent.until(({ connection }) => connection?.state === 'connected'), where).toBeDefined()
      }
      console.info(`killed at ${points} points of rotations; on the disk then: ${String(phases)}`)
      phases.expectKinds(3)
    },
  )
})

async function started(site: JobsSite): Promise<AgentProcess> {
  return await site.startConnected({ env: { UV_THREADPOOL_SIZE: '1' } }) // strace counts by thread
}

/** Rotates once without a kill; answers how long that took. */
async function undisturbed(site: JobsSite, agent: AgentProcess): Promise<number> {
  const [before = ''] = ofThings(site)
  const startedMs = performance.now()
  site.createJob('undisturbed', { operation: 'rotate-certificate' })
  const { status } = await site.ended('undisturbed', 60_000)
  const tookMs = performance.now() - startedMs
  expect(status).toBe('SUCCEEDED')
  site.cloud.appliances.setCertificateStatus(before, 'INACTIVE')
  await agent.until(({ connection }) => connection?.state === 'connected')
  return tookMs
}

function ofThings({ cloud }: JobsSite): readonly string[] {
  return cloud.iot.provisioning
    .certificates()
    .filter(({ things }) => things.length > 0)
    .map(({ certificateId }) => certificateId)
}

async function phaseOf({ appliance }: JobsSite): Promise<string> {
  const folder = join(appliance.stateFolder, 'identity')
  const text = await readFile(join(folder, 'rotation.json'), 'utf8').catch(() => '{"state":"nothing"}')
  const note = await readFile(join(folder, 'pending', 'pending.json'), 'utf8').catch(() => '{}')
  const { state } = JSON.parse(text) as { state: string } // the agent's own, as is the note
  const { step = 'none', isAsked } = JSON.parse(note) as { step?: string; isAsked?: boolean }
  return `${state}, pending ${step}${isAsked === true ? ' (asked)' : ''}`
}

async function currentId({ appliance }: JobsSite): Promise<string> {
  return basename(await readlink(join(appliance.stateFolder, 'identity', 'current')))
}

/** The versions that are kept, and anything that should not be there any more. */
async function left({ appliance }: JobsSite): Promise<readonly string[]> {
  const folder = join(appliance.stateFolder, 'identity')
  const strays = (await readdir(folder)).filter((name) => /^(previous|pending|\..*)$/.test(name))
  return [...(await readdir(join(folder, 'versions'))), ...strays]
}
