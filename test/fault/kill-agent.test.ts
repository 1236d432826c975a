import { randomBytes } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import { agentCommand } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import {
  digestOf,
  installedContents,
  storedDigests,
  unfinishedFiles,
  type Contents,
} from '../support/installed-artifact.ts'
import { whyNoStrace } from '../support/strace.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`skipped, because strace does not work here: ${noStrace}`)

describe('the agent, killed in mid-download', () => {
  it('keeps the installed release, and after a restart fetches only what is not stored', async () => {
    await using site = await createAgentSite({ config: () => ({ cameras: {} }) })
    const first = new Map([...randomFiles('old', 2), ['changed', randomBytes(60_000)]] as const)
    await publish(site, first)
    const killed = site.start()
    await killed.until(isSynced)

    const second = new Map([...first, ...randomFiles('new', 4), ['changed', randomBytes(60_000)]] as const)
    await publish(site, second)
    const big = randomBytes(4_000_000)
    {
      using _ = site.cloud.faults.inject({ kind: 'stall', afterBytes: 300_000 }, { service: 's3', action: 'GetObject' })
      await publish(site, new Map([['big', big]]))
      const pass = site.sync()
      await waitUntil('the small files are stored and the big one stalls', async () => {
        const { artifacts } = await killed.status()
        const stored = await storedDigests(site.artifactFolder)
        return stored.size === 3 + 5 && (artifacts[0]?.progress?.bytes ?? 0) >= 5 * 60_000 + 200_000
      })
      killed.kill('SIGKILL')
      await exitOf(killed)
      await pass
    }
    expect(await installedContents(site.artifactFolder)).toEqual(first)
    expect(await unfinishedFiles(site.appliance.stateFolder)).toHaveLength(1)

    const restarted = site.start()
    const whole = new Map([...second, ['big', big]] as const)
    await restarted.until(({ artifacts }) => artifacts[0]?.files === whole.size)
    expect(await installedContents(site.artifactFolder)).toEqual(whole)
    expect(Object.fromEntries(site.countGets())).toEqual({
      ...Object.fromEntries([...second.keys()].map((path) => [path, 1])),
      changed: 2,
      big: 2,
    })
    expect(await unfinishedFiles(site.appliance.stateFolder)).toEqual([])
  })
})

describe.skipIf(noStrace !== undefined)('the agent, killed at a system call of a pass', () => {
  it.each([
    ...[1, 2, 3, 4, 5, 6].map((nth) => ({ calls: 'rename,renameat,renameat2', nth })),
    ...[3, 6, 9, 12].map((nth) => ({ calls: 'fsync,fdatasync', nth })),
    { calls: 'symlink,symlinkat', nth: 1 },
    { calls: 'link,linkat', nth: 2 },
  ])('names whole releases only and fetches nothing stored again: $calls, number $nth', async ({ calls, nth }) => {
    await using site = await createAgentSite({ config: () => ({ cameras: {}, logs: {} }) })
    const files = randomFiles('file', 2)
    await publish(site, files)
    const killAtCall = ['-e', `trace=${calls}`, '-e', `inject=${calls}:signal=KILL:when=${nth}`]
    // strace counts by thread: with one thread for all file work, the nth call is the same call every time
    const killed = site.start({
      command: ['strace', '-f', '-qq', '-o', '/dev/null', ...killAtCall, ...agentCommand],
      env: { UV_THREADPOOL_SIZE: '1' },
    })
    expect(await exitOf(killed)).toEqual({ code: null, signal: 'SIGKILL' })

    expect([undefined, files]).toContainEqual(await installedContents(site.artifactFolder))
    const stored = await storedDigests(site.artifactFolder)
    const before = site.countGets()
    const restarted = site.start()
    await restarted.until(isSynced)
    expect(await installedContents(site.artifactFolder)).toEqual(files)
    expect(await unfinishedFiles(site.appliance.stateFolder)).toEqual([])
    const fetchedAgain = [...site.countGets()].filter(([path, count]) => count > (before.get(path) ?? 0))
    const isStored = ([path]: readonly [string, number]): boolean =>
      stored.has(digestOf(files.get(path) ?? Buffer.of()))
    expect(fetchedAgain.filter(isStored)).toEqual([])
  })
})

function isSynced({ artifacts }: StatusDocument): boolean {
  return artifacts.every(({ state, releaseId }) => state === 'ok' && releaseId !== undefined)
}

function randomFiles(name: string, count: number): Contents {
  return new Map(Array.from({ length: count }, (_, index) => [`${name}-${index}`, randomBytes(60_000)]))
}

async function publish(site: AgentSite, files: Contents): Promise<void> {
  for (const [path, content] of files) await site.publish(path, content)
}
