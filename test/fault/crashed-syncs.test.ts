import { randomBytes, randomInt } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, expect, it } from 'vitest'

import { parseLedger } from '../../agent/artifacts/transfer/part-ledger.ts'
import { planParts } from '../../agent/artifacts/transfer/part-plan.ts'
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

const points = Number(process.env['PANORAMA_TEST_CRASHES'] ?? '30')
const pointsPerSite = 10
const bigBytes = 20 * 1024 * 1024
const smallFiles = 12
/** Slow enough that a moment at random falls into every part of a pass. */
const maxBytesPerSecond = 24 * 1024 * 1024
const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`killed at random moments only, because strace does not work here: ${noStrace}`)

/** Calls that make something durable or visible, and about how many of them a pass makes. */
const callKinds = [
  { calls: 'fsync,fdatasync', count: 40 },
  { calls: 'rename,renameat,renameat2', count: smallFiles + 5 },
  { calls: 'link,linkat', count: smallFiles + 1 },
  { calls: 'symlink,symlinkat', count: 1 },
]

type Phase = 'listing' | 'downloading' | 'storing' | 'installing' | 'installed'

const hits: Record<Phase, number> = { listing: 0, downloading: 0, storing: 0, installing: 0, installed: 0 }
const sites = Math.ceil(points / pointsPerSite)

it.each(Array.from({ length: sites }, (_, index) => index))(
  'has whole releases only, fetches nothing verified again and leaves nothing behind, wherever it is killed (%i)',
  async (nth) => {
    await using site = await createAgentSite({
      config: () => ({ cameras: {}, logs: {}, downloads: { minFreeBytes: 0, maxBytesPerSecond } }),
    })
    let installed = release()
    await publish(site, installed)
    const startedMs = performance.now()
    await syncWhole(site, installed)
    const spanMs = (performance.now() - startedMs) / 2 // starting the agent and the second pass take the rest
    for (let point = nth * pointsPerSite; point < Math.min(points, (nth + 1) * pointsPerSite); point += 1) {
      const next = release()
      await publish(site, next)
      const place = await crash(site, { point, spanMs })
      const where = `point ${point}: ${place}`

      const found = await installedContents(site.artifactFolder)
      expect(isSame(found, installed) || isSame(found, next), `${where}, a whole release is installed`).toBe(true)
      const verified = await verifiedContent(site, next)
      hits[await phaseOf(site, next)] += 1

      const before = site.cloud.requests.list({ service: 's3', action: 'GetObject' }).length
      await syncWhole(site, next)
      const again = site.cloud.requests.list({ service: 's3', action: 'GetObject' }).slice(before)
      expect(
        pathsOf(again).filter((path) => verified.paths.has(path)),
        `${where}, fetched again`,
      ).toEqual([])
      expect(bytesOf(again, 'big'), `${where}, bytes of the large object fetched`).toBe(
        verified.paths.has('big') ? 0 : bigBytes - verified.bigBytes,
      )
      expect(await strayFiles(site, [installed, next]), `${where}, left behind`).toEqual([])
      installed = next
    }
  },
  600_000,
)

afterAll(() => {
  console.info(`killed at ${points} points; what the pass was at then: ${JSON.stringify(hits)}`)
  // kills that all fall into one phase prove little
  expect(Object.values(hits).filter((count) => count > 0).length).toBeGreaterThan(2)
})

function release(): Contents {
  const small = Array.from({ length: smallFiles }, (_, index) => [`folder-${index % 3}/${index}`, randomBytes(20_000)])
  return new Map([['big', randomBytes(bigBytes)], ...(small as [string, Buffer][])])
}

async function publish(site: AgentSite, files: Contents): Promise<void> {
  for (const [path, content] of files) await site.publish(path, content)
}

/** Runs the agent until it has the release, asks it for one pass more, and ends it. */
async function syncWhole(site: AgentSite, wanted: Contents): Promise<void> {
  await using agent = site.start()
  await agent.until(isSynced, 60_000)
  if (!isSame(await installedContents(site.artifactFolder), wanted)) throw new Error('another release is installed')
  await site.sync()
  agent.kill('SIGKILL')
  await exitOf(agent)
}

/** Runs the agent and kills it at a moment, or at one of its system calls, of each kind in turn; answers where that was. */
async function crash(
  site: AgentSite,
  { point, spanMs }: { readonly point: number; readonly spanMs: number },
): Promise<string> {
  const lists = (): number => site.cloud.requests.count({ service: 's3', action: 'ListObjectsV2' })
  const before = lists()
  if (point % 2 === 0 || noStrace !== undefined) {
    const agent = site.start()
    await waitUntil('the pass begins', () => lists() > before)
    const afterMs = randomInt(Math.max(1, Math.ceil(spanMs)))
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    agent.kill('SIGKILL')
    await exitOf(agent)
    return `${afterMs} ms after it asked for the listing`
  }
  const { calls, count } = callKinds[Math.floor(point / 2) % callKinds.length] ?? { calls: 'fsync', count: 1 }
  const nth = randomInt(1, count + 1)
  const killAtCall = ['-e', `trace=${calls}`, '-e', `inject=${calls}:signal=KILL:when=${nth}`]
  const agent = site.start({
    command: ['strace', '-f', '-qq', '-o', '/dev/null', '--seccomp-bpf', ...killAtCall, ...agentCommand],
    env: { UV_THREADPOOL_SIZE: '1' }, // strace counts by thread
  })
  const ended = exitOf(agent).then(() => true)
  const isDone = agent.until(isSynced, 60_000).then(
    () => false,
    () => true,
  )
  const isKilled = await Promise.race([ended, isDone])
  if (!isKilled) process.kill((await agent.status()).agent.pid, 'SIGKILL') // it makes fewer of these calls
  await ended
  return `at number ${nth} of ${calls}${isKilled ? '' : ', of which there are fewer'}`
}

interface Verified {
  /** Of files whose content is in the store. */
  readonly paths: ReadonlySet<string>
  /** In recorded parts of the large object. */
  readonly bigBytes: number
}

async function verifiedContent(site: AgentSite, wanted: Contents): Promise<Verified> {
  const stored = await storedDigests(site.artifactFolder)
  const paths = [...wanted].filter(([, content]) => stored.has(digestOf(content))).map(([path]) => path)
  const parts = planParts(bigBytes)
  let recordedBytes = 0
  for (const ledger of await ledgersIn(join(site.artifactFolder, 'partial'))) {
    for (const [index, sha256] of parseLedger(ledger)?.parts ?? []) {
      const { start = 0, end = 0 } = parts[index] ?? {}
      const isOfWanted = digestOf((wanted.get('big') ?? Buffer.of()).subarray(start, end)) === sha256
      if (isOfWanted) recordedBytes += end - start
    }
  }
  return { paths: new Set(paths), bigBytes: recordedBytes }
}

async function ledgersIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => [])
  return await Promise.all(
    names.filter((name) => name.endsWith('.parts')).map((name) => readFile(join(folder, name), 'utf8')),
  )
}

async function phaseOf(site: AgentSite, next: Contents): Promise<Phase> {
  if (isSame(await installedContents(site.artifactFolder), next)) return 'installed'
  const { paths } = await verifiedContent(site, next)
  if (paths.size === next.size) return 'installing'
  if (paths.size > 0) return 'storing'
  const begun = [...(await readdir(join(site.artifactFolder, 'incoming')).catch(() => []))]
  const partial = await readdir(join(site.artifactFolder, 'partial')).catch(() => [])
  return begun.length + partial.length > 0 ? 'downloading' : 'listing'
}

async function strayFiles(site: AgentSite, releases: readonly Contents[]): Promise<readonly string[]> {
  const { artifactFolder } = site
  const known = new Set(releases.flatMap((files) => [...files.values()].map(digestOf)))
  const stored = [...(await storedDigests(artifactFolder))].filter((sha256) => !known.has(sha256))
  const partial = await readdir(join(artifactFolder, 'partial')).catch(() => [])
  const trees = (await readdir(join(artifactFolder, 'releases'))).filter((name) => !name.endsWith('.json'))
  return [
    ...(await unfinishedFiles(site.appliance.stateFolder)),
    ...stored,
    ...partial,
    ...(trees.length > 2 ? [`${trees.length} releases`] : []),
  ]
}

interface Answered {
  readonly path: string
  readonly responseBytes: number
}

function pathsOf(requests: readonly Answered[]): readonly string[] {
  return requests.map(({ path }) => decodeURIComponent(path).slice('/model/'.length))
}

function bytesOf(requests: readonly Answered[], path: string): number {
  const paths = pathsOf(requests)
  return requests.reduce((sum, { responseBytes }, index) => sum + (paths[index] === path ? responseBytes : 0), 0)
}

function isSame(found: Contents | undefined, wanted: Contents): boolean {
  if (found?.size !== wanted.size) return false
  return [...wanted].every(([path, content]) => found.get(path)?.equals(content) === true)
}

function isSynced({ artifacts: [artifact] }: StatusDocument): boolean {
  return artifact?.state === 'ok' && artifact.releaseId !== undefined && artifact.phase === 'idle'
}
