import { readdir, readFile } from 'node:fs/promises'

import { describe, expect, test } from 'vitest'

import type { AgentProcess } from '../support/agent-process.ts'
import { createJobsSite, type JobsSite } from '../support/jobs-site.ts'
import { leavesOutJobFaults } from '../support/mosquitto.ts'

const changes = Number(process.env['PANORAMA_TEST_JOB_CHANGES'] ?? '24')
/** Until caches, pools and the heap are as large as they get. */
const warmUp = Math.max(10, Math.round(changes / 10))
/** Each so many needs another session. */
const sessionEvery = 5
const kibPerMib = 1024

interface Usage {
  readonly files: number
  readonly threads: number
  readonly residentMib: number
}

describe.skipIf(await leavesOutJobFaults('many changes by jobs'))(
  'an agent that is configured over and over by jobs',
  () => {
    test('keeps descriptors, threads and memory flat', { timeout: 3_600_000 }, async () => {
      await using site = await createJobsSite({ config: () => ({ cameras: {} }) })
      const agent = await site.startConnected()
      let before = await usageOf(agent)
      let highest = before
      for (let nth = 0; nth < warmUp + changes; nth += 1) {
        await change(site, nth)
        const now = await usageOf(agent)
        if (nth < warmUp) before = maxOf(before, now)
        highest = maxOf(highest, now)
        if (nth % 50 === 49) console.info(`after ${nth + 1} changes: ${JSON.stringify(now)}`)
      }
      const after = await usageOf(agent)
      console.info(`${changes} changes: ${JSON.stringify({ before, highest, after })}`)
      expect(after.files).toBeLessThanOrEqual(before.files + 4) // connections that are kept alive come and go
      expect(after.threads).toBeLessThanOrEqual(before.threads)
      // the heap grows as it likes up to its own bounds; what leaks grows with each change
      expect(after.residentMib).toBeLessThan(before.residentMib + Math.max(32, changes * 0.1))
      expect((await agent.status()).agent.pid).toBe(agent.pid)
    })
  },
)

async function change(site: JobsSite, nth: number): Promise<void> {
  const jobId = `job-${nth}`
  const isOfSession = nth % sessionEvery === 0
  const patch = isOfSession ? { device: { name: `name-${nth}` } } : { logs: { flushSeconds: (nth % 50) + 1 } }
  site.createJob(jobId, { operation: 'configure', patch })
  expect(await site.ended(jobId), jobId).toMatchObject({ status: 'SUCCEEDED' })
}

async function usageOf({ pid }: AgentProcess): Promise<Usage> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const [, residentKib = 'NaN'] = /^VmRSS:\s+(\d+) kB/m.exec(status) ?? []
  return {
    files: (await readdir(`/proc/${pid}/fd`)).length,
    threads: (await readdir(`/proc/${pid}/task`)).length,
    residentMib: Math.round(Number(residentKib) / kibPerMib),
  }
}

function maxOf(one: Usage, other: Usage): Usage {
  return {
    files: Math.max(one.files, other.files),
    threads: Math.max(one.threads, other.threads),
    residentMib: Math.max(one.residentMib, other.residentMib),
  }
}
